// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns rseq areas (rseq(2)) that the kernel here does not take as another one did: any but 32 bytes before Linux 6.3, and fewer
 * than it writes after. The C library's is left off there, as it leaves it itself when a kernel refuses it. Pure. */
#include "diag/diag.h"
#include "restore/compile.h"
#include <elf.h>
#include <sys/rseq.h>

#define FIRST_BYTES 32u /* of an area as it was at first: all kernels take it */

/* kernel/rseq.c, sys_rseq(), and what the kernel tells programs of it. */
static bool is_taken(const struct survey *s, const Ckpt__Rseq *r)
{
	if (r->length == FIRST_BYTES)
		return r->address % FIRST_BYTES == 0;
	return s->rseq_bytes && r->length >= MAX(s->rseq_bytes, FIRST_BYTES) &&
	       r->address % MAX(s->rseq_align, FIRST_BYTES) == 0;
}

/* What the program was told at its start: so many bytes the kernel writes. 0: nothing. */
static u64 told_bytes(const Ckpt__Mm *m)
{
	Elf64_auxv_t entry;
	for (size_t at = 0; at + sizeof entry <= m->auxv.len; at += sizeof entry) {
		memcpy(&entry, m->auxv.data + at, sizeof entry);
		if (entry.a_type == AUXV_RSEQ_BYTES)
			return entry.a_un.a_val;
	}
	return 0;
}

/* The C library registers as much as it was told, with its signature. */
static bool is_of_libc(const struct graph *g, const Ckpt__Thread *t)
{
	const Ckpt__Task *task = graph_data(g, &kind_task, t->pid);
	const Ckpt__Mm *m = task ? graph_data(g, &kind_mm, task->mm) : NULL;
	return m && t->rseq->signature == RSEQ_SIG && t->rseq->length > FIRST_BYTES && t->rseq->length == told_bytes(m) &&
	       t->rseq->address % FIRST_BYTES == 0;
}

int judge_rseq(const struct graph *g, const struct survey *s)
{
	int r = 0;
	for (struct object *o = NULL; (o = graph_next(g, &kind_thread, o));) {
		const Ckpt__Thread *t = o->data;
		if (!t->rseq || !t->rseq->address || is_taken(s, t->rseq) || is_of_libc(g, t))
			continue;
		WORKING_ON_TASK(t->pid);
		WORKING_ON_THREAD(t->tid);
		r = fail(RSEQ_LENGTH, 0, "%u bytes at %#llx, the kernel here takes %u%s", t->rseq->length,
			 (unsigned long long)t->rseq->address, FIRST_BYTES, s->rseq_bytes ? ", or more than it writes" : "");
	}
	return r;
}

/* Registered with fewer bytes its threads would run, but each that it starts later would end it: pthread_create(3) wants the kernel
 * to take for the new thread what it took for the old one. */
int adapt_rseq(struct graph *g, struct survey *s)
{
	for (struct object *o = NULL; (o = graph_next(g, &kind_thread, o));) {
		Ckpt__Thread *t = o->data;
		if (!t->rseq || !t->rseq->address || is_taken(s, t->rseq))
			continue;
		WORKING_ON_TASK(t->pid);
		if (t->tid == shape_first(g, t->pid))
			warn(RSEQ_LEFT_OFF, 0, "%u bytes, the kernel here takes %u", t->rseq->length, FIRST_BYTES);
		struct left_off *off = vector_add(&s->left_off);
		if (!off)
			return fail_memory();
		*off = (struct left_off){ .pid = t->pid, .address = t->rseq->address };
		t->rseq->address = t->rseq->length = t->rseq->signature = 0;
	}
	return 0;
}

void compile_rseq(struct compiler *c, const Ckpt__Task *task)
{
	static const u32 failed = (u32)RSEQ_CPU_ID_REGISTRATION_FAILED;
	for (size_t i = 0; i < c->survey->left_off.n; i++) {
		const struct left_off *off = &c->survey->left_off.v[i];
		const Ckpt__Task *of = graph_data(c->graph, &kind_task, off->pid);
		if (!of || of->mm != task->mm)
			continue;
		plan_for(c->plan, "rseq area at %llx of process %u", (unsigned long long)off->address, off->pid);
		u32 data = plan_data(c->plan, &failed, sizeof failed, 8);
		plan_write_memory(c->plan, AT(task->pid, STAGE_FILL), off->address + offsetof(struct rseq, cpu_id), data,
				  sizeof failed);
	}
}
