// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns a fact for people: which private memory processes may still share since a fork. Only eBPF knows. */
#include "collect/collect_internal.h"

static int by_place(const void *left, const void *right)
{
	const struct record_vma *a = left, *b = right;
	if (a->tgid != b->tgid)
		return a->tgid < b->tgid ? -1 : 1;
	return a->start < b->start ? -1 : a->start > b->start;
}

static void learn(struct collector *c, struct bpf_source *bpf)
{
	struct facts seen = { 0 };
	seen.tasks.v = c->facts.tasks.v;
	seen.tasks.n = c->facts.tasks.n;
	if (bpf_vmas(bpf, &seen, c->tree) == 0)
		for (size_t i = 0; i < c->facts.vmas.n && seen.vmas.n; i++) {
			struct record_vma *v = &c->facts.vmas.v[i];
			const struct record_vma *same = bsearch(v, seen.vmas.v, seen.vmas.n, sizeof *v, by_place);
			if (same)
				v->anon_id = same->anon_id;
		}
	vector_free(&seen.vmas);
}

void collect_anons(struct collector *c)
{
	int err = 0;
	struct bpf_source *bpf = c->config->no_bpf ? NULL : bpf_open(c->config->caps, c->config->effort, &err);
	if (bpf)
		learn(c, bpf);
	bpf_close(bpf);
}

u32 anon_number(struct collector *c, u64 anon_id)
{
	u32 number = anon_id ? map_get(&c->anons, anon_id) : 0;
	if (!anon_id || number)
		return number;
	number = c->anons.n + 1;
	return map_set(&c->anons, anon_id, number) < 0 ? 0 : number;
}
