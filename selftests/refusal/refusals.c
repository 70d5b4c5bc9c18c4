// SPDX-License-Identifier: LGPL-2.1-or-later
/* What ckpt refuses: by name, with a reason and a way out, the right exit class, no image, and the tree as it was before. */
#include "diag/diag.h"
#include "harness/refused.h"
#include "harness/target.h"
#include <fcntl.h>
#include <linux/magic.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>

static void refused_program(const char *program, const char *what, int exit_class, const char *code)
{
	struct target t;
	target_start(&t, program, what);
	refused_at(&t, t.image, exit_class, code);
	target_judge(&t);
}

/* A thread of the program cannot be stopped. */
static void freeze_in_vain(const char *program, const char *what)
{
	struct target t;
	char pid[16];
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, program, what);
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(&output, "dump", "--freeze-timeout", "0.3", pid, t.image), EXIT_RACED);
	CHECK_CONTAINS(output.data, "[FREEZE_TIMEOUT]");
	CHECK_CONTAINS(output.data, "  do:");
	CHECK(access(t.image, F_OK) < 0);
	target_judge(&t);
}

/* A kind of descriptor that this kernel may lack. */
static void refused_kind(const char *what, const char *code, const char *words)
{
	struct target t;
	char pid[16];
	_cleanup_text_ struct text output = { 0 };
	start_holding(&t, what);
	refused_at(&t, t.image, EXIT_UNSUPPORTED, code);
	snprintf(pid, sizeof pid, "%d", t.pid);
	ckpt(&output, "dump", pid, t.image);
	CHECK_CONTAINS(output.data, words);
	target_judge(&t);
}
#define KIND(what, code, words)                                                                                                \
	TEST(kind_##what, .root = true) { refused_kind(#what, "[" code "]", words); }
KIND(alg, "SOCKET_FAMILY", "a kernel cryptography (AF_ALG) socket")
KIND(bpf, "FD_BPF", "a BPF object")
KIND(bpf_mapped, "FD_BPF", "a BPF object")
KIND(bpf_queue, "FD_BPF", "by taking it out")
KIND(bpf_ring, "FD_BPF", "it is of a type")
KIND(device, "FD_DEVICE", "a device (/dev/kmsg)")
KIND(kvm, "FD_KVM", "a virtual machine")
KIND(landlock, "FD_LANDLOCK", "a Landlock ruleset")
KIND(mount, "FD_MOUNT", "a file system context")
KIND(namespace, "FD_NAMESPACE", "a uts namespace")
KIND(netlink, "SOCKET_NETLINK", "a netlink socket")
KIND(perf, "FD_PERF", "a perf event")
KIND(pressure, "FILE_PRESSURE", "/proc/pressure/memory")
KIND(secret, "SHMEM_SECRET", "secret memory")
KIND(vsock, "SOCKET_FAMILY", "(vsock) socket")

TEST(memory_full, .root = true)
{
	struct target t;
	if (caps_ask(NULL, CAN_PAGEMAP_SCAN).answer != CAP_YES) /* should it not be refused, it would take minutes */
		SKIP("this kernel lacks PAGEMAP_SCAN");
	target_start(&t, "full");
	refused_at(&t, t.image, EXIT_UNSUPPORTED, "[ARENA_ROOM]");
	target_judge(&t);
}
TEST(epoll_disarmed, .root = true) { refused_program("epoll", "disarmed", EXIT_UNSUPPORTED, "[EPOLL_DISARMED]"); }
TEST(epoll_signalfd, .root = true) { refused_program("signalfds", "flight", EXIT_UNSUPPORTED, "[EPOLL_SIGNALFD]"); }
TEST(signalfd_disarmed, .root = true) { refused_program("signalfds", "disarmed", EXIT_UNSUPPORTED, "[EPOLL_DISARMED]"); }
TEST(fanotify_permission, .root = true)
{
	refused_program("fanotify", "permission", EXIT_UNSUPPORTED, "[FANOTIFY_PERMISSION]");
}
TEST(fanotify_unprivileged, .root = true)
{
	refused_program("fanotify", "unprivileged", EXIT_UNSUPPORTED, "[FANOTIFY_RIGHTS]");
}
TEST(fanotify_unread, .root = true) { refused_program("fanotify", "unread", EXIT_RACED, "[INOTIFY_UNREAD]"); }
TEST(inotify_unread, .root = true) { refused_program("watches", "unread", EXIT_RACED, "[INOTIFY_UNREAD]"); }
/* Events that are given up by policy stay with a program that is left running. */
TEST(inotify_dropped, .root = true)
{
	struct target t;
	char pid[16];
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, "watches", "unread");
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(&output, "dump", "--policy=inotify-events=drop", "--leave-running", pid, t.image), 0);
	CHECK_CONTAINS(output.data, "[INOTIFY_DROPPED]");
	target_judge(&t);
	target_start(&t, "watches", "dropped");
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(NULL, "dump", "--policy=inotify-events=drop", pid, t.image), 0);
	target_gone(t.pid);
	target_restore(&t, 0);
	target_judge(&t);
}
TEST(inotify_nameless, .root = true)
{
	_cleanup_free_ char *kinds = read_text("/proc/filesystems");
	if (!kinds || !strstr(kinds, "\toverlay\n"))
		SKIP("overlay is not here");
	refused_program("watches", "overlay-open", EXIT_UNSUPPORTED, "[INOTIFY_TARGET]");
}
TEST(timerfd_cancelled, .root = true) { refused_program("timerfds", "cancelled", EXIT_RACED, "[TIMERFD_CANCELLED]"); }
TEST(epoll_target, .root = true) { refused_program("epoll", "outside", EXIT_UNSUPPORTED, "[EPOLL_TARGET]"); }

