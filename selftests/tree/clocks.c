// SPDX-License-Identifier: LGPL-2.1-or-later
/* Clocks that never go back: images of machines that had been up longer, and programs in time namespaces, seen by a ckpt that is in
 * them or not. */
#include "harness/edit.h"
#include "harness/target.h"
#include "host.pb-c.h"
#include "model/kinds.h"
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>

#define DAY 86400
#define LATER (1000ull * DAY * 1000000000)

static void later(struct graph *g, const void *with _unused_)
{
	Ckpt__Host *host = graph_find(g, &kind_host, 1)->data;
	host->monotonic += LATER;
	host->boottime += 2 * LATER;
}

/* Nobody adjusts that clock: on the machine of the image it ran faster. */
static void raw_later(struct graph *g, const void *with _unused_)
{
	Ckpt__Host *host = graph_find(g, &kind_host, 1)->data;
	host->monotonic_raw += LATER;
}

static void coarse_later(struct graph *g, const void *with _unused_)
{
	Ckpt__Host *host = graph_find(g, &kind_host, 1)->data;
	host->monotonic_coarse += LATER;
}

static void far_too_late(struct graph *g, const void *with _unused_)
{
	Ckpt__Host *host = graph_find(g, &kind_host, 1)->data;
	host->boottime = 1ull << 63;
}

/* Seconds by which the clocks of a process are ahead of the kernel's. */
static void check_ahead(pid_t pid, long long monotonic, long long boottime)
{
	char path[64];
	long long ahead[2] = { 0 };
	snprintf(path, sizeof path, "/proc/%d/timens_offsets", (int)pid);
	_cleanup_free_ char *text = read_text(path);
	if (!text || sscanf(text, "%*s %lld %*d %*s %lld", &ahead[0], &ahead[1]) != 2)
		FAIL("the offsets of process %d are \"%s\"", (int)pid, text ?: "?");
	printf("# %s", text);
	/* what has passed meanwhile is less here */
	CHECK(ahead[0] <= monotonic && ahead[0] > monotonic - 600);
	CHECK(ahead[1] <= boottime && ahead[1] > boottime - 600);
}

/* Twice to machines that have been up for a shorter time, and in between to one where it goes on as it is. */
static void travel(const char *const *argv)
{
	struct target t;
	if (access("/proc/self/timens_offsets", R_OK))
		SKIP("this kernel has no time namespaces");
	target_startv(&t, argv);
	edit_leg(&t, 1, later);
	check_ahead(t.pid, LATER / 1000000000, 2 * LATER / 1000000000);
	edit_leg(&t, 2, NULL);
	check_ahead(t.pid, LATER / 1000000000, 2 * LATER / 1000000000);
	edit_leg(&t, 3, later);
	check_ahead(t.pid, 2 * LATER / 1000000000, 4 * LATER / 1000000000);
	target_judge(&t);
}

#define TRAVEL(name, ...)                                                                                                      \
	TEST(name, .root = true, .seconds = 60) { travel((const char *const[]){ __VA_ARGS__, NULL }); }
TRAVEL(clock, "clock")
TRAVEL(clock_static, "clock.static")
TRAVEL(clock_musl, "clock.musl")
TRAVEL(threads, "threads", "20")
TRAVEL(python, "/usr/bin/python3", "python.py")

static void one_is_later(void (*later)(struct graph *, const void *))
{
	struct target t;
	if (access("/proc/self/timens_offsets", R_OK))
		SKIP("this kernel has no time namespaces");
	target_start(&t, "clock");
	edit_leg(&t, 1, later);
	check_ahead(t.pid, LATER / 1000000000, 0);
	target_judge(&t);
}
TEST(a_raw_clock_alone, .root = true, .seconds = 60) { one_is_later(raw_later); }
TEST(a_coarse_clock_alone, .root = true, .seconds = 60) { one_is_later(coarse_later); }

/* What the children of this process are born into. */
static void enter_later(void)
{
	static const char offsets[] = "monotonic 864000 500000000\nboottime 8640000 0\n";
	if (access("/proc/self/timens_offsets", R_OK))
		SKIP("this kernel has no time namespaces");
	CHECK_OK(unshare(CLONE_NEWTIME));
	int fd = (int)CHECK_OK(open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC));
	CHECK_EQ(write(fd, offsets, strlen(offsets)), strlen(offsets));
	close(fd);
}

