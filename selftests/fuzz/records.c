// SPDX-License-Identifier: LGPL-2.1-or-later
/* Fuzzes the record stream of the eBPF programs: the input is what an iterator writes about a tree of two processes. */
#include "collect/bpf_internal.h"

static struct record_config config;
static struct bpf_walker walker = { -1, -1, -1, &config, 0, NULL };
static const u8 *input;
static size_t input_len;

/* The source is this file: every program writes the input. */
int bpf_source_walker(struct bpf_source *source _unused_, enum bpf_object_id id _unused_, struct bpf_walker **ret)
{
	*ret = &walker;
	return 0;
}

int bpf_run_tree(const struct bpf_walker *w _unused_, const struct tree *tree _unused_, struct text *out)
{
	text_add(out, (const char *)input, input_len);
	return 0;
}

/* The first ids of a tree that the seeds know. */
static void make_tree(struct tree *tree)
{
	for (pid_t pid = 4; pid < 6; pid++) {
		struct tree_process *p = vector_add(&tree->processes);
		struct tree_thread *t = p ? vector_add(&p->threads) : NULL;
		if (!t)
			abort();
		p->pid = t->tid = pid;
		p->pidfd = p->proc = -1;
		p->state = 'S';
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct tree tree = { 0 };
	_cleanup_facts_ struct facts facts = { 0 };
	input = data;
	input_len = size;
	make_tree(&tree);
	if (facts_begin(&facts, &tree) == 0) {
		bpf_tasks(NULL, &facts, &tree);
		bpf_vmas(NULL, &facts, &tree);
		bpf_files(NULL, &facts, &tree);
	}
	for (size_t i = 0; i < tree.processes.n; i++)
		vector_free(&tree.processes.v[i].threads);
	vector_free(&tree.processes);
	return 0;
}
