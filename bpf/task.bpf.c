// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* iter/task: one struct record_task_raw per thread, one struct record_sighand per process. Whole structures are copied by
 * one helper call each and their fields loaded from the copies: a call per field costs the verifier five times as long, and a
 * load off ctx->task costs that of 6.18 a search through all of BTF. */
#include "ids.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define PF_KTHREAD 0x00200000

/* The program's map. One reader at a time: ckpt locks a pinned program while it reads. What a kernel does not have stays
 * zero for ever, everything else is written for every task. */
struct {
	struct record_config config;
	struct record_header task_header;
	struct record_task_raw raw;
	struct record_header sighand_header;
	struct record_sighand sighand;
	/* copies of kernel structures; a kernel whose structures are longer gives no records */
	char task[24576], signal[4096], mm[4096], cred[1024], nsproxy[256];
} state;

/* Copies the whole structure that lies at the kernel's `from`; NULL reads as zeros. */
#define COPY(to, type, from)                                                                                                   \
	({                                                                                                                     \
		bpf_probe_read_kernel(&(to), bpf_core_type_size(type), from);                                                  \
		(type *)(void *)&(to);                                                                                         \
	})
#define TOO_LONG(to, type) (bpf_core_type_size(type) > sizeof(to))

/* Takes a field of the same size out of a copy. */
#define TAKE(to, from, field)                                                                                                  \
	({                                                                                                                     \
		_Static_assert(sizeof(to) == sizeof((from)->field), "sizes differ");                                           \
		(to) = (typeof(to))(from)->field;                                                                              \
	})

static __always_inline void read_ids(struct task_struct *t, struct signal_struct *sig, struct record_task_raw *raw)
{
	struct record_task *r = &raw->task;
	struct pid *self = t->thread_pid, *process = sig->pids[PID_OF_PROCESS];
	struct upid *innermost = upid_at(self, BPF_CORE_READ(self, level));

	read_reader(&raw->reader);
	read_pid(&raw->pids[RECORD_PID_SELF], self, raw->reader.level);
	read_pid(&raw->pids[RECORD_PID_PROCESS], process, raw->reader.level);
	read_pid(&raw->pids[RECORD_PID_PARENT], BPF_CORE_READ(t->real_parent, signal, pids[PID_OF_PROCESS]), raw->reader.level);
	read_pid(&raw->pids[RECORD_PID_GROUP], sig->pids[PID_OF_GROUP], raw->reader.level);
	read_pid(&raw->pids[RECORD_PID_SESSION], sig->pids[PID_OF_SESSION], raw->reader.level);
	read_pid(&raw->pids[RECORD_PID_TRACER], BPF_CORE_READ(t->parent, thread_pid), raw->reader.level);
	READ(r->ns_tid, innermost, nr);
	r->ns[RECORD_NS_PID] = BPF_CORE_READ(innermost, ns, ns.inum);
	innermost = upid_at(process, BPF_CORE_READ(process, level));
	READ(r->ns_tgid, innermost, nr);
	r->has_tty = sig->tty != NULL;
	raw->state = task_state(t);
	TAKE(raw->exit_state, t, exit_state);
	TAKE(r->exit_code, t, exit_code);
	TAKE(r->exit_signal, t, exit_signal);
	TAKE(r->personality, t, personality);
	TAKE(r->ptraced, t, ptrace);
	TAKE(r->nr_threads, sig, nr_threads);
	__builtin_memcpy(r->comm, t->comm, sizeof(r->comm));
	TAKE(r->start_time, t, start_boottime);
	r->known = KNOWN_IDS | KNOWN_PERSONALITY | KNOWN_TTY;
}

static __always_inline void read_identity(struct task_struct *t, struct record_task *r)
{
	r->mm_id = (u64)t->mm;
	r->files_id = (u64)t->files;
	r->fs_id = (u64)t->fs;
	r->mm_users = (rec_u32)BPF_CORE_READ(t->mm, mm_users.counter);
	r->files_users = (rec_u32)BPF_CORE_READ(t->files, count.counter);
	r->fs_users = (rec_u32)BPF_CORE_READ(t->fs, users);
	r->max_fds = BPF_CORE_READ(t->files, fdt, max_fds);
	r->sighand_id = (u64)t->sighand;
	r->signal_id = (u64)t->signal;
	r->cred_id = (u64)t->real_cred;
	if (LAST_FLAVOR(t->sysvsem))
		r->sysvsem_id = (u64)t->sysvsem.undo_list;
	r->umask = BPF_CORE_READ(t->fs, umask);
	r->known |= KNOWN_IDENTITY | KNOWN_UMASK | KNOWN_IO_URING;
	if (LAST_FLAVOR(t->io_uring))
		r->has_io_uring = t->io_uring != NULL;
}

