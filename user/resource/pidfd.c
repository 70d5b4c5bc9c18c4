// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns descriptors of processes, pidfd_open(2). Of the living they are opened when these have been born; who has ended is stood in
 * for by a process that ends likewise. */
#include "collect/collect.h"
#include "model/shape.h"
#include "pidfd.pb-c.h"
#include "resource/opener.h"
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

#define PIDFD_OF_THREAD ((u32)O_EXCL) /* PIDFD_THREAD, Linux 6.9 */
#define NSIG_MAX 64u

/* linux/pidfd.h: PIDFD_GET_INFO, with what it tells from Linux 6.15 on (PIDFD_INFO_EXIT). */
struct pidfd_told {
	u64 mask, cgroup;
	u32 ids[11];
	s32 exit_code;
};
#define TELL_PIDFD _IOWR(0xFF, 11, struct pidfd_told)
#define TELL_EXIT (1ull << 3)

static const struct kind kind_pidfd = { .name = "pidfd", .desc = &ckpt__pidfd__descriptor };

/* Not what was opened again by its name in /proc: pidfd_open(2) and clone(2) give no other access than this. */
static bool pidfd_claims(const struct record_file *file, const char *link)
{
	bool is_pidfd = !strcmp(link, "anon_inode:[pidfd]") || !strncmp(link, "pidfd:", 6);
	return is_pidfd && (file->flags & (O_PATH | O_ACCMODE)) == O_RDWR;
}

/* --- collect --- */

static void become_ended(Ckpt__Pidfd *m, u32 exit_code)
{
	m->has_outside = m->has_started = m->has_unwanted = false;
	SET(m, exit_code, exit_code);
}

static int collect_ended(struct collector *c, Ckpt__Pidfd *m)
{
	struct pidfd_told told = { .mask = TELL_EXIT };
	int fd = collector_fd(c);
	if (fd < 0)
		return fail(FD_DUPLICATE, fd, "a pidfd");
	if (ioctl(fd, TELL_PIDFD, &told) == 0 && told.mask & TELL_EXIT)
		SET(m, exit_code, (u32)told.exit_code & ~0x80u);
	return 0;
}

static int collect_outside(struct collector *c, Ckpt__Pidfd *m, u32 pid)
{
	enum policy_choice policy = collector_policy(c, POLICY_PIDFD);
	u64 started = 0;
	int r = pid ? task_started((pid_t)pid, &started) : -ESRCH;
	SET(m, outside, pid);
	if (r == 0)
		SET(m, started, started);
	if (policy == POLICY_CLOSE)
		become_ended(m, SIGKILL);
	else if (policy == POLICY_REFUSE || r < 0)
		SET(m, unwanted, true);
	return 0;
}

static bool is_in_tree(const struct graph *graph, u32 pid)
{
	return graph_find(graph, &kind_task, pid) || graph_find(graph, &kind_thread, pid);
}

/* "Pid:" is -1 of who has been waited for, 0 of who is in a pid namespace that ckpt does not see. */
static int pidfd_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	(void)subject;
	Ckpt__Pidfd *m = o->data;
	const char *told = collector_fdinfo(c, "Pid");
	int pid;
	if (!told || sscanf(told, "%d", &pid) != 1 || pid < -1)
		return fail(FD_FDINFO, 0, "Pid");
	if (pid < 0)
		return collect_ended(c, m);
	if (!is_in_tree(collector_graph(c), (u32)pid))
		return collect_outside(c, m, (u32)pid);
	SET(m, pid, (u32)pid);
	return 0;
}

static int pidfd_choose(const struct graph *graph _unused_, struct object *o, const struct policies *policies)
{
	Ckpt__Pidfd *m = o->data;
	if (m->has_outside && policy_of(policies, POLICY_PIDFD) == POLICY_CLOSE)
		become_ended(m, SIGKILL);
	return 0;
}

/* --- judge --- */

