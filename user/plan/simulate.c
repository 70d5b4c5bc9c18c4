// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the simulation of a plan: every array in turn until nothing moves. */
#include "plan/simulate.h"
#include "plan/plan_internal.h"
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

struct sim_array {
	const struct plan_array *array;
	enum stage stage;
	const struct plan_step *next;
	u32 process; /* index + 1; 0: not born */
	bool done;
};

struct sim {
	struct simulation *out;
	const struct plan *plan;
	const struct sim_config *config;
	VECTOR(struct sim_array) arrays;
	VECTOR(u32) words; /* value of the word at data offset 4 * index */
	bool failed;
};

static void problem(struct sim *s, const struct plan_step *step, const char *what)
{
	text_addf(&s->out->problems, "%s: ", what);
	plan_print_step(&s->out->problems, s->plan, &step->step);
	text_adds(&s->out->problems, "\n");
}

static u32 *word(struct sim *s, u64 offset)
{
	while (s->words.n <= offset / 4) {
		if (!vector_add(&s->words)) {
			s->failed = true;
			return NULL;
		}
	}
	return &s->words.v[offset / 4];
}

/* --- address spaces --- */

static bool touches_arena(const struct sim *s, u64 start, u64 end) { return start < s->config->end && end > s->config->code; }

static void insert(struct sim *s, struct sim_process *p, struct sim_range range)
{
	if (!vector_add(&p->ranges)) {
		s->failed = true;
		return;
	}
	size_t i = p->ranges.n - 1;
	for (; i > 0 && p->ranges.v[i - 1].start > range.start; i--)
		p->ranges.v[i] = p->ranges.v[i - 1];
	p->ranges.v[i] = range;
}

/* Cuts [start, end) out of the ranges. */
static void cut(struct sim *s, struct sim_process *p, u64 start, u64 end)
{
	for (size_t i = 0; i < p->ranges.n; i++) {
		struct sim_range left = p->ranges.v[i], right = left;
		if (left.end <= start || left.start >= end)
			continue;
		memmove(&p->ranges.v[i], &p->ranges.v[i + 1], (--p->ranges.n - i) * sizeof left);
		left.end = MIN(left.end, start);
		right.start = MAX(right.start, end);
		right.offset += right.start - left.start;
		if (left.start < left.end)
			insert(s, p, left);
		if (right.start < right.end)
			insert(s, p, right);
		i = (size_t)-1; /* the order has changed */
	}
}

/* The first range that reaches into [start, end). */
static const struct sim_range *range_in(const struct sim_process *p, u64 start, u64 end)
{
	for (size_t i = 0; i < p->ranges.n; i++)
		if (p->ranges.v[i].end > start && p->ranges.v[i].start < end)
			return &p->ranges.v[i];
	return NULL;
}

static void sim_mprotect(struct sim *s, struct sim_process *p, u64 start, u64 end, u32 prot)
{
	for (const struct sim_range *r; start < end && !s->failed && (r = range_in(p, start, end));) {
		struct sim_range part = *r;
		part.start = MAX(part.start, start);
		part.end = MIN(part.end, end);
		part.offset += part.start - r->start;
		part.prot = prot;
		cut(s, p, part.start, part.end);
		insert(s, p, part);
		start = part.end;
	}
}

static void sim_mmap(struct sim *s, struct sim_process *p, const struct plan_step *step)
{
	const u64 *a = step->step.a;
	u64 start = a[0] ?: (u64)step->step.expect, end = start + a[1]; /* 0: the kernel chooses, and must choose that */
	if (touches_arena(s, start, end))
		problem(s, step, "maps over the arena");
	if (range_in(p, start, end))
		problem(s, step, "maps over another mapping");
	int fd = (int)(s64)a[4];
	insert(s, p,
	       (struct sim_range){ .start = start,
				   .end = end,
				   .prot = (u32)a[2],
				   .fd = fd,
				   .offset = fd < 0 ? 0 : a[5],
				   .shared = (a[3] & 3) == MAP_SHARED });
}

