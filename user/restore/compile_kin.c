// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the plan of kinship: who makes whom and when, sessions, process groups, and the dead: zombies, which end again as they had
 * ended, and stand-ins, which are made for the id of a session or a group and are gone before anybody could see them. */
#include "restore/compile.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ull
#endif
#define WAIT_ALL 0x40000000u /* __WALL */
#define SIGNAL_BIT(signal) (1ull << ((signal)-1))

static struct arg string(struct compiler *c, const char *s) { return ARG_OF_DATA(plan_data(c->plan, s, strlen(s) + 1, 1)); }

/* --- process groups --- */

static u32 group_word(struct compiler *c, const char *what, u32 group)
{
	char name[40];
	snprintf(name, sizeof name, "%s %u", what, group);
	return plan_word(c->plan, name);
}

/* A group outlives its leader in it: whoever has its id waits until all members have come. */
static bool leader_waits(const struct compiler *c, u32 group)
{
	const Ckpt__Task *leader = shape_task(c->graph, group);
	return !leader || leader->pgid != group;
}

static void make_group(struct compiler *c, const Ckpt__Task *t, struct place place)
{
	u32 members = map_get(&c->members, t->pid);
	if (t->sid != t->pid)
		plan_call(c->plan, place, SYS_setpgid, ARG(0), ARG(0));
	plan_post(c->plan, place, group_word(c, "group", t->pid));
	if (t->pgid != t->pid)
		plan_wait(c->plan, place, group_word(c, "members of group", t->pid), members);
}

static void group(struct compiler *c, const Ckpt__Task *t)
{
	struct place place = AT(t->pid, STAGE_GROUP);
	plan_for(c->plan, "process group %u of process %u", t->pgid, t->pid);
	if (t->pgid == t->pid || map_get(&c->members, t->pid))
		make_group(c, t, place);
	if (!t->pgid || t->pgid == t->pid)
		return;
	plan_wait(c->plan, place, group_word(c, "group", t->pgid), 1);
	plan_call(c->plan, place, SYS_setpgid, ARG(0), ARG(t->pgid));
	if (leader_waits(c, t->pgid))
		plan_post(c->plan, place, group_word(c, "members of group", t->pgid));
}

static void make_session(struct compiler *c, u32 pid, enum stage stage)
{
	plan_for(c->plan, "session of process %u", pid);
	step_expect(plan_call(c->plan, AT(pid, stage), SYS_setsid), pid);
}

void compile_session(struct compiler *c, const Ckpt__Task *t)
{
	if (t->sid == t->pid && !plan_has_steps(c->plan, t->pid, STAGE_BIRTH))
		make_session(c, t->pid, STAGE_SESSION);
	group(c, t);
}

/* --- births --- */

/* The root's parent is ckpt. */
static void lifeline(struct compiler *c, u32 pid, u32 parent)
{
	plan_for(c->plan, "birth of process %u", pid);
	plan_lifeline(c->plan, pid, parent ?: plan_config(c->plan)->self);
}

/* What it shares with its parent. */
static u64 shared_flags(const struct compiler *c, const Ckpt__Task *t)
{
	const Ckpt__Task *parent = shape_task(c->graph, t->ppid);
	if (!parent || shape_is_zombie(t))
		return CLONE_CLEAR_SIGHAND;
	return (t->mm != t->pid ? CLONE_VM : 0) | (t->fds != t->pid ? CLONE_FILES : 0) |
	       (t->has_fs && t->fs != t->pid ? CLONE_FS : 0) |
	       (t->has_sighand && t->sighand != t->pid ? CLONE_SIGHAND : CLONE_CLEAR_SIGHAND);
}

/* The root is made by ckpt itself, unless its session's leader is a stand-in. */
static void spawn_process(struct compiler *c, const Ckpt__Task *t)
{
	const Ckpt__Thread *leader = graph_data(c->graph, &kind_thread, t->pid);
	struct clone_args args = { .exit_signal = t->exit_signal, .child_tid = leader ? leader->clear_child_tid : 0 };
	enum shape_birth birth = shape_birth(c->graph, t);
	args.flags = shared_flags(c, t);
	if (birth != BIRTH_ADOPTED) {
		if (t->ppid)
			compile_spawn(c, t->ppid, birth == BIRTH_EARLY ? STAGE_FORK_EARLY : STAGE_FORK, t->pid, &args);
		return;
	}
	if (!plan_has_steps(c->plan, t->sid, STAGE_BIRTH))
		make_session(c, t->sid, STAGE_BIRTH);
	args.flags |= CLONE_PARENT;
	args.exit_signal = 0; /* the leader's is taken, which is the same */
	compile_spawn(c, t->sid, STAGE_ADOPT, t->pid, &args);
}

