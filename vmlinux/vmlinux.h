/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What ckpt assumes of the kernel's insides: only the types and fields that bpf/ reads. Layout means nothing here, libbpf
 * relocates by name and kind. What has moved or changed between kernels is in flavors.h. */
#ifndef CKPT_VMLINUX_H
#define CKPT_VMLINUX_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;
typedef u8 __u8;
typedef u16 __u16;
typedef u32 __u32;
typedef u64 __u64;
typedef s32 __s32;
typedef s64 __s64;
typedef u16 __be16;
typedef u32 __be32;
typedef u32 __wsum;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

enum { BPF_MAP_TYPE_HASH = 1, BPF_MAP_TYPE_ARRAY = 2, BPF_MAP_TYPE_PERCPU_ARRAY = 6 }; /* UAPI: read by bpf_helpers.h */

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct list_head {
	struct list_head *next, *prev;
};
struct hlist_node {
	struct hlist_node *next;
};
struct hlist_head {
	struct hlist_node *first;
};
typedef struct {
	int counter;
} atomic_t;
typedef struct {
	s64 counter;
} atomic64_t;
typedef struct {
	unsigned long sig[1];
} sigset_t;
typedef struct {
	u32 val;
} kuid_t;
typedef struct {
	u32 val;
} kgid_t;

/* --- namespaces and ids --- */
struct proc_ns_operations {
	const char *name;
};
struct ns_common {
	u32 inum;
	const struct proc_ns_operations *ops;
};
struct uts_namespace {
	struct ns_common ns;
};
struct ipc_namespace {
	struct ns_common ns;
};
struct mnt_namespace {
	struct ns_common ns;
};
struct pid_namespace {
	struct ns_common ns;
};
struct net {
	struct ns_common ns;
};
struct time_namespace {
	struct ns_common ns;
};
struct cgroup_namespace {
	struct ns_common ns;
};
struct user_namespace {
	struct ns_common ns;
};
struct nsproxy {
	struct uts_namespace *uts_ns;
	struct ipc_namespace *ipc_ns;
	struct mnt_namespace *mnt_ns;
	struct net *net_ns;
	struct time_namespace *time_ns, *time_ns_for_children;
	struct pid_namespace *pid_ns_for_children;
	struct cgroup_namespace *cgroup_ns;
};
enum pid_type { PID_OF_THREAD, PID_OF_PROCESS, PID_OF_GROUP, PID_OF_SESSION };
struct upid {
	int nr;
	struct pid_namespace *ns;
};
struct pid {
	u32 level;
	struct hlist_head tasks[4]; /* by enum pid_type */
	struct upid numbers[1];     /* level + 1 of them */
};

/* --- credentials --- */
typedef struct {
	u64 val;
} kernel_cap_t; /* two u32 before 6.3: read as eight bytes */
struct group_info {
	int ngroups;
	kgid_t gid[1]; /* ngroups of them */
};
struct cred {
	kuid_t uid, suid, euid, fsuid;
	kgid_t gid, sgid, egid, fsgid;
	u32 securebits;
	kernel_cap_t cap_inheritable, cap_permitted, cap_effective, cap_bset, cap_ambient;
	struct user_namespace *user_ns;
	struct group_info *group_info;
	void *session_keyring, *process_keyring, *thread_keyring; /* with CONFIG_KEYS */
	void *security;                                           /* with CONFIG_SECURITY */
};
struct seccomp {
	int mode;
	atomic_t filter_count;
	void *filter;
};

/* --- time --- */
struct timerqueue_node {
	s64 expires;
};
struct hrtimer_clock_base {
	s64 offset; /* what the clock is ahead of CLOCK_MONOTONIC */
};
struct hrtimer {
	struct timerqueue_node node; /* struct timerqueue_linked_node from 7.2 on: the same name inside */
	struct hrtimer_clock_base *base;
};
struct alarm {
	struct timerqueue_node node;
	struct hrtimer timer;
	int state;
};
struct cpu_timer {
	struct timerqueue_node node;
	struct pid *pid;
};
struct cpu_itimer {
	u64 expires, incr;
};
struct task_cputime_atomic {
	atomic64_t utime, stime, sum_exec_runtime;
};
struct thread_group_cputimer {
	struct task_cputime_atomic cputime_atomic;
};
typedef union {
	int sival_int;
	void *sival_ptr;
} sigval_t;
union __sifields {
	struct {
		int _tid, _overrun;
		sigval_t _sigval;
	} _timer;
};
typedef struct kernel_siginfo {
	int si_signo;
	union __sifields _sifields;
} kernel_siginfo_t;
struct sigqueue {
	kernel_siginfo_t info;
};
struct k_itimer {
	int it_id, it_clock, it_sigev_notify;
	s64 it_overrun_last, it_interval;
	struct pid *it_pid;
	union {
		struct {
			struct hrtimer timer;
		} real;
		struct cpu_timer cpu;
		struct {
			struct alarm alarmtimer;
		} alarm;
	} it;
};

