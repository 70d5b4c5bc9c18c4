// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the reading of this host before a restore. */
#include "base/clock.h"
#include "base/file.h"
#include "collect/collect.h"
#include "collect/proc_text.h"
#include "collect/vdso.h"
#include "diag/diag.h"
#include "host/auxv.h"
#include "model/shape.h"
#include "resource/registry.h"
#include "restore/restore.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

static int survey_own(struct survey *s)
{
	_cleanup_text_ struct text maps = { 0 };
	int r = file_read(AT_FDCWD, "/proc/self/maps", &maps);
	const char *at = maps.data, *path;
	struct record_vma vma;
	size_t path_len;
	while (r == 0 && (r = parse_mapping(&at, &vma, &path, &path_len)) > 0) {
		struct record_vma *place = vector_add(&s->own);
		if (!place)
			return fail_memory();
		*place = vma;
		if (!strcmp(vma.name, "[vdso]"))
			s->own_vdso = vma.start;
		r = 0;
	}
	return r < 0 ? fail(SYSCALL, r, "/proc/self/maps") : 0;
}

static int survey_vdso(struct survey *s)
{
	s->vdso = MESSAGE_NEW(Ckpt__Vdso, ckpt__vdso);
	if (!s->vdso)
		return fail_memory();
	for (size_t i = 0; i < s->own.n; i++) {
		const struct record_vma *v = &s->own.v[i];
		if (v->start != s->own_vdso || !s->own_vdso)
			continue;
		int r = vdso_describe(s->vdso, s->own.v, s->own.n, (const void *)(uintptr_t)v->start, v->end - v->start);
		if (r < 0)
			return r == -ENOMEM ? fail_memory() : fail(VDSO_UNREADABLE, r, "the kernel's own");
	}
	return 0;
}

#define DEAD_PATIENCE 300 /* times 10 ms, until the dead have been reaped: for all ids together */

/* Looking for free ids. */
struct ids {
	bool fresh; /* in a new pid namespace, where all are */
	u32 highest;
	int waited;
};

/* Who has an id. */
struct holder {
	char name[32];
	u32 parent; /* that has not yet asked how it ended; 0: it lives */
};

static bool wait_for_dead(struct ids *ids)
{
	if (ids->waited == DEAD_PATIENCE)
		return false;
	ids->waited++;
	nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	return true;
}

/* A dead process whose parent is about to reap it is waited for. */
static bool pid_taken(struct ids *ids, u32 pid, struct holder *ret)
{
	*ret = (struct holder){ .name = "?" };
	if (getpgid((pid_t)pid) < 0 && errno == ESRCH) /* the ordinary case, told for little */
		return false;
	do {
		_cleanup_text_ struct text stat = { 0 };
		if (kill((pid_t)pid, 0) < 0 && errno == ESRCH) /* the ids of threads are found too */
			return false;
		if (file_readf(&stat, AT_FDCWD, "/proc/%u/stat", pid) < 0 || !stat.data)
			return false;
		const char *open = strchr(stat.data, '('), *close = strrchr(stat.data, ')');
		if (!open || !close || close[1] != ' ')
			return true;
		snprintf(ret->name, sizeof ret->name, "%.*s", (int)(close - open - 1), open + 1);
		if (!strchr("ZX", close[2]))
			return true;
		ret->parent = (u32)strtoul(close + 3, NULL, 10);
	} while (wait_for_dead(ids));
	return true;
}

/* An id is not free either while it is that of a process group, whose leader may be dead; a session's cannot be asked for. Dead
 * members that are about to be reaped are waited for. */
static bool group_taken(struct ids *ids, u32 pid)
{
	while (pid > 1 && kill(-(pid_t)pid, 0) == 0)
		if (!wait_for_dead(ids))
			return true;
	return false;
}

static int survey_pid(struct ids *ids, u32 pid)
{
	struct holder holder;
	ids->highest = MAX(ids->highest, pid);
	WORKING_ON_THREAD(pid);
	if (ids->fresh)
		return 0;
	bool taken = pid_taken(ids, pid, &holder);
	if (taken && holder.parent)
		return fail(PID_TAKEN, -EEXIST, "%u is \"%s\", which has ended, but its parent %u has not asked how (wait(2))",
			    pid, holder.name, holder.parent);
	if (taken)
		return fail(PID_TAKEN, -EEXIST, "%u is \"%s\"", pid, holder.name);
	return group_taken(ids, pid) ? fail(PID_TAKEN, -EEXIST, "%u is the process group of processes outside of the tree", pid)
				     : 0;
}