/* A signal that the death of a child has sent: the program has taken its own, or it is in the image. */
static void take_signal(struct compiler *c, u32 parent, u32 signal)
{
	u64 data[3] = { signal ? SIGNAL_BIT(signal) : 0, 0, 0 }; /* the set; no time at all */
	if (!signal)
		return;
	u32 at = plan_data(c->plan, data, sizeof data, 8);
	step_any(plan_call(c->plan, AT(parent, STAGE_REAP), SYS_rt_sigtimedwait, ARG_OF_DATA(at), ARG(0), ARG_OF_DATA(at + 8),
			   ARG(8)));
}

/* --- stand-ins --- */

/* Its children have its exit signal, which is that of a child that was given to another parent. */
static int stand_in(struct compiler *c, const struct shape_stand_in *g)
{
	struct clone_args args = { .flags = CLONE_CLEAR_SIGHAND, .exit_signal = g->leads ? SIGCHLD : 0 };
	if (plan_thread(c->plan, g->id) < 0)
		return -ENOMEM;
	lifeline(c, g->id, g->parent);
	if (g->parent)
		compile_spawn(c, g->parent, STAGE_FORK, g->id, &args);
	if (g->leads)
		make_session(c, g->id, STAGE_BIRTH);
	plan_for(c->plan, "%s %u, whose leader has died", g->leads ? "session" : "process group", g->id);
	if (!g->leads)
		plan_call(c->plan, AT(g->id, STAGE_BIRTH), SYS_setpgid, ARG(0), ARG(0));
	plan_post(c->plan, AT(g->id, STAGE_GROUP), group_word(c, "group", g->id));
	plan_op(c->plan, AT(g->id, STAGE_CLOSE), OP_EXIT, 0, (struct arg[6]){ ARG(0) });
	if (!g->parent) /* ckpt reaps it when everything is done */
		return 0;
	struct place at = AT(g->parent, STAGE_REAP);
	plan_wait(c->plan, at, group_word(c, "members of group", g->id), g->members);
	step_expect(plan_call(c->plan, at, SYS_wait4, ARG(g->id), ARG(0), ARG(WAIT_ALL)), g->id);
	take_signal(c, g->parent, (u32)args.exit_signal);
	return 0;
}

/* --- zombies --- */

/* A core file must be written for the flag that says so: of a process without contents, into a file system of its own that is
 * gone with it. */
static void leave_core(struct compiler *c, struct place at)
{
	const struct survey *s = c->survey;
	struct rlimit64 limit = { s->core_limit, s->core_limit };
	struct plan_step *open = plan_call(c->plan, at, SYS_openat, ARG(AT_FDCWD), string(c, "/proc/self/coredump_filter"),
					   ARG(O_WRONLY | O_CLOEXEC));
	u32 fd = step_result(c->plan, open);
	plan_call(c->plan, at, SYS_write, ARG_OF_SLOT(fd), string(c, "0"), ARG(1));
	plan_call(c->plan, at, SYS_close, ARG_OF_SLOT(fd));
	plan_call(c->plan, at, SYS_prlimit64, ARG(0), ARG(RLIMIT_CORE),
		  ARG_OF_DATA(plan_data(c->plan, &limit, sizeof limit, 8)));
	plan_call(c->plan, at, SYS_unshare, ARG(CLONE_NEWNS));
	plan_call(c->plan, at, SYS_mount, string(c, "none"), string(c, "/"), ARG(0), ARG(MS_REC | MS_PRIVATE), ARG(0));
	plan_call(c->plan, at, SYS_mount, string(c, "ckpt-core"), string(c, s->core_dir), string(c, "tmpfs"), ARG(0),
		  string(c, "mode=1777"));
	plan_call(c->plan, at, SYS_chdir, string(c, s->core_dir));
}

