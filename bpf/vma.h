/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Reading one mapping. GET(pointer, field) is how: a direct load where the verifier knows the pointer (half of the time),
 * BPF_CORE_READ where it does not. */
#ifndef CKPT_BPF_VMA_H
#define CKPT_BPF_VMA_H
#include "ids.h"

static __always_inline void read_vma_name(struct vm_area_struct *v, struct file *file, struct record_vma_raw *raw)
{
	const struct vm_operations_struct *ops = GET(v, vm_ops);
	struct vm_special_mapping *special;
	const char *name = NULL;

	raw->ops_id = (u64)ops;
	raw->anon_name = 0;
	raw->vma.name[0] = 0;
	if (file && !vma_names_files())
		return;
	if (file || !ops) {
		name = vma_anon_name(v);
		raw->anon_name = name != NULL;
	} else if (GET(ops, name)) {
		special = GET(v, vm_private_data);
		name = BPF_CORE_READ(special, name);
	}
	if (name)
		bpf_probe_read_kernel_str(raw->vma.name, sizeof(raw->vma.name), name);
}

static __always_inline void read_vma(struct vm_area_struct *v, struct record_vma_raw *raw)
{
	struct record_vma *r = &raw->vma;
	struct mm_struct *mm = GET(v, vm_mm);
	struct file *file = GET(v, vm_file);
	struct anon_vma *anon = GET(v, anon_vma);

	r->start = GET(v, vm_start);
	r->end = GET(v, vm_end);
	r->pgoff = GET(v, vm_pgoff);
	raw->vm_flags = GET(v, vm_flags);
	r->file_id = (u64)file;
	r->ino = 0;
	raw->dev = 0;
	if (file) {
		/* Of a file on overlayfs this is the file below: which one the user sees hangs on a bit of f_mode that moves. */
		struct inode *inode = GET(file, f_inode);
		struct super_block *sb = GET(inode, i_sb);
		r->ino = GET(inode, i_ino);
		raw->dev = GET(sb, s_dev);
	}
	r->anon_id = 0;
	if (anon)
		r->anon_id = (u64)GET(anon, root);
	if (LAST_FLAVOR(v->vm_userfaultfd_ctx.ctx))
		r->uffd_id = (u64)GET(v, vm_userfaultfd_ctx.ctx);
	if (mm) {
		raw->brk = GET(mm, brk);
		raw->start_brk = GET(mm, start_brk);
		raw->start_stack = GET(mm, start_stack);
	}
	read_vma_name(v, file, raw);
}
#endif