/* proc(5), /proc/sys/kernel/core_pattern: the directory of a pattern that is no program and no socket. */
static int survey_core(struct survey *s, const struct graph *g)
{
	bool wanted = false;
	for (struct object *o = NULL; (o = graph_next(g, &kind_task, o));)
		wanted |= shape_is_zombie(o->data) && ((const Ckpt__Task *)o->data)->exit_code & 0x80;
	_cleanup_text_ struct text pattern = { 0 };
	struct rlimit limit;
	if (!wanted || file_read(AT_FDCWD, "/proc/sys/kernel/core_pattern", &pattern) < 0 || !pattern.data ||
	    strchr("|@", pattern.data[0]) || getrlimit(RLIMIT_CORE, &limit) < 0 || limit.rlim_max < PAGE_BYTES)
		return 0;
	char *slash = pattern.data[0] == '/' ? strrchr(pattern.data, '/') : NULL;
	if (slash)
		*slash = 0;
	s->core_limit = limit.rlim_max;
	s->core_dir = slash ? strdup(pattern.data) : strdup("/proc");
	return s->core_dir ? 0 : fail_memory();
}

int survey_ids(struct survey *s, const struct graph *g, bool fresh)
{
	int r = 0;
	struct ids ids = { .fresh = fresh, .highest = 300 };
	for (size_t i = 0; i < g->objects.n; i++) {
		const struct object *o = g->objects.v[i];
		const Ckpt__Task *t = o->kind == &kind_task ? o->data : NULL;
		if (o->kind == &kind_thread || (t && (shape_is_zombie(t) || t->has_leader_exit)))
			r = survey_pid(&ids, o->id) < 0 ? -EEXIST : r;
	}
	_cleanup_stand_ins_ struct shape_stand_ins stand_ins = { 0 };
	size_t mark = diag_mark();
	if (shape_stand_ins(&stand_ins, g) < 0)
		diag_forget(mark); /* it is judged later */
	for (size_t i = 0; i < stand_ins.list.n; i++)
		r = survey_pid(&ids, stand_ins.list.v[i].id) < 0 ? -EEXIST : r;
	for (u32 pid = ids.highest + 1; s->spare_pids.n < 4 && pid < ids.highest + 200; pid++) {
		struct holder holder;
		u32 *place = !fresh && pid_taken(&ids, pid, &holder) ? NULL : vector_add(&s->spare_pids);
		if (place)
			*place = pid;
	}
	return r;
}

/* As the kernel has them: sigaction(3) hides the signals of the C library. */
static u64 ignored_signals(void)
{
	u64 ignored = 0;
	struct record_sigaction action;
	for (int signal = 1; signal <= 64; signal++)
		if (syscall(SYS_rt_sigaction, signal, NULL, &action, 8) == 0 && action.handler == (u64)(uintptr_t)SIG_IGN)
			ignored |= 1ull << (signal - 1);
	return ignored;
}

/* A vector that is no longer than ckpt's own fits; else the kernel is asked, which takes a child or some. */
static void survey_auxv(struct survey *s, const struct graph *g)
{
	size_t longest = 0;
	_cleanup_text_ struct text own = { 0 };
	for (struct object *o = NULL; (o = graph_next(g, &kind_mm, o));)
		longest = MAX(longest, ((const Ckpt__Mm *)o->data)->auxv.len);
	if (file_read(AT_FDCWD, "/proc/self/auxv", &own) < 0 || own.len < longest)
		s->auxv_room = auxv_room(longest);
}

int survey_host(struct survey *s, const struct caps *caps, const struct graph *g, bool fresh, bool sibling)
{
	s->caps = caps;
	s->root_parent = (u32)(fresh || sibling ? getppid() : getpid());
	s->ignored = ignored_signals();
	s->now_monotonic = clock_ns(CLOCK_MONOTONIC);
	s->now_boottime = clock_ns(CLOCK_BOOTTIME);
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	s->rseq_bytes = getauxval(AUXV_RSEQ_BYTES);
	s->rseq_align = getauxval(AUXV_RSEQ_ALIGN);
	s->nofile = (u32)MIN(limit.rlim_max, (rlim_t)INT32_MAX);
	survey_auxv(s, g);
	int r = survey_own(s);
	if (r == 0)
		r = survey_vdso(s);
	if (r == 0)
		r = collect_self(&s->self, &(struct collect_config){ .caps = caps, .resources = registry });
	return r == 0 ? survey_core(s, g) : r;
}

void survey_free(struct survey *s)
{
	vector_free(&s->own);
	vector_free(&s->spare_pids);
	vector_free(&s->redirects);
	vector_free(&s->left_off);
	graph_free(&s->self);
	free(s->core_dir);
	if (s->vdso)
		ckpt__vdso__free_unpacked(s->vdso, NULL);
}
