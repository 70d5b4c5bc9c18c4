/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What System V objects share (sysvipc(7)): a key, and an id that whoever makes one asks for. Inline, since resources do not use each
 * other. */
#pragma once
#include "diag/diag.h"
#include "resource/file_scope.h"
#include <sys/ipc.h>
#include <sys/sem.h>

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
