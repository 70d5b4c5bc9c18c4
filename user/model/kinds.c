// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the kinds of the spine. */
#include "model/kinds.h"

const struct kind kind_host = { "host", &ckpt__host__descriptor, 0 };
const struct kind kind_task = { "task", &ckpt__task__descriptor, 0 };
const struct kind kind_thread = { "thread", &ckpt__thread__descriptor, 0 };
const struct kind kind_mm = { "mm", &ckpt__mm__descriptor, 0 };
const struct kind kind_vmas = { "vmas", &vma_descriptor, sizeof(struct vma) };
const struct kind kind_pages = { "pages", &page_run_descriptor, sizeof(struct page_run) };
const struct kind kind_memory = { "memory", &page_run_descriptor, sizeof(struct page_run) };
const struct kind kind_fds = { "fds", &fd_entry_descriptor, sizeof(struct fd_entry) };
const struct kind kind_file = { "file", &ckpt__file__descriptor, 0 };
const struct kind kind_vdso = { "vdso", &ckpt__vdso__descriptor, 0 };

const struct kind *const spine_kinds[SPINE_KINDS + 1] = {
	&kind_host,   &kind_task, &kind_thread, &kind_mm,   &kind_vmas, &kind_pages,
	&kind_memory, &kind_fds,  &kind_file,   &kind_vdso, NULL,
};
