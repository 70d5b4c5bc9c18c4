// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the record stream that both sources fill. */
#include "collect/source.h"

void facts_free(struct facts *f)
{
	vector_free(&f->tasks);
	map_free(&f->task_of);
	vector_free(&f->sighands);
	vector_free(&f->timers);
	vector_free(&f->vmas);
	vector_free(&f->files);
	map_free(&f->path_of);
	text_free(&f->paths);
	*f = (struct facts){ 0 };
}

struct record_task *facts_add_task(struct facts *f, u32 tid)
{
	struct record_task *t = map_set(&f->task_of, tid, (u32)f->tasks.n + 1) < 0 ? NULL : vector_add(&f->tasks);
	if (t)
		t->tid = tid;
	return t;
}

int facts_pieces(struct map *ret, const void *records, size_t count, size_t size, size_t at)
{
	u32 last = 0, tgid;
	for (size_t i = 0; i < count; i++, last = tgid) {
		memcpy(&tgid, (const char *)records + i * size + at, sizeof tgid);
		if (tgid != last && map_set(ret, tgid, (u32)i + 1) < 0)
			return -ENOMEM;
	}
	return 0;
}

int facts_begin(struct facts *f, const struct tree *tree)
{
	for (size_t i = 0; i < tree->processes.n; i++) {
		const struct tree_process *p = &tree->processes.v[i];
		for (size_t k = 0; k < p->threads.n; k++) {
			struct record_task *t = facts_add_task(f, (u32)p->threads.v[k].tid);
			if (!t)
				return -ENOMEM;
			t->tgid = (u32)p->pid;
		}
	}
	return 0;
}

struct record_task *facts_task(struct facts *f, u32 tid)
{
	u32 at = map_get(&f->task_of, tid);
	return at ? &f->tasks.v[at - 1] : NULL;
}

const char *facts_path(const struct facts *f, const struct record_vma *v)
{
	u32 at = map_get(&f->path_of, inode_key(v->dev_major, v->dev_minor, v->ino));
	return at && at != PATH_UNSURE ? f->paths.data + at - 1 : NULL;
}
