// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what prctl(2) sets for a process: child subreaper, and of its memory dumpable, thp_disable, MDWE, merging of
 * pages, and mlockall(2) for what is to come (the facts are in the mm object); its oom_score_adj and coredump_filter, its login id, the nice
 * value of its session, and what it has registered for at membarrier(2). */
#include "base/file.h"
#include "collect/collect.h"
#include "diag/diag.h"
#include "model/kinds.h"
#include "model/shape.h"
#include "plan/plan.h"
#include "prctl.pb-c.h"
#include <fcntl.h>
#include <linux/membarrier.h>
#include <linux/prctl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67 /* Linux 6.4 */
#endif

static const struct kind kind_prctl = { .name = "prctl", .desc = &ckpt__prctl__descriptor };

static int collect_oom(int proc, const struct record_task *t, Ckpt__Prctl *m)
{
	_cleanup_text_ struct text score = { 0 };
	if (t->known & KNOWN_OOM) {
		SET(m, oom_score_adj, t->oom_score_adj);
		return 0;
	}
	int err = file_read_once(proc, "oom_score_adj", &score);
	if (err < 0)
		return fail(SYSCALL, err, "read(/proc/%u/oom_score_adj)", t->tgid);
	SET(m, oom_score_adj, (s32)strtol(score.data, NULL, 10));
	return 0;
}

static int collect_coredump(int proc, const struct record_task *t, Ckpt__Prctl *m)
{
	_cleanup_text_ struct text filter = { 0 };
	int err = file_read_once(proc, "coredump_filter", &filter);
	if (err < 0)
		return err == -ENOENT ? 0 : fail(SYSCALL, err, "read(/proc/%u/coredump_filter)", t->tgid);
	if (filter.len)
		SET(m, coredump_filter, (u32)strtoul(filter.data, NULL, 16));
	return 0;
}

/* sched(7): "/autogroup-NUMBER nice VALUE". A session has one autogroup from setsid(2) on; its leader tells it. */
static int collect_autogroup(int proc, const struct record_task *t, Ckpt__Prctl *m)
{
	_cleanup_text_ struct text text = { 0 };
	int nice = 0, err = t->sid == t->tgid ? file_read_once(proc, "autogroup", &text) : -ENOENT;
	if (err < 0)
		return err == -ENOENT ? 0 : fail(SYSCALL, err, "read(/proc/%u/autogroup)", t->tgid);
	if (text.data && sscanf(text.data, "/autogroup-%*d nice %d", &nice) == 1)
		SET(m, autogroup_nice, nice);
	return 0;
}

#define NO_LOGIN_UID UINT32_MAX /* proc_pid_loginuid(5) */

static void collect_login(int proc, Ckpt__Prctl *m)
{
	_cleanup_text_ struct text text = { 0 };
	u32 uid = file_read_once(proc, "loginuid", &text) == 0 && text.len ? (u32)strtoul(text.data, NULL, 10) : NO_LOGIN_UID;
	if (uid != NO_LOGIN_UID)
		SET(m, login_uid, uid);
}

static int prctl_collect(struct collector *collector, const struct subject *subject, struct object *object)
{
	const struct record_task *t = subject->task;
	Ckpt__Prctl *m = object->data;
	int proc = collector_proc(collector, t->tgid);
	if (proc < 0)
		return proc;
	if (t->known & KNOWN_PRCTL)
		SET(m, subreaper, !!t->subreaper);
	collect_login(proc, m);
	int err = collect_autogroup(proc, t, m);
	if (err == 0)
		err = collect_oom(proc, t, m);
	return err < 0 ? err : collect_coredump(proc, t, m);
}

static int write_own_score(int fd, const char *text) { return pwrite(fd, text, strlen(text), 0) < 0 ? neg_errno() : 0; }

/* How low a process may go without CAP_SYS_RESOURCE is kept by the kernel (oom_score_adj_min) and shown nowhere: ckpt tries, and
 * goes back. */
