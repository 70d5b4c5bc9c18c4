// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* iter/task: one struct record_task_raw per thread, one struct record_sighand per process, in two programs. ckpt_task runs in the
 * kernel: it copies whole structures and follows pointers, and no more, because each instruction costs the verifier of every dump
 * most of a microsecond. ckpt_task_fields takes the fields out of the copies. It calls nothing, so ckpt runs it itself
 * (collect/bpf_interpret.c) with the instructions that libbpf has fitted to this kernel. */
#include "ids.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define PF_KTHREAD 0x00200000

/* The programs' map. One reader at a time: ckpt locks a pinned program while it reads. What a kernel does not have stays
 * zero for ever, everything else is written for every task. */
struct {
	struct record_task_map shared;
	struct record_header sighand_header;
	struct record_sighand sighand;
	char nsproxy[256];
} state;

/* The copies lie one behind the other. */
#define AT_TASK 0
#define AT_SIGNAL bpf_core_type_size(struct task_struct)
#define AT_MM (AT_SIGNAL + bpf_core_type_size(struct signal_struct))
#define AT_CRED (AT_MM + bpf_core_type_size(struct mm_struct))
#define COPIES (AT_CRED + bpf_core_type_size(struct cred))
#define COPIED(map, type, at) ((type *)(void *)((map)->copies + (at)))

/* Copies the whole structure that lies at the kernel's `from`; NULL reads as zeros. */
#define COPY(map, type, at, from)                                                                                              \
	({                                                                                                                     \
		bpf_probe_read_kernel((map)->copies + (at), bpf_core_type_size(type), from);                                   \
		COPIED(map, type, at);                                                                                         \
	})

/* Takes a field of the same size out of a copy. */
#define TAKE(to, from, field)                                                                                                  \
	({                                                                                                                     \
		_Static_assert(sizeof(to) == sizeof((from)->field), "sizes differ");                                           \
		(to) = (typeof(to))(from)->field;                                                                              \
	})

/* --- ckpt_task: what takes the kernel to read --- */

static __always_inline void read_ids(struct task_struct *t, struct signal_struct *sig, struct record_task_raw *raw)
{
	struct pid *self = t->thread_pid, *process = sig->pids[PID_OF_PROCESS];
	struct pid_namespace *innermost;
	u64 at;

	read_reader(&raw->reader);
	at = upid_offset(raw->reader.level);
	read_pid(&raw->pids[RECORD_PID_SELF], self, at);
	read_pid(&raw->pids[RECORD_PID_PROCESS], process, at);
	read_pid(&raw->pids[RECORD_PID_PARENT], BPF_CORE_READ(t->real_parent, signal, pids[PID_OF_PROCESS]), at);
	read_pid(&raw->pids[RECORD_PID_GROUP], sig->pids[PID_OF_GROUP], at);
	read_pid(&raw->pids[RECORD_PID_SESSION], sig->pids[PID_OF_SESSION], at);
	read_pid(&raw->pids[RECORD_PID_TRACER], BPF_CORE_READ(t->parent, thread_pid), at);
	read_upid(&raw->innermost_self, self, upid_offset(raw->pids[RECORD_PID_SELF].level));
	read_upid(&raw->innermost_process, process, upid_offset(raw->pids[RECORD_PID_PROCESS].level));
	innermost = (void *)raw->innermost_self.ns;
	READ(raw->task.ns[RECORD_NS_PID], innermost, ns.inum);
}

static __always_inline void read_tables(struct task_struct *t, struct record_task *r)
{
	struct files_struct *files = t->files;
	struct fdtable *table = BPF_CORE_READ(files, fdt);
	struct fs_struct *fs = t->fs;

	READ(r->files_users, files, count.counter);
	READ(r->max_fds, table, max_fds);
	READ(r->fs_users, fs, users);
	READ(r->umask, fs, umask);
}

