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
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

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

#ifndef PR_GET_AUXV
#define PR_GET_AUXV 0x41555856 /* Linux 6.4: gives as many bytes as are asked for, none here, and tells how many it keeps */
#endif

/* Before that, a vector that is no longer than ckpt's own fits; else the kernel is asked, which takes a child or some. */
static void survey_auxv(struct survey *s, const struct graph *g)
{
	size_t longest = 0;
	_cleanup_text_ struct text own = { 0 };
	for (struct object *o = NULL; (o = graph_next(g, &kind_mm, o));)
		longest = MAX(longest, ((const Ckpt__Mm *)o->data)->auxv.len);
	long keeps = prctl(PR_GET_AUXV, NULL, 0, 0, 0);
	if (keeps > 0) {
		s->auxv_room = (size_t)keeps < longest ? (size_t)keeps : 0;
		return;
	}
	if (file_read(AT_FDCWD, "/proc/self/auxv", &own) < 0 || own.len < longest)
		s->auxv_room = auxv_room(longest);
}

int survey_host(struct survey *s, const struct caps *caps, const struct graph *g, bool fresh, bool sibling)
{
	s->caps = caps;
	s->root_parent = (u32)(fresh || sibling ? getppid() : getpid());
	s->ignored = ignored_signals();
	s->now_monotonic = clock_ns(CLOCK_MONOTONIC);
	s->now_raw = clock_ns(CLOCK_MONOTONIC_RAW);
	s->now_coarse = clock_ns(CLOCK_MONOTONIC_COARSE);
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
