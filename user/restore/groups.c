// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what becomes of control groups when the tree is there: the proof of what was set in them, and their freezing. */
#include "restore/groups.h"
#include "base/file.h"
#include "cgroup.pb-c.h"
#include "diag/diag.h"
#include "resource/registry.h"
#include <fcntl.h>
#include <stdio.h>

static bool freezes(const Ckpt__CgroupFile *f)
{
	return f->value && (!strcmp(f->name, "cgroup.freeze") || !strcmp(f->name, "freezer.state"));
}

/* Runs fn for each file of each group that is set. */
static int each_file(const struct graph *g, int (*fn)(const char *path, const Ckpt__CgroupFile *))
{
	int r = 0;
	for (struct object *o = NULL; (o = graph_next(g, resource_cgroup.kind, o));) {
		const Ckpt__Cgroup *m = o->data;
		for (size_t i = 0; i < m->n_group; i++)
			for (size_t k = 0; m->group[i]->set && k < m->group[i]->n_file; k++) {
				char path[2 * PATH_MAX];
				snprintf(path, sizeof path, "%s/%s", m->group[i]->directory, m->group[i]->file[k]->name);
				if (m->group[i]->file[k]->value && fn(path, m->group[i]->file[k]) < 0)
					r = -EINVAL;
			}
	}
	return r;
}

/* An image has of some files the first word, or the first line; what knows no limit may show the largest number there is. */
static bool is_same(const char *now, const char *was)
{
	size_t len = strlen(was);
	if ((!strcmp(was, "-1") || !strcmp(was, "max")) && cgroup_is_unlimited(now))
		return true;
	return !strncmp(now, was, len) && (len ? !now[len] || strchr(" \n", now[len]) : !now[strspn(now, "\n")]);
}

static int verify_file(const char *path, const Ckpt__CgroupFile *f)
{
	_cleanup_text_ struct text now = { 0 };
	int r = freezes(f) ? 0 : file_read(AT_FDCWD, path, &now);
	if (freezes(f) || (r == 0 && is_same(now.data ?: "", f->value)))
		return 0;
	return fail(VERIFY_DIFFERS, r, "%s: \"%s\" instead of \"%s\"", path, now.data ?: "", f->value);
}

int groups_verify(const struct graph *g) { return each_file(g, verify_file); }

static int freeze_file(const char *path, const Ckpt__CgroupFile *f)
{
	const char *text = !strcmp(f->value, "1") ? "1" : "FROZEN";
	_cleanup_close_ int fd = freezes(f) ? open(path, O_WRONLY | O_CLOEXEC) : -1;
	if (!freezes(f) || (fd >= 0 && write(fd, text, strlen(text)) > 0))
		return 0;
	return fail(SYSCALL, neg_errno(), "%s", path);
}

int groups_freeze(const struct graph *g) { return each_file(g, freeze_file); }