#if defined(__x86_64__)
TEST(ldt_unreadable, .root = true) { refused_program("ldt", "filter", EXIT_UNSUPPORTED, "[LDT_READ]"); }
#endif

TEST(mqueue_messages, .root = true) { refused_program("mqueues", "messages", EXIT_UNSUPPORTED, "[MQUEUE_MESSAGES]"); }
TEST(mqueue_notify, .root = true) { refused_program("mqueues", "notify", EXIT_UNSUPPORTED, "[MQUEUE_NOTIFY]"); }
/* They can be seen once. */
TEST(socket_empty, .root = true, .net = true)
{
	struct target t;
	char pid[16];
	if (caps_ask(NULL, CAN_BPF).answer != CAP_YES)
		SKIP("nothing else tells how many messages wait");
	target_start(&t, "queues", "empty");
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(NULL, "dump", "--leave-running", pid, t.image), 0);
	refused_at(&t, WORK "/again", EXIT_UNSUPPORTED, "[SOCKET_EMPTY]");
	target_judge(&t);
	refused_program("queues", "closed", EXIT_UNSUPPORTED, "[SOCKET_EMPTY]");
}

/* Who may not exceed net.core.wmem_max refuses what he could not restore, and what was dumped by one who may. */
TEST(socket_room, .root = true)
{
	static const char *const commands[] = { "dump", "restore" };
	struct target t;
	char pid[16];
	target_start(&t, "queues", "huge");
	snprintf(pid, sizeof pid, "%d", t.pid);
	for (int i = 0; i < 2; i++) {
		_cleanup_text_ struct text output = { 0 };
		const char *const argv[] = { "setpriv",   "--bounding-set", "-net_admin", ckpt_path(),
					     commands[i], i ? "-d" : pid,   t.image,      NULL };
		CHECK(run_program(&output, "/usr/bin/setpriv", argv) != 0);
		CHECK_CONTAINS(output.data, "[SOCKET_ROOM]");
		if (i == 0)
			target_dump(&t, false);
	}
	target_restore(&t, 0);
	target_judge(&t);
}

TEST(mqueue_value, .root = true)
{
	target_lose_bpf();
	CHECK_OK(setenv("CKPT_DISABLE", "BPF", 1));
	refused_program("mqueues", "told", EXIT_KERNEL, "[MQUEUE_VALUE]");
}
/* A queue that is gone is made anew, its messages are not. */
TEST(mqueue_gone, .root = true)
{
	struct target t;
	char name[64];
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, "mqueues", "keeps");
	snprintf(name, sizeof name, "/ckpt-%d-held", t.pid);
	target_dump(&t, false);
	mqd_t queue = (mqd_t)CHECK_OK(mq_open(name, O_RDWR));
	CHECK_OK(mq_unlink(name));
	CHECK_EQ(ckpt(&output, "restore", "-d", t.image), EXIT_UNSUPPORTED);
	CHECK_CONTAINS(output.data, "[MQUEUE_GONE]");
	CHECK_OK(mq_close(queue));
	target_start(&t, "mqueues");
	target_dump(&t, false);
	snprintf(name, sizeof name, "/ckpt-%d-fresh", t.pid);
	CHECK_OK(mq_unlink(name));
	target_restore(&t, 0);
	target_compare(&t);
	target_judge(&t);
}