static void live_there(bool ckpt_too, const char *const *argv)
{
	struct target t;
	int own = (int)CHECK_OK(open("/proc/self/ns/time", O_RDONLY | O_CLOEXEC));
	enter_later();
	target_startv(&t, argv);
	if (!ckpt_too)
		CHECK_OK(setns(own, CLONE_NEWTIME));
	for (int leg = 1; leg <= 2; leg++) {
		edit_leg(&t, leg, NULL);
		check_ahead(t.pid, 864000, 8640000);
	}
	target_judge(&t);
	close(own);
}

#define LIVE(name, ...)                                                                                                        \
	TEST(name##_seen_from_outside, .root = true, .seconds = 60)                                                            \
	{                                                                                                                      \
		live_there(false, (const char *const[]){ __VA_ARGS__, NULL });                                                 \
	}                                                                                                                      \
	TEST(name##_seen_from_inside, .root = true, .seconds = 60)                                                             \
	{                                                                                                                      \
		live_there(true, (const char *const[]){ __VA_ARGS__, NULL });                                                  \
	}
LIVE(its_clocks, "clock")
LIVE(its_timers, "timers")
LIVE(its_timerfds, "timerfds")
LIVE(a_long_sleep, "calls", "nanosleep")
LIVE(a_sleep_until, "calls", "clock_nanosleep_abs")
LIVE(a_poll, "calls", "poll")
LIVE(a_futex, "calls", "futex_timeout")

TEST(a_clone, .root = true, .seconds = 60)
{
	struct target t;
	char edited[96], pidfile[96], path[96];
	if (access("/proc/self/timens_offsets", R_OK))
		SKIP("this kernel has no time namespaces");
	target_start(&t, "clock");
	target_dump(&t, false);
	snprintf(edited, sizeof edited, "%s.edited", t.image);
	snprintf(pidfile, sizeof pidfile, "%s.pid", t.image);
	snprintf(path, sizeof path, "%s/gap", t.dir);
	edit_image(t.image, edited, later, NULL);
	CHECK_EQ(ckpt(NULL, "restore", edited, "-d", "--pidns", "--pidfile", pidfile), 0);
	_cleanup_free_ char *pid = read_text(pidfile);
	CHECK(pid != NULL);
	t.pid = atoi(pid);
	check_ahead(t.pid, LATER / 1000000000, 2 * LATER / 1000000000);
	target_judge(&t);
}

TEST(a_child_elsewhere_is_refused, .root = true)
{
	struct target t;
	_cleanup_text_ struct text output = { 0 };
	char pid[16];
	if (access("/proc/self/timens_offsets", R_OK))
		SKIP("this kernel has no time namespaces");
	need_program("/usr/bin/nsenter");
	/* its parent goes back: only the child lives in the namespace, which execve(2) enters only on newer kernels */
	target_spawn(&t, "/bin/sh", "-c",
		     "unshare -T --monotonic 100 sh -c '(echo > " WORK "/on; exec sleep 1000) &"
		     " exec nsenter -T -t $PPID sh -c \"echo > " WORK "/back; exec sleep 1000\"' & wait");
	WAIT_UNTIL(access(WORK "/on", F_OK) == 0 && access(WORK "/back", F_OK) == 0);
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(&output, "dump", pid, t.image), 3);
	CHECK_CONTAINS(output.data, "[NAMESPACE_FOREIGN]");
	CHECK_CONTAINS(output.data, "time: not that of the first process");
}

static void check_refused(void (*change)(struct graph *, const void *), const char *disable, const char *code, int status)
{
	struct target t;
	char edited[96];
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, "sleeper");
	target_dump(&t, false);
	snprintf(edited, sizeof edited, "%s.edited", t.image);
	edit_image(t.image, edited, change, NULL);
	setenv("CKPT_DISABLE", disable, 1);
	CHECK_EQ(ckpt(&output, "restore", edited, "-d"), status);
	unsetenv("CKPT_DISABLE");
	CHECK_CONTAINS(output.data, code);
	CHECK_CONTAINS(output.data, "not restored; nothing was made");
	target_restore(&t, 0);
	target_judge(&t);
}
TEST(without_the_right, .root = true)
{
	CHECK_OK(prctl(PR_CAPBSET_DROP, CAP_SYS_TIME, 0, 0, 0));
	check_refused(later, "", "[TIME_NAMESPACE]", 6);
}
TEST(without_time_namespaces, .root = true) { check_refused(later, "TIME_NS", "[CLOCK_BEHIND]", 4); }
TEST(a_clock_of_no_machine, .root = true) { check_refused(far_too_late, "", "[IMAGE_VALUE]", 5); }
