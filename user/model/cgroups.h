/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Paths of control groups below the root of their hierarchy, and the roots that a command line names for a tree's. */
#pragma once
#include "base/vector.h"
#include "cgroup.pb-c.h"
#include "model/model.h"

/* The type of version 2 in a command line; in images its name is empty. */
#define CGROUP_VERSION_2 "cgroup2"

/* "[CONTROLLER:]/PATH" as they were given; the texts are the caller's. */
struct cgroup_roots {
	VECTOR(const char *) list;
};
/* Refused with USAGE when it is of another form. */
int cgroup_root_add(struct cgroup_roots *, const char *text);
/* The root of a hierarchy (controllers as /proc/PID/cgroup names them; "": version 2): the last that names one of them, else the last
 * that names none. NULL: it has none. roots: may be NULL. */
const char *cgroup_root_of(const struct cgroup_roots *roots, const char *hierarchy);

/* Does a limit show the largest number there is? 2^63 - 1, rounded to whatever pages. */
static inline bool cgroup_is_unlimited(const char *value) { return !strncmp(value, "922337203", 9); }
static inline bool cgroup_is_root(const char *path) { return !strcmp(path, "/"); }
/* Below the root of ckpt's cgroup namespace, or that: a path that leads out of it begins with "/..". path: may be NULL. */
bool cgroup_is_path(const char *path);
/* Is it that control group, or one below? */
bool cgroup_is_within(const char *path, const char *above);
/* Cuts what is in `top` to what it and the path have in common, "/" at least. Both are paths. */
void cgroup_cut_to_common(char *top, const char *path);

/* The path in a list of places, one in each hierarchy: what is in no list is in the root. */
const char *cgroup_place(size_t count, Ckpt__CgroupPlace *const *places, const char *hierarchy);
/* That of a process. */
const char *cgroup_path(const Ckpt__Cgroup *, const char *hierarchy);
/* The deepest group that all processes are in, or below; to be freed, NULL without memory. kind: of the processes' control groups. */
char *cgroup_common(const struct graph *, const struct kind *, const char *hierarchy);

/* Appends a place to a repeated field. 0 or -ENOMEM (reported). */
int cgroup_add_place(size_t *count, Ckpt__CgroupPlace ***places, const char *hierarchy, const char *path);
/* Appends a group, or a file to one: without what is optional. NULL without memory (reported). */
Ckpt__CgroupGroup *cgroup_add_group(Ckpt__Cgroup *, const char *hierarchy, const char *path);
Ckpt__CgroupFile *cgroup_add_file(Ckpt__CgroupGroup *, const char *name);
/* Will a restore make the group that a path of this host leads to, or into? */
bool cgroup_makes(const struct graph *, const char *path);
/* The group of a path; NULL: there is none. */
Ckpt__CgroupGroup *cgroup_find_group(const Ckpt__Cgroup *, const char *hierarchy, const char *path);
