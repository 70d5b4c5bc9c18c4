/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Every rename or move that bpf/ meets, one accessor each. "name___x" is the kernel type `name` in another shape; the
 * versions are text for people, the code asks the kernel's BTF. */
#ifndef CKPT_FLAVORS_H
#define CKPT_FLAVORS_H
#include "vmlinux.h"

/* Where none of the known flavours is found, a fact is lost quietly. The offline check compiles with CKPT_STRICT: there the
 * last flavour is read without being asked for, so that a kernel which has none of them is noticed. */
#ifdef CKPT_STRICT
#define LAST_FLAVOR(field) true
#else
#define LAST_FLAVOR(field) bpf_core_field_exists(field)
#endif

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct pt_regs___x86 {
	unsigned long ax;
};
struct pt_regs___arm64 {
	u64 regs[31];
};
struct sem_undo___pointer_2_6 {
	short *semadj;
};
struct sem_undo___array_6_6 {
	short semadj[1]; /* one per semaphore of the set */
};
struct task_struct___state_5_13 {
	long state;
};
struct task_struct___state_5_14 {
	u32 __state;
};
struct rseq;
struct task_struct___rseq_4_18 {
	struct rseq *rseq;
	u32 rseq_sig;
};
struct task_struct___rseq_6_3 {
	u32 rseq_len;
};
struct rseq_data {
	struct rseq *usrptr;
	u32 len, sig;
};
struct task_struct___rseq_6_19 {
	struct rseq_data rseq;
};
struct robust_list_head;
struct task_struct___robust_2_6 {
	struct robust_list_head *robust_list;
};
struct futex_sched_data {
	struct robust_list_head *robust_list;
};
struct task_struct___robust_7_1 {
	struct futex_sched_data futex;
};
struct syscall_user_dispatch {
	char *selector;
	unsigned long offset, len;
	bool on_dispatch;
};
struct task_struct___sud_5_11 {
	struct syscall_user_dispatch syscall_dispatch;
};
struct mm_struct___flags_2_6 {
	unsigned long flags;
};
typedef struct {
	unsigned long __mm_flags[1];
} mm_flags_t;
struct mm_struct___flags_6_18 {
	mm_flags_t flags;
};
enum task_dumpable { TASK_DUMPABLE_OFF };
struct task_exec_state {
	enum task_dumpable dumpable;
};
struct task_struct___dumpable_7_1 {
	struct task_exec_state *exec_state;
};
struct timespec64 {
	s64 tv_sec;
	long tv_nsec;
};
struct restart_block___poll_7_1 {
	struct {
		struct timespec64 end_time;
	} poll;
};
struct restart_block___poll_2_6 {
	struct {
		unsigned long tv_sec, tv_nsec;
	} poll;
};
struct signal_struct___timers_list {
	struct list_head posix_timers;
};
struct signal_struct___timers_hlist {
	struct hlist_head posix_timers;
};
struct k_itimer___list {
	struct list_head list;
};
struct k_itimer___hlist {
	struct hlist_node list;
};
struct k_itimer___active_2_6 {
	int it_active;
};
struct k_itimer___status_6_13 {
	int it_status;
};
struct k_itimer___sigq_2_6 {
	struct sigqueue *sigq;
};
struct k_itimer___sigq_6_13 {
	struct sigqueue sigq;
};
struct hrtimer___state_2_6 {
	u8 state;
};
struct hrtimer___queued_7_1 {
	bool is_queued;
};
struct mm_struct___list_2_6 {
	struct vm_area_struct *mmap;
};
struct vm_area_struct___list_2_6 {
	struct vm_area_struct *vm_next;
};
struct anon_vma_name {
	char name[1];
};
struct vm_area_struct___name_5_17 {
	struct anon_vma_name *anon_name;
};
struct vm_area_struct___shared {
	struct {
		unsigned long rb_subtree_last;
	} shared;
};
struct file___owner_2_6 {
	struct fown_struct f_owner;
};
struct file___owner_6_12 {
	struct fown_struct *f_owner;
};
struct io_rsrc_data {
	u32 nr;
	struct io_rsrc_node **nodes; /* nr of them */
};
struct io_file_table {
	struct io_rsrc_data data;
};
struct io_ring_ctx___registered_5_1 {
	u32 nr_user_files, nr_user_bufs;
};
struct io_ring_ctx___registered_6_13 {
	struct io_file_table file_table;
	struct io_rsrc_data buf_table;
};
struct io_restriction___5_10 {
	bool registered;
};
struct io_ring_ctx___restrictions_5_10 {
	struct io_restriction___5_10 restrictions;
};
struct io_restriction___7_0 {
	bool op_registered, reg_registered;
};
struct io_ring_ctx___restrictions_7_0 {
	struct io_restriction___7_0 restrictions;
};
struct io_ring_ctx___napi_6_9 {
	bool napi_enabled;
};
struct io_ring_ctx___napi_6_13 {
	u8 napi_track_mode;
};
struct io_ring_ctx___drain_5_15 {
	u32 drain_disabled : 1;
};
#pragma clang attribute pop

