/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kinds of the spine: the tree, its memory, its descriptor tables. Kinds of resources are in user/resource. */
#pragma once
#include "model/model.h"
#include "host.pb-c.h"
#include "mm.pb-c.h"
#include "task.pb-c.h"
#include "file.pb-c.h"
#include "model/records.h"

extern const struct kind kind_host;   /* id 1: what the image was made on */
extern const struct kind kind_task;   /* id: pid */
extern const struct kind kind_thread; /* id: tid */
extern const struct kind kind_mm;     /* id: mm */
extern const struct kind kind_vmas;   /* id: mm; records of struct vma, sorted by address */
extern const struct kind kind_pages;  /* id: mm; records of struct page_run, sorted by address */
extern const struct kind kind_memory; /* id: file of a memory object; records of struct page_run, sorted by offset */
extern const struct kind kind_fds;    /* id: descriptor table; records of struct fd_entry, sorted by fd */
extern const struct kind kind_file;   /* id: open file description (also of mapped files, cwd, root, exe) */
extern const struct kind kind_vdso;   /* id 1..: layout and symbols of a vDSO */

/* Is another file handed over in its place at restore? */
static inline bool file_is_external(const struct graph *graph, u32 file)
{
	const Ckpt__File *f = (const Ckpt__File *)graph_data(graph, &kind_file, file);
	return f && f->external;
}

enum { SPINE_KINDS = 10 };
extern const struct kind *const spine_kinds[SPINE_KINDS + 1]; /* NULL-terminated */