TEST(pidfd_flight, .root = true) { refused_program("pidfds", "flight", EXIT_UNSUPPORTED, "[PIDFD_FLIGHT]"); }
TEST(pidfd_thread, .root = true) { refused_program("pidfds", "thread", EXIT_UNSUPPORTED, "[PIDFD_THREAD]"); }
TEST(pidfd_path, .root = true) { refused_program("pidfds", "path", EXIT_UNSUPPORTED, "[FD_UNSUPPORTED]"); }
TEST(pidfd_outside, .root = true) { refused_program("pidfds", "outside", EXIT_UNSUPPORTED, "[PIDFD_OUTSIDE]"); }
/* Who is outside is there still, or another has its id, or the program is to find that it has ended. */
TEST(pidfd_policies, .root = true)
{
	struct target t;
	const char *closed = WORK "/closed";
	char pid[16], verdict[96];
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, "pidfds", "outside");
	snprintf(pid, sizeof pid, "%d", t.pid);
	snprintf(verdict, sizeof verdict, "%s/verdict", t.dir);
	CHECK_EQ(ckpt(NULL, "dump", "--policy=pidfd=keep", pid, t.image), 0);
	target_gone(t.pid);
	CHECK_EQ(ckpt(&output, "restore", "--pidns", "-d", t.image), EXIT_UNSUPPORTED);
	CHECK_CONTAINS(output.data, "[PIDFD_GONE]");
	CHECK_EQ(ckpt(NULL, "restore", "-d", t.image), 0);
	CHECK_EQ(ckpt(NULL, "dump", "--policy=pidfd=close", "--leave-running", pid, closed), 0);
	target_judge(&t);
	target_gone(t.pid);
	unlink(verdict);
	CHECK_EQ(ckpt(NULL, "restore", "-d", "--policy=pidfd=close", t.image), 0);
	target_verdict(&t, "it has ended");
	target_gone(t.pid);
	unlink(verdict);
	CHECK_EQ(ckpt(NULL, "restore", "-d", closed), 0);
	target_verdict(&t, "it has ended");
}

/* Said, and not refused. */
TEST(keyrings, .root = true)
{
	struct target t;
	char pid[16];
	_cleanup_text_ struct text output = { 0 };
	start_holding(&t, "keys");
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(&output, "dump", "--leave-running", pid, t.image), 0);
	CHECK_CONTAINS(output.data, "[KEYRINGS]");
	CHECK_CONTAINS(output.data, "keyring of the process");
	target_judge(&t);
}
static void refused_ring(const char *what, int exit_class, const char *code)
{
	if (caps_ask(NULL, CAN_IO_URING).answer != CAP_YES)
		SKIP("this kernel lacks %s", caps_row(CAN_IO_URING)->interface);
	refused_program("urings", what, exit_class, code);
}
TEST(uring_busy, .root = true) { refused_ring("busy", EXIT_RACED, "[URING_BUSY]"); }
TEST(uring_poller, .root = true) { refused_ring("regained", EXIT_UNSUPPORTED, "[URING_POLLER]"); }
TEST(uring_orphan, .root = true) { refused_ring("orphan", EXIT_UNSUPPORTED, "[URING_REGISTERED]"); }
TEST(uring_personality, .root = true) { refused_ring("personality", EXIT_UNSUPPORTED, "[FD_IO_URING]"); }
TEST(uring_history, .root = true) { refused_ring("skipped", EXIT_UNSUPPORTED, "[URING_HISTORY]"); }
TEST(uring_unmapped, .root = true) { refused_ring("unmapped", EXIT_UNSUPPORTED, "[URING_MAPPED]"); }
TEST(aio_busy, .root = true) { refused_program("aio", "busy", EXIT_RACED, "[AIO_BUSY]"); }
TEST(aio_inherited, .root = true) { refused_program("aio", "inherited", EXIT_UNSUPPORTED, "[AIO_INHERITED]"); }
TEST(aio_part, .root = true) { refused_program("aio", "part", EXIT_UNSUPPORTED, "[AIO_PART]"); }
TEST(userfault_outside, .root = true) { refused_program("userfaults", "outside", EXIT_UNSUPPORTED, "[FD_USERFAULT]"); }
TEST(userfault_flight, .root = true) { refused_program("userfaults", "flight", EXIT_UNSUPPORTED, "[FD_USERFAULT]"); }
TEST(userfault_locked, .root = true) { refused_program("userfaults", "locked", EXIT_UNSUPPORTED, "[FD_USERFAULT]"); }
TEST(userfault_of_nobody, .root = true) { refused_program("userfaults", "nobody", EXIT_UNSUPPORTED, "[FD_USERFAULT]"); }
/* A thread waits for its page, or for its event to be taken, inside of a system call. */
TEST(userfault_in_a_call, .root = true) { freeze_in_vain("userfaults", "call"); }
TEST(userfault_event, .root = true) { freeze_in_vain("userfaults", "event"); }
TEST(keyring_of_a_session, .root = true)
{
	struct target t;
	start_holding(&t, "session-keys");
	target_dump_warns(&t, "[KEYRING_SESSION]", true);
	target_judge(&t);
}