/* A list of what is to be undone is made for every process with threads; most are empty. */
static __always_inline void read_undo(struct task_struct *t, struct record_task_raw *raw)
{
	struct sem_undo_list *list = t->sysvsem.undo_list;

	raw->undo_end = (u64)&list->list_proc;
	READ(raw->undo_first, list, list_proc.next);
}

static __always_inline void read_namespaces(struct nsproxy *ns, struct record_task *r)
{
	READ(r->ns[RECORD_NS_UTS], ns->uts_ns, ns.inum);
	READ(r->ns[RECORD_NS_IPC], ns->ipc_ns, ns.inum);
	READ(r->ns[RECORD_NS_MNT], ns->mnt_ns, ns.inum);
	READ(r->ns[RECORD_NS_NET], ns->net_ns, ns.inum);
	if (bpf_core_field_exists(ns->time_ns))
		READ(r->ns[RECORD_NS_TIME], ns->time_ns, ns.inum);
	READ(r->ns[RECORD_NS_CGROUP], ns->cgroup_ns, ns.inum);
	READ(r->pid_for_children, ns->pid_ns_for_children, ns.inum);
	if (bpf_core_field_exists(ns->time_ns_for_children))
		READ(r->time_for_children, ns->time_ns_for_children, ns.inum);
}

static __always_inline void read_creds(struct cred *c, struct record_task_raw *raw)
{
	struct task_struct *reader = (void *)bpf_get_current_task();
	const struct cred *reader_creds = BPF_CORE_READ(reader, real_cred);
	struct group_info *groups = c->group_info;

	READ(raw->reader_nsproxy, reader, nsproxy);
	READ(raw->reader_user_ns, reader_creds, user_ns);
	READ(raw->task.ns[RECORD_NS_USER], c->user_ns, ns.inum);
	READ(raw->task.ngroups, groups, ngroups);
	if (bpf_core_field_exists(c->session_keyring))
		READ(raw->reader_session_keyring, reader_creds, session_keyring);
	if (bpf_core_field_exists(c->security)) {
		raw->reader_security_bad = (rec_u32)bpf_probe_read_kernel(raw->reader_security, sizeof(raw->reader_security),
									  BPF_CORE_READ(reader_creds, security));
		raw->security_bad = (rec_u32)bpf_probe_read_kernel(raw->security, sizeof(raw->security), c->security);
	}
	raw->groups_bad = (rec_u32)bpf_core_read(raw->task.groups, sizeof(raw->task.groups), &groups->gid);
}

