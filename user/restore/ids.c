// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the question which ids are free here before a restore, and who has those that are not. */
#include "base/file.h"
#include "collect/proc_text.h"
#include "diag/diag.h"
#include "model/shape.h"
#include "restore/restore.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <time.h>

#define DEAD_PATIENCE 300 /* times 10 ms, until the dead have been reaped: for all ids together */
#define SPARE_IDS 4
#define SPARE_RANGE 200
#define FILES_OF_ONE 64 /* a spare id for so many files more: for those who make them (compile_makers.c) */

/* Looking for free ids. */
struct ids {
	bool fresh; /* in a new pid namespace, where all are */
	int probe;  /* a file that nobody uses */
	u32 highest;
	int waited;
};

/* The kernel keeps an id while anything has it: a thread, a process group, a session, the living or the dead. Only who may own
 * a file's signals is asked for all of these at once (fcntl(2), F_SETOWN_EX; f_setown_ex()). */
static bool is_free(const struct ids *ids, u32 id)
{
	const struct f_owner_ex owner = { .type = F_OWNER_TID, .pid = (pid_t)id };
	return ids->fresh || !id || (fcntl(ids->probe, F_SETOWN_EX, &owner) < 0 && errno == ESRCH);
}

static bool wait_for_dead(struct ids *ids)
{
	if (ids->waited == DEAD_PATIENCE)
		return false;
	ids->waited++;
	nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	return true;
}

static bool read_stat(u32 pid, struct record_task *ret)
{
	_cleanup_text_ struct text stat = { 0 };
	*ret = (struct record_task){ .tid = pid };
	return file_readf(&stat, AT_FDCWD, "/proc/%u/stat", pid) == 0 && stat.data && parse_stat(stat.data, ret) == 0;
}

static bool is_dead(const struct record_task *t) { return t->state == 'Z' || t->state == 'X'; }

/* It was killed, and takes its time. */
static bool is_dying(const struct record_task *t)
{
	char path[32];
	snprintf(path, sizeof path, "/proc/%u", t->tid);
	_cleanup_close_ int proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return proc < 0 || task_was_killed(proc);
}

/* Who is in the group or the session of an id; one that lives, if there is one. */
static bool find_member(u32 id, struct record_task *ret)
{
	bool found = false;
	int err = 0;
	DIR *proc = opendir("/proc");
	for (struct dirent *e; proc && (e = file_next(proc, &err));) {
		struct record_task t;
		u32 pid = (u32)strtoul(e->d_name, NULL, 10);
		if (!pid || !read_stat(pid, &t) || (t.pgid != id && t.sid != id) || (found && is_dead(&t)))
			continue;
		*ret = t;
		found = true;
	}
	if (proc)
		closedir(proc);
	return found;
}

static int taken(u32 id, const struct record_task *t)
{
	if (t->tid != id)
		return fail(PID_TAKEN, -EEXIST, "%u is the %s of process %u (\"%s\") outside of the tree", id,
			    t->pgid == id ? "process group" : "session", t->tid, t->comm);
	if (t->state == 'Z')
		return fail(PID_TAKEN, -EEXIST, "%u is \"%s\", which has ended, but its parent %u has not asked how (wait(2))",
			    id, t->comm, t->ppid);
	return fail(PID_TAKEN, -EEXIST, "%u is \"%s\"", id, t->comm);
}

/* The dead whose parent is about to reap them are waited for, and who is about to die. */
static int survey_id(struct ids *ids, u32 id)
{
	ids->highest = MAX(ids->highest, id);
	WORKING_ON_THREAD(id);
	while (!is_free(ids, id)) {
		struct record_task holder;
		bool known = read_stat(id, &holder) || find_member(id, &holder);
		if (known && !is_dead(&holder) && !is_dying(&holder))
			return taken(id, &holder);
		if (wait_for_dead(ids))
			continue;
		return known ? taken(id, &holder) : fail(PID_TAKEN, -EEXIST, "%u has a holder that /proc does not show", id);
	}
	return 0;
}

static int survey_wanted(struct ids *ids, const struct graph *g)
{
	int r = 0;
	for (size_t i = 0; i < g->objects.n; i++) {
		const struct object *o = g->objects.v[i];
		const Ckpt__Task *t = o->kind == &kind_task ? o->data : NULL;
		if (o->kind == &kind_thread || (t && (shape_is_zombie(t) || t->has_leader_exit)))
			r = survey_id(ids, o->id) < 0 ? -EEXIST : r;
	}
	_cleanup_stand_ins_ struct shape_stand_ins stand_ins = { 0 };
	size_t mark = diag_mark();
	if (shape_stand_ins(&stand_ins, g) < 0)
		diag_forget(mark); /* it is judged later */
	for (size_t i = 0; i < stand_ins.list.n; i++)
		r = survey_id(ids, stand_ins.list.v[i].id) < 0 ? -EEXIST : r;
	return r;
}

int survey_ids(struct survey *s, const struct graph *g, bool fresh)
{
	_cleanup_close_ int probe = fresh ? -1 : eventfd(0, EFD_CLOEXEC);
	struct ids ids = { .fresh = fresh, .probe = probe, .highest = 300 };
	if (!fresh && probe < 0)
		return fail(SYSCALL, neg_errno(), "eventfd");
	int r = survey_wanted(&ids, g);
	u32 files = 0;
	for (struct object *o = NULL; (o = graph_next(g, &kind_file, o));)
		files++;
	u32 want = SPARE_IDS + files / FILES_OF_ONE, last = ids.highest + SPARE_RANGE + want;
	for (u32 id = ids.highest + 1; s->spare_pids.n < want && id <= last; id++) {
		u32 *place = is_free(&ids, id) ? vector_add(&s->spare_pids) : NULL;
		if (place)
			*place = id;
	}
	return r;
}