static __always_inline void read_namespaces(struct task_struct *t, const struct cred *c, struct record_task *r)
{
	struct task_struct *reader = (void *)bpf_get_current_task();
	struct nsproxy *ns = COPY(state.nsproxy, struct nsproxy, t->nsproxy);

	r->ns[RECORD_NS_UTS] = BPF_CORE_READ(ns->uts_ns, ns.inum);
	r->ns[RECORD_NS_IPC] = BPF_CORE_READ(ns->ipc_ns, ns.inum);
	r->ns[RECORD_NS_MNT] = BPF_CORE_READ(ns->mnt_ns, ns.inum);
	r->ns[RECORD_NS_NET] = BPF_CORE_READ(ns->net_ns, ns.inum);
	if (bpf_core_field_exists(ns->time_ns))
		r->ns[RECORD_NS_TIME] = BPF_CORE_READ(ns->time_ns, ns.inum);
	r->ns[RECORD_NS_CGROUP] = BPF_CORE_READ(ns->cgroup_ns, ns.inum);
	r->pid_for_children = BPF_CORE_READ(ns->pid_ns_for_children, ns.inum);
	if (bpf_core_field_exists(ns->time_ns_for_children))
		r->time_for_children = BPF_CORE_READ(ns->time_ns_for_children, ns.inum);
	r->ns_ours = (BPF_CORE_READ(reader, real_cred, user_ns) == c->user_ns ? NS_OURS_USER : 0) |
		     (BPF_CORE_READ(reader, nsproxy) == t->nsproxy ? NS_OURS_OTHERS : 0);
	r->known |= KNOWN_NS | KNOWN_NS_OURS;
}

static __always_inline void read_creds(struct task_struct *t, const struct cred *c, struct record_task_raw *raw)
{
	struct group_info *groups = c->group_info;
	struct record_task *r = &raw->task;

	TAKE(r->uid, c, uid.val);
	TAKE(r->euid, c, euid.val);
	TAKE(r->suid, c, suid.val);
	TAKE(r->fsuid, c, fsuid.val);
	TAKE(r->gid, c, gid.val);
	TAKE(r->egid, c, egid.val);
	TAKE(r->sgid, c, sgid.val);
	TAKE(r->fsgid, c, fsgid.val);
	__builtin_memcpy(&r->cap_inheritable, &c->cap_inheritable, sizeof(r->cap_inheritable));
	__builtin_memcpy(&r->cap_permitted, &c->cap_permitted, sizeof(r->cap_permitted));
	__builtin_memcpy(&r->cap_effective, &c->cap_effective, sizeof(r->cap_effective));
	__builtin_memcpy(&r->cap_bounding, &c->cap_bset, sizeof(r->cap_bounding));
	__builtin_memcpy(&r->cap_ambient, &c->cap_ambient, sizeof(r->cap_ambient));
	TAKE(r->securebits, c, securebits);
	READ(r->ngroups, groups, ngroups);
	raw->groups_bad = bpf_core_read(r->groups, sizeof(r->groups), &groups->gid) != 0;
	r->ns[RECORD_NS_USER] = BPF_CORE_READ(c->user_ns, ns.inum);
	r->no_new_privs = t->atomic_flags & 1; /* PFA_NO_NEW_PRIVS */
	r->known |= KNOWN_CREDS | KNOWN_SECUREBITS | KNOWN_SECCOMP | KNOWN_SECCOMP_ID;
	if (LAST_FLAVOR(t->seccomp.filter)) {
		TAKE(r->seccomp_mode, t, seccomp.mode);
		TAKE(r->seccomp_filters, t, seccomp.filter_count.counter);
		r->seccomp_id = (u64)t->seccomp.filter;
	}
}

