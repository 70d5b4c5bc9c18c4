/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What FILE-scope resources share when they make something that has lost its name: it gets it again for a moment, so that
 * /proc shows the name that the program knows. */
#pragma once
#include "record.h"
#include "resource/file_scope.h"
#include <errno.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#define NAMELESS_LINK " (deleted)"
/* Behind a name that is in use by now; collecting takes it off again. */
#define NAMELESS_SUFFIX "#ckpt"
#define NAMELESS_LOST_MAX 2048  /* directories that a path has room for */
#define NAMELESS_PAUSE 500000   /* ns, while another restore has the name */
#define NAMELESS_PATIENCE 20000 /* so many pauses: a machine with much to do may not let the other go on for a while */
#define NAMELESS_WAIT 1000      /* ms that a restore waits for both names before it makes anything */

/* What the link of a lost name was: "/tmp/x" of "/tmp/x (deleted)". false: it does not end so, or is too long. */
static inline bool nameless_path(const char *link, char path[4096])
{
	static const char *const ends[] = { NAMELESS_LINK, NAMELESS_SUFFIX };
	size_t len = strlen(link);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		size_t end = strlen(ends[i]);
		if (len > end && !strncmp(link + len - end, ends[i], end))
			len -= end;
		else if (i == 0)
			return false;
	}
	if (link[0] != '/' || len < 2 || len + sizeof NAMELESS_SUFFIX > 4096)
		return false;
	snprintf(path, 4096, "%.*s", (int)len, link);
	return true;
}

/* Is this a file that was opened by a name that is gone? */
static inline bool nameless_claims(const struct record_file *file, const char *link)
{
	char path[4096];
	struct stat st;
	if (is_memory_object(link) || is_process_file(file, link) || is_message_queue(file, link) || !nameless_path(link, path))
		return false;
	bool there = lstat(link, &st) == 0 && st.st_ino == file->ino && major(st.st_dev) == file->dev_major &&
		     minor(st.st_dev) == file->dev_minor;
	return !there; /* else it is really called so */
}

/* How many directories at the end of a lost path are gone too. */
static inline u32 nameless_lost(const char *path)
{
	char dir[4096];
	u32 lost = 0;
	snprintf(dir, sizeof dir, "%s", path);
	for (char *slash; (slash = strrchr(dir, '/')) && slash != dir; lost++) {
		*slash = 0;
		if (access(dir, F_OK) == 0)
			return lost;
	}
	return lost;
}

/* The directory of a path, without the directories that are lost. */
static inline void nameless_dir(const char *path, u32 lost, char dir[4096])
{
	snprintf(dir, 4096, "%s", path);
	for (u32 i = 0; i <= lost; i++) {
		char *slash = strrchr(dir, '/');
		if (slash)
			slash[slash == dir] = 0;
	}
}

