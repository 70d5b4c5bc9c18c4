// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the proof of a restore: the same facts, collected again, before the first instruction runs. */
#include "collect/collect.h"
#include "diag/diag.h"
#include "model/reflect.h"
#include "resource/registry.h"
#include "restore/restore.h"

/* What is not the same by nature, each with its reason. */
static const char *const ignored[] = {
	"host",        /* facts of the moment */
	"pages",       /* contents are proven by the checksums that were read with them */
	"vdso",        /* the kernel's */
	"mm.vdso",     /* its object */
	"thread.call", /* the time that is left runs */
	"task.sid",    /* of leaders outside of the tree: judged and named before */
	"task.pgid",   NULL,
};

static void report_lines(const char *lines)
{
	while (*lines) {
		int len = (int)strcspn(lines, "\n");
		fail(VERIFY_DIFFERS, 0, "%.*s", len, lines);
		lines += len + (lines[len] == '\n');
	}
}

int verify_restored(struct execution *x, const struct survey *survey)
{
	_cleanup_graph_ struct graph now = { 0 };
	const struct collect_config config = { .caps = survey->caps, .resources = registry, .effort = BPF_CACHED };
	int r = collect(&now, &x->tree, &config);
	if (r < 0)
		return r;
	_cleanup_text_ struct text differences = { 0 };
	if (graph_compare(&differences, x->graph, &now, ignored) == 0)
		return 0;
	report_lines(differences.data ? differences.data : "");
	return -EINVAL;
}
