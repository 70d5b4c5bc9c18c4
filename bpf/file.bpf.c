// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* iter/task_file: one struct record_file_raw per descriptor of a process. */
#include "ids.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define NSFS_MAGIC 0x6e736673
#define SOCKFS_MAGIC 0x534f434b
#define ANON_INODE_FS_MAGIC 0x09041934
#define MQUEUE_MAGIC 0x19800202
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define SOCK_DGRAM 2
#define IPPROTO_UDP 17
#define IPPROTO_UDPLITE 136

/* One reader at a time: ckpt locks a pinned program while it reads. */
struct {
	struct record_config config;
	struct record_header header;
	struct record_file_raw raw;
} state;

/* The kernel keeps locks and leases with the inode. Which of those that there are belong to this open file, fdinfo tells. */
static __always_inline u32 inode_locks(struct inode *inode)
{
	struct file_lock_context *all;

	if (!LAST_FLAVOR(inode->i_flctx)) /* without CONFIG_FILE_LOCKING */
		return LOCKS_UNKNOWN;
	all = inode->i_flctx;
	if (!all || (all->flc_flock.next == &all->flc_flock && all->flc_posix.next == &all->flc_posix &&
		     all->flc_lease.next == &all->flc_lease))
		return LOCKS_NONE;
	return LOCKS_UNKNOWN;
}

static __always_inline void read_inode(struct inode *inode, struct record_file_raw *raw)
{
	struct super_block *sb = inode->i_sb;

	raw->file.ino = inode->i_ino;
	raw->file.mode = inode->i_mode;
	raw->rdev = inode->i_rdev;
	raw->links = inode->i_nlink;
	raw->dev = sb->s_dev;
	raw->file.magic = sb->s_magic;
	raw->file.locks = inode_locks(inode);
}

/* Nearly all files have no owner: what costs a call is asked only of the others. */
static __always_inline void read_owner(struct file *f, struct record_file_raw *raw)
{
	struct fown_struct *owner = file_owner(f);
	struct pid *pid = NULL;

	raw->file.owner_known = 1;
	raw->file.owner_signum = raw->file.owner_type = 0;
	if (owner) {
		READ(raw->file.owner_signum, owner, signum);
		READ(raw->file.owner_type, owner, pid_type);
		pid = BPF_CORE_READ(owner, pid);
	}
	raw->reader = raw->owner = (struct record_pid){ 0 };
	if (pid) {
		read_reader(&raw->reader);
		read_pid(&raw->owner, pid, upid_offset(raw->reader.level));
	}
}

/* Other files have a path, or a link that their kind and their inode make. */
static __always_inline void read_name(struct file *f, struct record_file_raw *raw)
{
	const char *name;

	if (raw->file.magic == NSFS_MAGIC) {
		struct ns_common *ns = BPF_CORE_READ(f, f_inode, i_private);
		raw->ns_inum = BPF_CORE_READ(ns, inum);
		name = BPF_CORE_READ(ns, ops, name);
	} else if (raw->file.magic == ANON_INODE_FS_MAGIC) {
		name = (const char *)BPF_CORE_READ(f, f_path.dentry, d_name.name);
	} else {
		raw->file.link[0] = 0;
		return;
	}
	bpf_probe_read_kernel_str(raw->file.link, sizeof(raw->file.link), name);
}

static __always_inline u64 close_on_exec_word(struct task_struct *t, u32 fd)
{
	struct files_struct *files = t->files;
	struct fdtable *table = files ? files->fdt : NULL;
	u64 word = 0;

	if (table)
		bpf_probe_read_kernel(&word, sizeof(word), table->close_on_exec + (fd >> 6));
	return word;
}

/* name: a literal, which is compared to its zero. Unrolled, so that nothing of it is left where libbpf would look for a map. */
#define IS_ANONYMOUS(raw, name)                                                                                                \
	({                                                                                                                     \
		bool same_ = (raw)->file.magic == ANON_INODE_FS_MAGIC;                                                         \
		_Pragma("unroll") for (int i_ = 0; i_ < (int)sizeof(name); i_++) same_ =                                       \
			same_ && (raw)->file.link[i_] == (name)[i_];                                                           \
		same_;                                                                                                         \
	})

/* eventfd(2), EFD_SEMAPHORE: fdinfo tells it since Linux 6.5 alone. */
static __always_inline void read_eventfd(struct file *f, struct record_file_raw *raw)
{
	struct eventfd_ctx *ctx;
	u32 flags = 0;

	raw->file.eventfd = EVENTFD_UNKNOWN;
	if (!IS_ANONYMOUS(raw, "[eventfd]"))
		return;
	ctx = BPF_CORE_READ(f, private_data);
	if (!bpf_core_field_exists(ctx->flags))
		return;
	flags = BPF_CORE_READ(ctx, flags);
	raw->file.eventfd = flags & 1 ? EVENTFD_SEMAPHORE : EVENTFD_COUNTER;
}