/* Are a lost name and the one that ckpt takes instead in use for longer than another restore takes them? */
static inline bool nameless_taken(const char *path)
{
	static const struct timespec pause = { .tv_nsec = 1000000 };
	char other[4096 + sizeof NAMELESS_SUFFIX];
	snprintf(other, sizeof other, "%s" NAMELESS_SUFFIX, path);
	for (int i = 0; i < NAMELESS_WAIT; i++) {
		if (access(path, F_OK) < 0 || access(other, F_OK) < 0)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

/* At a restore: its name can be made for a moment. is_dir: path is the directory itself, which gets something without a name. */
static inline int nameless_judge(const char *path, u32 lost, bool is_dir)
{
	char dir[4096];
	struct stat st;
	u32 depth = 0;
	for (const char *c = path; *c; c++)
		depth += *c == '/';
	if (path[0] != '/' || strlen(path) + sizeof NAMELESS_SUFFIX > sizeof dir || lost > depth || lost > NAMELESS_LOST_MAX)
		return fail(IMAGE_INCONSISTENT, 0, "%s", path);
	if (is_dir && !lost)
		snprintf(dir, sizeof dir, "%s", path);
	else
		nameless_dir(path, lost - is_dir, dir);
	if (stat(dir, &st) < 0)
		return fail(FILE_MISSING, neg_errno(), "%s", dir);
	if (!S_ISDIR(st.st_mode))
		return fail(FILE_CHANGED, 0, "%s is no directory any more", dir);
	if (access(dir, W_OK | X_OK) < 0)
		return fail(FILE_DIRECTORY, neg_errno(), "%s", dir);
	if (!is_dir && !lost && nameless_taken(path))
		return fail(FILE_EXISTS, 0, "%s and %s" NAMELESS_SUFFIX, path, path);
	return 0;
}

/* How something is made under a name: `make` adds the step whose result is no error, `use` steps that need the name, all of
 * which must be allowed to fail (step_any): the name has to go afterwards. Both may be called twice, for two names. */
struct nameless {
	const char *path;
	u32 lost;
	int remove_flags; /* of unlinkat */
	struct plan_step *(*make)(struct plan *, struct place, struct arg name, void *with);
	void (*use)(struct plan *, struct place, struct arg name, void *with);
	void *with;
};

/* For a result of the helper: an error until it is known, should the helper die. */
static inline u32 nameless_slot(struct plan *plan)
{
	u32 word = plan_data(plan, &(s32){ -ECHILD }, sizeof(s32), 4);
	struct plan_step *load = plan_op(plan, AT(PLAN_WORLD, STAGE_CREATE), OP_LOAD, 0, (struct arg[6]){ ARG(word) });
	step_any(load);
	return step_result(plan, load);
}

/* Files that are opened by the name while it is there, and placed when it is gone. */
struct opened {
	u32 file, flags, slot;
};
struct opened_list {
	VECTOR(struct opened) list;
};

static inline int opened_add(struct opened_list *l, struct plan *plan, u32 file, u32 flags)
{
	struct opened *o = vector_add(&l->list);
	if (!o)
		return fail_memory();
	*o = (struct opened){ .file = file, .flags = flags, .slot = nameless_slot(plan) };
	return 0;
}

static inline void opened_plan(const struct opened_list *l, struct plan *plan, struct place at, struct arg name)
{
	for (size_t i = 0; i < l->list.n; i++) {
		struct plan_step *open =
			plan_call(plan, at, SYS_openat, ARG(AT_FDCWD), name, ARG(l->list.v[i].flags | O_CLOEXEC));
		step_any(open);
		step_into(open, l->list.v[i].slot);
	}
}

/* Made by a child of ckpt that shares its descriptors: when ckpt is killed in that moment, the child goes on and takes the
 * names away. */
static inline struct place nameless_helper(struct plan *plan)
{
	bool is_new;
	char name[32];
	snprintf(name, sizeof name, "names %u", plan_length(plan, PLAN_WORLD));
	struct place at = plan_helper(plan, AT(PLAN_WORLD, STAGE_CREATE), name, 0, &is_new);
	u32 all = plan_data(plan, &(u64){ ~0ull }, 8, 8);
	step_any(plan_call(plan, at, SYS_rt_sigprocmask, ARG(0 /* SIG_BLOCK */), ARG_OF_DATA(all), ARG(0), ARG(8)));
	return at;
}

/* Twice, since what failed once would be left behind. Returns the slot of the result. */
static inline u32 nameless_remove(struct plan *plan, struct place at, struct arg name, int flags)
{
	struct plan_step *once = plan_call(plan, at, SYS_unlinkat, ARG(AT_FDCWD), name, ARG(flags));
	step_any(once);
	u32 result = step_result(plan, once);
	struct plan_step *gone = plan_skip(plan, at, ARG_OF_SLOT(result), 0, 0);
	struct plan_step *again = plan_call(plan, at, SYS_unlinkat, ARG(AT_FDCWD), name, ARG(flags));
	step_any(again);
	step_into(again, result);
	plan_land(plan, at, gone);
	return result;
}

static inline void nameless_under(struct plan *plan, struct place at, const struct nameless *n, const char *path, u32 made)
{
	struct arg name = arg_string(plan, path);
	struct plan_step *make = n->make(plan, at, name, n->with);
	step_any(make);
	step_into(make, made);
	struct plan_step *failed = plan_skip(plan, at, ARG_OF_SLOT(made), -4095, -1);
	n->use(plan, at, name, n->with);
	nameless_remove(plan, at, name, n->remove_flags);
	plan_land(plan, at, failed);
}

/* Makes the directories that are lost, from the uppermost on; their results tell whether they are ours. */
static inline void nameless_make_lost(struct plan *plan, struct place at, const struct nameless *n,
				      u32 slots[NAMELESS_LOST_MAX])
{
	char dir[4096];
	for (u32 i = n->lost; i-- > 0;) {
		nameless_dir(n->path, i, dir);
		struct plan_step *make = plan_call(plan, at, SYS_mkdirat, ARG(AT_FDCWD), arg_string(plan, dir), ARG(0700));
		step_any(make);
		slots[i] = step_result(plan, make);
	}
}

/* Goes back to the step that was number `begin` when the slot's error is this one: another restore has the name. */
static inline void nameless_again(struct plan *plan, struct place at, u32 slot, int error, u32 begin)
{
	struct plan_step *in_use = plan_skip(plan, at, ARG_OF_SLOT(slot), -error, -error);
	struct plan_step *over = plan_skip(plan, at, ARG(0), 0, 0);
	plan_land(plan, at, in_use);
	u32 pause = plan_data(plan, &(u64[2]){ 0, NAMELESS_PAUSE }, 16, 8); /* struct timespec */
	step_any(plan_call(plan, at, SYS_nanosleep, ARG_OF_DATA(pause), ARG(0)));
	u32 back = plan_length(plan, at.tid) - begin;
	step_any(plan_op(plan, at, OP_BRANCH, 0, (struct arg[6]){ ARG(0), ARG(1), ARG(back), ARG(NAMELESS_PATIENCE) }));
	plan_land(plan, at, over);
}

static inline void nameless_remove_lost(struct plan *plan, struct place at, const struct nameless *n,
					const u32 slots[NAMELESS_LOST_MAX])
{
	char dir[4096];
	for (u32 i = 0; i < n->lost; i++) {
		nameless_dir(n->path, i, dir);
		struct plan_step *foreign = plan_skip(plan, at, ARG_OF_SLOT(slots[i]), -4095, -1);
		u32 begin = plan_length(plan, at.tid);
		u32 removed = nameless_remove(plan, at, arg_string(plan, dir), AT_REMOVEDIR);
		nameless_again(plan, at, removed, ENOTEMPTY, begin);
		plan_land(plan, at, foreign);
	}
}

/* The world fails here when the step that gave the slot did. */
static inline void plan_check(struct plan *plan, struct place at, u32 slot)
{
	u32 word = plan_data(plan, NULL, 4, 4);
	plan_op(plan, at, OP_STORE, 0, (struct arg[6]){ ARG(word), ARG_OF_SLOT(slot) });
	plan_op(plan, at, OP_LOAD, 0, (struct arg[6]){ ARG(word) });
}

static inline void opened_place(const struct opened_list *l, struct plan *plan)
{
	for (size_t i = 0; i < l->list.n; i++) {
		plan_check(plan, AT(PLAN_WORLD, STAGE_CREATE), l->list.v[i].slot);
		plan_place_fd(plan, l->list.v[i].slot, l->list.v[i].file);
	}
}

/* Makes it under its old name, or, when that is in use, under the one with the suffix; while another restore has both, again.
 * Returns the slot of what `make` gave; the world has checked it. */
static inline u32 plan_nameless(struct plan *plan, const struct nameless *n)
{
	char other[4096];
	u32 lost[NAMELESS_LOST_MAX];
	u32 made = nameless_slot(plan);
	struct place at = nameless_helper(plan);
	snprintf(other, sizeof other, "%s" NAMELESS_SUFFIX, n->path);
	u32 begin = plan_length(plan, at.tid);
	nameless_make_lost(plan, at, n, lost);
	nameless_under(plan, at, n, n->path, made);
	struct plan_step *done = plan_skip(plan, at, ARG_OF_SLOT(made), 0, INT64_MAX);
	nameless_under(plan, at, n, other, made);
	plan_land(plan, at, done);
	nameless_remove_lost(plan, at, n, lost);
	nameless_again(plan, at, made, EEXIST, begin);
	if (n->lost) /* it has removed them */
		nameless_again(plan, at, made, ENOENT, begin);
	plan_check(plan, AT(PLAN_WORLD, STAGE_CREATE), made);
	return made;
}
