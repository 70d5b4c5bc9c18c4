// SPDX-License-Identifier: LGPL-2.1-or-later
/* The spine of a restore; it reads like its arrow in the design. */
#include "restore/restore.h"
#include "collect/source.h"
#include "diag/diag.h"
#include "model/kinds.h"
#include "resource/registry.h"

static int prepare(const struct restore_config *config, struct image **image, struct graph *graph, struct survey *survey,
		   struct plan **plan, struct site *site)
{
	const struct kind *kinds[REGISTRY_KINDS];
	registry_kinds(kinds);
	int r = image_open(image, config->dir, config->trust);
	if (r == 0)
		r = image_load(*image, kinds, graph);
	if (r == 0)
		r = survey_host(survey, config->caps, graph);
	if (r == 0)
		r = judge_restore(graph, survey);
	return r == 0 ? compile(plan, site, graph, survey) : r;
}

static int run(const struct restore_config *config, struct execution *x, const struct plan *plan, const struct site *site,
	       const struct graph *graph, struct image *image, const struct survey *survey)
{
	int r = execute_room(plan, graph, image);
	if (r < 0)
		return r;
	struct bpf_early early = { 0 };
	if (config->verify) /* while the plan runs */
		bpf_early_start(&early, config->caps);
	struct image_verification *check = NULL;
	int started = image_verify_start(&check, image, "pages");
	r = started == 0 ? execute(x, plan, site, graph) : started;
	int damaged = started == 0 ? image_verify_join(check) : 0;
	if (r == 0)
		r = damaged;
	if (r == 0)
		r = execute_finish(x);
	_cleanup_bpf_ struct bpf_source *bpf = bpf_early_take(&early);
	if (r == 0 && config->verify)
		r = verify_restored(x, survey, bpf);
	return r;
}

int restore_tree(const struct restore_config *config, struct restored *ret, struct text *plan_text)
{
	_cleanup_image_ struct image *image = NULL;
	_cleanup_graph_ struct graph graph = { 0 };
	_cleanup_(survey_free) struct survey survey = { 0 };
	_cleanup_plan_ struct plan *plan = NULL;
	struct site site;
	diag_result("not restored; nothing was made");
	int r = prepare(config, &image, &graph, &survey, &plan, &site);
	if (r < 0 || config->plan_only) {
		if (r == 0)
			plan_print(plan_text, plan, NULL);
		return r;
	}
	_cleanup_(execution_free) struct execution x = { .memory = -1 };
	r = run(config, &x, plan, &site, &graph, image, &survey);
	if (r == 0)
		r = tree_release(&x.tree);
	if (r < 0) {
		execute_undo(&x);
		diag_result("not restored; what had been made of the tree was ended again");
		return r;
	}
	ret->root = x.root;
	diag_result("restored; process %d runs", (int)x.root);
	return 0;
}