/* SO_ATTACH_REUSEPORT_CBPF, SO_ATTACH_REUSEPORT_EBPF: nobody else tells. */
static __always_inline void read_chooser(struct file *f, struct record_file_raw *raw)
{
	struct sock_reuseport *group = NULL;

	raw->file.chosen = 0;
	if (raw->file.magic != SOCKFS_MAGIC || !bpf_core_field_exists(group->prog))
		return;
	group = BPF_CORE_READ((struct socket *)f->private_data, sk, sk_reuseport_cb);
	raw->file.chosen = group && BPF_CORE_READ(group, prog);
}

/* Messages wait in two queues of a UDP socket, in one of a unix socket. */
static __always_inline void read_waiting(struct file *f, struct record_file_raw *raw)
{
	struct sock *sk;
	u32 family, protocol;

	raw->file.waiting = WAITING_UNKNOWN;
	if (raw->file.magic != SOCKFS_MAGIC)
		return;
	sk = BPF_CORE_READ((struct socket *)f->private_data, sk);
	if (!sk)
		return;
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	protocol = BPF_CORE_READ(sk, sk_protocol);
	if (family == AF_UNIX)
		raw->file.waiting = BPF_CORE_READ(sk, sk_receive_queue.qlen);
	else if ((family == AF_INET || family == AF_INET6) && BPF_CORE_READ(sk, sk_type) == SOCK_DGRAM &&
		 (protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE))
		raw->file.waiting =
			BPF_CORE_READ(sk, sk_receive_queue.qlen) + BPF_CORE_READ((struct udp_sock *)sk, reader_queue.qlen);
}

/* mq_notify(3): who reads the queue as a file is told all but the value. */
static __always_inline void read_notify(struct file *f, struct record_file_raw *raw)
{
	struct mqueue_inode_info *queue = NULL;

	raw->file.notify_value = raw->file.notify_known = 0;
	if (raw->file.magic != MQUEUE_MAGIC || !bpf_core_field_exists(queue->notify))
		return;
	queue = (void *)((char *)f->f_inode - bpf_core_field_offset(queue->vfs_inode));
	raw->file.notify_value = (u64)BPF_CORE_READ(queue, notify.sigev_value.sival_ptr);
	raw->file.notify_known = 1;
}

/* userfaultfd(2): fdinfo tells its features alone. */
static __always_inline void read_userfault(struct file *f, struct record_file_raw *raw)
{
	struct userfaultfd_ctx *ctx;

	raw->file.userfault_id = raw->userfault_mm = 0;
	raw->file.userfault_flags = raw->file.userfault_features = 0;
	if (!IS_ANONYMOUS(raw, "[userfaultfd]"))
		return;
	ctx = BPF_CORE_READ(f, private_data);
	if (!LAST_FLAVOR(ctx->mm))
		return;
	raw->file.userfault_id = (u64)ctx;
	raw->userfault_mm = (u64)BPF_CORE_READ(ctx, mm);
	raw->file.userfault_flags = BPF_CORE_READ(ctx, flags);
	raw->file.userfault_features = BPF_CORE_READ(ctx, features);
	if (bpf_core_field_exists(ctx->state) && BPF_CORE_READ(ctx, state) != UFFD_STATE_WAIT_API)
		raw->file.userfault_features |= USERFAULT_AGREED;
}

/* Threads mostly have the table of their leader. One that has ended has none: /proc is asked for such a process. */
static __always_inline bool has_own_table(struct task_struct *t)
{
	struct files_struct *leaders;

	if (t->pid == t->tgid)
		return true;
	leaders = t->group_leader->files;
	return leaders && leaders != t->files;
}

SEC("iter/task_file")
int ckpt_file(struct bpf_iter__task_file *ctx)
{
	struct record_file_raw *raw = &state.raw;
	struct task_struct *t = ctx->task;
	struct file *f = ctx->file;
	struct mount *any = NULL;
	struct mount *mount;
	u32 fd = ctx->fd;

	if (!t || !f || !has_own_table(t))
		return 0;
	raw->signal_id = (u64)t->signal;
	raw->files_id = (u64)t->files;
	raw->close_on_exec = close_on_exec_word(t, fd);
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
	read_eventfd(f, raw);
	read_chooser(f, raw);
	read_userfault(f, raw);
	read_notify(f, raw);
	read_waiting(f, raw);
	state.header.tag = RECORD_FILE;
	state.header.len = sizeof(*raw);
	bpf_seq_write(ctx->meta->seq, &state.header, sizeof(state.header) + sizeof(*raw));
	return 0;
}
