// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the mappings that are read in a thread while other facts are collected. */
#include "base/file.h"
#include "base/parallel.h"
#include "collect/ahead.h"
#include <semaphore.h>

/* Of all processes: a tree with more mappings than that has eBPF tell them. */
#define AHEAD_LIMIT (1u << 20)

struct smaps_ahead {
	const struct tree *tree;
	pthread_t thread;
	sem_t done; /* all is read that will be: the end of a thread takes longer */
	bool awaited;
	size_t n; /* processes, the first of the tree, whose text is whole */
	struct text texts[];
};

static void *read_ahead(void *arg)
{
	struct smaps_ahead *a = arg;
	size_t room = AHEAD_LIMIT;
	for (; a->n < a->tree->processes.n; a->n++) {
		const struct tree_process *p = &a->tree->processes.v[a->n];
		struct text *text = &a->texts[a->n];
		if (p->state != 'Z' && file_read_within(p->proc, "smaps", text, room) < 0)
			break;
		room -= text->len;
	}
	sem_post(&a->done);
	return NULL;
}

struct smaps_ahead *smaps_ahead(const struct tree *tree)
{
	struct smaps_ahead *a = calloc(1, sizeof *a + tree->processes.n * sizeof a->texts[0]);
	if (!a)
		return NULL;
	a->tree = tree;
	sem_init(&a->done, 0, 0);
	if (parallel_thread(&a->thread, read_ahead, a) == 0)
		return a;
	sem_destroy(&a->done);
	free(a);
	return NULL;
}

void smaps_ahead_await(struct smaps_ahead *a)
{
	while (a && !a->awaited)
		a->awaited = sem_wait(&a->done) == 0;
}

bool smaps_ahead_take(struct smaps_ahead *a, size_t process, struct text *ret)
{
	if (!a)
		return false;
	smaps_ahead_await(a);
	if (process >= a->n)
		return false;
	*ret = a->texts[process];
	a->texts[process] = (struct text){ 0 };
	return true;
}

void smaps_ahead_end(struct smaps_ahead *a)
{
	if (!a)
		return;
	pthread_join(a->thread, NULL);
	sem_destroy(&a->done);
	for (size_t i = 0; i < a->tree->processes.n; i++)
		text_free(&a->texts[i]);
	free(a);
}
