// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the steps of makers: processes of ckpt that make, each in a descriptor table of its own, the files that the world has no room for,
 * and of those who take them from there (pidfd_getfd(2)). A maker is done before the next one begins and before any task is born, so it
 * may do whatever the world may; then it stands still. ckpt ends it when all have what they need of it (execute_end_makers()). */
#include "restore/compile.h"
#include "unix.pb-c.h"
#include "resource/registry.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define STACK_BYTES 2048
#define BEGIN STAGE_LIFELINE
#define END STAGE_MAKERS
#define WORLD AT(PLAN_WORLD, STAGE_MAKERS)

/* Processes that are gone may have made sockets that tell of them (SO_PEERCRED), and have their ids once more for that. */
static int note_creators(struct compiler *c)
{
	int r = 0;
	for (struct object *o = NULL; r == 0 && (o = graph_next(c->graph, resource_unix.kind, o));) {
		const Ckpt__Unix *u = o->data;
		r = map_set(&c->makers.creators, u->creator_pid, 1);
		for (size_t i = 0; r == 0 && i < u->n_message; i++)
			r = map_set(&c->makers.creators, u->message[i]->pid, 1);
	}
	return r;
}

/* An id that nobody wants; 0: there is none. */
static u32 spare_id(struct compiler *c)
{
	if (c->spare_used == c->survey->spare_pids.n || (!c->makers.count && note_creators(c) < 0))
		return 0;
	while (c->spare_used < c->survey->spare_pids.n) {
		u32 id = c->survey->spare_pids.v[c->spare_used++];
		if (!map_get(&c->makers.creators, id))
			return id;
	}
	return 0;
}

static struct arg above(struct compiler *c, struct place at)
{
	return ARG_OF_SLOT(step_result(c->plan, plan_op(c->plan, at, OP_LOAD, 0, (struct arg[6]){ ARG(c->makers.above) })));
}

/* It dies with ckpt, has what the world has made but nothing of other makers, and lets tasks take its own. */
static void begin(struct compiler *c, u32 tid, u32 ckpt)
{
	struct place at = AT(tid, BEGIN);
	plan_call(c->plan, at, SYS_prctl, ARG(PR_SET_PDEATHSIG), ARG(SIGKILL));
	u32 parent = step_result(c->plan, plan_call(c->plan, at, SYS_getppid));
	plan_op(c->plan, at, OP_BRANCH, 0, (struct arg[6]){ ARG_OF_SLOT(parent), ARG_OF_SLOT(ckpt), ARG(0), ARG(0) });
	plan_call(c->plan, at, SYS_close_range, above(c, at), ARG(~0u));
	step_any(plan_call(c->plan, at, SYS_prctl, ARG(PR_SET_PTRACER), ARG(PR_SET_PTRACER_ANY)));
}

static void end(struct compiler *c, u32 tid)
{
	u32 own = step_result(c->plan, plan_call(c->plan, AT(tid, END), SYS_getpid));
	plan_call(c->plan, AT(tid, END), SYS_kill, ARG_OF_SLOT(own), ARG(SIGSTOP));
}

/* Returns the slot of its id: it is there, and stands still. */
static u32 spawn(struct compiler *c, u32 tid, u32 pid)
{
	struct clone_args args = { .stack_size = STACK_BYTES, .set_tid_size = 1 };
	u32 id = plan_data(c->plan, &pid, sizeof pid, 8), status = plan_data(c->plan, NULL, sizeof(s32), 4);
	u32 data = plan_data(c->plan, &args, sizeof args, 8);
	plan_pointer(c->plan, data + (u32)offsetof(struct clone_args, set_tid), id);
	plan_pointer(c->plan, data + (u32)offsetof(struct clone_args, stack), plan_stack(c->plan, tid) - STACK_BYTES);
	struct plan_step *clone =
		plan_op(c->plan, WORLD, OP_SPAWN, 0,
			(struct arg[6]){ ARG_OF_DATA(data), ARG(sizeof args), ARG(plan_array(c->plan, tid)) });
	u32 slot = step_result(c->plan, clone);
	plan_call(c->plan, WORLD, SYS_wait4, ARG_OF_SLOT(slot), ARG_OF_DATA(status), ARG(WUNTRACED | __WALL), ARG(0));
	step_expect(plan_op(c->plan, WORLD, OP_LOAD, 0, (struct arg[6]){ ARG(status) }), W_STOPCODE(SIGSTOP));
	return slot;
}

/* What tasks inherit of it. */
static u32 open_pidfd(struct compiler *c, u32 pid_slot)
{
	struct arg from = above(c, WORLD);
	u32 low = step_result(c->plan, plan_call(c->plan, WORLD, SYS_pidfd_open, ARG_OF_SLOT(pid_slot), ARG(0)));
	u32 slot = step_result(c->plan, plan_call(c->plan, WORLD, SYS_fcntl, ARG_OF_SLOT(low), ARG(F_DUPFD_CLOEXEC), from));
	plan_call(c->plan, WORLD, SYS_close, ARG_OF_SLOT(low));
	return slot;
}

int compile_maker(struct compiler *c, struct maker *ret)
{
	char name[32];
	u32 pid = caps_has(c->survey->caps, CAN_PIDFD_GETFD) ? spare_id(c) : 0;
	snprintf(name, sizeof name, "maker %u", c->makers.count);
	u32 tid = PLAN_HELPER + plan_word(c->plan, name);
	if (!pid || plan_thread(c->plan, tid) < 0)
		return -ENOENT;
	plan_for(c->plan, "%s", name);
	if (!c->makers.count++) {
		c->makers.above = plan_data(c->plan, NULL, sizeof(s32), 4);
		c->makers.ckpt = step_result(c->plan, plan_call(c->plan, WORLD, SYS_getpid));
	}
	begin(c, tid, c->makers.ckpt);
	end(c, tid);
	u32 slot = spawn(c, tid, pid);
	plan_add_maker(c->plan, slot);
	*ret = (struct maker){ tid, slot, open_pidfd(c, slot) };
	return 0;
}

void compile_makers_end(struct compiler *c, u32 first)
{
	u32 *place = c->makers.count ? plan_bytes(c->plan, c->makers.above) : NULL;
	if (place)
		*place = first;
}

/* What is taken comes to the lowest number that is free, which may be the right one. */
void compile_take(struct compiler *c, struct place at, const struct plan_home *home, const struct fd_entry *e)
{
	u32 taken =
		step_result(c->plan, plan_call(c->plan, at, SYS_pidfd_getfd, ARG_OF_SLOT(home->maker), ARG(home->fd), ARG(0)));
	struct plan_step *there = plan_skip(c->plan, at, ARG_OF_SLOT(taken), e->fd, e->fd);
	step_expect(plan_call(c->plan, at, SYS_dup3, ARG_OF_SLOT(taken), ARG(e->fd), ARG(O_CLOEXEC)), e->fd);
	plan_call(c->plan, at, SYS_close, ARG_OF_SLOT(taken));
	plan_land(c->plan, at, there);
	if (!e->cloexec)
		plan_call(c->plan, at, SYS_fcntl, ARG(e->fd), ARG(F_SETFD), ARG(0));
}
