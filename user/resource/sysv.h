/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What System V objects share (sysvipc(7)): a key, and an id that whoever makes one asks for. Inline, since resources do not use each
 * other. */
#pragma once
#include "diag/diag.h"
#include "resource/file_scope.h"
#include "sysvipc.pb-c.h"
#include "sysvsem.pb-c.h"
#include <sys/ipc.h>
#include <sys/sem.h>

#define SYSV_VALUE_MAX 32767 /* SEMVMX */
#define SYSV_SET_MAX 32000   /* semaphores of a set that ckpt carries: SEMMSL as kernels come */

/* semctl(2): the caller declares it. */
union semun {
	int val;
	struct semid_ds *buf;
	unsigned short *array;
};

struct sysv {
	const char *name;
	const char *next_id; /* CONFIG_CHECKPOINT_RESTORE, Linux 3.9: the kernel gives this id next */
	long get;            /* shmget(2) and its siblings */
};

/* Are there semaphores at all (SEM_INFO, semctl(2))? That takes far less than their list. */
static inline bool sysv_are_sets(void)
{
	struct seminfo info;
	return semctl(0, 0, SEM_INFO, &info) < 0 || info.semusz;
}

/* Is this what the kernel tells of an id that nothing has? Others may not look at what is there. */
static inline bool sysv_is_none(int error) { return error == EINVAL || error == EIDRM; }

/* Could an object of this id and key be made? Reports why not. */
static inline int sysv_judge_absent(const struct sysv *kind, u32 id, u32 key)
{
	long other = key ? syscall(kind->get, key, 0, 0) : -1;
	if (other >= 0 || (key && errno == EACCES))
		return fail(SYSV_TAKEN, -EEXIST, "key %#x leads to %s %ld, was %u", key, kind->name, other, id);
	if (access(kind->next_id, W_OK) < 0)
		return fail(SYSV_ID, neg_errno(), "%s", kind->next_id);
	return 0;
}

/* The next object of its kind gets this id. */
static inline void sysv_plan_id(struct plan *plan, struct place at, const struct sysv *kind, u32 id)
{
	char text[16];
	int len = snprintf(text, sizeof text, "%u", id);
	struct arg path = arg_string(plan, kind->next_id);
	u32 fd = step_result(plan, plan_call(plan, at, SYS_openat, ARG(AT_FDCWD), path, ARG(O_WRONLY | O_CLOEXEC)));
	step_expect(plan_call(plan, at, SYS_write, ARG_OF_SLOT(fd), arg_string(plan, text), ARG(len)), len);
	plan_call(plan, at, SYS_close, ARG_OF_SLOT(fd));
}

/* The message of an object, when it is of the kind of this name; NULL: it is of another. */
static inline const void *sysv_message(const struct object *o, const char *kind)
{
	return !strcmp(o->kind->name, kind) ? o->data : NULL;
}

/* Is a set of so many semaphores made again, where it is gone? */
static inline bool sysv_makes_set(const struct graph *graph, u32 set, u32 count)
{
	for (size_t i = 0; i < graph->objects.n; i++) {
		const Ckpt__Sysvipc *m = sysv_message(graph->objects.v[i], "sysvipc");
		for (size_t k = 0; m && k < m->n_set; k++)
			if (m->set[k]->id == set && m->set[k]->n_value == count)
				return true;
	}
	return false;
}

/* What the kernel has done at the end of the tree: the values of a set are those before what its threads will take again. */
static inline void sysv_give_back(const struct graph *graph, u32 set, unsigned short *values, size_t count)
{
	for (size_t i = 0; i < graph->objects.n; i++) {
		const Ckpt__Sysvsem *m = sysv_message(graph->objects.v[i], "sysvsem");
		for (size_t k = 0; m && k < m->n_set; k++)
			for (size_t n = 0; m->set[k]->set == set && n < m->set[k]->n_undo; n++) {
				const Ckpt__SemaphoreUndo *u = m->set[k]->undo[n];
				if (u->semaphore < count)
					values[u->semaphore] = (unsigned short)(values[u->semaphore] + u->adjust);
			}
	}
}