static int judge_score(s32 score)
{
	char wanted[16];
	_cleanup_text_ struct text own = { 0 };
	_cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	int err = fd < 0 ? neg_errno() : file_read(AT_FDCWD, "/proc/self/oom_score_adj", &own);
	if (err < 0)
		return fail(SYSCALL, err, "/proc/self/oom_score_adj");
	if (!own.data || strtol(own.data, NULL, 10) <= score)
		return 0;
	snprintf(wanted, sizeof wanted, "%d", score);
	err = write_own_score(fd, wanted);
	if (err < 0)
		return fail(OOM_SCORE, err, "%d is wanted, ckpt has %ld", score, strtol(own.data, NULL, 10));
	return write_own_score(fd, own.data) < 0 ? fail(SYSCALL, neg_errno(), "write(/proc/self/oom_score_adj)") : 0;
}

/* Commands of membarrier(2) that register. */
#define REGISTRATIONS                                                                                                          \
	(u32)(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED |                           \
	      MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ)

static int judge_mm(const Ckpt__Mm *mm)
{
	if (mm->membarrier & ~REGISTRATIONS)
		return fail(IMAGE_VALUE, 0, "membarrier registrations 0x%x", mm->membarrier);
	if (mm->future_locks & ~(u32)(VMA_LOCKED | VMA_LOCKONFAULT) || mm->future_locks == VMA_LOCKONFAULT)
		return fail(IMAGE_VALUE, 0, "locks of future mappings 0x%x", mm->future_locks);
	return 0;
}

static int prctl_judge(const struct graph *graph, const struct object *object, enum direction direction)
{
	const Ckpt__Prctl *m = object->data;
	const Ckpt__Task *task = graph_data(graph, &kind_task, object->id);
	const Ckpt__Mm *mm = task ? graph_data(graph, &kind_mm, task->mm) : NULL;
	WORKING_ON_TASK(object->id);
	bool live = direction == DIRECTION_DUMP && shape_is_live(graph);
	if (!live && (!m->has_subreaper || (mm && (!mm->has_dumpable || !mm->has_thp_disable || !mm->has_mdwe))))
		return fail(PRCTL, 0, "child subreaper, dumpable, thp_disable and MDWE");
	if (m->oom_score_adj < -1000 || m->oom_score_adj > 1000)
		return fail(IMAGE_VALUE, 0, "oom_score_adj %d", m->oom_score_adj);
	if (m->autogroup_nice < -20 || m->autogroup_nice > 19)
		return fail(IMAGE_VALUE, 0, "nice value %d of a session", m->autogroup_nice);
	if (!live && mm && mm->locks_unknown && direction == DIRECTION_DUMP)
		warn(PRCTL, 0, "mlockall(MCL_FUTURE)");
	if (mm && judge_mm(mm) < 0)
		return -EINVAL;
	if (direction == DIRECTION_RESTORE && m->oom_score_adj < 0)
		return judge_score(m->oom_score_adj);
	return 0;
}

/* Writes to a file of the task's own /proc directory. */
static void plan_number(struct plan *plan, u32 pid, const char *path, s64 value)
{
	char text[24];
	snprintf(text, sizeof text, "%lld", (long long)value);
	plan_write(plan, AT(pid, STAGE_TASK), ARG(AT_FDCWD), path, text);
}

/* The kernel may keep a login id that was set for good (audit(8), CAP_AUDIT_CONTROL): then it stays that of who restores. */
static void plan_login(struct plan *plan, u32 pid, u32 uid)
{
	char text[16];
	struct place at = AT(pid, STAGE_TASK);
	int len = snprintf(text, sizeof text, "%u", uid);
	u32 name = plan_string(plan, "/proc/self/loginuid"), data = plan_data(plan, text, (size_t)len, 1);
	struct plan_step *open = plan_call(plan, at, SYS_openat, ARG(AT_FDCWD), ARG_OF_DATA(name), ARG(O_WRONLY | O_CLOEXEC));
	u32 fd = step_result(plan, open);
	step_any(open);
	step_any(plan_call(plan, at, SYS_write, ARG_OF_SLOT(fd), ARG_OF_DATA(data), ARG(len)));
	step_any(plan_call(plan, at, SYS_close, ARG_OF_SLOT(fd)));
}

/* A change of credentials resets dumpable: each thread sets it after its own. The value 2 (of suid_dumpable) cannot be
 * set; 0 allows less. */
static void plan_dumpable(struct plan *plan, const Ckpt__Task *task, u32 dumpable)
{
	for (size_t i = 0; i < task->n_tid; i++)
		plan_call(plan, AT(task->tid[i], STAGE_TIMERS), SYS_prctl, ARG(PR_SET_DUMPABLE), ARG(dumpable == 1));
	if (task->has_leader_exit)
		plan_call(plan, AT(task->pid, STAGE_TIMERS), SYS_prctl, ARG(PR_SET_DUMPABLE), ARG(dumpable == 1));
}

