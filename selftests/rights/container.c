// SPDX-License-Identifier: LGPL-2.1-or-later
/* Root inside of a container: of a user namespace, where eBPF, map_files and seccomp filters are out of reach, or with a bounding set
 * that lacks CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN. */
#include "diag/diag.h"
#include "harness/left.h"
#include "rights/tier.h"
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

static int status_of(pid_t pid)
{
	int status = -1;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

/* Process 1 of the container: reaps what is left to it until the test has ended. */
static void be_init(void (*body)(void))
{
	CHECK_OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	CHECK_OK(mount("proc", "/proc", "proc", 0, NULL));
	pid_t test = (pid_t)CHECK_OK(fork());
	if (test == 0) {
		setsid();
		body();
		fflush(stdout);
		_exit(0);
	}
	int status;
	for (pid_t ended; (ended = waitpid(-1, &status, __WALL)) > 0;)
		if (ended == test)
			_exit(status != 0);
	_exit(1);
}

static void be_container(int ready, int mapped, void (*body)(void))
{
	char byte = 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	CHECK_OK(unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS));
	CHECK_EQ(write(ready, &byte, 1), 1);
	CHECK_EQ(read(mapped, &byte, 1), 1);
	pid_t init = (pid_t)CHECK_OK(fork());
	if (init == 0)
		be_init(body);
	_exit(status_of(init) != 0);
}

static void write_map(pid_t pid, const char *name)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
	write_text(path, "0 0 65536\n");
}

/* body in user, pid and mount namespaces of its own, as their root; all below 65536 are who they are outside. */
static void in_container(void (*body)(void))
{
	int ready[2], mapped[2];
	char byte = 0;
	target_lose_bpf();
	CHECK_OK(pipe(ready));
	CHECK_OK(pipe(mapped));
	fflush(stdout);
	pid_t container = (pid_t)CHECK_OK(fork());
	if (container == 0)
		be_container(ready[1], mapped[0], body);
	CHECK_EQ(read(ready[0], &byte, 1), 1);
	write_map(container, "gid_map");
	write_map(container, "uid_map");
	CHECK_EQ(write(mapped[1], &byte, 1), 1);
	CHECK_EQ(status_of(container), 0);
}

static void go_round(const char *const *argv)
{
	struct target t;
	tier_need_told(argv[0]);
	target_startv(&t, argv);
	target_dump(&t, false);
	target_restore(&t, 0);
	target_judge(&t);
}

#define INSIDE(name, ...)                                                                                                      \
	static void name##_inside(void) { go_round((const char *const[]){ __VA_ARGS__, NULL }); }                              \
	TEST(name##_in_user_namespace, .root = true, .seconds = 60) { in_container(name##_inside); }

INSIDE(sleeper, "sleeper")
INSIDE(threads, "threads")
INSIDE(signals, "signals")
INSIDE(timers, "timers")
INSIDE(sockets, "sockets")
INSIDE(locks, "locks")
INSIDE(epoll, "epoll")
INSIDE(files, "files")
INSIDE(user_with_rights, "rights", "user")

/* With a network of its own: connections and buffers, some of which are larger than most may ask for. */
static void be_networked(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	CHECK_OK(unshare(CLONE_NEWNET));
	int fd = (int)CHECK_OK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	CHECK_OK(ioctl(fd, SIOCSIFFLAGS, &lo));
	close(fd);
}

#define NETWORKED(name)                                                                                                        \
	static void name##_networked(void)                                                                                     \
	{                                                                                                                      \
		be_networked();                                                                                                \
		go_round((const char *const[]){ #name, NULL });                                                                \
	}                                                                                                                      \
	TEST(name##_in_user_namespace, .root = true, .seconds = 60) { in_container(name##_networked); }

NETWORKED(inet)
NETWORKED(options)

/* What stays out of reach is refused by its name. */
static void refused_inside(const char *code, const char *needs, const char *program, const char *argument)
{
	struct target t;
	char pid[16];
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, program, argument);
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(&output, "dump", pid, t.image), EXIT_PRIVILEGE);
	CHECK_CONTAINS(output.data, code);
	CHECK_CONTAINS(output.data, needs);
	CHECK(access(t.image, F_OK) < 0);
	target_judge(&t);
}

static void filters_inside(void) { refused_inside("[SECCOMP_READ]", "(SECCOMP_GET_FILTER)", "rights", "shared"); }
static void hidden_inside(void) { refused_inside("[MAPPED_HIDDEN]", "(MAP_FILES)", "shared", NULL); }
TEST(filters_in_user_namespace, .root = true) { in_container(filters_inside); }
TEST(hidden_files_in_user_namespace, .root = true) { in_container(hidden_inside); }

/* --- a bounding set --- */

/* What container engines leave to root unless told otherwise. */
#define ENGINE                                                                                                                 \
	(TIER_BIT(CAP_CHOWN) | TIER_BIT(CAP_DAC_OVERRIDE) | TIER_BIT(CAP_FSETID) | TIER_BIT(CAP_FOWNER) |                      \
	 TIER_BIT(CAP_MKNOD) | TIER_BIT(CAP_NET_RAW) | TIER_BIT(CAP_SETGID) | TIER_BIT(CAP_SETUID) | TIER_BIT(CAP_SETFCAP) |   \
	 TIER_BIT(CAP_SETPCAP) | TIER_BIT(CAP_NET_BIND_SERVICE) | TIER_BIT(CAP_SYS_CHROOT) | TIER_BIT(CAP_KILL) |              \
	 TIER_BIT(CAP_AUDIT_WRITE))

static void keep_only(u64 caps)
{
	target_lose_bpf();
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (!(caps & TIER_BIT(cap)))
			CHECK_OK(prctl(PR_CAPBSET_DROP, cap));
}

#define BOUNDED(name, ...)                                                                                                     \
	TEST(name##_bounded, .root = true, .seconds = 60)                                                                      \
	{                                                                                                                      \
		keep_only(ENGINE | TIER_CHECKPOINT);                                                                           \
		go_round((const char *const[]){ __VA_ARGS__, NULL });                                                          \
	}

BOUNDED(sleeper, "sleeper")
BOUNDED(threads, "threads")
BOUNDED(memory, "memory")
BOUNDED(tree, "tree")
BOUNDED(signals, "signals")
BOUNDED(timers, "timers")
BOUNDED(sockets, "sockets")
BOUNDED(files, "files")
BOUNDED(memfds, "memfds")
BOUNDED(shared, "shared")

static void filtered(void) { refused_inside("[SECCOMP_READ]", "(SECCOMP_GET_FILTER)", "rights", "filtered"); }

TEST(filters_bounded, .root = true)
{
	keep_only(ENGINE | TIER_CHECKPOINT);
	filtered();
}

/* Without CAP_CHECKPOINT_RESTORE: nothing has its old id; told before anything is made. */
TEST(as_engines_start_them, .root = true)
{
	struct target t;
	_cleanup_text_ struct text output = { 0 };
	keep_only(ENGINE);
	target_start(&t, "sleeper");
	target_dump(&t, false);
	_cleanup_free_ char *before = left_look_alone();
	CHECK_EQ(ckpt(&output, "restore", "-d", t.image), EXIT_PRIVILEGE);
	CHECK_CONTAINS(output.data, "[SET_TID]");
	CHECK_CONTAINS(output.data, "(SET_TID)");
	CHECK_CONTAINS(output.data, "nothing was made");
	left_check(before, "refused");
}
