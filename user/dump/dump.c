// SPDX-License-Identifier: LGPL-2.1-or-later
/* The spine of a dump; it reads like its arrow in the design. */
#include "base/clock.h"
#include "dump/dump.h"
#include "collect/collect.h"
#include "diag/diag.h"
#include "dump/flights.h"
#include "dump/listeners.h"
#include "dump/pages.h"
#include "image/image.h"
#include "model/reflect.h"
#include "resource/registry.h"
#include <time.h>

/* What a dump holds while the tree stands still; when it is let go, the tree runs on. */
struct held {
	struct tree tree;
	struct graph graph;
	struct memory_sources memory;
	struct netlock lock;
	struct connections connections;
	struct image_writer *writer;
};

static void held_free(struct held *h)
{
	image_writer_free(h->writer);
	connections_free(&h->connections);
	netlock_free(&h->lock);
	memory_sources_free(&h->memory);
	graph_free(&h->graph);
	tree_free(&h->tree);
}
#define _cleanup_held_ _cleanup_(held_free)

/* A packet that was on its way when its connection was locked may have come after it was read. */
static int check_quiet(const struct connections *connections, const struct netlock *lock)
{
	return lock->backend && connections_moved(connections)
		       ? fail(TASK_RACED, 0, "a packet came while its connection was locked")
		       : 0;
}

static int write_image(const struct dump_config *config, struct held *h, struct dump_result *ret)
{
	int r = dump_pages(h->writer, config->caps, &h->tree, &h->graph, &h->memory, &ret->bytes);
	_cleanup_text_ struct text facts = { 0 };
	const struct kind *kinds[REGISTRY_KINDS];
	registry_kinds(kinds);
	if (r == 0) {
		graph_sort(&h->graph);
		graph_pack(&facts, &h->graph, kinds);
		r = text_failed(&facts) ? fail_memory() : image_write(h->writer, "facts", facts.data, facts.len);
	}
	if (r == 0)
		r = check_quiet(&h->connections, &h->lock);
	if (r == 0 && diag_failed()) /* what was reported is not in the image, whatever became of its errno */
		r = -EIO;
	if (r < 0)
		return r;
	bool on_disk = config->after == DUMP_KILL && image_on_disk(h->writer);
	return image_commit(h->writer, config->durable < 0 ? on_disk : config->durable);
}

bool dump_is_listed(const char *names, const char *name) { return !names || text_lists(names, ',', name, strlen(name)); }

void dump_mark_external(struct graph *g, const char *names)
{
	for (const struct resource *const *r = registry; *r; r++)
		for (struct object *o = NULL;
		     (*r)->external && dump_is_listed(names, (*r)->name) && (o = graph_next(g, (*r)->kind, o));) {
			Ckpt__File *file = graph_data(g, &kind_file, o->id);
			if (file && (*r)->external(g, o))
				SET(file, external, true);
		}
}

static void note_lock(struct graph *graph, const struct netlock *lock)
{
	Ckpt__Host *host = graph_data(graph, &kind_host, 1);
	if (lock->backend && host)
		message_set_string(&host->network_lock, lock->id);
}

/* The lock outlives ckpt from before the tree dies, and so do the connections. */
static int end_tree(const struct dump_config *config, struct held *h)
{
	struct tree *tree = &h->tree;
	struct connections *connections = &h->connections;
	struct netlock *lock = &h->lock;
	int r = connections_keep(connections, tree);
	if (r < 0)
		fail(SYSCALL, r, "duplicates of all connections");
	else
		r = netlock_keep(lock, config->dir, tree->processes.v[0].pid);
	if (r < 0) {
		diag_result("dumped to %s, but the process tree runs on unchanged", config->dir);
		return r;
	}
	r = tree_kill(tree);
	if (r == 0) {
		connections_end(connections);
		dump_await_flights(&h->graph);
	}
	netlock_kept(lock);
	return r;
}

/* What becomes of the tree once its image is whole. */
static int release(const struct dump_config *config, struct held *h)
{
	if (config->after == DUMP_KILL)
		return end_tree(config, h);
	if (config->after == DUMP_LEAVE_STOPPED)
		tree_leave_stopped(&h->tree);
	tree_thaw(&h->tree);
	return 0;
}

static const char *fate(enum dump_after after)
{
	static const char *const fates[] = { "was ended", "runs on", "was left stopped" };
	return fates[after];
}

/* Collects a tree no thread of which is inside of the vDSO, if that can be had. */
static int collect_outside(struct graph *graph, struct tree *tree, const struct collect_config *how)
{
	size_t mark = diag_mark();
	int r = collect(graph, tree, how);
	if (r < 0 || !dump_is_in_vdso(graph))
		return r;
	diag_forget(mark);
	memory_sources_free(how->memory);
	connections_free(how->connections);
	r = dump_leave_vdso(tree, graph);
	graph_free(graph);
	return r == 0 ? collect(graph, tree, how) : r;
}