/* What a process has registered for goes with its memory (mm->membarrier_state), which begins without. */
static void plan_membarrier(struct plan *plan, u32 pid, u32 registered)
{
	for (u32 command = 1; command && command <= registered; command <<= 1)
		if (registered & command)
			plan_call(plan, AT(pid, STAGE_TIMERS), SYS_membarrier, ARG(command), ARG(0), ARG(0));
}

/* Switched on it marks all mappings that can be merged (mm/ksm.c, ksm_add_vmas()), also those that the program has taken out. A root
 * begins with what ckpt has, which goes before there are mappings. */
static void plan_merge(struct plan *plan, const struct graph *graph, const Ckpt__Task *task, bool merge)
{
	const struct object *o = graph_find(graph, &kind_vmas, task->mm);
	const struct vma *v = o ? o->data : NULL;
	struct place at = AT(task->pid, STAGE_TIMERS);
	if (!merge && !task->ppid)
		step_any(plan_call(plan, AT(task->pid, STAGE_UNMAP), SYS_prctl, ARG(PR_SET_MEMORY_MERGE), ARG(0)));
	if (!merge)
		return;
	plan_call(plan, at, SYS_prctl, ARG(PR_SET_MEMORY_MERGE), ARG(1));
	for (u32 i = 0; v && i < o->count; i++)
		if (!(v[i].flags & (VMA_MERGEABLE | VMA_SHARED | VMA_SPECIAL)))
			plan_call(plan, at, SYS_madvise, ARG(v[i].start), ARG(v[i].end - v[i].start), ARG(MADV_UNMERGEABLE));
}

/* The stack and the arena are mapped; limits and rights are those of ckpt. */
static void plan_locks(struct plan *plan, u32 pid, u32 locks)
{
	if (locks)
		plan_call(plan, AT(pid, STAGE_IDS), SYS_mlockall,
			  ARG(MCL_FUTURE | (locks & VMA_LOCKONFAULT ? MCL_ONFAULT : 0)));
}

static int prctl_plan(struct plan *plan, const struct graph *graph, const struct object *object)
{
	const Ckpt__Prctl *m = object->data;
	const Ckpt__Task *task = graph_data(graph, &kind_task, object->id);
	const Ckpt__Mm *mm = task ? graph_data(graph, &kind_mm, task->mm) : NULL;
	plan_for(plan, "attributes of process %u", object->id);
	plan_number(plan, object->id, "/proc/self/oom_score_adj", m->oom_score_adj);
	if (m->has_coredump_filter)
		plan_number(plan, object->id, "/proc/self/coredump_filter", (s32)m->coredump_filter);
	if (m->autogroup_nice && task && task->sid == object->id)
		plan_number(plan, object->id, "/proc/self/autogroup", m->autogroup_nice);
	if (m->has_login_uid)
		plan_login(plan, object->id, m->login_uid);
	if (m->subreaper)
		plan_call(plan, AT(object->id, STAGE_TIMERS), SYS_prctl, ARG(PR_SET_CHILD_SUBREAPER), ARG(1));
	if (!mm)
		return 0;
	plan_dumpable(plan, task, mm->dumpable);
	plan_membarrier(plan, object->id, mm->membarrier);
	if (task->mm == object->id) {
		plan_merge(plan, graph, task, mm->memory_merge);
		plan_locks(plan, object->id, mm->future_locks);
	}
	plan_call(plan, AT(object->id, STAGE_TIMERS), SYS_prctl, ARG(PR_SET_THP_DISABLE), ARG(mm->thp_disable));
	/* MDWE cannot be taken back and forbids mappings that a restore needs: the last of all. */
	if (mm->mdwe)
		plan_call(plan, AT(object->id, STAGE_CLOSE), SYS_prctl, ARG(PR_SET_MDWE), ARG(mm->mdwe));
	return 0;
}

const struct resource resource_prctl = {
	.name = "prctl",
	.scope = SCOPE_TASK,
	.kind = &kind_prctl,
	.collect = prctl_collect,
	.judge = prctl_judge,
	.plan = prctl_plan,
};