/* --- signals --- */
struct sigpending {
	sigset_t signal;
};
struct sigaction {
	void (*sa_handler)(int);
	unsigned long sa_flags;
	void (*sa_restorer)(void);
	sigset_t sa_mask;
};
struct k_sigaction {
	struct sigaction sa;
};
struct sighand_struct {
	struct k_sigaction action[64];
};
struct tty_struct;
struct signal_struct {
	struct tty_struct *tty;
	int nr_threads;
	struct sigpending shared_pending;
	struct hrtimer real_timer;
	s64 it_real_incr;
	struct cpu_itimer it[2];
	struct thread_group_cputimer cputimer;
	struct pid *pids[4]; /* by enum pid_type */
	short oom_score_adj;
	u32 is_child_subreaper : 1; /* bool from 7.2 on */
};

/* --- files --- */
struct super_block {
	u32 s_dev;
	unsigned long s_magic;
};
struct file_lock_context {
	struct list_head flc_flock, flc_posix, flc_lease;
};
struct inode {
	u16 i_mode;
	u32 i_rdev;
	struct super_block *i_sb;
	unsigned long i_ino; /* u64 from 7.2 on */
	u32 i_nlink;
	void *i_private; /* struct ns_common in nsfs */
	struct file_lock_context *i_flctx;
};
union sigval {
	void *sival_ptr;
};
struct sigevent {
	union sigval sigev_value;
};
struct mqueue_inode_info {
	struct inode vfs_inode;
	struct sigevent notify;
};
struct qstr {
	const unsigned char *name;
};
struct dentry {
	struct qstr d_name;
	struct inode *d_inode;
};
struct vfsmount;
struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};
struct vfsmount {
	struct dentry *mnt_root;
};
struct mount {
	struct vfsmount mnt;
	int mnt_id;
};
struct fown_struct {
	struct pid *pid;
	enum pid_type pid_type;
	int signum;
};
struct file {
	u32 f_flags;
	struct inode *f_inode;
	struct path f_path;
	s64 f_pos;
	void *private_data;
};
struct eventfd_ctx {
	unsigned int flags;
	int id;
};
struct sock_reuseport {
	struct bpf_prog *prog;
};
struct sk_buff_head {
	u32 qlen;
};
struct sock_common {
	unsigned short skc_family;
};
struct sock {
	struct sock_common __sk_common;
	struct sk_buff_head sk_receive_queue;
	u16 sk_type, sk_protocol;
	struct sock_reuseport *sk_reuseport_cb;
};
struct udp_sock { /* begins with a struct sock */
	struct sk_buff_head reader_queue;
};
struct socket { /* private_data of its file */
	struct sock *sk;
};

/* --- packet sockets --- */
enum tpacket_versions { TPACKET_V1, TPACKET_V2, TPACKET_V3 };
struct tpacket_hdr_v1 {
	u32 block_status, num_pkts;
};
union tpacket_bd_header_u {
	struct tpacket_hdr_v1 bh1;
};
struct tpacket_block_desc {
	union tpacket_bd_header_u hdr;
};
struct pgv {
	char *buffer;
};
struct tpacket_kbdq_core {
	struct pgv *pkbdq;
	unsigned char reset_pending_on_curr_blk;
	unsigned short kactive_blk_num;
};
struct packet_ring_buffer {
	struct pgv *pg_vec;
	unsigned int head, frame_max;
	union {
		unsigned long *rx_owner_map;
		struct tpacket_kbdq_core prb_bdqc;
	};
};
struct tpacket_stats {
	unsigned int tp_packets;
};
union tpacket_stats_u {
	struct tpacket_stats stats1;
};
struct packet_sock { /* begins with its struct sock */
	union tpacket_stats_u stats;
	struct packet_ring_buffer rx_ring, tx_ring;
	enum tpacket_versions tp_version;
};