static __always_inline void read_signals(struct task_struct *t, struct signal_struct *sig, struct record_task_raw *raw)
{
	struct record_task *r = &raw->task;

	/* Where the flag is a bit of thread_info its number is not in BTF: there PTRACE_GETSIGMASK tells. */
	if (bpf_core_field_exists(t->restore_sigmask)) {
		raw->restore_sigmask = BPF_CORE_READ_BITFIELD(t, restore_sigmask);
		raw->has_restore_sigmask = 1;
	}
	TAKE(raw->blocked, t, blocked.sig[0]);
	TAKE(raw->saved_sigmask, t, saved_sigmask.sig[0]);
	TAKE(r->pending, t, pending.signal.sig[0]);
	TAKE(r->shared_pending, sig, shared_pending.signal.sig[0]);
	TAKE(r->altstack_sp, t, sas_ss_sp);
	TAKE(r->altstack_size, t, sas_ss_size);
	TAKE(r->altstack_flags, t, sas_ss_flags);
	r->known |= KNOWN_PENDING | KNOWN_ALTSTACK;
}

static __always_inline void read_user_pointers(struct task_struct *t, struct record_task *r)
{
	task_rseq(t, &r->rseq, &r->rseq_len, &r->rseq_sig);
	if (task_robust_list(t, &r->robust_list))
		r->known |= KNOWN_ROBUST;
	r->clear_child_tid = (u64)t->clear_child_tid;
	if (task_has_dispatch(t)) {
		struct task_struct___sud_5_11 *sud = (void *)t;
		r->sud_selector = (u64)sud->syscall_dispatch.selector;
		TAKE(r->sud_offset, sud, syscall_dispatch.offset);
		TAKE(r->sud_len, sud, syscall_dispatch.len);
	}
	r->known |= KNOWN_RSEQ | KNOWN_CLEAR_TID | KNOWN_SUD; /* a kernel without dispatch has it off */
}

static __always_inline void read_restart(struct task_struct *t, struct record_task_raw *raw)
{
	struct record_task *r = &raw->task;

	raw->restart_fn = (u64)t->restart_block.fn;
	TAKE(r->restart_nanosleep_expires, t, restart_block.nanosleep.expires);
	TAKE(r->restart_nanosleep_clock, t, restart_block.nanosleep.clockid);
	TAKE(r->restart_poll_has_timeout, t, restart_block.poll.has_timeout);
	restart_poll_end(&t->restart_block, &r->restart_poll_seconds, &r->restart_poll_nanoseconds);
	TAKE(r->restart_futex_time, t, restart_block.futex.time);
	TAKE(r->restart_futex_flags, t, restart_block.futex.flags);
	TAKE(r->restart_futex_val, t, restart_block.futex.val);
	r->known |= KNOWN_RESTART;
}

static __always_inline void read_itimers(struct signal_struct *sig, struct signal_struct *at, struct record_task_raw *raw)
{
	struct record_task *r = &raw->task;

	raw->now = bpf_ktime_get_ns();
	raw->real_queued = hrtimer_queued(&sig->real_timer);
	TAKE(raw->real_expires, sig, real_timer.node.expires);
	TAKE(r->itimer_interval[0], sig, it_real_incr);
	TAKE(raw->prof_expires, sig, it[0].expires);
	TAKE(r->itimer_interval[2], sig, it[0].incr);
	TAKE(raw->virt_expires, sig, it[1].expires);
	TAKE(r->itimer_interval[1], sig, it[1].incr);
	TAKE(raw->cpu_user, sig, cputimer.cputime_atomic.utime.counter);
	TAKE(raw->cpu_system, sig, cputimer.cputime_atomic.stime.counter);
	r->has_timers = posix_timers_exist(sig, at);
	r->known |= KNOWN_ITIMERS;
}

static __always_inline void read_mm(struct mm_struct *mm, struct record_task *r)
{
	TAKE(r->start_code, mm, start_code);
	TAKE(r->end_code, mm, end_code);
	TAKE(r->start_data, mm, start_data);
	TAKE(r->end_data, mm, end_data);
	TAKE(r->start_brk, mm, start_brk);
	TAKE(r->brk, mm, brk);
	TAKE(r->start_stack, mm, start_stack);
	TAKE(r->arg_start, mm, arg_start);
	TAKE(r->arg_end, mm, arg_end);
	TAKE(r->env_start, mm, env_start);
	TAKE(r->env_end, mm, env_end);
	r->vdso = (u64)mm->context.vdso;
	r->mm_flags = mm_flags(mm);
	r->map_count = (rec_u32)mm->map_count;
	if (bpf_core_field_exists(mm->context.ldt))
		r->has_ldt = mm->context.ldt != NULL;
	if (bpf_core_field_exists(mm->context.pkey_allocation_map))
		r->pkeys = mm->context.pkey_allocation_map;
	if (LAST_FLAVOR(mm->ioctx_table))
		r->has_aio = mm->ioctx_table != NULL;
	if (LAST_FLAVOR(mm->membarrier_state))
		TAKE(r->membarrier, mm, membarrier_state.counter);
	r->known |= KNOWN_MM | KNOWN_MM_BRK | KNOWN_VDSO | KNOWN_MM_EXTRA | KNOWN_MEMBARRIER | KNOWN_LDT;
}

