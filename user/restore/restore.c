// SPDX-License-Identifier: LGPL-2.1-or-later
/* The spine of a restore; it reads like its arrow in the design. */
#include "restore/restore.h"
#include "base/child.h"
#include "collect/collect.h"
#include "diag/diag.h"
#include "model/kinds.h"
#include "netlock/lock.h"
#include "resource/registry.h"
#include "restore/groups.h"
#include "restore/handed.h"
#include "restore/names.h"
#include "restore/orphans.h"
#include "restore/pidns.h"
#include "restore/resets.h"
#include "restore/terminal.h"
#include <malloc.h>

struct work {
	const struct restore_config *config;
	struct image *image;
	struct graph *graph;
	struct restored *ret;
	struct text *plan_text;
	struct handed_files handed;
	struct names *names;
	int given; /* negative: what the caller hands over does not do, as was reported */
};

static bool is_dry(const struct restore_config *config) { return config->plan_only || config->check_only; }

/* Do all page runs of this kind lie within the file of pages? */
static int check_runs(const struct graph *graph, const struct kind *kind, const char *dir, u64 size)
{
	for (struct object *o = NULL; (o = graph_next(graph, kind, o));) {
		const struct page_run *run = o->data;
		for (u32 i = 0; i < o->count; i++) {
			if (run[i].flags & PAGES_ELSEWHERE || (run[i].offset <= size && run[i].len <= size - run[i].offset))
				continue;
			WORKING_ON("file pages of image %s", dir);
			return fail(IMAGE_INCONSISTENT, 0,
				    "it ends at offset %llu, but %llu bytes at offset %llu belong to %s %u",
				    (unsigned long long)size, (unsigned long long)run[i].len, (unsigned long long)run[i].offset,
				    kind->name, o->id);
		}
	}
	return 0;
}

static int check_pages(const struct restore_config *config, struct image *image, const struct graph *graph)
{
	u64 size;
	int r = image_file_fd(image, "pages", &size);
	if (r >= 0)
		r = check_runs(graph, &kind_pages, config->dir, size);
	return r < 0 ? r : check_runs(graph, &kind_memory, config->dir, size);
}

/* Objects of the image become what the policies say. */
static int choose(struct graph *graph, const struct policies *policies)
{
	int r = 0;
	for (const struct resource *const *resource = registry; *resource; resource++)
		for (struct object *o = NULL; (*resource)->choose && r == 0 && (o = graph_next(graph, (*resource)->kind, o));)
			r = (*resource)->choose(graph, o, policies);
	return r;
}

static int load(const struct restore_config *config, struct image **image, struct graph *graph)
{
	const struct kind *kinds[REGISTRY_KINDS];
	registry_kinds(kinds);
	int r = image_open(image, config->dir, config->trust);
	if (r == 0)
		r = image_load(*image, kinds, graph);
	if (r == 0)
		r = groups_move(graph, &config->cgroup_roots);
	if (r == 0)
		r = choose(graph, &config->policies);
	return r < 0 ? r : check_pages(config, *image, graph);
}

#define SMALL (16u << 20)
#define FEW_THREADS 16
#define FEW_FILES 1000

static bool has_few(const struct graph *g, const struct kind *kind, size_t few)
{
	size_t n = 0;
	for (struct object *o = NULL; n <= few && (o = graph_next(g, kind, o));)
		n++;
	return n <= few;
}

/* Little memory to read, few threads and descriptors: then what takes time is that ckpt and the new tasks wait for each other. */
static bool is_small(struct image *image, const struct graph *g)
{
	u64 size;
	return has_few(g, &kind_thread, FEW_THREADS) && has_few(g, &kind_file, FEW_FILES) &&
	       image_file_fd(image, "pages", &size) >= 0 && size < SMALL;
}

#define FEW_MAPPINGS 64

/* Then a second thread to read them saves no more than it costs: to begin, and to flush its CPU when ckpt ends. */
static bool has_few_mappings(const struct graph *g)
{
	size_t n = 0;
	for (struct object *o = NULL; (o = graph_next(g, &kind_vmas, o));)
		n += o->count;
	return n <= FEW_MAPPINGS;
}

/* Everything that is found out before the plan, whatever it is. */
static int examine(const struct work *w, struct survey *survey)
{
	int r = survey_host(survey, w->config->caps, w->graph, w->config->pidns, w->config->sibling);
	survey->terminal = &w->ret->terminal;
	survey->handed = &w->handed;
	if (r < 0)
		return r;
	if (w->config->own_groups && adapt_groups(w->graph, survey) < 0)
		return -ENOMEM;
	int ids = survey_ids(survey, w->graph, w->config->pidns), judged = judge_restore(w->graph, survey);
	return w->given < 0 ? w->given : ids < 0 ? ids : judged;
}

