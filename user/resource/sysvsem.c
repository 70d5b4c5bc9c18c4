// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what the kernel undoes at the end of a thread: System V semaphores outlive it, and get back what it took from them with
 * SEM_UNDO (semop(2)). Only eBPF tells (task_struct.sysvsem, ipc/sem.c). A dump that ends the tree gives it back; the restored threads take
 * it again, unless others have it by then. */
#include "collect/collect.h"
#include "model/shape.h"
#include "resource/sysv.h"

#define SETS "/proc/sysvipc/sem"
#define SETS_MOST 256u /* of one list: as many as eBPF tells */

static const struct kind kind_sysvsem = { .name = "sysvsem", .desc = &ckpt__sysvsem__descriptor };

/* --- collect --- */

static int add_undo(Ckpt__SetUndo *s, u32 semaphore, s32 adjust)
{
	Ckpt__SemaphoreUndo *u = MESSAGE_NEW(Ckpt__SemaphoreUndo, ckpt__semaphore_undo);
	if (!u || !MESSAGE_APPEND(&s->n_undo, &s->undo, u)) {
		free(u);
		return fail_memory();
	}
	SET(u, semaphore, semaphore);
	SET(u, adjust, adjust);
	return 0;
}

/* A list of threads, by whom it was seen. */
struct list {
	struct collector *collector;
	u32 pid;
	u64 id; /* record_task.sysvsem_id */
};

/* 1; 0 behind the last set of the list. */
static int read_set(const struct list *l, u32 number, Ckpt__SetUndo *s)
{
	struct record_undo record;
	struct semid_ds ds = { 0 };
	int r = collector_undo(l->collector, l->pid, l->id, number, 0, &record);
	if (r <= 0)
		return r;
	if (semctl((int)record.set, 0, IPC_STAT, (union semun){ .buf = &ds }) < 0)
		return neg_errno();
	SET(s, set, (u32)record.set);
	SET(s, key, (u32)ds.sem_perm.__key);
	SET(s, count, (u32)ds.sem_nsems);
	for (u32 i = 0; r > 0 && i < s->count; i++) {
		u32 at = i % RECORD_UNDO_PER_READ;
		if (i && !at)
			r = collector_undo(l->collector, l->pid, l->id, number, i, &record);
		if (r > 0 && record.adjust[at] && add_undo(s, i, record.adjust[at]) < 0)
			return -ENOMEM;
	}
	return r == 0 ? -EAGAIN : r;
}

/* Most programs give back what they take: nothing is left to be undone then. */
static int read_list(const struct list *l, Ckpt__Sysvsem *m)
{
	int r = 1;
	for (u32 number = 0; r > 0; number++) {
		Ckpt__SetUndo *s = MESSAGE_NEW(Ckpt__SetUndo, ckpt__set_undo);
		if (!s)
			return fail_memory();
		r = number < SETS_MOST ? read_set(l, number, s) : -E2BIG;
		if (r > 0 && s->n_undo && MESSAGE_APPEND(&m->n_set, &m->set, s))
			continue;
		r = r > 0 && s->n_undo ? -ENOMEM : r;
		ckpt__set_undo__free_unpacked(s, NULL);
	}
	if (r == -ENOMEM)
		return fail_memory();
	if (r < 0)
		SET(m, unread, true);
	return 0;
}

static bool has_undo(const Ckpt__Sysvsem *m) { return m->n_set || m->unread; }

static int sysvsem_collect(struct collector *collector, const struct subject *subject, struct object *object)
{
	const struct record_task *t = subject->task;
	const struct graph *graph = collector_graph(collector);
	const struct list list = { collector, t->tgid, t->sysvsem_id };
	Ckpt__Sysvsem *m = object->data;
	u32 first = shape_first(graph, t->tgid), owner = list.id ? collector_recall(collector, list.id) : 0;
	bool known = t->known & KNOWN_IDENTITY, leads = t->tid == first;
	const Ckpt__Sysvsem *leader = leads ? NULL : graph_data(graph, &kind_sysvsem, first);
	bool may_have = list.id || (!known && leads);
	if ((!known && !leads) || (may_have && !sysv_are_sets())) /* what is undone belongs to a set */
		return 0;
	if (!known) {
		SET(m, unknown, true);
		return 0;
	}
	if (owner && owner == first)
		return 0;
	if (owner)
		SET(m, shared_with, owner);
	int r = !list.id ? 0 : collector_remember(collector, list.id, t->tid) < 0 ? fail_memory() : read_list(&list, m);
	if (leader && (has_undo(leader) || has_undo(m)))
		SET(m, own, true);
	return r;
}

/* --- judge --- */

/* The least and the most that a semaphore may be while the lists of the tree are undone or done again, in whatever order, beside what
 * it is. */
struct swing {
	s64 least, most;
};

static struct swing swing_of(const struct graph *graph, u32 set, u32 semaphore)
{
	struct swing swing = { 0 };
	for (struct object *o = NULL; (o = graph_next(graph, &kind_sysvsem, o));) {
		const Ckpt__Sysvsem *m = o->data;
		for (size_t i = 0; i < m->n_set; i++)
			for (size_t k = 0; m->set[i]->set == set && k < m->set[i]->n_undo; k++) {
				const Ckpt__SemaphoreUndo *u = m->set[i]->undo[k];
				*(u->adjust < 0 ? &swing.least : &swing.most) += u->semaphore == semaphore ? u->adjust : 0;
			}
	}
	return swing;
}

