// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns signalfd(2): a set of signals. What is read are the reader's own pending signals; the descriptor has none. */
#include "collect/collect.h"
#include "resource/file_scope.h"
#include "signalfd.pb-c.h"
#include <sys/signalfd.h>

static bool signalfd_claims(const struct record_file *file, const char *link)
{
	(void)file;
	return !strcmp(link, "anon_inode:[signalfd]");
}

static int signalfd_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	(void)subject;
	Ckpt__Signalfd *s = o->data;
	const char *mask = collector_fdinfo(c, "sigmask");
	if (!mask)
		return fail(FD_FDINFO, 0, "sigmask");
	SET(s, mask, strtoull(mask, NULL, 16));
	return 0;
}

static int signalfd_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	(void)graph;
	(void)direction;
	const Ckpt__Signalfd *s = o->data;
	return s->has_mask ? 0 : fail(IMAGE_VALUE, 0, "a signalfd without a mask");
}

static int signalfd_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Signalfd *s = o->data;
	struct place at = AT(PLAN_WORLD, STAGE_CREATE);
	u32 flags = file_flags(graph, o->id), made = SFD_CLOEXEC | (flags & O_NONBLOCK);
	u32 mask = plan_data(plan, &s->mask, sizeof s->mask, 8);
	plan_place_fd(plan,
		      step_result(plan, plan_call(plan, at, SYS_signalfd4, ARG(-1), ARG_OF_DATA(mask), ARG(8), ARG(made))),
		      o->id);
	plan_status_flags(plan, at, o->id, flags, made);
	return 0;
}

static bool signalfd_apart(const struct graph *graph _unused_, const struct object *o _unused_) { return true; }

static const struct kind kind_signalfd = { .name = "signalfd", .desc = &ckpt__signalfd__descriptor };

const struct resource resource_signalfd = {
	.name = "signalfd",
	.scope = SCOPE_FILE,
	.kind = &kind_signalfd,
	.claims = signalfd_claims,
	.collect = signalfd_collect,
	.judge = signalfd_judge,
	.apart = signalfd_apart,
	.plan = signalfd_plan,
};