static int prepare(const struct work *w, struct survey *survey, struct plan **plan, struct site *site, struct tells *tells)
{
	int r = examine(w, survey);
	if (r == 0)
		r = adapt_vdso(w->graph, survey);
	if (r == 0)
		r = adapt_rseq(w->graph, survey);
	if (r == 0)
		adapt_auxv(w->graph, survey);
	if (r == 0)
		r = adapt_mappings(w->graph, survey);
	if (r == 0)
		r = adapt_cpu(w->graph);
	if (r == 0)
		r = compile(plan, site, w->config->verify ? tells : NULL, w->graph, survey);
	return r == 0 ? judge_needs(*plan, w->config->caps) : r;
}

static int run(const struct restore_config *config, struct execution *x, const struct plan *plan, const struct site *site,
	       const struct graph *graph, struct image *image, const struct survey *survey, const struct tells *tells)
{
	int r = execute_room(plan, graph, image);
	if (r < 0)
		return r;
	struct image_verification *check = NULL;
	r = image_verify_start(&check, image, "pages");
	if (r == 0)
		r = execute_start(x, plan, site, graph);
	int damaged = image_verify_join(check); /* while the tasks run their steps */
	if (r == 0)
		r = damaged;
	_cleanup_bpf_ struct bpf_source *bpf = r == 0 && config->verify ? verify_source(survey, tells) : NULL;
	if (r == 0)
		r = execute_wait(x);
	_cleanup_told_ struct told told = { 0 };
	if (r == 0)
		r = tells_read(tells, x, &told);
	if (r == 0)
		r = execute_finish(x);
	if (r == 0)
		r = resets_lift(x);
	if (r == 0)
		execute_end_makers(x);
	bool alone = x->stay->len && has_few_mappings(graph);
	if (!alone)
		cpu_leave(x->stay); /* nobody waits for anybody any more, and the proof reads in two threads */
	if (r == 0 && config->verify)
		r = groups_verify(graph);
	if (r == 0 && config->verify)
		r = verify_restored(x, survey, &told, bpf, alone);
	cpu_leave(x->stay);
	return r == 0 && diag_failed() ? -EIO : r; /* what was reported has failed, whatever became of its errno */
}

/* All or nothing; then it runs. */
static int release(const struct work *w, struct execution *x)
{
	int r = names_let_go(w->names);
	if (r == 0)
		r = groups_freeze(w->graph);
	if (r == 0)
		r = tree_let_off(&x->tree, &x->guard);
	if (r < 0)
		return r;
	resets_end(x);
	tree_thaw(&x->tree);
	return 0;
}

/* The network lock of the image goes with the first moment of the tree: a guard ends it when ckpt dies in between. */
static int let_go(const struct work *w, struct execution *x, int channel)
{
	const Ckpt__Host *host = graph_data(w->graph, &kind_host, 1);
	const char *lock = host->network_lock && netlock_exists(host->network_lock) ? host->network_lock : NULL;
	int r = channel >= 0 ? pidns_ready(channel, x->root) : 0;
	if (r < 0)
		return r;
	if (w->config->stopped)
		tree_leave_stopped(&x->tree);
	pid_t guard = lock ? netlock_guard(lock, x->root, x->guard.pid) : 0;
	if (guard < 0)
		return fail(NETLOCK, (int)guard, "taking it over");
	r = release(w, x);
	if (r == 0 && lock && netlock_release(lock) < 0)
		warn(NETLOCK_STAYS, 0, "%s", lock);
	netlock_unguard(guard);
	return r;
}