/* What no dump can do without. */
static int judge_host(const struct caps *caps)
{
	static const enum cap_id needed[] = { CAN_PIDFD_OPEN, CAN_PTRACE_SEIZE, CAN_PEEKSIGINFO };
	int r = 0;
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		const struct cap_row *row = caps_row(needed[i]);
		if (caps_lacks(caps, needed[i]))
			r = fail(HOST_LACKS, -caps->state[needed[i]].err, "%s (%s): %s", row->interface, row->id, row->lost);
	}
	return r;
}

/* Freezes, collects, judges and writes; on success the image is whole and the tree still stands. */
static int take(struct held *h, const struct dump_config *config, struct bpf_source *bpf, struct dump_result *ret)
{
	*h = (struct held){ .lock = { .caps = config->caps, .method = config->lock, .timeout = config->lock_timeout } };
	u64 begun = now_ns();
	int r = tree_freeze(&h->tree, config->pid, &(struct freeze_options){ .timeout = config->freeze_timeout });
	if (r < 0)
		return r;
	ret->freezing_ns = now_ns() - begun;
	diag_result("not dumped; the process tree was resumed unchanged; no image was left in %s", config->dir);
	const struct collect_config how = { .caps = config->caps,
					    .resources = registry,
					    .effort = BPF_CACHED,
					    .bpf = bpf,
					    .no_bpf = config->no_bpf,
					    .memory = &h->memory,
					    .connections = &h->connections,
					    .lock = &h->lock,
					    .policies = config->policies,
					    .cgroup_roots = &config->cgroup_roots,
					    .external = config->external && dump_is_listed(config->external_kinds, "pipe"),
					    .ghost_limit = config->ghost_limit };
	r = image_create_below(&h->writer, config->above, config->dir, config->replace); /* while eBPF's program is loaded */
	if (r == 0)
		r = collect_outside(&h->graph, &h->tree, &how);
	if (r == 0 && config->external)
		dump_mark_external(&h->graph, config->external_kinds);
	if (r == 0)
		r = judge_dump(&h->graph);
	u64 judged = now_ns();
	if (r == 0 && config->after == DUMP_KILL && !config->open_listeners)
		r = dump_lock_listeners(&h->graph, config->policies, &h->lock, &h->connections);
	if (r == 0)
		note_lock(&h->graph, &h->lock);
	if (r == 0)
		r = write_image(config, h, ret);
	ret->writing_ns = now_ns() - judged;
	return r;
}

/* How long a tree that is met in the middle of something is met again, and how long it runs in between, at first and at most. */
#define RACED_PATIENCE 1500000000ull
#define RACED_PAUSE 2000000ull
#define RACED_PAUSES 50000000ull

/* A server that gets new connections all the time always has one that it has not accepted yet, but it accepts each soon. The lock
 * lasts until there is a newer one: who wants to connect waits, and those that wait become fewer. */
static int take_patiently(struct held *h, const struct dump_config *config, struct bpf_source *bpf, struct dump_result *ret)
{
	_cleanup_(netlock_free) struct netlock before = { 0 };
	u64 begun = now_ns();
	for (u64 pause = RACED_PAUSE;; pause = MIN(2 * pause, RACED_PAUSES)) {
		size_t mark = diag_mark();
		int r = take(h, config, bpf, ret);
		netlock_free(&before);
		if (r == 0 || !diag_only(mark, EXIT_RACED) || now_ns() - begun > RACED_PATIENCE)
			return r;
		diag_forget(mark);
		before = h->lock;
		h->lock = (struct netlock){ 0 };
		held_free(h);
		nanosleep(&(struct timespec){ .tv_nsec = (long)pause }, NULL);
	}
}

int dump_tree(const struct dump_config *config, struct dump_result *ret)
{
	_cleanup_held_ struct held h = { 0 };
	diag_result("not dumped; the process tree runs on unchanged; no image was left in %s", config->dir);
	int r = judge_host(config->caps);
	if (r < 0)
		return r;
	/* the verifier takes longer than the freeze */
	_cleanup_bpf_ struct bpf_source *bpf = config->no_bpf ? NULL : bpf_open_beside(config->caps, BPF_CACHED);
	r = take_patiently(&h, config, bpf, ret);
	if (r < 0)
		return r;
	diag_result("dumped to %s, but not confirmed; the process tree was resumed unchanged", config->dir);
	r = confirm_ask(&config->confirm, config->pid);
	if (r < 0)
		return r;
	u64 frozen = h.tree.frozen_at;
	ret->processes = h.tree.processes.n;
	for (size_t i = 0; i < h.tree.processes.n; i++)
		ret->threads += h.tree.processes.v[i].threads.n;
	diag_result("dumped to %s; the process tree %s", config->dir, fate(config->after));
	r = release(config, &h);
	ret->frozen_ns = now_ns() - frozen;
	return r;
}