static void die(struct compiler *c, const Ckpt__Task *t)
{
	struct place at = AT(t->pid, STAGE_CLOSE);
	u32 signal = t->exit_code & 0x7f;
	bool core = t->exit_code & 0x80;
	if (signal) {
		u64 none = 0;
		plan_call(c->plan, at, SYS_prctl, ARG(PR_SET_DUMPABLE), ARG(core));
		plan_call(c->plan, at, SYS_tgkill, ARG(t->pid), ARG(t->pid), ARG(signal));
		plan_call(c->plan, at, SYS_rt_sigprocmask, ARG(SIG_SETMASK),
			  ARG_OF_DATA(plan_data(c->plan, &none, sizeof none, 8)), ARG(0), ARG(8));
	}
	plan_op(c->plan, at, OP_EXIT, 0, (struct arg[6]){ ARG(t->exit_code >> 8) });
}

/* Its parent sees it dead, with what it sees then, and leaves it at that. */
static void await_death(struct compiler *c, const Ckpt__Task *t)
{
	struct place at = AT(t->ppid, STAGE_REAP);
	u32 signal = t->exit_code & 0x7f, info = plan_data(c->plan, NULL, sizeof(siginfo_t), 8);
	int code = !signal ? CLD_EXITED : t->exit_code & 0x80 ? CLD_DUMPED : CLD_KILLED;
	plan_call(c->plan, at, SYS_waitid, ARG(P_PID), ARG(t->pid), ARG_OF_DATA(info), ARG(WEXITED | WNOWAIT | WAIT_ALL));
	struct arg where[6] = { ARG(info + offsetof(siginfo_t, si_code)) };
	step_expect(plan_op(c->plan, at, OP_LOAD, 0, where), code);
	where[0] = ARG(info + offsetof(siginfo_t, si_status));
	step_expect(plan_op(c->plan, at, OP_LOAD, 0, where), signal ? signal : t->exit_code >> 8);
	take_signal(c, t->ppid, t->exit_signal);
}

static void zombie(struct compiler *c, const Ckpt__Task *t)
{
	struct place at = AT(t->pid, STAGE_TASK);
	plan_for(c->plan, "zombie %u", t->pid);
	compile_name(c, at, t->comm);
	if (t->exit_code & 0x80)
		leave_core(c, at);
	plan_call(c->plan, AT(t->pid, STAGE_IDS), SYS_setresuid, ARG(t->uid), ARG(t->uid), ARG(t->uid));
	die(c, t);
	await_death(c, t);
}

/* --- all of it --- */

static int count_one(struct map *map, u32 key) { return map_set(map, key, map_get(map, key) + 1); }

static int count_members(struct compiler *c)
{
	for (struct object *o = NULL; (o = graph_next(c->graph, &kind_task, o));) {
		const Ckpt__Task *t = o->data;
		if ((t->pgid != t->pid && count_one(&c->members, t->pgid) < 0) ||
		    (!shape_is_zombie(t) && t->fds != t->pid && count_one(&c->table_sharers, t->fds) < 0))
			return -ENOMEM;
	}
	return 0;
}

static int make_arrays(struct compiler *c)
{
	int r = 0;
	for (struct object *o = NULL; r == 0 && (o = graph_next(c->graph, &kind_task, o));) {
		const Ckpt__Task *t = o->data;
		r = plan_thread(c->plan, t->pid);
		for (size_t i = 0; r == 0 && i < t->n_tid; i++)
			r = plan_thread(c->plan, t->tid[i]);
	}
	return r;
}

int compile_kin(struct compiler *c)
{
	int r = shape_stand_ins(&c->stand_ins, c->graph);
	if (r == 0)
		r = count_members(c);
	if (r == 0)
		r = make_arrays(c);
	for (size_t i = 0; r == 0 && i < c->stand_ins.list.n; i++)
		r = stand_in(c, &c->stand_ins.list.v[i]);
	for (struct object *o = NULL; r == 0 && (o = graph_next(c->graph, &kind_task, o));) {
		lifeline(c, o->id, ((const Ckpt__Task *)o->data)->ppid);
		spawn_process(c, o->data);
		if (shape_is_zombie(o->data))
			zombie(c, o->data);
	}
	return r;
}