static void sim_mremap(struct sim *s, struct sim_process *p, const struct plan_step *step)
{
	const u64 *a = step->step.a;
	const struct sim_range *from = range_in(p, a[0], a[0] + 1);
	if (!from || from->start != a[0] || from->end - from->start < a[1])
		return problem(s, step, "moves what is not mapped");
	struct sim_range moved = *from;
	cut(s, p, a[0], a[0] + a[1]);
	moved.start = a[4];
	moved.end = a[4] + a[2];
	if (range_in(p, moved.start, moved.end))
		problem(s, step, "moves over another mapping");
	insert(s, p, moved);
}

/* --- descriptors --- */

static struct sim_fd *fd_at(struct sim_process *p, int fd)
{
	for (size_t i = 0; i < p->fds.n; i++)
		if (p->fds.v[i].fd == fd)
			return &p->fds.v[i];
	return NULL;
}

static void close_fds(struct sim_process *p, u32 first, u32 last)
{
	for (size_t i = 0; i < p->fds.n; i++)
		if ((u32)p->fds.v[i].fd >= first && (u32)p->fds.v[i].fd <= last) {
			memmove(&p->fds.v[i], &p->fds.v[i + 1], (--p->fds.n - i) * sizeof *p->fds.v);
			i--;
		}
}

static void set_fd(struct sim *s, struct sim_process *p, int fd, int of, bool cloexec)
{
	close_fds(p, (u32)fd, (u32)fd);
	struct sim_fd *f = vector_add(&p->fds);
	if (!f) {
		s->failed = true;
		return;
	}
	size_t i = p->fds.n - 1;
	for (; i > 0 && p->fds.v[i - 1].fd > fd; i--)
		p->fds.v[i] = p->fds.v[i - 1];
	p->fds.v[i] = (struct sim_fd){ fd, of, cloexec };
}

static void sim_dup3(struct sim *s, struct sim_process *p, const struct plan_step *step)
{
	const u64 *a = step->step.a;
	if ((step->step.arg_kinds & 3) == ARG_SLOT) /* of a file that was made at home */
		return set_fd(s, p, (int)a[1], (int)a[1], a[2] & O_CLOEXEC);
	struct sim_fd *from = fd_at(p, (int)a[0]);
	if (!from)
		return problem(s, step, "no such descriptor");
	set_fd(s, p, (int)a[1], from->of, a[2] & O_CLOEXEC);
}

/* --- the machine --- */

static void sim_call(struct sim *s, struct sim_process *p, const struct plan_step *step)
{
	const u64 *a = step->step.a;
	switch (step->step.nr) {
	case SYS_mmap:
		return sim_mmap(s, p, step);
	case SYS_munmap:
		if (touches_arena(s, a[0], a[0] + a[1]))
			problem(s, step, "unmaps the ground it stands on");
		return cut(s, p, a[0], a[0] + a[1]);
	case SYS_mprotect:
		return sim_mprotect(s, p, a[0], a[0] + a[1], (u32)a[2]);
	case SYS_mremap:
		return sim_mremap(s, p, step);
	case SYS_dup3:
		return sim_dup3(s, p, step);
	case SYS_close_range:
		return close_fds(p, (u32)a[0], (u32)a[1]);
	}
}

static void copy_process(struct sim *s, struct sim_process *to, const struct sim_process *from)
{
	for (size_t i = 0; i < from->ranges.n; i++)
		insert(s, to, from->ranges.v[i]);
	for (size_t i = 0; i < from->fds.n; i++)
		set_fd(s, to, from->fds.v[i].fd, from->fds.v[i].of, from->fds.v[i].cloexec);
}

static void sim_spawn(struct sim *s, struct sim_array *by, const struct plan_step *step)
{
	u32 index = (u32)step->step.a[2];
	struct clone_args args;
	memcpy(&args, s->plan->data.data + step->step.a[0], sizeof args);
	if (index >= s->arrays.n || s->arrays.v[index].process)
		return problem(s, step, "makes a task that there is already");
	if (args.flags & CLONE_VM) {
		s->arrays.v[index].process = by->process;
		return;
	}
	if (!vector_add(&s->out->processes)) {
		s->failed = true;
		return;
	}
	struct sim_process *child = &s->out->processes.v[s->out->processes.n - 1];
	child->tid = s->plan->arrays.v[index].tid;
	copy_process(s, child, &s->out->processes.v[by->process - 1]);
	s->arrays.v[index].process = (u32)s->out->processes.n;
}