/* task->state was renamed to __state in 5.14 (2f064a59a11f). Of a copy. */
static __always_inline u32 task_state(struct task_struct *t)
{
	struct task_struct___state_5_14 *now = (void *)t;
	struct task_struct___state_5_13 *old = (void *)t;

	if (bpf_core_field_exists(now->__state))
		return now->__state;
	return (u32)old->state;
}

/* rseq, rseq_sig since 4.18; rseq_len since 6.3 (only 32 bytes were accepted before); one struct rseq_data since 6.19. By loads: of a
 * copy, and for a kernel in lockdown that refuses bpf_probe_read_kernel. */
static __always_inline void task_rseq(struct task_struct *t, u64 *address, u32 *len, u32 *sig)
{
	struct task_struct___rseq_6_19 *now = (void *)t;
	struct task_struct___rseq_6_3 *with_len = (void *)t;
	struct task_struct___rseq_4_18 *old = (void *)t;

	if (bpf_core_field_exists(now->rseq.usrptr)) {
		*address = (u64)now->rseq.usrptr;
		*len = now->rseq.len;
		*sig = now->rseq.sig;
	} else if (LAST_FLAVOR(old->rseq_sig)) {
		*address = (u64)old->rseq;
		*sig = old->rseq_sig;
		*len = *address ? 32 : 0;
		if (bpf_core_field_exists(with_len->rseq_len))
			*len = with_len->rseq_len;
	}
}

/* task->robust_list moved into task->futex between 6.18 and 7.2. Of a copy. */
static __always_inline bool task_robust_list(struct task_struct *t, u64 *ret)
{
	struct task_struct___robust_2_6 *old = (void *)t;
	struct task_struct___robust_7_1 *now = (void *)t;

	if (bpf_core_field_exists(old->robust_list))
		*ret = (u64)old->robust_list;
	else if (LAST_FLAVOR(now->futex.robust_list))
		*ret = (u64)now->futex.robust_list;
	else
		return false;
	return true;
}

/* Syscall user dispatch exists since 5.11 (1446e1df9eb1), on architectures with the generic entry: the struct is empty elsewhere. */
static __always_inline bool task_has_dispatch(struct task_struct *t)
{
	struct task_struct___sud_5_11 *sud = (void *)t;
	return bpf_core_field_exists(sud->syscall_dispatch.selector);
}

/* mm->flags is a word until 6.17, a bitmap in a struct since 6.18. Of a copy. */
static __always_inline u64 mm_flags(struct mm_struct *mm)
{
	struct mm_struct___flags_6_18 *now = (void *)mm;
	struct mm_struct___flags_2_6 *old = (void *)mm;

	if (bpf_core_field_exists(now->flags.__mm_flags))
		return now->flags.__mm_flags[0];
	return old->flags;
}

/* Dumpability: the low two bits of mm->flags; in task->exec_state since 7.1. Of a copy. */
static __always_inline u32 task_dumpable(struct task_struct *t, u64 mm_flags)
{
	struct task_struct___dumpable_7_1 *now = (void *)t;

	if (bpf_core_field_exists(now->exec_state))
		return (u32)BPF_CORE_READ(now->exec_state, dumpable);
	return mm_flags & 3;
}

/* restart_block.poll.tv_sec, tv_nsec; one struct timespec64 end_time since 7.1. Of a copy. */
static __always_inline void restart_poll_end(struct restart_block *block, u64 *seconds, u64 *nanoseconds)
{
	struct restart_block___poll_7_1 *now = (void *)block;
	struct restart_block___poll_2_6 *old = (void *)block;

	if (bpf_core_field_exists(now->poll.end_time)) {
		*seconds = now->poll.end_time.tv_sec;
		*nanoseconds = now->poll.end_time.tv_nsec;
	} else {
		*seconds = old->poll.tv_sec;
		*nanoseconds = old->poll.tv_nsec;
	}
}

/* signal->posix_timers and k_itimer.list became hlists in 6.9..6.12; `next` is the first word of both kinds of node. */
static __always_inline void *posix_timers_first(struct signal_struct *s)
{
	struct signal_struct___timers_hlist *now = (void *)s;
	struct signal_struct___timers_list *old = (void *)s;
	void *first;

	if (bpf_core_field_exists(now->posix_timers.first))
		return BPF_CORE_READ(now, posix_timers.first);
	first = BPF_CORE_READ(old, posix_timers.next);
	return first == (void *)&old->posix_timers ? NULL : first;
}

