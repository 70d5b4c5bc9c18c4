// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns `ckpt check --image`: everything that a restore would find out before it makes anything. */
#include "command/check.h"
#include "model/kinds.h"
#include "why/why.h"
#include <stdio.h>
#include <time.h>

static size_t count_of(const struct graph *g, const struct kind *kind)
{
	size_t n = 0;
	for (struct object *o = NULL; (o = graph_next(g, kind, o));)
		n++;
	return n;
}

static void image_text(struct text *t, const char *dir, const struct graph *g)
{
	const Ckpt__Host *host = graph_data(g, &kind_host, 1);
	size_t tasks = count_of(g, &kind_task), threads = count_of(g, &kind_thread);
	if (!host)
		return;
	time_t when = (time_t)(host->realtime / 1000000000u);
	struct tm tm;
	char date[32] = "?";
	if (gmtime_r(&when, &tm))
		strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &tm);
	text_addf(t, "image %s: %zu process%s, %zu thread%s, root %u\n", dir, tasks, tasks == 1 ? "" : "es", threads,
		  threads == 1 ? "" : "s", host->root_pid);
	text_addf(t, "made on %s, Linux %s, at %s UTC\n", host->arch ?: "?", host->kernel ?: "?", date);
}

static void add_verdict(struct text *t)
{
	size_t reasons = diag_count(DIAG_ERROR);
	if (reasons)
		text_addf(t, "verdict: it cannot be restored here: %zu reason%s, each with what to do\n", reasons,
			  reasons == 1 ? "" : "s");
	else
		text_adds(t, "verdict: it can be restored here\n");
}

static void add_string(struct text *t, const char *name, const char *value)
{
	text_addf(t, "\"%s\":", name);
	text_add_json(t, value);
	text_adds(t, ",");
}

static void image_json(struct text *t, const char *dir, const struct graph *g)
{
	const Ckpt__Host *host = graph_data(g, &kind_host, 1);
	text_adds(t, "{");
	add_string(t, "image", dir);
	if (host) {
		text_addf(t, "\"root\":%u,\"processes\":%zu,\"threads\":%zu,", host->root_pid, count_of(g, &kind_task),
			  count_of(g, &kind_thread));
		add_string(t, "arch", host->arch ?: "");
		add_string(t, "kernel", host->kernel ?: "");
	}
	text_addf(t, "\"able\":%s,\"report\":", diag_failed() ? "false" : "true");
	diag_print_json(t);
	text_adds(t, "}\n");
}

int check_image(struct check_options *o)
{
	struct caps caps;
	struct text t = { 0 };
	_cleanup_graph_ struct graph graph = { 0 };
	diag_begin("restore", o->restore.dir);
	int r = command_caps(&caps);
	if (r < 0)
		return r;
	o->restore.caps = &caps;
	o->restore.disable = getenv("CKPT_DISABLE");
	_cleanup_why_ struct why *why = o->why ? why_begin(&caps) : NULL;
	restore_check(&o->restore, &graph); /* what it found is in the log */
	if (why)
		why_explain(why);
	if (o->json) {
		image_json(&t, o->restore.dir, &graph);
	} else {
		image_text(&t, o->restore.dir, &graph);
		add_verdict(&t);
	}
	return command_output(&t);
}