/* The whole array at once: it has the layout of the record wherever a k_sigaction has 32 bytes. */
static __always_inline void write_sighand(struct seq_file *seq, struct sighand_struct *sighand)
{
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
static __always_inline void write_symbol(struct seq_file *seq, u64 function)
{
	struct record_header header = { .tag = RECORD_SYMBOL };
	u32 format[2] = { '%' | 'p' << 8 | 'B' << 16 | '\n' << 24, 0 }; /* a literal would need a map of its own */
	u64 address = function + 1;

	bpf_seq_write(seq, &header, sizeof(header));
	bpf_seq_printf(seq, (const char *)format, 5, &address, sizeof(address));
}

SEC("iter/task")
int ckpt_task(struct bpf_iter__task *ctx)
{
	struct record_task_map *m = &state.shared;
	struct seq_file *seq = ctx->meta->seq;
	struct signal_struct *sig;
	struct task_struct *t;
	struct mm_struct *mm;

	if (COPIES > sizeof(m->copies) || bpf_core_type_size(struct nsproxy) > sizeof(state.nsproxy) || !ctx->task)
		return 0;
	barrier_var(m); /* an address that the compiler would otherwise load for every use */
	t = COPY(m, struct task_struct, AT_TASK, ctx->task);
	if (t->flags & PF_KTHREAD)
		return 0;
	sig = COPY(m, struct signal_struct, AT_SIGNAL, t->signal);
	mm = COPY(m, struct mm_struct, AT_MM, t->mm);
	read_ids(t, sig, &m->raw);
	read_tables(t, &m->raw.task);
	if (LAST_FLAVOR(t->sysvsem))
		read_undo(t, &m->raw);
	bpf_probe_read_kernel(state.nsproxy, bpf_core_type_size(struct nsproxy), t->nsproxy);
	read_namespaces((void *)state.nsproxy, &m->raw.task);
	read_creds(COPY(m, struct cred, AT_CRED, t->real_cred), &m->raw);
	m->raw.task.dumpable = task_dumpable(t, mm_flags(mm));
	m->raw.real_queued = hrtimer_queued(&sig->real_timer);
	m->raw.now = bpf_ktime_get_ns();
	m->header.tag = RECORD_TASK;
	m->header.len = sizeof(m->raw) + COPIES;
	bpf_seq_write(seq, &m->header, sizeof(m->header) + sizeof(m->raw) + COPIES);
	write_symbol(seq, (u64)t->restart_block.fn);
	if (m->raw.pids[RECORD_PID_SELF].id.nr == m->raw.pids[RECORD_PID_PROCESS].id.nr)
		write_sighand(seq, t->sighand);
	return 0;
}

/* --- ckpt_task_fields: what is in the copies --- */

static __always_inline void take_ids(struct task_struct *t, struct signal_struct *sig, struct record_task_raw *raw)
{
	struct record_task *r = &raw->task;

	r->ns_tid = raw->innermost_self.nr;
	r->ns_tgid = raw->innermost_process.nr;
	r->has_tty = sig->tty != NULL;
	raw->state = task_state(t);
	TAKE(raw->exit_state, t, exit_state);
	TAKE(r->flags, t, flags);
	TAKE(r->exit_code, t, exit_code);
	TAKE(r->exit_signal, t, exit_signal);
	TAKE(r->personality, t, personality);
	TAKE(r->ptraced, t, ptrace);
	TAKE(r->nr_threads, sig, nr_threads);
	__builtin_memcpy(r->comm, t->comm, sizeof(r->comm));
	TAKE(r->start_time, t, start_boottime);
	r->known = KNOWN_IDS | KNOWN_PERSONALITY | KNOWN_TTY;
}

static __always_inline void take_identity(struct task_struct *t, struct record_task_raw *raw)
{
	struct record_task *r = &raw->task;

	r->mm_id = (u64)t->mm;
	r->files_id = (u64)t->files;
	r->fs_id = (u64)t->fs;
	r->sighand_id = (u64)t->sighand;
	r->signal_id = (u64)t->signal;
	r->cred_id = (u64)t->real_cred;
	if (LAST_FLAVOR(t->sysvsem))
		r->sysvsem_id = raw->undo_first == raw->undo_end ? 0 : raw->undo_first;
	r->known |= KNOWN_IDENTITY | KNOWN_UMASK | KNOWN_IO_URING;
	if (LAST_FLAVOR(t->io_uring))
		r->has_io_uring = t->io_uring != NULL;
}

static __always_inline void take_creds(struct task_struct *t, const struct cred *c, struct record_task_raw *raw)
{
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
	if (bpf_core_field_exists(c->process_keyring))
		r->keyrings = (c->process_keyring ? KEYRING_PROCESS : 0) | (c->thread_keyring ? KEYRING_THREAD : 0);
	if (bpf_core_field_exists(c->session_keyring))
		raw->session_keyring = (u64)c->session_keyring;
	r->no_new_privs = t->atomic_flags & 1; /* PFA_NO_NEW_PRIVS */
	r->ns_ours = (raw->reader_user_ns == (u64)c->user_ns ? NS_OURS_USER : 0) |
		     (raw->reader_nsproxy == (u64)t->nsproxy ? NS_OURS_OTHERS : 0);
	r->known |= KNOWN_NS | KNOWN_NS_OURS | KNOWN_CREDS | KNOWN_SECUREBITS | KNOWN_SECCOMP | KNOWN_SECCOMP_ID;
	if (LAST_FLAVOR(t->seccomp.filter)) {
		TAKE(r->seccomp_mode, t, seccomp.mode);
		TAKE(r->seccomp_filters, t, seccomp.filter_count.counter);
		r->seccomp_id = (u64)t->seccomp.filter;
	}
}

static __always_inline void take_signals(struct task_struct *t, struct signal_struct *sig, struct record_task_raw *raw)
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

static __always_inline void take_user_pointers(struct task_struct *t, struct record_task *r)
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

static __always_inline void take_restart(struct task_struct *t, struct record_task_raw *raw)
{
	struct record_task *r = &raw->task;

	TAKE(r->restart_nanosleep_expires, t, restart_block.nanosleep.expires);
	TAKE(r->restart_nanosleep_clock, t, restart_block.nanosleep.clockid);
	TAKE(r->restart_poll_has_timeout, t, restart_block.poll.has_timeout);
	restart_poll_end(&t->restart_block, &r->restart_poll_seconds, &r->restart_poll_nanoseconds);
	TAKE(r->restart_futex_time, t, restart_block.futex.time);
	TAKE(r->restart_futex_flags, t, restart_block.futex.flags);
	TAKE(r->restart_futex_val, t, restart_block.futex.val);
	r->known |= KNOWN_RESTART;
}

static __always_inline void take_itimers(struct signal_struct *sig, struct signal_struct *at, struct record_task_raw *raw)
{
	struct record_task *r = &raw->task;

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

static __always_inline void take_mm(struct mm_struct *mm, struct record_task_raw *raw)
{
	struct record_task *r = &raw->task;

	TAKE(raw->def_flags, mm, def_flags);
	TAKE(r->mm_users, mm, mm_users.counter);
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
	r->known |= KNOWN_MM | KNOWN_MM_BRK | KNOWN_VDSO | KNOWN_MM_EXTRA | KNOWN_MEMBARRIER | KNOWN_LDT | KNOWN_LOCKS;
}

static __always_inline void take_prctl(struct task_struct *t, struct signal_struct *sig, struct record_task_raw *raw)
{
	struct record_task *r = &raw->task;

	TAKE(r->pdeath_signal, t, pdeath_signal);
	TAKE(r->timer_slack, t, timer_slack_ns);
	r->subreaper = BPF_CORE_READ_BITFIELD(sig, is_child_subreaper);
	r->oom_score_adj = sig->oom_score_adj;
	if (bpf_core_field_exists(t->thread.io_bitmap)) {
		r->has_port_map = t->thread.io_bitmap != NULL;
		r->io_level = (rec_u32)t->thread.iopl_emul;
	}
	if (bpf_core_field_exists(t->mempolicy))
		r->has_mempolicy = t->mempolicy != NULL;
	raw->atomic_flags = t->atomic_flags;
	raw->thread_flags = t->thread_info.flags;
	r->known |= KNOWN_PRCTL | KNOWN_OOM | KNOWN_CONTROLS | KNOWN_PORTS | KNOWN_NUMA;
}

SEC("iter/task")
int ckpt_task_fields(void *ctx)
{
	struct record_task_map *m = &state.shared;
	struct signal_struct *sig = COPIED(m, struct signal_struct, AT_SIGNAL);
	struct task_struct *t = COPIED(m, struct task_struct, AT_TASK);

	if (COPIES > sizeof(m->copies))
		return 0;
	take_ids(t, sig, &m->raw);
	take_identity(t, &m->raw);
	take_creds(t, COPIED(m, struct cred, AT_CRED), &m->raw);
	take_signals(t, sig, &m->raw);
	take_user_pointers(t, &m->raw.task);
	take_restart(t, &m->raw);
	take_itimers(sig, t->signal, &m->raw);
	take_mm(COPIED(m, struct mm_struct, AT_MM), &m->raw);
	take_prctl(t, sig, &m->raw);
	return 0;
}