/* At its end the kernel stops at these limits: what was undone so could not be done again. */
static int judge_undone(const struct graph *graph, const Ckpt__SetUndo *s, const Ckpt__SemaphoreUndo *u)
{
	int value = semctl((int)s->set, (int)u->semaphore, GETVAL);
	struct swing swing = swing_of(graph, s->set, u->semaphore);
	if (value < 0 || (value + swing.least >= 0 && value + swing.most <= SYSV_VALUE_MAX))
		return 0;
	return fail(SYSVSEM_LIMIT, 0, "semaphore %u of set %u is %d, to which %lld and %lld will be added", u->semaphore,
		    s->set, value, (long long)swing.least, (long long)swing.most);
}

static int judge_dumped(const struct graph *graph, const Ckpt__Sysvsem *m)
{
	int r = 0;
	if (m->unknown && !shape_is_live(graph))
		warn(SYSVSEM_UNKNOWN, 0, SETS " has some");
	if (m->unread)
		r = fail(SYSVSEM_UNDO, 0, "semop(2), SEM_UNDO");
	if (m->shared_with && has_undo(m))
		r = fail(SYSVSEM_SHARED, 0, "with thread %u", m->shared_with);
	for (size_t i = 0; i < m->n_set; i++)
		for (size_t k = 0; k < m->set[i]->n_undo; k++)
			r |= judge_undone(graph, m->set[i], m->set[i]->undo[k]);
	return r < 0 ? -EINVAL : 0;
}

static bool is_sound(const Ckpt__SetUndo *s)
{
	bool sound = s->set <= INT32_MAX && s->count <= SYSV_SET_MAX;
	for (size_t k = 0; sound && k < s->n_undo; k++) {
		const Ckpt__SemaphoreUndo *u = s->undo[k];
		sound = u->semaphore < s->count && u->adjust && u->adjust >= -SYSV_VALUE_MAX && u->adjust <= SYSV_VALUE_MAX;
	}
	return sound;
}

/* Could all of it be taken now? What the tree had taken it has given back. */
static int judge_free(const struct graph *graph, const Ckpt__SetUndo *s)
{
	int r = 0;
	for (size_t k = 0; k < s->n_undo; k++) {
		int value = semctl((int)s->set, (int)s->undo[k]->semaphore, GETVAL);
		struct swing swing = swing_of(graph, s->set, s->undo[k]->semaphore);
		if (value >= 0 && (value - swing.most < 0 || value - swing.least > SYSV_VALUE_MAX))
			r = fail(SYSVSEM_TAKEN, 0, "semaphore %u of set %u is %d, process %d has used it last",
				 s->undo[k]->semaphore, s->set, value, semctl((int)s->set, (int)s->undo[k]->semaphore, GETPID));
	}
	return r;
}

static int judge_restored(const struct graph *graph, const Ckpt__SetUndo *s)
{
	struct semid_ds ds = { 0 };
	if (!is_sound(s))
		return fail(IMAGE_VALUE, 0, "what is to be undone of set %u", s->set);
	if (semctl((int)s->set, 0, IPC_STAT, (union semun){ .buf = &ds }) == 0)
		return (u32)ds.sem_perm.__key == s->key && ds.sem_nsems == s->count
			       ? judge_free(graph, s)
			       : fail(SYSV_TAKEN, -EEXIST, "set of semaphores %u has key %#x here", s->set,
				      (unsigned)ds.sem_perm.__key);
	return errno == EACCES || sysv_makes_set(graph, s->set, s->count)
		       ? 0
		       : fail(SYSVSEM_GONE, neg_errno(), "set of semaphores %u", s->set);
}

static int sysvsem_judge(const struct graph *graph, const struct object *object, enum direction direction)
{
	const Ckpt__Sysvsem *m = object->data;
	int r = 0;
	WORKING_ON_THREAD(object->id);
	if (direction == DIRECTION_DUMP)
		return judge_dumped(graph, m);
	for (size_t i = 0; i < m->n_set; i++)
		r |= judge_restored(graph, m->set[i]);
	return r < 0 ? -EINVAL : 0;
}

/* --- plan --- */

/* Sets that were made again have their values before anybody takes anything from them: the root gives them (sysvipc.c). */
static void await_values(struct plan *plan, const struct graph *graph, struct place place)
{
	u32 root = plan_late(plan, graph).tid, word = plan_word(plan, "semaphores have their values");
	if (root == PLAN_WORLD || root == place.tid)
		return;
	plan_post(plan, AT(root, STAGE_THREAD), word);
	plan_wait(plan, place, word, 1);
}

/* While the thread has the rights of ckpt; what has been taken meanwhile is said at once. */
static int sysvsem_plan(struct plan *plan, const struct graph *graph, const struct object *object)
{
	const Ckpt__Sysvsem *m = object->data;
	struct place place = AT(shape_maker(graph, object->id), STAGE_THREAD);
	if (m->own) { /* threads are made with the list of the first */
		place.tid = object->id;
		plan_call(plan, place, SYS_unshare, ARG(CLONE_SYSVSEM));
	}
	if (m->n_set)
		await_values(plan, graph, place);
	for (size_t i = 0; i < m->n_set; i++)
		for (size_t k = 0; k < m->set[i]->n_undo; k++) {
			const Ckpt__SemaphoreUndo *u = m->set[i]->undo[k];
			struct sembuf take = { (unsigned short)u->semaphore, (short)-u->adjust, IPC_NOWAIT | SEM_UNDO };
			u32 data = plan_data(plan, &take, sizeof take, 8);
			plan_call(plan, place, SYS_semop, ARG(m->set[i]->set), ARG_OF_DATA(data), ARG(1));
		}
	return 0;
}

const struct resource resource_sysvsem = {
	.name = "sysvsem",
	.scope = SCOPE_THREAD,
	.kind = &kind_sysvsem,
	.collect = sysvsem_collect,
	.judge = sysvsem_judge,
	.plan = sysvsem_plan,
};