/* One step; false: the array cannot go on now. */
static bool sim_step(struct sim *s, struct sim_array *a)
{
	while (a->stage < STAGE_COUNT && !a->next) {
		if (++a->stage < STAGE_COUNT)
			a->next = a->array->first[a->stage];
	}
	if (a->stage == STAGE_COUNT) {
		a->done = true;
		return false;
	}
	const struct plan_step *step = a->next;
	u32 *w = step->step.op == OP_WAIT || step->step.op == OP_POST ? word(s, step->step.a[0]) : NULL;
	if (step->step.op == OP_WAIT && w && *w < step->step.a[1])
		return false;
	a->next = step->next;
	if (step->step.op == OP_POST && w)
		++*w;
	else if (step->step.op == OP_SPAWN)
		sim_spawn(s, a, step);
	else if (step->step.op == OP_EXIT)
		a->done = true;
	else if (step->step.op == OP_CALL)
		sim_call(s, &s->out->processes.v[a->process - 1], step);
	return !a->done;
}

/* The world's result: every service descriptor that some task uses is there. */
static void world_ends(struct sim *s, struct sim_process *root)
{
	const struct plan_array *world = &s->plan->arrays.v[0];
	u32 first = s->plan->config.first_service_fd;
	set_fd(s, root, (int)first, (int)first, true);
	for (enum stage stage = 0; stage < STAGE_COUNT; stage++)
		for (const struct plan_step *step = world->first[stage]; step; step = step->next)
			if (step->step.op == OP_CALL && step->step.nr == SYS_dup3)
				set_fd(s, root, (int)step->step.a[1], (int)step->step.a[1], true);
}

static int begin(struct sim *s)
{
	for (size_t i = 0; i < s->plan->arrays.n; i++) {
		struct sim_array *a = vector_add(&s->arrays);
		if (!a)
			return -ENOMEM;
		a->array = &s->plan->arrays.v[i];
		a->next = a->array->first[0];
	}
	const struct plan_held *held;
	for (u32 i = 0; (held = plan_held(s->plan, i)); i++) { /* by ckpt, some time */
		u32 *count = word(s, held->word);
		if (!count)
			return -ENOMEM;
		*count = UINT32_MAX;
	}
	struct sim_process *root = vector_add(&s->out->processes);
	u32 index = plan_array(s->plan, s->config->root);
	if (!root || index == UINT32_MAX)
		return root ? -EINVAL : -ENOMEM;
	root->tid = s->config->root;
	for (size_t i = 0; i < s->config->nbegin; i++)
		insert(s, root, s->config->begin[i]);
	world_ends(s, root);
	s->arrays.v[0].done = true;
	s->arrays.v[index].process = 1;
	return 0;
}

static void run(struct sim *s)
{
	for (bool moved = true; moved && !s->failed;) {
		moved = false;
		for (size_t i = 0; i < s->arrays.n; i++)
			while (!s->arrays.v[i].done && s->arrays.v[i].process && sim_step(s, &s->arrays.v[i]))
				moved = true;
	}
	for (size_t i = 0; i < s->arrays.n; i++) {
		if (s->arrays.v[i].done)
			continue;
		text_addf(&s->out->problems, "thread %u %s", s->arrays.v[i].array->tid,
			  s->arrays.v[i].process ? "waits for ever: " : "is never made\n");
		if (s->arrays.v[i].process)
			problem(s, s->arrays.v[i].next, "");
	}
}

int simulate(struct simulation *ret, const struct plan *plan, const struct sim_config *config)
{
	struct sim s = { .out = ret, .plan = plan, .config = config };
	int r = begin(&s);
	if (r == 0)
		run(&s);
	if (r == 0 && (s.failed || text_failed(&ret->problems)))
		r = -ENOMEM;
	vector_free(&s.arrays);
	vector_free(&s.words);
	return r;
}

void simulation_free(struct simulation *sim)
{
	for (size_t i = 0; i < sim->processes.n; i++) {
		vector_free(&sim->processes.v[i].ranges);
		vector_free(&sim->processes.v[i].fds);
	}
	vector_free(&sim->processes);
	text_free(&sim->problems);
}
