// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the eBPF source: which programs are loaded, and by what effort. */
#include "collect/bpf_internal.h"
#include "base/file.h"
#include "base/parallel.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

struct bpf_source {
	enum bpf_effort effort;
	struct bpf_walker walkers[BPF_OBJECTS];
	int tried[BPF_OBJECTS]; /* 0: not yet, else the errno of the attempt */
	pthread_t loader;
	bool is_loading; /* by that thread: nobody else may look at the walkers */
	int result;      /* of the loading of the first program */
};

static int load(enum bpf_object_id id, enum bpf_effort effort, struct bpf_walker *ret)
{
	int r = bpf_load_pinned(id, ret);
	if (r < 0 && effort >= BPF_CACHED)
		r = bpf_load_cached(id, ret);
	if (r < 0 && effort >= BPF_COLD)
		r = bpf_load_cold(id, ret);
	return r;
}

int bpf_source_walker(struct bpf_source *source, enum bpf_object_id id, struct bpf_walker **ret)
{
	struct bpf_walker *w = &source->walkers[id];

	if (w->fd < 0) {
		int r = source->tried[id] ?: load(id, source->effort, w);
		source->tried[id] = r;
		if (r < 0)
			return r;
	}
	*ret = w;
	return 0;
}

int bpf_source_lock(struct bpf_source *source, enum bpf_object_id id, struct bpf_walker **ret)
{
	int r = bpf_source_walker(source, id, ret);
	return r < 0 ? r : bpf_lock(*ret);
}

/* The mini program knows no other ids: PROC_PID_INIT_INO is the inode number of the initial pid namespace. */
static bool in_initial_pid_namespace(void)
{
	struct stat st;
	return stat("/proc/self/ns/pid", &st) == 0 && st.st_ino == 0xEFFFFFFC;
}

static int load_first(struct bpf_source *source)
{
	struct bpf_walker *w;
	int r = bpf_source_walker(source, BPF_TASK, &w);
	if (r < 0 && source->effort == BPF_COLD && in_initial_pid_namespace())
		r = bpf_source_walker(source, BPF_MINI, &w);
	return r;
}

static int source_new(struct bpf_source **ret, const struct caps *caps, enum bpf_effort effort)
{
	if (caps->state[CAN_BPF].answer == CAP_NO)
		return -EPERM;
	struct bpf_source *source = calloc(1, sizeof(*source));
	if (!source)
		return -ENOMEM;
	source->effort = effort;
	for (int i = 0; i < BPF_OBJECTS; i++)
		source->walkers[i] = BPF_WALKER_NONE;
	*ret = source;
	return 0;
}

struct bpf_source *bpf_open(const struct caps *caps, enum bpf_effort effort, int *ret_err)
{
	struct bpf_source *source = NULL;
	*ret_err = source_new(&source, caps, effort);
	if (*ret_err == 0)
		*ret_err = load_first(source);
	if (*ret_err == 0)
		return source;
	bpf_close(source);
	return NULL;
}

static void *load_beside(void *arg)
{
	struct bpf_source *source = arg;
	source->result = load_first(source);
	return NULL;
}

struct bpf_source *bpf_open_beside(const struct caps *caps, enum bpf_effort effort)
{
	struct bpf_source *source;
	if (source_new(&source, caps, effort) < 0)
		return NULL;
	bool is_pinned = bpf_load_pinned(BPF_TASK, &source->walkers[BPF_TASK]) == 0;
	source->is_loading = !is_pinned && parallel_thread(&source->loader, load_beside, source) == 0;
	if (!is_pinned && !source->is_loading)
		load_beside(source);
	return source;
}

int bpf_await(struct bpf_source *source)
{
	if (source->is_loading)
		pthread_join(source->loader, NULL);
	source->is_loading = false;
	return source->result;
}

bool bpf_is_pinned(const struct bpf_source *source) { return !source->is_loading && source->walkers[BPF_TASK].lock >= 0; }

void bpf_close(struct bpf_source *source)
{
	if (!source)
		return;
	bpf_await(source);
	for (int i = 0; i < BPF_OBJECTS; i++)
		bpf_walker_close(&source->walkers[i]);
	free(source);
}

/* All threads of the system, as the fourth field of /proc/loadavg has it. */
static size_t system_tasks(void)
{
	_cleanup_text_ struct text loadavg = { 0 };
	unsigned running, total;

	if (file_read(AT_FDCWD, "/proc/loadavg", &loadavg) < 0 || !loadavg.data ||
	    sscanf(loadavg.data, "%*s %*s %*s %u/%u", &running, &total) != 2)
		return 1000;
	return total;
}

/* A pass over the system costs about 4 us per task, a process of its own about 15 us (measured). */
static int run_tree(const struct bpf_walker *w, const struct tree *tree, struct text *out)
{
	size_t n = tree->processes.n;

	if (n > 8 && n * 4 > system_tasks())
		return bpf_run(w, 0, out);
	for (size_t i = 0; i < n; i++) {
		int r = bpf_run(w, (u32)tree->processes.v[i].pid, out);
		if (i == 0 && r == -EOPNOTSUPP)
			return bpf_run(w, 0, out);
		if (r < 0)
			return r;
	}
	return 0;
}

int bpf_run_tree(const struct bpf_walker *w, const struct tree *tree, struct text *out)
{
	int r = bpf_lock(w);
	if (r < 0)
		return r;
	r = run_tree(w, tree, out);
	bpf_unlock(w);
	return r;
}