static int judge_inside(const struct graph *graph, const struct object *o, const Ckpt__Pidfd *m)
{
	if (!graph_find(graph, &kind_task, m->pid))
		return graph_find(graph, &kind_thread, m->pid) ? fail(PIDFD_THREAD, 0, "thread %u", m->pid)
							       : fail(IMAGE_VALUE, 0, "process %u, which is not there", m->pid);
	return opener_of(graph, o->id, true) ? 0 : fail(PIDFD_FLIGHT, 0, "of process %u", m->pid);
}

static u32 open_flags(const struct graph *graph, u32 file) { return file_flags(graph, file) & (O_NONBLOCK | PIDFD_OF_THREAD); }

static u64 inode_of(const struct graph *graph, u32 file)
{
	const Ckpt__File *f = graph_data(graph, &kind_file, file);
	return f ? f->inode : 0;
}

/* Start times are told in ticks of 10 ms, too coarse for one who gets the id in another pid namespace at once; each process has an
 * inode of its own since Linux 6.9. */
static bool is_same_process(const struct graph *graph, const struct object *o, const Ckpt__Pidfd *m, u64 started)
{
	struct stat st;
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, m->outside, open_flags(graph, o->id));
	return m->has_started && started == m->started && fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == inode_of(graph, o->id);
}

static int judge_outside(const struct graph *graph, const struct object *o, const Ckpt__Pidfd *m, enum direction direction)
{
	u64 started = 0;
	if (direction == DIRECTION_DUMP)
		return m->unwanted ? fail(PIDFD_OUTSIDE, 0, "process %u", m->outside) : 0;
	int r = task_started((pid_t)m->outside, &started);
	if (r == 0 && !is_same_process(graph, o, m, started))
		return fail(PIDFD_GONE, 0, "process %u is another one", m->outside);
	return r < 0 ? fail(PIDFD_GONE, r, "process %u", m->outside) : 0;
}

static bool is_exit_code(u32 code)
{
	u32 signal = code & 0x7f;
	return signal ? signal <= NSIG_MAX && code == signal : code <= 0xff00 && !(code & 0xff);
}

static int pidfd_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	const Ckpt__Pidfd *m = o->data;
	if (m->has_pid)
		return judge_inside(graph, o, m);
	if (m->has_outside)
		return judge_outside(graph, o, m, direction);
	return is_exit_code(m->exit_code) ? 0 : fail(IMAGE_VALUE, 0, "exit code %#x", m->exit_code);
}

/* --- plan --- */

#define CREATE AT(PLAN_WORLD, STAGE_CREATE)

/* Who ends as it did. The signal waits until it is not blocked any more. */
static void plan_end(struct plan *plan, struct place at, u32 exit_code, u32 self)
{
	u64 none = 0;
	u32 signal = exit_code & 0x7f;
	if (signal) {
		step_any(plan_call(plan, at, SYS_prctl, ARG(PR_SET_DUMPABLE), ARG(0)));
		step_any(plan_call(plan, at, SYS_tgkill, ARG_OF_SLOT(self), ARG_OF_SLOT(self), ARG(signal)));
		step_any(plan_call(plan, at, SYS_rt_sigprocmask, ARG(SIG_SETMASK),
				   ARG_OF_DATA(plan_data(plan, &none, sizeof none, 8)), ARG(0), ARG(8)));
	}
	plan_op(plan, at, OP_EXIT, 0, (struct arg[6]){ ARG(exit_code >> 8) });
}

static bool is_ended_as(const struct graph *graph, const struct object *a, const struct object *b)
{
	const Ckpt__Pidfd *x = a->data, *y = b->data;
	return !y->has_pid && !y->has_outside && x->exit_code == y->exit_code &&
	       inode_of(graph, a->id) == inode_of(graph, b->id);
}

/* One process for all descriptors of the one that has ended; where all anonymous inodes are one (before Linux 6.9), for all
 * that have ended. It opens them itself, in the table that it shares with the world. */
