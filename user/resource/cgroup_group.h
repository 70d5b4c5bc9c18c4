/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Control groups themselves, as a dump finds them: who may use them and what is set in them. A part of cgroup.c. */
#pragma once
#include "base/bpf.h"
#include "resource/cgroup_place.h"
#include <sys/stat.h>

struct group_file {
	const char *name;
	enum group_how { WHOLE, WORD, WEIGHT, LIMIT, LINE, LINES, ENABLE, THREADED, DEVICES, OWNER, FREEZE } how;
	const char *initial;
};
static const struct group_file group_files[] = {
#define CGROUP_FILE(name, how, initial) { name, how, initial },
#include "resource/cgroup_files.def"
#undef CGROUP_FILE
};

#define GROUP_MODE 0755
#define GROUP_FILE_MODE 0644

/* Its row; NULL: it has none. */
static inline const struct group_file *group_file_of(const char *name)
{
	size_t len = strlen(name);
	for (size_t i = 0; i < ARRAY_SIZE(group_files); i++) {
		const char *known = group_files[i].name;
		size_t head = strcspn(known, "*"), tail = known[head] ? strlen(known + head + 1) : 0;
		if (!known[head]
			    ? !strcmp(name, known)
			    : len > head + tail && !strncmp(name, known, head) && !strcmp(name + len - tail, known + head + 1))
			return &group_files[i];
	}
	return NULL;
}

/* What it holds, as far as it is to be written. -errno; -EOPNOTSUPP, -EINVAL: its group is of a type that has it not. */
static inline int read_value(int dir, const char *name, enum group_how how, struct text *ret)
{
	int r = file_read(dir, name, ret);
	if (r < 0 || !ret->data)
		return r < 0 ? r : text_failed(ret) ? -ENOMEM : 0;
	while (ret->len && ret->data[ret->len - 1] == '\n')
		ret->data[--ret->len] = 0;
	ret->data[how == WORD ? strcspn(ret->data, " ") : how == LINE ? strcspn(ret->data, "\n") : ret->len] = 0;
	return 0;
}

static inline bool is_initial(const struct group_file *row, const char *value)
{
	switch (row->how) {
	case OWNER:
		return true;
	case THREADED:
		return strcmp(value, "threaded") != 0;
	case LIMIT: /* page_counter_read(): in pages of the kernel, or huge ones */
		return !strcmp(value, row->initial) || cgroup_is_unlimited(value);
	case WEIGHT:
		return !strcmp(value, row->initial) || !strcmp(value, "0");
	default:
		return row->initial ? !strcmp(value, row->initial) : !*value;
	}
}

/* One that is as in every new group of root is left out, and one that is of no use to its group, or gone. */
static inline int describe_file(int dir, Ckpt__CgroupGroup *g, const char *name)
{
	struct stat st;
	_cleanup_text_ struct text value = { 0 };
	const struct group_file *row = group_file_of(name);
	if (!row || fstatat(dir, name, &st, 0) < 0 || (!(st.st_mode & S_IWUSR) && row->how != DEVICES))
		return 0;
	int r = row->how == OWNER ? 0 : read_value(dir, name, row->how, &value);
	if (r < 0)
		return r == -ENOMEM ? fail_memory() : 0;
	bool has_value = !is_initial(row, value.data ?: "");
	bool has_owner = st.st_uid || st.st_gid || ((st.st_mode & 07777) != GROUP_FILE_MODE && row->how != DEVICES);
	if (!has_value && !has_owner)
		return 0;
	Ckpt__CgroupFile *f = cgroup_add_file(g, name);
	if (!f)
		return -ENOMEM;
	if (has_owner) {
		SET(f, uid, st.st_uid);
		SET(f, gid, st.st_gid);
		SET(f, mode, st.st_mode & 07777);
	}
	return !has_value || message_set_string(&f->value, value.data ?: "") ? 0 : fail_memory();
}

/* Of every kind that can be attached to a group; those that there are not have none. bpf(2), BPF_PROG_QUERY. */
static inline u32 count_programs(int dir)
{
	u32 count = 0;
	for (u32 type = 0; type < 64; type++) {
		union bpf_attr attr = { .query = { .target_fd = (u32)dir, .attach_type = type } };
		if (bpf_call(BPF_PROG_QUERY, &attr, sizeof attr.query) == 0)
			count += attr.query.prog_cnt;
	}
	return count;
}