/* channel: to ckpt, who waits outside of the pid namespace; -1: this is ckpt. */
static int restore_loaded(const struct work *w, int channel)
{
	_cleanup_(survey_free) struct survey survey = { 0 };
	_cleanup_plan_ struct plan *plan = NULL;
	_cleanup_cpu_ struct cpu_stay stay = { .len = 0 };
	_cleanup_(tells_free) struct tells tells = { 0 };
	struct site site;
	if (is_small(w->image, w->graph))
		cpu_stay(&stay);
	int r = prepare(w, &survey, &plan, &site, &tells);
	if (r < 0)
		return r;
	if (w->config->plan_only)
		plan_print(w->plan_text, plan, NULL);
	if (w->config->check_only && channel >= 0)
		return pidns_ready(channel, getpid());
	if (is_dry(w->config))
		return 0;
	_cleanup_(execution_free) struct execution x = {
		.memory = -1, .sibling = channel >= 0 || w->config->sibling, .alone = w->config->sibling, .stay = &stay
	};
	r = clock_enter(w->graph, &survey);
	if (r < 0)
		return r;
	r = run(w->config, &x, plan, &site, w->graph, w->image, &survey, &tells);
	if (r == 0 && w->config->confirm.ask) {
		cpu_leave(&stay); /* who is asked may run anywhere */
		r = confirm_ask(&w->config->confirm, x.root);
	}
	if (r == 0)
		r = let_go(w, &x, channel);
	if (r < 0) {
		execute_undo(&x);
		diag_result("not restored; what had been made of the tree was ended again");
		return r;
	}
	w->ret->root = w->ret->root_inside = x.root;
	diag_result("restored; process %d runs", (int)x.root);
	return 0;
}

/* In a user namespace of its own ckpt has other rights. */
static int restore_inside(void *arg, int channel)
{
	const struct work *outside = arg;
	struct work w = *outside;
	struct caps caps = *outside->config->caps;
	struct restore_config config = *outside->config;
	if (config.userns)
		caps_again(&caps, config.disable);
	config.caps = &caps;
	w.config = &config;
	return restore_loaded(&w, channel);
}

static int restore_outside(struct work *w)
{
	const Ckpt__Host *host;
	int r = pidns_restore(w->config, w->graph, restore_inside, w, w->ret);
	if (r < 0)
		return r;
	if (w->config->check_only) {
		child_end(w->ret->reaper);
		return 0;
	}
	host = graph_data(w->graph, &kind_host, 1);
	w->ret->root_inside = (pid_t)host->root_pid;
	pidns_note_outside(w->config, w->graph);
	diag_result("restored; process %d runs, which is %u in a pid namespace of its own", (int)w->ret->root, host->root_pid);
	return 0;
}

/* What the caller hands over: all of it is looked at, whatever is found. */
static int take_given(struct work *w)
{
	w->given = terminal_open(&w->ret->terminal, w->config, w->graph);
	int r = is_dry(w->config) ? 0 : names_guard(&w->names, w->graph);
	if (r == 0 && !is_dry(w->config))
		orphans_end(w->graph);
	if (r == 0 && handed_open(&w->handed, w->config, w->graph) < 0)
		w->given = -EINVAL;
	return r;
}

static int check_bytes(struct image *image)
{
	struct image_verification *check = NULL;
	int r = image_verify_start(&check, image, "pages"), damaged = image_verify_join(check);
	return r < 0 ? r : damaged;
}

static int restore_graph(const struct restore_config *config, struct graph *graph, struct restored *ret, struct text *plan_text)
{
	_cleanup_image_ struct image *image = NULL;
	*ret = (struct restored){ .reaper_fd = -1, .channel = -1, .terminal = { .fd = -1, .master = -1 } };
	diag_result("not restored; nothing was made");
	int r = load(config, &image, graph);
	if (r < 0)
		return r;
	image_file_fd(image, "pages", &ret->bytes);
	int damaged = config->check_only ? check_bytes(image) : 0;
	struct work w = { config, image, graph, ret, plan_text, { { 0 } }, NULL, 0 };
	r = take_given(&w);
	if (r == 0)
		r = config->pidns && !config->plan_only ? restore_outside(&w) : restore_loaded(&w, -1);
	names_end(w.names, r < 0);
	if (r == 0 && !is_dry(config))
		terminal_released(&ret->terminal);
	else if (!is_dry(config))
		terminal_undo(&ret->terminal);
	handed_free(&w.handed);
	return r < 0 ? r : damaged;
}

/* What is allocated from here on is all in the heap, which new tasks need not copy (execute.c). */
static void allocate_in_heap(void) { mallopt(M_MMAP_MAX, 0); }

int restore_tree(const struct restore_config *config, struct restored *ret, struct text *plan_text)
{
	_cleanup_graph_ struct graph graph = { 0 };
	allocate_in_heap();
	return restore_graph(config, &graph, ret, plan_text);
}

int restore_check(const struct restore_config *config, struct graph *ret)
{
	struct restore_config dry = *config;
	_cleanup_(restored_free) struct restored nothing;
	dry.check_only = true;
	int r = restore_graph(&dry, ret, &nothing, NULL);
	diag_result("nothing was made or changed");
	return r;
}