/* --- terminals --- */
#define N_TTY_BUF_SIZE 4096
struct tty_buffer {
	struct tty_buffer *next;
	u32 used, commit, read;
	u8 data[];
};
struct tty_bufhead {
	struct tty_buffer *head;
};
struct tty_port {
	struct tty_bufhead buf;
};
struct n_tty_data { /* of drivers/tty/n_tty.c */
	unsigned long read_head, canon_head, echo_head, read_tail, echo_tail;
	u8 lnext : 1, erasing : 1, icanon : 1;
	u8 read_buf[N_TTY_BUF_SIZE];
	unsigned long read_flags[N_TTY_BUF_SIZE / 64];
	u32 column, canon_column;
};
struct tty_ldisc_ops {
	int num;
};
struct tty_ldisc {
	struct tty_ldisc_ops *ops;
};
struct tty_struct {
	struct tty_ldisc *ldisc;
	struct { /* Linux 5.15; before, it was not told who has stopped it */
		bool stopped, tco_stopped;
	} flow;
	struct {
		u8 pktstatus;
	} ctrl;
	struct tty_struct *link;
	void *disc_data;
	struct tty_port *port;
};
struct tty_file_private {
	struct tty_struct *tty;
};

/* --- memory --- */
typedef struct {
	void *vdso;
	void *ldt;               /* x86 */
	u16 pkey_allocation_map; /* x86 */
} mm_context_t;
struct kioctx_table;
struct anon_vma {
	struct anon_vma *root;
};
enum userfaultfd_state { UFFD_STATE_WAIT_API, UFFD_STATE_RUNNING };
struct userfaultfd_ctx {
	u32 flags, features;
	enum userfaultfd_state state; /* before 5.15 */
	struct mm_struct *mm;
};
struct vm_userfaultfd_ctx {
	struct userfaultfd_ctx *ctx;
};
struct vm_area_struct;
struct vm_operations_struct {
	const char *(*name)(struct vm_area_struct *);
};
struct vm_special_mapping {
	const char *name;
};
struct vm_area_struct {
	unsigned long vm_start, vm_end, vm_flags, vm_pgoff;
	struct mm_struct *vm_mm;
	struct anon_vma *anon_vma;
	const struct vm_operations_struct *vm_ops;
	struct file *vm_file;
	void *vm_private_data; /* struct vm_special_mapping of a mapping without a file whose ops have a name */
	struct vm_userfaultfd_ctx vm_userfaultfd_ctx;
};
/* --- asynchronous I/O: fs/aio.c --- */
struct percpu_ref_data {
	atomic64_t count; /* atomic_long_t */
};
struct percpu_ref {
	unsigned long percpu_count_ptr; /* flags in the low two bits */
	struct percpu_ref_data *data;
};
struct kioctx {
	struct percpu_ref reqs;
	unsigned long user_id;
	u32 max_reqs;
};
struct kioctx_table {
	u32 nr;
	struct kioctx *table[1]; /* nr of them */
};
struct bpf_array {
	void *pptrs[1];
};
/* --- io_uring: io_uring/, include/linux/io_uring_types.h --- */
struct xarray {
	void *xa_head;
};
struct percpu_counter {
	s64 count;
	s32 *counters; /* per processor */
};
struct io_uring_task {
	int cached_refs; /* counted as requests, but held in reserve */
	struct file *registered_rings[16];
	struct percpu_counter inflight;
};
struct io_tctx_node {
	struct list_head ctx_node;
	struct task_struct *task;
};
struct io_mapped_region {
	u32 nr_pages;
};
struct io_mapped_ubuf {
	u64 ubuf;     /* where its user has it */
	u32 len;      /* since Linux 7 of 64 bits */
	bool is_kbuf; /* Linux 6.15: a driver's, which has no address */
};
struct io_rsrc_node {
	u64 tag;
	union {
		unsigned long file_ptr;
		struct io_mapped_ubuf *buf;
	};
};
struct io_ev_fd {
	struct eventfd_ctx *cq_ev_fd;
	u32 eventfd_async : 1;
};
struct io_sq_data {
	struct task_struct *thread; /* of the kernel, in the process that made the ring */
	int sq_cpu;
};
struct io_ring_ctx {
	u32 flags; /* IORING_SETUP_* */
	struct task_struct *submitter_task;
	int clockid;
	u32 cached_sq_head, sq_entries, cached_cq_tail, cq_entries;
	u32 iowq_limits[2];
	struct xarray io_bl_xa, personalities;
	struct io_ev_fd *io_ev_fd;
	struct list_head tctx_list;
	const struct cred *sq_creds; /* what is below: with IORING_SETUP_SQPOLL */
	struct io_sq_data *sq_data;
	u32 sq_thread_idle;                   /* ticks */
	u32 file_alloc_start, file_alloc_end; /* Linux 6.0 */
	struct io_mapped_region param_region; /* Linux 6.13 */
	void *bpf_filters, *bpf_ops;          /* Linux 7 */
};

