// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns descriptors of namespaces: those that the tree is in are the same ones after a restore, wherever that is. */
#include "collect/collect.h"
#include "nsfs.pb-c.h"
#include "resource/file_scope.h"

static const struct kind kind_nsfs = { .name = "nsfs", .desc = &ckpt__nsfs__descriptor };

static const char *const names[] = { "cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts" };

/* What the link names, as in "net:[4026531840]"; NULL: no namespace. */
static const char *name_in(const char *link)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t len = strlen(names[i]);
		if (!strncmp(link, names[i], len) && !strncmp(link + len, ":[", 2))
			return names[i];
	}
	return NULL;
}

static bool nsfs_claims(const struct record_file *file, const char *link)
{
	(void)file;
	return name_in(link);
}

/* The clocks of a tree may be its own: then a restore enters a time namespace before it makes anything. All other namespaces are
 * ckpt's. */
static bool is_own(struct collector *c, const struct record_file *file, const char *name)
{
	char path[32];
	struct stat st;
	int proc = !strcmp(name, "time") && file->tgid ? collector_proc(c, file->tgid) : -1;
	snprintf(path, sizeof path, "%sns/%s", proc < 0 ? "/proc/self/" : "", name);
	return fstatat(proc < 0 ? AT_FDCWD : proc, path, &st, 0) == 0 && st.st_ino == file->ino;
}

static int nsfs_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	Ckpt__Nsfs *m = o->data;
	const char *name = name_in(subject->link);
	if (!message_set_string(&m->name, name))
		return fail_memory();
	if (!is_own(c, subject->file, name))
		SET(m, foreign, true);
	return 0;
}

static int nsfs_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	(void)graph;
	const Ckpt__Nsfs *m = o->data;
	bool known = false;
	for (size_t i = 0; m->name && i < ARRAY_SIZE(names); i++)
		known |= !strcmp(m->name, names[i]);
	if (!known)
		return fail(IMAGE_VALUE, 0, "namespace %.20s", m->name ?: "without a name");
	if (!m->foreign)
		return 0;
	return direction == DIRECTION_DUMP ? fail(FD_NAMESPACE, 0, "a %s namespace", m->name)
					   : fail(IMAGE_INCONSISTENT, 0, "another %s namespace", m->name);
}

static int nsfs_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Nsfs *m = o->data;
	char path[32];
	snprintf(path, sizeof path, "/proc/self/ns/%s", m->name);
	struct plan_step *open = plan_call(plan, AT(PLAN_WORLD, STAGE_CREATE), SYS_openat, ARG(AT_FDCWD),
					   arg_string(plan, path), ARG(file_reopen_flags(graph, o->id)));
	plan_place_fd(plan, step_result(plan, open), o->id);
	return 0;
}

const struct resource resource_nsfs = {
	.name = "nsfs",
	.scope = SCOPE_FILE,
	.kind = &kind_nsfs,
	.claims = nsfs_claims,
	.collect = nsfs_collect,
	.judge = nsfs_judge,
	.plan = nsfs_plan,
};