static __always_inline void read_prctl(struct task_struct *t, struct signal_struct *sig, struct record_task *r)
{
	TAKE(r->pdeath_signal, t, pdeath_signal);
	TAKE(r->timer_slack, t, timer_slack_ns);
	r->subreaper = BPF_CORE_READ_BITFIELD(sig, is_child_subreaper);
	r->dumpable = task_dumpable(t, r->mm_flags);
	r->oom_score_adj = sig->oom_score_adj;
	r->known |= KNOWN_PRCTL | KNOWN_OOM;
}

/* The whole array at once: it has the layout of the record wherever a k_sigaction has 32 bytes. */
static __always_inline void write_sighand(struct seq_file *seq, struct task_struct *t)
{
	struct sighand_struct *sighand = t->sighand;

	if (bpf_core_type_size(struct k_sigaction) != sizeof(struct record_sigaction))
		return;
	state.sighand_header.tag = RECORD_SIGHAND;
	state.sighand_header.len = sizeof(state.sighand);
	if (bpf_core_read(state.sighand.action, sizeof(state.sighand.action), &sighand->action) < 0)
		return;
	bpf_seq_write(seq, &state.sighand_header, sizeof(state.sighand_header) + sizeof(state.sighand));
}

/* Names the function of the restart block: %pB looks up the address before the given one and prints "name+0x1/0xsize";
 * the only symbol format of bpf_seq_printf in 5.10, and it works under any kptr_restrict. */
static __always_inline void write_symbol(struct seq_file *seq)
{
	struct record_header header = { .tag = RECORD_SYMBOL };
	u32 format[2] = { '%' | 'p' << 8 | 'B' << 16 | '\n' << 24, 0 }; /* a literal would need a map of its own */
	u64 address = state.raw.restart_fn + 1;

	bpf_seq_write(seq, &header, sizeof(header));
	bpf_seq_printf(seq, (const char *)format, 5, &address, sizeof(address));
}

SEC("iter/task")
int ckpt_task(struct bpf_iter__task *ctx)
{
	struct record_task_raw *raw = &state.raw;
	struct seq_file *seq = ctx->meta->seq;
	struct signal_struct *sig;
	struct task_struct *t;
	struct cred *c;

	if (TOO_LONG(state.task, struct task_struct) || TOO_LONG(state.signal, struct signal_struct) ||
	    TOO_LONG(state.mm, struct mm_struct) || TOO_LONG(state.cred, struct cred) ||
	    TOO_LONG(state.nsproxy, struct nsproxy) || !ctx->task)
		return 0;
	t = COPY(state.task, struct task_struct, ctx->task);
	if (t->flags & PF_KTHREAD)
		return 0;
	sig = COPY(state.signal, struct signal_struct, t->signal);
	read_ids(t, sig, raw);
	read_identity(t, &raw->task);
	c = COPY(state.cred, struct cred, t->real_cred);
	read_namespaces(t, c, &raw->task);
	read_creds(t, c, raw);
	read_signals(t, sig, raw);
	read_user_pointers(t, &raw->task);
	read_restart(t, raw);
	read_itimers(sig, t->signal, raw);
	read_mm(COPY(state.mm, struct mm_struct, t->mm), &raw->task);
	read_prctl(t, sig, &raw->task);
	state.task_header.tag = RECORD_TASK;
	state.task_header.len = sizeof(*raw);
	bpf_seq_write(seq, &state.task_header, sizeof(state.task_header) + sizeof(*raw));
	write_symbol(seq);
	if (raw->pids[RECORD_PID_SELF].nr == raw->pids[RECORD_PID_PROCESS].nr)
		write_sighand(seq, t);
	return 0;
}