/* Also in a test machine, where there is no shell. */
static void refused_holding(const char *what, const char *code, const char *words)
{
	struct target t;
	char pid[16];
	_cleanup_text_ struct text output = { 0 };
	start_holding(&t, what);
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(&output, "dump", pid, t.image), EXIT_UNSUPPORTED);
	CHECK_CONTAINS(output.data, code);
	CHECK_CONTAINS(output.data, words);
	target_judge(&t);
}
TEST(ports, .root = true) { refused_holding("ports", "[IO_PORTS]", "ioperm(2)"); }
TEST(level_of_ports, .root = true) { refused_holding("port-level", "[IO_PORTS]", "iopl(3)"); }

/* Refused, unless it may be left behind. */
TEST(landlock_domain, .root = true)
{
	struct target t;
	char pid[16];
	_cleanup_text_ struct text output = { 0 };
	refused_holding("domain", "[LANDLOCK]", "landlock=drop");
	start_holding(&t, "domain");
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(&output, "dump", "--policy=landlock=drop", pid, t.image), 0);
	CHECK_CONTAINS(output.data, "[LANDLOCK_DROPPED]");
	target_restore(&t, 0);
	target_judge(&t);
}
TEST(sysvsem_undo_of_many_sets, .root = true) { refused_program("sysvsem", "many", EXIT_KERNEL, "[SYSVSEM_UNDO]"); }
TEST(sysvsem_undo_that_is_shared, .root = true) { refused_program("sysvsem", "kin", EXIT_UNSUPPORTED, "[SYSVSEM_SHARED]"); }
TEST(sysvsem_undo_below_zero, .root = true) { refused_program("sysvsem", "limit", EXIT_UNSUPPORTED, "[SYSVSEM_LIMIT]"); }
/* Segments of System V shared memory: the IPC namespace is the test's. */
#define SEGMENT_KEY 0x434b5054 /* as sysvshm.c has it */
TEST(sysvshm_another_namespace, .root = true)
{
	struct target t;
	target_start(&t, "sysvshm");
	_cleanup_close_ int own = (int)CHECK_OK(open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC));
	CHECK_OK(unshare(CLONE_NEWIPC));
	refused_at(&t, t.image, EXIT_SYSTEM, "[SYSVSHM_STAT]");
	CHECK_OK(setns(own, CLONE_NEWIPC));
	target_judge(&t);
}

static void refused_segment(const struct target *t, int exit_class, const char *code)
{
	_cleanup_text_ struct text output = { 0 };
	CHECK_EQ(ckpt(&output, "restore", t->image, "-d"), exit_class);
	CHECK_CONTAINS(output.data, code);
	CHECK(!target_alive(t->pid));
}

