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
#define GROUP_LARGEST "922337203" /* the first digits of 2^63 - 1, rounded to whatever pages */

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
		return !strcmp(value, row->initial) || !strncmp(value, GROUP_LARGEST, strlen(GROUP_LARGEST));
	case WEIGHT:
		return !strcmp(value, row->initial) || !strcmp(value, "0");
	default:
		return row->initial ? !strcmp(value, row->initial) : !*value;
	}
}

static inline int add_file(Ckpt__CgroupGroup *g, const char *name, Ckpt__CgroupFile **ret)
{
	Ckpt__CgroupFile *f = MESSAGE_NEW(Ckpt__CgroupFile, ckpt__cgroup_file);
	if (!f || !MESSAGE_APPEND(&g->n_file, &g->file, f)) {
		free(f);
		return fail_memory();
	}
	*ret = f;
	return message_set_string(&f->name, name) ? 0 : fail_memory();
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
	Ckpt__CgroupFile *f = NULL;
	r = has_value || has_owner ? add_file(g, name, &f) : 0;
	if (r < 0 || !f)
		return r;
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

static inline Ckpt__CgroupGroup *group_at(const Ckpt__Cgroup *m, const char *hierarchy, const char *path)
{
	for (size_t i = 0; i < m->n_group; i++) {
		Ckpt__CgroupGroup *g = m->group[i];
		if (g->hierarchy && g->path && !strcmp(g->hierarchy, hierarchy) && !strcmp(g->path, path))
			return g;
	}
	return NULL;
}

static inline int append_group(Ckpt__Cgroup *m, const char *hierarchy, const char *path, Ckpt__CgroupGroup **ret)
{
	Ckpt__CgroupGroup *g = MESSAGE_NEW(Ckpt__CgroupGroup, ckpt__cgroup_group);
	if (!g || !MESSAGE_APPEND(&m->n_group, &m->group, g)) {
		free(g);
		return fail_memory();
	}
	*ret = g;
	return message_set_string(&g->hierarchy, hierarchy) && message_set_string(&g->path, path) ? 0 : fail_memory();
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
	Ckpt__CgroupGroup *g = NULL;
	if (is_within(d->hierarchy->own, path) || group_at(d->m, d->hierarchy->name, path))
		return 0;
	DIR *dir = open_group(d, path);
	if (!dir || fstat(dirfd(dir), &st) < 0)
		return 0;
	int r = append_group(d->m, d->hierarchy->name, path, &g);
	if (r == 0) {
		SET(g, uid, st.st_uid);
		SET(g, gid, st.st_gid);
		SET(g, mode, st.st_mode & 07777);
		if (is_within(d->top, path) && strcmp(d->top, path) != 0)
			SET(g, above, true);
		u32 programs = *d->hierarchy->name ? 0 : count_programs(dirfd(dir));
		if (programs)
			SET(g, programs, programs);
		r = describe_files(dir, g);
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

/* Cuts what is in `top` to what it and the path have in common. */
static inline void cut_to_common(char *top, const char *path)
{
	while (!is_within(path, top)) {
		char *slash = strrchr(top, '/');
		slash[slash == top] = 0;
	}
}

static inline const char *path_of(const struct object *o, const char *hierarchy)
{
	const Ckpt__Cgroup *m = o->data;
	return path_in(m->n_place, m->place, hierarchy);
}

/* The deepest group that all processes are in, or below; to be freed, NULL without memory. */
static inline char *common_group(const struct graph *graph, const struct kind *kind, const char *hierarchy)
{
	char *top = NULL;
	for (struct object *o = NULL; (o = graph_next(graph, kind, o));) {
		const char *path = path_of(o, hierarchy);
		if (top)
			cut_to_common(top, path);
		else if (!(top = strdup(path)))
			return NULL;
	}
	return top;
}

static inline int describe_hierarchy(const struct graph *graph, const struct object *first, struct hierarchy *h)
{
	_cleanup_free_ char *top = common_group(graph, first->kind, h->name);
	const struct description d = { first->data, h, top };
	const char *before = "/";
	int r = 0;
	if (!top)
		return fail_memory();
	for (struct object *o = NULL; r == 0 && (o = graph_next(graph, first->kind, o));) {
		const char *path = path_of(o, h->name);
		if (strcmp(path, before) != 0 && is_path(path) && !is_within(h->own, path))
			r = describe_path(&d, path);
		before = path;
	}
	return r;
}
