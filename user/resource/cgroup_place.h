/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The control groups that a process is in, and the hierarchies of this host. A part of cgroup.c. */
#pragma once
#include "base/file.h"
#include "cgroup.pb-c.h"
#include "diag/diag.h"
#include "model/cgroups.h"
#include "model/model.h"
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>

/* The lines of /proc/PID/cgroup: "ID:CONTROLLERS:PATH". */
static inline int read_places(int proc, const char *file, bool roots, Ckpt__Cgroup *m)
{
	_cleanup_text_ struct text text = { 0 };
	int r = file_read(proc, file, &text);
	if (r == -ENOENT) /* CONFIG_CGROUPS=n */
		return 0;
	if (r < 0)
		return fail(PROC_READ, r, "%s", file);
	for (char *line, *rest = text.data; r == 0 && (line = strsep(&rest, "\n"));) {
		strsep(&line, ":");
		const char *hierarchy = strsep(&line, ":");
		if (line && (roots || !cgroup_is_root(line)))
			r = cgroup_add_place(&m->n_place, &m->place, hierarchy, line);
	}
	return r;
}

/* --- this host --- */

struct hierarchy {
	const char *name; /* as in CgroupPlace */
	const char *own;  /* where ckpt is */
	bool looked;
	char *mount; /* NULL: nowhere, or not looked for yet */
};
struct hierarchies {
	Ckpt__Cgroup *own;
	VECTOR(struct hierarchy) list;
};

static inline void hierarchies_free(struct hierarchies *h)
{
	for (size_t i = 0; i < h->list.n; i++)
		free(h->list.v[i].mount);
	vector_free(&h->list);
	ckpt__cgroup__free_unpacked(h->own, NULL);
}
#define _cleanup_hierarchies_ _cleanup_(hierarchies_free)

/* Those that ckpt itself is in, which are all. */
static inline int hierarchies_read(struct hierarchies *ret)
{
	ret->own = MESSAGE_NEW(Ckpt__Cgroup, ckpt__cgroup);
	int r = ret->own ? read_places(AT_FDCWD, "/proc/self/cgroup", true, ret->own) : fail_memory();
	for (size_t i = 0; r == 0 && i < ret->own->n_place; i++) {
		struct hierarchy *h = vector_add(&ret->list);
		if (!h)
			return fail_memory();
		*h = (struct hierarchy){ .name = ret->own->place[i]->hierarchy, .own = ret->own->place[i]->path };
	}
	return r;
}

static inline struct hierarchy *hierarchy_of(struct hierarchies *all, const char *name)
{
	for (size_t i = 0; i < all->list.n; i++)
		if (!strcmp(all->list.v[i].name, name))
			return &all->list.v[i];
	return NULL;
}

static inline bool is_mount_of(const struct mntent *mount, const char *hierarchy)
{
	char first[64];
	snprintf(first, sizeof first, "%.*s", (int)strcspn(hierarchy, ","), hierarchy);
	return *hierarchy ? !strcmp(mount->mnt_type, "cgroup") && hasmntopt(mount, first) : !strcmp(mount->mnt_type, "cgroup2");
}

/* Where the hierarchy is mounted; NULL: nowhere. */
static inline const char *mount_of(struct hierarchy *h)
{
	FILE *mounts = h->looked ? NULL : setmntent("/proc/self/mounts", "re");
	for (struct mntent *mount; mounts && !h->mount && (mount = getmntent(mounts));)
		if (is_mount_of(mount, h->name))
			h->mount = strdup(mount->mnt_dir);
	if (mounts)
		endmntent(mounts);
	h->looked = true;
	return h->mount;
}

/* The directory of a control group, to be freed; NULL: its hierarchy is not mounted, or there is no memory. */
static inline char *directory_of(struct hierarchy *h, const char *path)
{
	char *directory = NULL;
	const char *mount = mount_of(h);
	return mount && asprintf(&directory, "%s%s", mount, path) >= 0 ? directory : NULL;
}