TEST(sysvshm_restore, .root = true)
{
	static const char next_id[] = "/proc/sys/kernel/shm_next_id";
	struct target t;
	target_start(&t, "sysvshm");
	target_dump(&t, false);
	int id = (int)CHECK_OK(shmget(SEGMENT_KEY, 0, 0));
	void *at = shmat(id, NULL, 0);
	CHECK(at != (void *)-1);
	refused_segment(&t, EXIT_RACED, "[SYSVSHM_IN_USE]");
	CHECK_OK(shmdt(at));
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
	int other = (int)CHECK_OK(shmget(SEGMENT_KEY, 1, IPC_CREAT | IPC_EXCL));
	refused_segment(&t, EXIT_RACED, "[SYSV_TAKEN]");
	CHECK_OK(shmctl(other, IPC_RMID, NULL));
	CHECK_OK(mount(next_id, next_id, NULL, MS_BIND, NULL));
	CHECK_OK(mount(NULL, next_id, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
	refused_segment(&t, EXIT_KERNEL, "[SYSV_ID]");
	CHECK_OK(umount2(next_id, MNT_DETACH));
	target_restore(&t, 0);
	target_judge(&t);
}

static void remove_all(key_t first)
{
	int set = (int)CHECK_OK(semget(first, 0, 0)), queue = (int)CHECK_OK(msgget(first + 1, 0));
	CHECK_OK(semctl(set, 0, IPC_RMID));
	CHECK_OK(msgctl(queue, IPC_RMID, NULL));
}

/* What the program uses is gone: it is made again, unless others are in its place. */
TEST(sysvipc_gone, .root = true)
{
	struct target t;
	target_start(&t, "sysvipc");
	target_dump(&t, false);
	remove_all(SEGMENT_KEY);
	int other = (int)CHECK_OK(semget(SEGMENT_KEY, 1, IPC_CREAT | IPC_EXCL));
	refused_segment(&t, EXIT_RACED, "[SYSV_TAKEN]");
	CHECK_OK(semctl(other, 0, IPC_RMID));
	target_restore(&t, 0);
	/* by then it is the tree that has used the set last */
	snprintf(t.image, sizeof t.image, "%s", WORK "/again");
	target_dump(&t, false);
	CHECK_OK(semctl((int)CHECK_OK(semget(SEGMENT_KEY, 0, 0)), 0, IPC_RMID));
	target_restore(&t, 0);
	target_judge(&t);
}

/* The only set of the IPC namespace, which has all semaphores that the program needs. */
static int start_undoing(struct target *t)
{
	struct seminfo info;
	if (caps_ask(NULL, CAN_BPF).answer != CAP_YES)
		SKIP("eBPF is not permitted");
	target_start(t, "sysvsem", "undo");
	int last = (int)CHECK_OK(semctl(0, 0, SEM_INFO, &info));
	CHECK_EQ(info.semusz, 1);
	return (int)CHECK_OK(semctl(last, 0, SEM_STAT, &(struct semid_ds){ 0 }));
}

static void add(int set, unsigned short semaphore, short by)
{
	struct sembuf operation = { semaphore, by, IPC_NOWAIT };
	CHECK_OK(semop(set, &operation, 1));
}

/* What the kernel gave back at the end of the tree is taken again, when nobody else has it. */
TEST(sysvsem_undo_taken, .root = true)
{
	struct target t;
	int set = start_undoing(&t);
	target_dump(&t, false);
	add(set, 2, -4);
	refused_segment(&t, EXIT_RACED, "[SYSVSEM_TAKEN]");
	add(set, 2, 4);
	target_restore(&t, 0);
	target_judge(&t);
}

TEST(sysvsem_undo_gone, .root = true)
{
	struct target t;
	int set = start_undoing(&t);
	target_dump(&t, false);
	CHECK_OK(semctl(set, 0, IPC_RMID));
	int other = (int)CHECK_OK(semget(IPC_PRIVATE, 1, IPC_CREAT));
	target_restore(&t, 0);
	CHECK_OK(semctl(other, 0, IPC_RMID));
	target_judge(&t);
}

TEST(sysvsem_undo_gone_of_others, .root = true)
{
	struct target t;
	struct semid_ds ds;
	int set = start_undoing(&t);
	CHECK_OK(semctl(set, 0, IPC_STAT, &ds));
	for (u32 i = 0; i < ds.sem_nsems; i++) { /* others have used it last */
		add(set, (unsigned short)i, 1);
		add(set, (unsigned short)i, -1);
	}
	target_dump(&t, false);
	CHECK_OK(semctl(set, 0, IPC_RMID));
	refused_segment(&t, EXIT_RACED, "[SYSVSEM_GONE]");
}

TEST(sysvipc_messages_gone, .root = true)
{
	struct target t;
	target_start(&t, "sysvipc", "blocked");
	target_dump(&t, false);
	remove_all(SEGMENT_KEY);
	refused_segment(&t, EXIT_RACED, "[SYSVIPC_GONE]");
}

TEST(pipe_external, .root = true) { refused_program("holds", "pipe", EXIT_UNSUPPORTED, "[PIPE_EXTERNAL]"); }
TEST(file_hugetlb, .root = true) { refused_kind("huge-file", "[SHMEM_HUGE]", "/huge/file"); }
TEST(fifo_external_writer, .root = true) { refused_program("holds", "fifo-reader", EXIT_UNSUPPORTED, "[PIPE_EXTERNAL]"); }
TEST(fifo_external_reader, .root = true) { refused_program("holds", "fifo-writer", EXIT_UNSUPPORTED, "[PIPE_EXTERNAL]"); }
TEST(socket_external, .root = true) { refused_program("holds", "socket", EXIT_UNSUPPORTED, "[UNIX_EXTERNAL]"); }
TEST(socket_in_flight_external, .root = true)
{
	refused_program("holds", "flying-socket", EXIT_UNSUPPORTED, "[UNIX_EXTERNAL]");
}
TEST(socket_urgent, .root = true) { refused_program("holds", "urgent", EXIT_UNSUPPORTED, "[UNIX_URGENT]"); }
TEST(tun_transient, .root = true, .net = true) { refused_program("tuns", "transient", EXIT_UNSUPPORTED, "[TUN_TRANSIENT]"); }
TEST(terminal_hung_up, .root = true) { refused_program("holds", "hung-up", EXIT_UNSUPPORTED, "[TTY_HUNG_UP]"); }
TEST(terminal_echo_stopped, .root = true)
{
	if (caps_ask(NULL, CAN_BPF_TASK_LINK).answer != CAP_YES)
		SKIP("this kernel lacks %s", caps_row(CAN_BPF_TASK_LINK)->interface);
	refused_program("holds", "echo-stopped", EXIT_RACED, "[TTY_STATE]");
}
TEST(file_leased, .root = true) { refused_program("holds", "lease", EXIT_UNSUPPORTED, "[FILE_LEASED]"); }
TEST(file_of_process, .root = true) { refused_program("holds", "status", EXIT_UNSUPPORTED, "[FILE_OF_PROCESS]"); }
TEST(file_owner, .root = true) { refused_program("holds", "owner", EXIT_UNSUPPORTED, "[FILE_OWNER]"); }

TEST(terminal_of_another_session, .root = true)
{
	refused_program("holds", "other-session", EXIT_UNSUPPORTED, "[TTY_SESSION]");
}
TEST(terminal_without_foreground, .root = true) { refused_program("holds", "dead-foreground", EXIT_RACED, "[TTY_GROUP]"); }
TEST(terminal_discipline, .root = true) { refused_kind("discipline", "[TTY_DISCIPLINE]", "line discipline 27"); }
TEST(pipe_half_packets, .root = true) { refused_program("holds", "packets", EXIT_UNSUPPORTED, "[PIPE_PACKETS]"); }

TEST(parent_in_vfork, .root = true) { freeze_in_vain("holds", "vfork"); }

/* Another one than before; its name. */
static const char *open_terminal(int *master, char name[32])
{
	closep(master);
	*master = (int)CHECK_OK(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
	CHECK_EQ(ptsname_r(*master, name, 32), 0);
	return name;
}

/* Somebody else has got the number of the terminal meanwhile. */
TEST(terminal_number_taken, .root = true)
{
	struct target t;
	char name[32];
	int master = -1;
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, "pty");
	target_dump(&t, false);
	WAIT_UNTIL(!strcmp(open_terminal(&master, name), "/dev/pts/0")); /* given back when all who had it are gone */
	CHECK_EQ(ckpt(&output, "restore", t.image, "-d"), EXIT_UNSUPPORTED);
	CHECK_CONTAINS(output.data, "[TTY_TAKEN]");
	CHECK_CONTAINS(output.data, "  do:");
	close(master);
	target_restore(&t, 0);
	target_judge(&t);
}

TEST(traced, .root = true)
{
	struct target t;
	target_start(&t, "sleeper");
	CHECK_OK(ptrace(PTRACE_SEIZE, t.pid, NULL, NULL));
	refused_at(&t, t.image, EXIT_UNSUPPORTED, "[TRACED]");
	CHECK_OK(ptrace(PTRACE_INTERRUPT, t.pid, NULL, NULL));
	CHECK_EQ(waitpid(t.pid, NULL, __WALL), t.pid);
	CHECK_OK(ptrace(PTRACE_DETACH, t.pid, NULL, NULL));
	target_judge(&t);
}

TEST(traced_by_gdb, .root = true, .seconds = 60)
{
	if (access("/usr/bin/gdb", X_OK))
		SKIP("gdb is not installed");
	struct target t, gdb;
	char pid[16], attached[96], command[128];
	target_start(&t, "sleeper");
	snprintf(pid, sizeof pid, "%d", t.pid);
	snprintf(attached, sizeof attached, "%s/attached", t.dir);
	snprintf(command, sizeof command, "shell touch %s; sleep 30", attached);
	target_spawn(&gdb, "/usr/bin/gdb", "-q", "-batch", "-nx", "-ex", "set auto-load no", "-p", pid, "-ex", command);
	WAIT_UNTIL(access(attached, F_OK) == 0);
	_cleanup_text_ struct text output = { 0 };
	CHECK_EQ(ckpt(&output, "dump", pid, t.image), EXIT_UNSUPPORTED);
	CHECK_CONTAINS(output.data, "gdb");
	CHECK_CONTAINS(output.data, "[TRACED]");
	kill(gdb.pid, SIGKILL);
	target_gone(gdb.pid);
	target_judge(&t);
}

static void refused_pid(const char *pid, int exit_class, const char *code)
{
	_cleanup_text_ struct text output = { 0 };
	CHECK_EQ(ckpt(&output, "dump", pid, "/tmp/ckpt-refused-image"), exit_class);
	CHECK_CONTAINS(output.data, code);
	CHECK_CONTAINS(output.data, "  do:");
	CHECK(access("/tmp/ckpt-refused-image", F_OK) != 0);
}

TEST(pid_one, .root = true) { refused_pid("1", EXIT_UNSUPPORTED, "[PID_ONE]"); }
TEST(missing_pid, .root = true) { refused_pid("99999", EXIT_USAGE, "[NO_PROCESS]"); }
TEST(no_number, .root = true) { refused_pid("12x", EXIT_USAGE, "[USAGE]"); }
TEST(own_ancestor, .root = true)
{
	char pid[16];
	snprintf(pid, sizeof pid, "%d", getpid());
	refused_pid(pid, EXIT_USAGE, "[TREE_CONTAINS_SELF]");
}

/* A pid namespace of our own has no kernel threads. */
TEST(kernel_thread, .root = true, .host = true)
{
	_cleanup_free_ char *name = read_text("/proc/2/comm");
	if (!name || strcmp(name, "kthreadd\n") != 0)
		SKIP("no kernel threads are to be seen in this pid namespace");
	refused_pid("2", EXIT_UNSUPPORTED, "[KERNEL_THREAD]");
}

TEST(zombie, .root = true)
{
	char pid[16];
	pid_t child = fork();
	if (child == 0)
		_exit(0);
	WAIT_UNTIL(target_state(child) == 'Z');
	snprintf(pid, sizeof pid, "%d", child);
	refused_pid(pid, EXIT_UNSUPPORTED, "[ZOMBIE]");
}

TEST(full_disk, .root = true)
{
	struct target t;
	target_start(&t, "holds", "memory");
	CHECK_OK(mkdir(WORK "/small", 0700));
	CHECK_OK(mount("small", WORK "/small", "tmpfs", 0, "size=256k"));
	refused_at(&t, WORK "/small/image", EXIT_SYSTEM, "[IMAGE_WRITE]");
	target_judge(&t);
}

TEST(file_size_limit, .root = true)
{
	struct target t;
	struct rlimit before, small;
	target_start(&t, "holds", "memory");
	CHECK_OK(getrlimit(RLIMIT_FSIZE, &before));
	small = before;
	small.rlim_cur = 64 << 10;
	CHECK_OK(setrlimit(RLIMIT_FSIZE, &small));
	refused_at(&t, WORK "/limited", EXIT_SYSTEM, "[IMAGE_WRITE]");
	CHECK_OK(setrlimit(RLIMIT_FSIZE, &before));
	target_judge(&t);
}

TEST(few_inodes, .root = true)
{
	struct target t;
	target_start(&t, "holds", "memory");
	CHECK_OK(mkdir(WORK "/small", 0700));
	CHECK_OK(mount("small", WORK "/small", "tmpfs", 0, "nr_inodes=3"));
	refused_at(&t, WORK "/small/image", EXIT_SYSTEM, "[IMAGE_");
	target_judge(&t);
}

TEST(unwritable_directory, .root = true)
{
	struct target t;
	target_start(&t, "sleeper");
	CHECK_OK(mkdir(WORK "/readonly", 0700));
	CHECK_OK(mount("readonly", WORK "/readonly", "tmpfs", MS_RDONLY, NULL));
	refused_at(&t, WORK "/readonly/image", EXIT_SYSTEM, "[IMAGE_DIR]");
	refused_at(&t, WORK "/missing/image", EXIT_SYSTEM, "[IMAGE_DIR]");
	refused_at(&t, "/proc/1/image", EXIT_SYSTEM, "[IMAGE_DIR]");
	target_judge(&t);
}

TEST(existing_image, .root = true)
{
	struct target t;
	target_start(&t, "sleeper");
	target_dump(&t, true);
	refused_at(&t, t.image, EXIT_USAGE, "[IMAGE_EXISTS]");
	CHECK_EQ(ckpt(NULL, "verify", t.image), 0);
	target_judge(&t);
}

TEST(existing_directory, .root = true)
{
	struct target t;
	target_start(&t, "sleeper");
	refused_at(&t, t.dir, EXIT_SYSTEM, "[IMAGE_");
	target_judge(&t);
}

/* Somebody else has a lock of the program by now: restored only when it is free again. */
static void refused_lock(const char *what, int (*take)(int fd), int (*give)(int fd))
{
	struct target t;
	char path[96], who[32];
	target_start(&t, "holds", what);
	target_dump(&t, false);
	snprintf(path, sizeof path, "%s/locked", t.dir);
	int fd = (int)CHECK_OK(open(path, O_RDWR | O_CLOEXEC));
	CHECK_OK(take(fd));
	restore_refused(t.image, EXIT_RACED, "[FILE_LOCKED]");
	_cleanup_text_ struct text output = { 0 };
	ckpt(&output, "restore", t.image, "-d");
	snprintf(who, sizeof who, "by process %d (", getpid());
	CHECK_CONTAINS(output.data, who);
	CHECK(!target_alive(t.pid));
	CHECK_OK(give(fd));
	target_restore(&t, 0);
	CHECK(take(fd) < 0 && (errno == EWOULDBLOCK || errno == EACCES));
	close(fd);
	target_judge(&t);
}

static int lock_file(int fd) { return flock(fd, LOCK_SH | LOCK_NB); }
static int unlock_file(int fd) { return flock(fd, LOCK_UN); }
static int lock_range(int fd) { return fcntl(fd, F_SETLK, &(struct flock){ .l_type = F_WRLCK, .l_start = 19, .l_len = 1 }); }
static int unlock_range(int fd) { return fcntl(fd, F_SETLK, &(struct flock){ .l_type = F_UNLCK }); }

TEST(file_locked, .root = true) { refused_lock("lock", lock_file, unlock_file); }
TEST(range_locked, .root = true) { refused_lock("range", lock_range, unlock_range); }

TEST(image_of_another_user, .root = true)
{
	struct target t;
	target_start(&t, "sleeper");
	target_dump(&t, false);
	CHECK_OK(chown(t.image, 1000, 1000));
	restore_refused(t.image, EXIT_IMAGE, "[IMAGE_UNTRUSTED]");
	CHECK_OK(chown(t.image, 0, 0));
	CHECK_OK(chmod(t.image, 0777));
	restore_refused(t.image, EXIT_IMAGE, "[IMAGE_UNTRUSTED]");
	CHECK_OK(chmod(t.image, 0700));
	CHECK_OK(chmod(WORK, 0777));
	restore_refused(t.image, EXIT_IMAGE, "[IMAGE_UNTRUSTED]");
	/* A sticky directory is as safe as /tmp. */
	CHECK_OK(chmod(WORK, 01777));
	target_restore(&t, 0);
	target_judge(&t);
}

TEST(untrusted_image_by_consent, .root = true)
{
	struct target t;
	target_start(&t, "sleeper");
	target_dump(&t, false);
	CHECK_OK(chmod(t.image, 0777));
	restore_refused(t.image, EXIT_IMAGE, "[IMAGE_UNTRUSTED]");
	CHECK_EQ(ckpt(NULL, "restore", "--trust", t.image, "-d"), 0);
	target_judge(&t);
}

TEST(pid_in_use, .root = true)
{
	struct target t;
	target_start(&t, "sleeper");
	target_dump(&t, true);
	restore_refused(t.image, EXIT_RACED, "[PID_TAKEN]");
	target_judge(&t);
}

TEST(missing_image, .root = true)
{
	restore_refused(WORK "/nothing", EXIT_IMAGE, "[IMAGE_MISSING]");
	CHECK_OK(mkdir(WORK "/empty", 0700));
	restore_refused(WORK "/empty", EXIT_IMAGE, "[IMAGE_MISSING]");
}
