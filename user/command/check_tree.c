// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns `ckpt check --pid`: one live tree, looked at twice and judged without stopping it. */
#include "base/file.h"
#include "collect/collect.h"
#include "command/check.h"
#include "model/policy.h"
#include "dump/dump.h"
#include "dump/pages.h"
#include "model/reflect.h"
#include "resource/registry.h"
#include "task/rseq.h"
#include "why/why.h"
#include <linux/seccomp.h>
#include <stdio.h>
#include <time.h>

/* One look at the tree: what it is, what it would cost, and in the log what speaks against a dump. */
struct look {
	pid_t pid;
	struct tree tree;
	struct graph graph;
	u64 page_bytes, fact_bytes;
	size_t threads;
	bool whole; /* everything could be read */
};

static void look_free(struct look *look)
{
	tree_free(&look->tree);
	graph_free(&look->graph);
}

/* A field of /proc/PID/task/TID/status, 0 when there is none. */
static int status_field(const struct text *status, const char *name)
{
	const char *at = status->data ? strstr(status->data, name) : NULL;
	return at ? atoi(at + strlen(name)) : 0;
}

/* A freeze would meet a tracer that is there already, and a stopped thread would not show its filters. */
static void judge_process(const struct caps *caps, const struct tree_process *p)
{
	WORKING_ON_TASK(p->pid);
	int tracer = 0, filtered = 0;
	for (size_t i = 0; i < p->threads.n; i++) {
		_cleanup_text_ struct text status = { 0 };
		if (file_readf(&status, p->proc, "task/%d/status", (int)p->threads.v[i].tid) < 0)
			continue;
		tracer = tracer ?: status_field(&status, "\nTracerPid:");
		filtered += status_field(&status, "\nSeccomp:") == SECCOMP_MODE_FILTER;
	}
	if (tracer)
		fail(TRACED, 0, "by process %d", tracer);
	if (!caps_serves(caps, CAN_RSEQ_CONFIG) && !rseq_is_off(p->proc))
		fail(RSEQ_CONFIG, 0, "%s; the program was started with rseq on", caps->state[CAN_RSEQ_CONFIG].note);
	if (filtered && caps->state[CAN_SECCOMP_GET_FILTER].answer == CAP_NO)
		fail(SECCOMP_READ, 0, "%d of its %zu threads have some", filtered, p->threads.n);
}

/* What only a stopped thread tells is not known here; but whether it could be asked is. */
static void judge_access(const struct caps *caps)
{
	if (!caps_has(caps, CAN_PTRACE_SEIZE))
		fail(PTRACE_DENIED, 0, "%s", caps->state[CAN_PTRACE_SEIZE].note);
}

static void measure(struct look *look)
{
	_cleanup_text_ struct text facts = { 0 };
	const struct kind *kinds[REGISTRY_KINDS];
	registry_kinds(kinds);
	graph_pack(&facts, &look->graph, kinds);
	look->fact_bytes = facts.len;
	for (struct object *o = NULL; (o = graph_next(&look->graph, &kind_pages, o));) {
		const struct page_run *run = o->data;
		for (u32 i = 0; i < o->count; i++)
			look->page_bytes += run[i].flags & PAGES_ELSEWHERE ? 0 : run[i].len;
	}
}

#define ENDING_PATIENCE 200 /* times 10 ms */

static bool somebody_ends(const struct tree *tree)
{
	for (size_t i = 0; i < tree->processes.n; i++) {
		const struct tree_process *p = &tree->processes.v[i];
		if (p->flags & PF_EXITING && !p->leader_ended && p->state != 'Z')
			return true;
	}
	return false;
}

/* Who is ending has lost its memory, files and namespaces one after the other, which says nothing about a dump: it is waited for. */
static int scan_at_rest(struct tree *ret, pid_t pid)
{
	int r = tree_scan(ret, pid);
	for (int i = 0; r == 0 && i < ENDING_PATIENCE && somebody_ends(ret); i++) {
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
		tree_free(ret);
		*ret = (struct tree){ 0 };
		r = tree_scan(ret, pid);
	}
	return r;
}

/* Fills ret as far as it can be read. Only a tree that is not there at all is a failure. */
static int look_at(struct look *ret, const struct caps *caps, const struct check_options *options)
{
	const struct collect_config how = { .caps = caps,
					    .resources = registry,
					    .effort = BPF_CACHED,
					    .no_hijack = true,
					    .live = true,
					    .policies = &options->policies,
					    .external = options->external && dump_is_listed(options->external_kinds, "pipe") };
	ret->pid = options->pid;
	int r = scan_at_rest(&ret->tree, options->pid);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ret->tree.processes.n; i++) {
		ret->threads += ret->tree.processes.v[i].threads.n;
		judge_process(caps, &ret->tree.processes.v[i]);
	}
	judge_access(caps);
	if (collect(&ret->graph, &ret->tree, &how) < 0)
		return 0;
	if (options->external)
		dump_mark_external(&ret->graph, options->external_kinds);
	judge_dump(&ret->graph);
	ret->whole = dump_scan_pages(caps, &ret->tree, &ret->graph) == 0;
	measure(ret);
	return 0;
}

static void add_size(struct text *t, u64 bytes)
{
	if (bytes < 10240)
		text_addf(t, "%llu bytes", (unsigned long long)bytes);
	else if (bytes < 10u << 20)
		text_addf(t, "%.1f KiB", (double)bytes / 1024);
	else
		text_addf(t, "%.1f MiB", (double)bytes / (1 << 20));
}