static void plan_ended(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Pidfd *m = o->data;
	char name[64];
	bool is_new;
	snprintf(name, sizeof name, "ended %llu %u", (unsigned long long)inode_of(graph, o->id), m->exit_code);
	struct place at = plan_helper_with(plan, CREATE, name, 0, CLONE_FILES | CLONE_CLEAR_SIGHAND, &is_new);
	if (!is_new)
		return;
	u32 self = step_result(plan, plan_call(plan, at, SYS_getpid));
	for (const struct object *other = NULL; (other = graph_next(graph, &kind_pidfd, other));) {
		if (!is_ended_as(graph, o, other))
			continue;
		struct arg args[6] = { ARG_OF_SLOT(self), ARG(open_flags(graph, other->id)) };
		struct plan_step *fd = plan_helper_call(plan, at, CREATE, SYS_pidfd_open, args);
		plan_place_fd(plan, step_result(plan, fd), other->id);
	}
	plan_end(plan, at, m->exit_code, self);
}

/* Has the process ended, it is seen so from then on. */
static void await_end(struct plan *plan, struct place at, u32 slot)
{
	u32 poll = plan_data(plan, &(struct pollfd){ .events = POLLIN }, sizeof(struct pollfd), 8);
	plan_op(plan, at, OP_STORE, 0, (struct arg[6]){ ARG(poll), ARG_OF_SLOT(slot) });
	step_expect(plan_call(plan, at, SYS_ppoll, ARG_OF_DATA(poll), ARG(1), ARG(0), ARG(0), ARG(0)), 1);
}

/* Who alone has it opens it when all others have been born. */
static bool pidfd_at_home(const struct graph *graph _unused_, const struct object *o)
{
	return ((const Ckpt__Pidfd *)o->data)->has_pid;
}

/* pidfd_open(2) says close-on-exec, of the descriptor that may be in its place already. */
static void place_at_home(struct plan *plan, struct place at, u32 slot, u32 file)
{
	plan_place_fd(plan, slot, file);
	if (!plan_cloexec(plan, file))
		plan_call(plan, at, SYS_fcntl, ARG(plan_fd(plan, file)), ARG(F_SETFD), ARG(0));
}

static void plan_inside(struct plan *plan, const struct graph *graph, const struct object *o, u32 pid)
{
	bool at_home = plan_home(plan, o->id);
	u32 opener = at_home ? 0 : opener_of(graph, o->id, true);
	struct place at = at_home ? plan_at(plan, o->id, STAGE_CREATE) : opener_place(plan, opener);
	const Ckpt__Task *task = graph_data(graph, &kind_task, pid);
	plan_await_birth(plan, at, pid);
	u32 slot = step_result(plan, plan_call(plan, at, SYS_pidfd_open, ARG(pid), ARG(open_flags(graph, o->id))));
	if (task && shape_is_zombie(task))
		await_end(plan, at, slot);
	if (at_home)
		place_at_home(plan, at, slot, o->id);
	else
		plan_hand_out(plan, graph, o->id, opener, slot);
}

static int pidfd_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Pidfd *m = o->data;
	if (m->has_pid) {
		plan_inside(plan, graph, o, m->pid);
	} else if (m->has_outside) {
		struct plan_step *open =
			plan_call(plan, CREATE, SYS_pidfd_open, ARG(m->outside), ARG(open_flags(graph, o->id)));
		plan_place_fd(plan, step_result(plan, open), o->id);
	} else {
		plan_ended(plan, graph, o);
	}
	return 0;
}

const struct resource resource_pidfd = {
	.name = "pidfd",
	.scope = SCOPE_FILE,
	.kind = &kind_pidfd,
	.claims = pidfd_claims,
	.collect = pidfd_collect,
	.judge = pidfd_judge,
	.choose = pidfd_choose,
	.at_home = pidfd_at_home,
	.plan = pidfd_plan,
};
