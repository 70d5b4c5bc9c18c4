// SPDX-License-Identifier: LGPL-2.1-or-later
/* Namespaces and settings of processes and threads that are refused by name, each with what else is refused. */
#include "diag/diag.h"
#include "harness/target.h"
#include <stdio.h>
#include <sys/stat.h>

/* Every code must be named, with the exit class of the first; the program goes on and notices nothing. */
static void refused(const char *const *argv, const char *const *codes)
{
	struct target t;
	char pid[16];
	_cleanup_text_ struct text output = { 0 };
	target_startv(&t, argv);
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(&output, "dump", pid, t.image), EXIT_UNSUPPORTED);
	for (; *codes; codes++)
		CHECK_CONTAINS(output.data, *codes);
	CHECK_CONTAINS(output.data, "the process tree was resumed unchanged");
	CHECK(access(t.image, F_OK) < 0);
	target_judge(&t);
}
#define REFUSED(name, codes, ...)                                                                                              \
	TEST(name, .root = true) { refused((const char *const[]){ "foreign", __VA_ARGS__, NULL }, codes); }
#define CODES(...)                                                                                                             \
	(const char *const[]) { __VA_ARGS__, NULL }

REFUSED(another_uts_namespace, CODES("[NAMESPACE_FOREIGN]", ": uts"), "uts")
REFUSED(another_ipc_namespace, CODES("[NAMESPACE_FOREIGN]", ": ipc"), "ipc")
REFUSED(another_net_namespace, CODES("[NAMESPACE_FOREIGN]", ": net"), "net")
REFUSED(another_mount_namespace, CODES("[NAMESPACE_FOREIGN]", ": mnt"), "mnt")
REFUSED(another_cgroup_namespace, CODES("[NAMESPACE_FOREIGN]", ": cgroup"), "cgroup")
REFUSED(a_pid_namespace_for_children, CODES("[NAMESPACE_PENDING]", ": pid"), "pid")
REFUSED(a_time_namespace_for_children, CODES("[NAMESPACE_PENDING]", ": time"), "time")
REFUSED(a_namespace_of_one_thread, CODES("[NAMESPACE_THREAD]", ": uts"), "thread")
REFUSED(descriptors_of_a_thread_and_its_child, CODES("[THREAD_UNSHARED]"), "thread-files-child")
REFUSED(descriptors_of_a_thread_and_a_stranger, CODES("[TASK_SHARES]", "its descriptor table"), "thread-files-outside")
REFUSED(directories_of_a_thread_and_a_stranger, CODES("[TASK_SHARES]", "its working directory"), "thread-fs-outside")
REFUSED(directories_of_some_threads, CODES("[THREAD_UNSHARED]"), "thread-fs")
REFUSED(directories_of_a_thread_and_its_child, CODES("[THREAD_UNSHARED]"), "thread-fs-child")
REFUSED(a_timer_of_a_dead_thread, CODES("[TIMER_THREAD]", "notifies thread"), "thread-timer")
REFUSED(threads_in_a_user_namespace, CODES("[USERNS_THREADS]"), "user")
REFUSED(a_filter_with_a_supervisor, CODES("[SECCOMP_LISTENER]"), "listener")
REFUSED(its_own_supervisor, CODES("[SECCOMP_LISTENER]", "[FD_SECCOMP]"), "supervisor")
REFUSED(the_cpu_clock_of_another_process, CODES("[TIMER_CLOCK]", "on the CPU time of process"), "clock")
REFUSED(the_cpu_clock_of_some_thread, CODES("[TIMER_CLOCK]", "one of 2 threads"), "thread-clock")
REFUSED(all_at_once,
	CODES("[NAMESPACE_FOREIGN]", ": uts", ": ipc", "[NAMESPACE_PENDING]", ": pid", "[SECCOMP_LISTENER]", "[TIMER_CLOCK]"),
	"uts", "ipc", "pid", "listener", "clock")
