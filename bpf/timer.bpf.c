// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* iter/task: the POSIX timers of one process, a few per read. Loaded only for a process that has some: a loop multiplies
 * what the verifier has to do. */
#include "ids.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define TIMERS_PER_READ 16

/* One reader at a time: ckpt locks a pinned program while it reads. */
struct {
	struct record_config config;
	struct record_header header;
	struct record_timer_raw raw;
} state;

/* The thread that a CPU-time timer counts, by the first link of its struct pid. */
static __always_inline struct task_struct *pid_thread(struct pid *pid)
{
	struct hlist_node *link = BPF_CORE_READ(pid, tasks[PID_OF_THREAD].first);
	struct task_struct *any = NULL;

	return (void *)((char *)link - bpf_core_field_offset(any->pid_links));
}

static __always_inline void read_process_clocks(struct signal_struct *sig, struct record_timer_raw *raw)
{
	raw->now = bpf_ktime_get_ns();
	READ(raw->process_user, sig, cputimer.cputime_atomic.utime.counter);
	READ(raw->process_system, sig, cputimer.cputime_atomic.stime.counter);
	READ(raw->process_sum, sig, cputimer.cputime_atomic.sum_exec_runtime.counter);
}

static __always_inline void read_timer(struct k_itimer *k, struct record_timer_raw *raw)
{
	struct sigqueue *queued = posix_timer_sigqueue(k);
	struct task_struct *thread = pid_thread(BPF_CORE_READ(k, it.cpu.pid));
	struct record_timer *r = &raw->timer;

	READ(r->id, k, it_id);
	READ(r->clock, k, it_clock);
	READ(r->notify, k, it_sigev_notify);
	READ(r->signo, queued, info.si_signo);
	READ(r->sigev_value, queued, info._sifields._timer._sigval);
	READ(r->interval, k, it_interval);
	READ(raw->overrun, k, it_overrun_last);
	raw->armed = posix_timer_armed(k);
	read_pid(&raw->target, BPF_CORE_READ(k, it_pid), upid_offset(raw->reader.level));
	READ(raw->real_expires, k, it.real.timer.node.expires);
	raw->real_offset = BPF_CORE_READ(k, it.real.timer.base, offset);
	READ(raw->alarm_expires, k, it.alarm.alarmtimer.node.expires);
	raw->alarm_offset = BPF_CORE_READ(k, it.alarm.alarmtimer.timer.base, offset);
	READ(raw->cpu_expires, k, it.cpu.node.expires);
	READ(raw->thread_user, thread, utime);
	READ(raw->thread_system, thread, stime);
	READ(raw->thread_sum, thread, se.sum_exec_runtime);
}

SEC("iter/task")
int ckpt_timer(struct bpf_iter__task *ctx)
{
	struct record_timer_raw *raw = &state.raw;
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *t = ctx->task;
	struct signal_struct *sig;
	void *node;

	if (!t || BPF_CORE_READ(t, pid) != BPF_CORE_READ(t, tgid))
		return 0;
	sig = BPF_CORE_READ(t, signal);
	if ((u64)sig != state.config.only)
		return 0;
	read_reader(&raw->reader);
	read_process_clocks(sig, raw);
	state.header.tag = RECORD_TIMER;
	state.header.len = sizeof(*raw);
	node = state.config.cursor ? (void *)state.config.cursor : posix_timers_first(sig);
	for (int i = 0; i < TIMERS_PER_READ && node; i++) {
		read_timer(posix_timer_of(node), raw);
		bpf_seq_write(seq, &state.header, sizeof(state.header) + sizeof(*raw));
		node = posix_timers_next(sig, node);
	}
	state.config.cursor = (u64)node;
	return 0;
}
