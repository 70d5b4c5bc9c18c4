// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* iter/task_file: one struct record_file_raw per descriptor of a process. */
#include "ids.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define NSFS_MAGIC 0x6e736673

/* One reader at a time: ckpt locks a pinned program while it reads. */
struct {
	struct record_config config;
	struct record_header header;
	struct record_file_raw raw;
} state;

static __always_inline void read_inode(struct inode *inode, struct record_file_raw *raw)
{
	struct super_block *sb = inode->i_sb;

	raw->file.ino = inode->i_ino;
	raw->file.mode = inode->i_mode;
	raw->rdev = inode->i_rdev;
	raw->dev = sb->s_dev;
	raw->file.magic = sb->s_magic;
}

static __always_inline void read_owner(struct file *f, struct record_file_raw *raw)
{
	struct fown_struct *owner = file_owner(f);

	READ(raw->file.owner_signum, owner, signum);
	READ(raw->file.owner_type, owner, pid_type);
	read_reader(&raw->reader);
	read_pid(&raw->owner, BPF_CORE_READ(owner, pid), raw->reader.level);
	raw->file.owner_known = 1;
}

static __always_inline void read_name(struct file *f, struct record_file_raw *raw)
{
	const char *name = (const char *)BPF_CORE_READ(f, f_path.dentry, d_name.name);

	if (raw->file.magic == NSFS_MAGIC) {
		struct ns_common *ns = BPF_CORE_READ(f, f_inode, i_private);
		raw->ns_inum = BPF_CORE_READ(ns, inum);
		name = BPF_CORE_READ(ns, ops, name);
	}
	bpf_probe_read_kernel_str(raw->file.link, sizeof(raw->file.link), name);
}

SEC("iter/task_file")
int ckpt_file(struct bpf_iter__task_file *ctx)
{
	struct record_file_raw *raw = &state.raw;
	struct task_struct *t = ctx->task;
	struct file *f = ctx->file;
	struct mount *any = NULL;
	struct mount *mount;
	unsigned long *words;
	u32 fd = ctx->fd;

	if (!t || !f || t->pid != t->tgid)
		return 0;
	raw->signal_id = (u64)BPF_CORE_READ(t, signal);
	words = BPF_CORE_READ(t, files, fdt, close_on_exec);
	bpf_probe_read_kernel(&raw->close_on_exec, sizeof(raw->close_on_exec), words + (fd >> 6));
	raw->file.fd = fd;
	raw->file.flags = f->f_flags;
	raw->file.pos = f->f_pos;
	raw->file.file_id = (u64)f;
	raw->file.dentry_id = (u64)f->f_path.dentry;
	mount = (void *)((char *)f->f_path.mnt - bpf_core_field_offset(any->mnt));
	READ(raw->file.mnt_id, mount, mnt_id);
	read_inode(f->f_inode, raw);
	read_owner(f, raw);
	read_name(f, raw);
	state.header.tag = RECORD_FILE;
	state.header.len = sizeof(*raw);
	bpf_seq_write(ctx->meta->seq, &state.header, sizeof(state.header) + sizeof(*raw));
	return 0;
}
