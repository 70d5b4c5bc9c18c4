// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns eventfd(2): a counter. */
#include "collect/collect.h"
#include "eventfd.pb-c.h"
#include "resource/file_scope.h"
#include <sys/eventfd.h>

static bool eventfd_claims(const struct record_file *file, const char *link)
{
	(void)file;
	return !strcmp(link, "anon_inode:[eventfd]");
}

/* fdinfo says it since Linux 6.5, eBPF always. */
static void collect_mode(struct collector *c, Ckpt__Eventfd *e)
{
	const char *semaphore = collector_fdinfo(c, "eventfd-semaphore");
	const struct record_file *file = semaphore ? NULL : collector_kernel_file(c);
	if (semaphore)
		SET(e, semaphore, atoi(semaphore) != 0);
	else if (file && file->eventfd != EVENTFD_UNKNOWN)
		SET(e, semaphore, file->eventfd == EVENTFD_SEMAPHORE);
}

static int eventfd_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	(void)subject;
	Ckpt__Eventfd *e = o->data;
	const char *counter = collector_fdinfo(c, "eventfd-count");
	if (!counter)
		return fail(FD_FDINFO, 0, "eventfd-count");
	SET(e, counter, strtoull(counter, NULL, 16));
	const char *id = collector_fdinfo(c, "eventfd-id");
	if (id)
		SET(e, id, atoi(id));
	collect_mode(c, e);
	return 0;
}

static int eventfd_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	(void)graph;
	(void)direction;
	const Ckpt__Eventfd *e = o->data;
	return e->has_semaphore ? 0 : fail(EVENTFD_MODE, 0, "fdinfo has no eventfd-semaphore, and eBPF does not answer");
}

static bool eventfd_at_home(const struct graph *graph _unused_, const struct object *o _unused_) { return true; }

static int eventfd_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Eventfd *e = o->data;
	struct place at = plan_at(plan, o->id, STAGE_CREATE);
	u32 flags = file_flags(graph, o->id);
	u32 made = plan_cloexec(plan, o->id) | (flags & O_NONBLOCK) | (e->semaphore ? EFD_SEMAPHORE : 0);
	bool fits = e->counter <= UINT32_MAX;
	u32 fd = step_result(plan, plan_call(plan, at, SYS_eventfd2, ARG(fits ? e->counter : 0), ARG(made)));
	if (!fits) {
		u32 counter = plan_data(plan, &e->counter, sizeof e->counter, 8);
		step_expect(plan_call(plan, at, SYS_write, ARG_OF_SLOT(fd), ARG_OF_DATA(counter), ARG(8)), 8);
	}
	plan_place_fd(plan, fd, o->id);
	plan_status_flags(plan, at, o->id, flags, made);
	return 0;
}

static const struct kind kind_eventfd = { .name = "eventfd", .desc = &ckpt__eventfd__descriptor };

const struct resource resource_eventfd = {
	.name = "eventfd",
	.scope = SCOPE_FILE,
	.kind = &kind_eventfd,
	.claims = eventfd_claims,
	.collect = eventfd_collect,
	.judge = eventfd_judge,
	.at_home = eventfd_at_home,
	.apart = eventfd_at_home,
	.plan = eventfd_plan,
};