/* Not 0 when the copy of a signal_struct that lies `at` has POSIX timers; no branch on what is read. */
static __always_inline u32 posix_timers_exist(struct signal_struct *copy, struct signal_struct *at)
{
	struct signal_struct___timers_hlist *now = (void *)copy;
	struct signal_struct___timers_list *old = (void *)copy, *old_at = (void *)at;
	u64 first;

	if (bpf_core_field_exists(now->posix_timers.first))
		first = (u64)now->posix_timers.first;
	else
		first = (u64)old->posix_timers.next ^ (u64)&old_at->posix_timers;
	return (u32)(first | first >> 32);
}

static __always_inline void *posix_timers_next(struct signal_struct *s, void *node)
{
	struct signal_struct___timers_hlist *now = (void *)s;
	struct signal_struct___timers_list *old = (void *)s;
	void *next = NULL;

	bpf_probe_read_kernel(&next, sizeof(next), node);
	if (bpf_core_field_exists(now->posix_timers.first))
		return next;
	return next == (void *)&old->posix_timers ? NULL : next;
}

static __always_inline struct k_itimer *posix_timer_of(void *node)
{
	struct k_itimer___list *any = NULL;
	return (void *)((char *)node - bpf_core_field_offset(any->list));
}

/* it_active until 6.12, it_status (1: armed, 2: its signal is queued) since 6.13. */
static __always_inline bool posix_timer_armed(struct k_itimer *k)
{
	struct k_itimer___status_6_13 *now = (void *)k;
	struct k_itimer___active_2_6 *old = (void *)k;

	if (bpf_core_field_exists(now->it_status))
		return BPF_CORE_READ(now, it_status) != 0;
	return BPF_CORE_READ(old, it_active) != 0;
}

/* k_itimer.sigq is a pointer until 6.12, embedded since 6.13. */
static __always_inline struct sigqueue *posix_timer_sigqueue(struct k_itimer *k)
{
	struct k_itimer___sigq_6_13 *now = (void *)k;
	struct k_itimer___sigq_2_6 *old = (void *)k;

	if (bpf_core_field_exists(now->sigq.info))
		return &now->sigq;
	return BPF_CORE_READ(old, sigq);
}

/* hrtimer.state, 1 when queued; is_queued since 7.1. */
static __always_inline bool hrtimer_queued(struct hrtimer *h)
{
	struct hrtimer___queued_7_1 *now = (void *)h;
	struct hrtimer___state_2_6 *old = (void *)h;

	if (bpf_core_field_exists(now->is_queued))
		return BPF_CORE_READ(now, is_queued);
	return BPF_CORE_READ(old, state) & 1;
}

/* The first mapping of an mm whose mappings are a list: until 6.0, a maple tree since 6.1. */
static __always_inline struct vm_area_struct *mm_first_vma(struct mm_struct *mm)
{
	struct mm_struct___list_2_6 *old = (void *)mm;
	return bpf_core_field_exists(old->mmap) ? BPF_CORE_READ(old, mmap) : NULL;
}

static __always_inline struct vm_area_struct *vma_next(struct vm_area_struct *vma)
{
	struct vm_area_struct___list_2_6 *old = (void *)vma;
	return bpf_core_field_exists(old->vm_next) ? BPF_CORE_READ(old, vm_next) : NULL;
}

/* Names given by prctl(PR_SET_VMA_ANON_NAME): since 5.17 with CONFIG_ANON_VMA_NAME. The string or NULL. */
static __always_inline const char *vma_anon_name(struct vm_area_struct *vma)
{
	struct vm_area_struct___name_5_17 *now = (void *)vma;
	struct anon_vma_name *name;

	if (!bpf_core_field_exists(now->anon_name))
		return NULL;
	name = BPF_CORE_READ(now, anon_name);
	return name ? (const char *)&name->name : NULL;
}

/* A mapping of shared anonymous memory, which has a file, may have a name since 6.2 (d09e8ca6cb93). Until then the name lay where
 * mappings of files have their place in a tree. */
static __always_inline bool vma_names_files(void)
{
	struct vm_area_struct___name_5_17 *now = NULL;
	struct vm_area_struct___shared *tree = NULL;

	return bpf_core_field_exists(now->anon_name) &&
	       bpf_core_field_offset(now->anon_name) > bpf_core_field_offset(tree->shared.rb_subtree_last);
}