/* Fills in what is set in the group of an open directory. */
static inline int describe_files(DIR *dir, Ckpt__CgroupGroup *g)
{
	int r = 0, failed = 0;
	for (struct dirent *e; r == 0 && (e = file_next(dir, &failed));)
		if (e->d_type == DT_REG)
			r = describe_file(dirfd(dir), g, e->d_name);
	return r;
}

/* What a dump collects: the groups of one hierarchy. */
struct description {
	Ckpt__Cgroup *m;
	struct hierarchy *hierarchy;
	char *top; /* all processes are in it, or below */
};

static inline DIR *open_group(const struct description *d, const char *path)
{
	_cleanup_free_ char *directory = directory_of(d->hierarchy, path);
	return directory ? opendir(directory) : NULL;
}

/* A group that ckpt is in is not the tree's, nor one above; one that is gone is left to the restore to miss. */
static inline int describe_group(const struct description *d, const char *path)
{
	struct stat st;
	if (cgroup_is_within(d->hierarchy->own, path) || cgroup_find_group(d->m, d->hierarchy->name, path))
		return 0;
	DIR *dir = open_group(d, path);
	if (!dir)
		return 0;
	if (fstat(dirfd(dir), &st) < 0) {
		closedir(dir);
		return 0;
	}
	Ckpt__CgroupGroup *g = cgroup_add_group(d->m, d->hierarchy->name, path);
	int r = g ? describe_files(dir, g) : -ENOMEM;
	if (g) {
		SET(g, uid, st.st_uid);
		SET(g, gid, st.st_gid);
		SET(g, mode, st.st_mode & 07777);
		if (cgroup_is_within(d->top, path) && strcmp(d->top, path) != 0)
			SET(g, above, true);
		u32 programs = *d->hierarchy->name ? 0 : count_programs(dirfd(dir));
		if (programs)
			SET(g, programs, programs);
	}
	closedir(dir);
	return r;
}

/* Groups below, be nobody in them. */
static inline int describe_below(const struct description *d, const char *path)
{
	struct stat st;
	int r = 0, failed = 0;
	DIR *dir = open_group(d, path);
	bool some = dir && fstat(dirfd(dir), &st) == 0 && st.st_nlink > 2;
	for (struct dirent *e; some && r == 0 && (e = file_next(dir, &failed));) {
		_cleanup_free_ char *below = NULL;
		if (e->d_type != DT_DIR || *e->d_name == '.')
			continue;
		r = asprintf(&below, "%s/%s", path, e->d_name) < 0 ? fail_memory() : describe_group(d, below);
		if (r == 0)
			r = describe_below(d, below);
	}
	if (dir)
		closedir(dir);
	return r;
}

/* A group that a process is in, those above it, and those below. */
static inline int describe_path(const struct description *d, const char *path)
{
	int r = 0;
	for (const char *end = path; r == 0 && *end;) {
		end += strcspn(end + 1, "/") + 1;
		_cleanup_free_ char *above = strndup(path, (size_t)(end - path));
		r = above ? describe_group(d, above) : fail_memory();
	}
	return r == 0 ? describe_below(d, path) : r;
}

/* root: of what belongs to the tree; NULL: the deepest group that all processes have in common. */
static inline int describe_hierarchy(const struct graph *graph, const struct object *first, struct hierarchy *h,
				     const char *root)
{
	_cleanup_free_ char *top = cgroup_common(graph, first->kind, h->name);
	const struct description d = { first->data, h, top };
	const char *before = "/";
	int r = 0;
	if (!top)
		return fail_memory();
	if (root) {
		cgroup_cut_to_common(top, root);
		r = describe_path(&d, root);
	}
	for (struct object *o = NULL; r == 0 && (o = graph_next(graph, first->kind, o));) {
		const char *path = cgroup_path(o->data, h->name);
		if (strcmp(path, before) != 0 && cgroup_is_path(path) && !cgroup_is_within(h->own, path))
			r = describe_path(&d, path);
		before = path;
	}
	return r;
}
