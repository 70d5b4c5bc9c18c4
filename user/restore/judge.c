// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the refusals of a restore: what the image asks of this host that it cannot give. All at once, before anything is
 * made. An image is untrusted: what the plan relies on is checked here. */
#include "arch/arch.h"
#include "diag/diag.h"
#include "model/shape.h"
#include "resource/registry.h"
#include "restore/compile.h"

static int judge_host(const struct graph *g)
{
	const Ckpt__Host *host = graph_data(g, &kind_host, 1);
	if (!host || !host->arch)
		return fail(IMAGE_INCONSISTENT, 0, "it does not say where it was made");
	if (strcmp(host->arch, arch_name()))
		return fail(OTHER_ARCH, 0, "made on %s, this is %s", host->arch, arch_name());
	const Ckpt__Task *root = graph_data(g, &kind_task, host->root_pid);
	if (!root || root->ppid)
		return fail(IMAGE_INCONSISTENT, 0, "process %u is not the root of its tree", host->root_pid);
	return 0;
}

/* Is the process, the thread or the file there that it is about? */
static bool has_subject(const struct graph *g, const struct resource *res, const struct object *o)
{
	const Ckpt__Task *task;
	const Ckpt__File *file;
	switch (res->scope) {
	case SCOPE_TASK:
		task = shape_task(g, o->id);
		return task && !shape_is_zombie(task);
	case SCOPE_THREAD:
		return graph_find(g, &kind_thread, o->id);
	case SCOPE_FILE:
		file = graph_data(g, &kind_file, o->id);
		return file && file->kind && !strcmp(file->kind, res->name);
	}
	return false;
}

static int judge_resource(const struct graph *g, const struct resource *res)
{
	int r = 0;
	for (struct object *o = NULL; (o = graph_next(g, res->kind, o));) {
		WORKING_ON_OBJECT(res->name, o->id);
		if (!has_subject(g, res, o))
			r = fail(IMAGE_INCONSISTENT, 0, "it belongs to nobody");
		else if (res->scope == SCOPE_FILE && file_is_external(g, o->id))
			continue;
		else if (res->judge && res->judge(g, o, DIRECTION_RESTORE) < 0)
			r = -EINVAL;
	}
	return r;
}

static int judge_resources(const struct graph *g)
{
	int r = 0;
	for (const struct resource *const *res = registry; *res; res++)
		if (judge_resource(g, *res) < 0)
			r = -EINVAL;
	return r;
}

int judge_restore(const struct graph *g, const struct survey *s)
{
	int r = judge_host(g);
	if (r == 0)
		r = judge_structure(g, s);
	if (r < 0) /* what follows relies on it */
		return r;
	/* a negative one makes all of it negative */
	r = judge_clock(g, s);
	r |= judge_cpu(g);
	r |= shape_judge(g);
	r |= judge_resources(g);
	r |= judge_vdso(g, s);
	r |= judge_rights(g, s);
	r |= judge_rseq(g, s);
	r |= judge_dispatch(g, s);
	r |= judge_huge(g);
	return r < 0 ? -EINVAL : 0;
}