/* file->f_owner is embedded until 6.11, a pointer (NULL: no owner) since 6.12. By loads: of a trusted file. */
static __always_inline struct fown_struct *file_owner(struct file *file)
{
	struct file___owner_2_6 *old = (void *)file;
	struct file___owner_6_12 *now = (void *)file;

	if (bpf_core_field_exists(old->f_owner.signum))
		return &old->f_owner;
	return now->f_owner;
}

/* What a function returned, at its end. */
static __always_inline u64 regs_result(void *regs)
{
	u64 value = 0;

	if (bpf_core_field_exists(((struct pt_regs___x86 *)NULL)->ax))
		bpf_core_read(&value, sizeof(value), &((struct pt_regs___x86 *)regs)->ax);
	else if (LAST_FLAVOR(((struct pt_regs___arm64 *)NULL)->regs))
		bpf_core_read(&value, sizeof(value), &((struct pt_regs___arm64 *)regs)->regs[0]);
	return value;
}

/* Where the numbers lie that are to be added to the semaphores of a set; 0: not known. */
static __always_inline u64 undo_adjustments(struct sem_undo *undo)
{
	struct sem_undo___pointer_2_6 *old = (void *)undo;
	struct sem_undo___array_6_6 *now = (void *)undo;

	if (bpf_core_field_exists(old->semadj))
		return (u64)BPF_CORE_READ(old, semadj);
	return LAST_FLAVOR(now->semadj) ? (u64)undo + bpf_core_field_offset(now->semadj) : 0;
}

/* --- io_uring --- */

static __always_inline bool ring_tells_registered(struct io_ring_ctx *ring)
{
	struct io_ring_ctx___registered_5_1 *old = (void *)ring;
	struct io_ring_ctx___registered_6_13 *new = (void *)ring;

	return bpf_core_field_exists(old->nr_user_bufs) || bpf_core_field_exists(new->buf_table.nr);
}

static __always_inline u32 ring_files(struct io_ring_ctx *ring)
{
	struct io_ring_ctx___registered_5_1 *old = (void *)ring;
	struct io_ring_ctx___registered_6_13 *new = (void *)ring;

	return bpf_core_field_exists(old->nr_user_files) ? BPF_CORE_READ(old, nr_user_files)
							 : BPF_CORE_READ(new, file_table.data.nr);
}

static __always_inline u32 ring_buffers(struct io_ring_ctx *ring)
{
	struct io_ring_ctx___registered_5_1 *old = (void *)ring;
	struct io_ring_ctx___registered_6_13 *new = (void *)ring;

	return bpf_core_field_exists(old->nr_user_bufs) ? BPF_CORE_READ(old, nr_user_bufs) : BPF_CORE_READ(new, buf_table.nr);
}

static __always_inline bool ring_tells_restricted(struct io_ring_ctx *ring)
{
	struct io_ring_ctx___restrictions_5_10 *old = (void *)ring;
	struct io_ring_ctx___restrictions_7_0 *new = (void *)ring;

	return bpf_core_field_exists(old->restrictions.registered) || bpf_core_field_exists(new->restrictions.op_registered);
}

static __always_inline bool ring_is_restricted(struct io_ring_ctx *ring)
{
	struct io_ring_ctx___restrictions_5_10 *old = (void *)ring;
	struct io_ring_ctx___restrictions_7_0 *new = (void *)ring;

	if (bpf_core_field_exists(old->restrictions.registered))
		return BPF_CORE_READ(old, restrictions.registered);
	return BPF_CORE_READ(new, restrictions.op_registered) || BPF_CORE_READ(new, restrictions.reg_registered);
}

#define NAPI_INACTIVE 255 /* IO_URING_NAPI_TRACKING_INACTIVE */

/* False without CONFIG_NET_RX_BUSY_POLL. */
static __always_inline bool ring_polls_busily(struct io_ring_ctx *ring)
{
	struct io_ring_ctx___napi_6_9 *old = (void *)ring;
	struct io_ring_ctx___napi_6_13 *new = (void *)ring;

	if (bpf_core_field_exists(new->napi_track_mode))
		return BPF_CORE_READ(new, napi_track_mode) != NAPI_INACTIVE;
	return bpf_core_field_exists(old->napi_enabled) && BPF_CORE_READ(old, napi_enabled);
}

/* False where it is a bit among others (Linux 7). */
static __always_inline bool ring_is_without_drain(struct io_ring_ctx *ring)
{
	struct io_ring_ctx___drain_5_15 *r = (void *)ring;

	return bpf_core_field_exists(r->drain_disabled) && BPF_CORE_READ_BITFIELD_PROBED(r, drain_disabled);
}
#endif