#define MOST_CHANGES 20

/* What a dump could be told to do otherwise. */
static void policies_text(struct text *t)
{
	const char *name, *about;
	text_adds(t, "policies (--policy NAME=POLICY), the default first:\n");
	for (size_t i = 0;; i++) {
		_cleanup_text_ struct text choices = { 0 };
		if (!policy_row(i, &name, &about, &choices))
			return;
		text_addf(t, "  %s: %s (%s)\n", name, choices.data ?: "", about);
	}
}

static void policies_json(struct text *t)
{
	const char *name, *about;
	text_adds(t, "\"policies\":[");
	for (size_t i = 0;; i++) {
		_cleanup_text_ struct text choices = { 0 };
		if (!policy_row(i, &name, &about, &choices))
			break;
		text_addf(t, "%s{\"name\":\"%s\",\"choices\":\"%s\",\"about\":\"%s\"}", i ? "," : "", name, choices.data ?: "",
			  about);
	}
	text_adds(t, "],");
}

static void tree_text(struct text *t, const struct look *look, const char *changes, size_t count)
{
	text_addf(t, "process %d: %zu process%s, %zu thread%s\n", (int)look->pid, look->tree.processes.n,
		  look->tree.processes.n == 1 ? "" : "es", look->threads, look->threads == 1 ? "" : "s");
	if (look->whole) {
		text_adds(t, "predicted image: ");
		add_size(t, look->page_bytes + look->fact_bytes);
		text_adds(t, " (");
		add_size(t, look->page_bytes);
		text_adds(t, " of memory)\n");
	}
	policies_text(t);
	if (count)
		text_adds(t, "changing between two looks:\n");
	for (size_t i = 0; i < count && i < MOST_CHANGES && *changes; i++) {
		size_t len = strcspn(changes, "\n");
		text_addf(t, "  %.*s\n", (int)len, changes);
		changes += len + (changes[len] == '\n');
	}
	if (count > MOST_CHANGES)
		text_addf(t, "  and %zu more\n", count - MOST_CHANGES);
}

static void tree_json(struct text *t, const struct look *look, const char *changes)
{
	text_addf(t,
		  "{\"pid\":%d,\"processes\":%zu,\"threads\":%zu,\"read\":%s,\"page_bytes\":%llu,\"fact_bytes\":%llu,"
		  "\"changing\":[",
		  (int)look->pid, look->tree.processes.n, look->threads, look->whole ? "true" : "false",
		  (unsigned long long)look->page_bytes, (unsigned long long)look->fact_bytes);
	for (const char *separator = ""; *changes; separator = ",") {
		char line[256];
		size_t len = strcspn(changes, "\n");
		snprintf(line, sizeof line, "%.*s", (int)len, changes);
		text_adds(t, separator);
		text_add_json(t, line);
		changes += len + (changes[len] == '\n');
	}
	text_adds(t, "],");
	policies_json(t);
	text_addf(t, "\"able\":%s,\"report\":", diag_failed() ? "false" : "true");
	diag_print_json(t);
	text_adds(t, "}\n");
}

static void add_verdict(struct text *t)
{
	size_t blockers = diag_count(DIAG_ERROR), changing = diag_count(DIAG_CHANGING);
	text_adds(t, "verdict: it ");
	if (blockers)
		text_addf(t, "cannot be dumped now: %zu reason%s, each with what to do", blockers, blockers == 1 ? "" : "s");
	else
		text_adds(t, changing ? "may be dumped, but what is changing may prevent it" : "can be dumped");
	text_adds(t, "\n");
}

/* Two looks, of which only what they agree on is certain. */
static int look_twice(struct look *first, struct look *second, const struct caps *caps, const struct check_options *options)
{
	size_t place = diag_mark();
	int r = look_at(first, caps, options);
	if (r < 0)
		return r;
	size_t middle = diag_mark();
	r = look_at(second, caps, options);
	if (r < 0)
		return r;
	diag_settle(place, middle);
	if (!second->whole && !diag_failed())
		return fail(TASK_RACED, 0, "it could not be read as a whole");
	return 0;
}

int check_tree(const struct check_options *options)
{
	static const char *const pages_move[] = { "pages", NULL };
	char object[32];
	struct caps caps = { 0 };
	struct text t = { 0 };
	_cleanup_(look_free) struct look first = { 0 };
	_cleanup_(look_free) struct look second = { 0 };
	_cleanup_text_ struct text changes = { 0 };
	snprintf(object, sizeof object, "process %d", options->pid);
	diag_begin("dump", object);
	diag_result("nothing was stopped or changed");
	int r = command_caps(&caps);
	_cleanup_why_ struct why *why = options->why ? why_begin(&caps) : NULL;
	if (r == 0)
		r = look_twice(&first, &second, &caps, options);
	if (why)
		why_explain(why);
	if (r < 0)
		return r;
	size_t count = first.whole && second.whole ? graph_compare(&changes, &first.graph, &second.graph, pages_move) : 0;
	if (text_failed(&changes))
		return fail_memory();
	const char *lines = changes.data ? changes.data : "";
	if (options->json) {
		tree_json(&t, &second, lines);
	} else {
		tree_text(&t, &second, lines, count);
		add_verdict(&t);
	}
	return command_output(&t);
}
