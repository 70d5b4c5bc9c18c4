// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns images of another processor: what threads really have in their extended registers must have room here, and then it is
 * put into the form of this processor. */
#include "arch/arch.h"
#include "diag/diag.h"
#include "model/reflect.h"
#include "restore/restore.h"

static enum arch_fit fit_of(const Ckpt__Thread *t, char *words, size_t room)
{
	return t->extended.len ? arch_extended_fit(t->extended.data, t->extended.len, words, room) : ARCH_FIT_SAME;
}

static int judge_protections(const struct object *vmas)
{
	const struct vma *v = vmas->data;
	int r = 0;
	WORKING_ON_TASK(vmas->id);
	for (u32 i = 0; i < vmas->count; i++) {
		const char *lacks = arch_protection_lacks(v[i].prot);
		WORKING_ON_VMA(v[i].start, v[i].end);
		if (lacks)
			r = fail(CPU_FEATURE, 0, "%s", lacks);
	}
	return r;
}

int judge_cpu(const struct graph *g)
{
	int r = 0;
	for (struct object *o = NULL; (o = graph_next(g, &kind_vmas, o));)
		r = judge_protections(o) < 0 ? -EINVAL : r;
	for (struct object *o = NULL; (o = graph_next(g, &kind_thread, o));) {
		const Ckpt__Thread *t = o->data;
		char words[80] = "";
		enum arch_fit fit = fit_of(t, words, sizeof words);
		WORKING_ON_THREAD(t->tid);
		if (fit == ARCH_FIT_LACKS)
			r = fail(CPU_FEATURE, 0, "%s", words);
		if (fit == ARCH_FIT_MOVED)
			r = fail(CPU_LAYOUT, 0, "%zu bytes of extended registers", t->extended.len);
	}
	return r;
}

int adapt_cpu(struct graph *g)
{
	_cleanup_free_ void *here = NULL;
	for (struct object *o = NULL; (o = graph_next(g, &kind_thread, o));) {
		Ckpt__Thread *t = o->data;
		char words[80];
		if (fit_of(t, words, sizeof words) != ARCH_FIT_OTHER)
			continue;
		here = here ?: malloc(arch_extended_size());
		if (!here)
			return fail_memory();
		size_t len = arch_extended_convert(here, t->extended.data, t->extended.len);
		if (!message_set_bytes(&t->extended, here, len))
			return fail_memory();
	}
	return 0;
}