struct mm_struct {
	atomic_t mm_users;
	int map_count;
	unsigned long def_flags;
	unsigned long start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
	unsigned long arg_start, arg_end, env_start, env_end;
	mm_context_t context;
	struct kioctx_table *ioctx_table;
	atomic_t membarrier_state;
};

/* --- tasks --- */
struct restart_block {
	long (*fn)(struct restart_block *);
	struct {
		u32 val, flags;
		u64 time;
	} futex;
	struct {
		int clockid;
		u64 expires;
	} nanosleep;
	struct {
		int has_timeout;
	} poll;
};
struct sem_undo_list {
	struct list_head list_proc;
};
struct sem_undo {
	struct list_head list_proc;
	int semid;
};
struct sysv_sem {
	struct sem_undo_list *undo_list;
};
struct fs_struct {
	int users;
	int umask;
};
struct fdtable {
	u32 max_fds;
	unsigned long *close_on_exec;
};
struct files_struct {
	atomic_t count;
	struct fdtable *fdt;
};
struct sched_entity {
	u64 sum_exec_runtime;
};
struct thread_info {
	unsigned long flags;
};
struct thread_struct {
	void *io_bitmap; /* of x86, with CONFIG_X86_IOPL_IOPERM */
	unsigned long iopl_emul;
};
struct task_struct {
	struct thread_info thread_info;
	u32 flags, ptrace;
	int exit_state, exit_code, exit_signal, pdeath_signal;
	u32 personality;
	u32 restore_sigmask : 1; /* a thread_info flag on some architectures */
	unsigned long atomic_flags;
	struct restart_block restart_block;
	int pid, tgid;
	struct task_struct *real_parent, *parent, *group_leader;
	struct pid *thread_pid;
	struct hlist_node pid_links[4];
	int *clear_child_tid;
	u64 utime, stime, start_boottime;
	struct sched_entity se;
	const struct cred *cred, *real_cred;
	char comm[16];
	struct sysv_sem sysvsem;
	struct fs_struct *fs;
	struct files_struct *files;
	struct mm_struct *mm;
	struct io_uring_task *io_uring;
	struct nsproxy *nsproxy;
	void *mempolicy; /* with CONFIG_NUMA */
	struct signal_struct *signal;
	struct sighand_struct *sighand;
	sigset_t blocked, saved_sigmask;
	struct sigpending pending;
	unsigned long sas_ss_sp, sas_ss_size;
	u32 sas_ss_flags;
	struct seccomp seccomp;
	u64 timer_slack_ns;
	struct thread_struct thread;
};

/* --- iterators --- */
struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
};
struct bpf_iter__task_vma {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	struct vm_area_struct *vma;
};
struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	u32 fd;
	struct file *file;
};
struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

/* --- packets --- */
struct sk_buff {
	u32 mark;
};
struct nf_hook_state {
	u8 hook, pf;
};
struct bpf_nf_ctx {
	const struct nf_hook_state *state;
	struct sk_buff *skb;
};

#pragma clang attribute pop

struct __sk_buff {
	u32 len;
};
struct bpf_dynptr {
	u64 opaque[2];
} __attribute__((aligned(8)));
#endif
