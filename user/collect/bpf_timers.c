// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns reading POSIX timers: chunk by chunk, and what the raw expiry times mean. */
#include "collect/bpf_internal.h"
#include <signal.h>
#include <time.h>

#define CHUNKS_MAX 4096 /* 65536 timers: a list that does not end is one that changes */

enum clock_kind { CLOCK_REAL_TIMER, CLOCK_ALARM_TIMER, CLOCK_CPU_TIMER };

/* Negative ids are made by clock_getcpuclockid(3): bits 0 and 1 say what is counted, 3 stands for a clock device. */
static enum clock_kind clock_kind(s32 clock)
{
	if (clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID || (clock < 0 && (clock & 3) != 3))
		return CLOCK_CPU_TIMER;
	return clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM ? CLOCK_ALARM_TIMER : CLOCK_REAL_TIMER;
}

/* What a CPU-time clock shows: of a thread when bit 2 is set; 0 user and system, 1 user, 2 the scheduler's sum. */
static u64 cpu_clock(const struct record_timer_raw *raw)
{
	s32 clock = raw->timer.clock;
	bool thread = clock == CLOCK_THREAD_CPUTIME_ID || (clock < 0 && clock & 4);
	u64 user = thread ? raw->thread_user : raw->process_user;
	u64 system = thread ? raw->thread_system : raw->process_system;

	switch (clock < 0 ? clock & 3 : 2) {
	case 0:
		return user + system;
	case 1:
		return user;
	default:
		return thread ? raw->thread_sum : raw->process_sum;
	}
}

/* As timer_gettime(2): an interval timer whose signal is queued goes on from the expiry that it missed. */
static u64 time_left(u64 expires, u64 now, u64 interval)
{
	if (expires > now)
		return expires - now;
	return interval ? interval - (now - expires) % interval : 1;
}

/* timer_create(2) turns the two constants for the caller's own clocks into ids of the pid-0 form. */
static s32 clock_as_created(s32 clock)
{
	return clock == -6 ? CLOCK_PROCESS_CPUTIME_ID : clock == -2 ? CLOCK_THREAD_CPUTIME_ID : clock;
}

static void decode(const struct record_timer_raw *raw, u32 tgid, struct record_timer *t)
{
	*t = raw->timer;
	t->tgid = tgid;
	t->clock = clock_as_created(t->clock);
	t->overrun = raw->overrun > INT32_MAX ? INT32_MAX : raw->overrun < 0 ? 0 : (u32)raw->overrun;
	t->notify_tid = t->notify & 4 ? bpf_pid_seen(&raw->reader, &raw->target) : 0; /* SIGEV_THREAD_ID */
	t->value = 0;
	switch (clock_kind(raw->timer.clock)) {
	case CLOCK_CPU_TIMER:
		if (raw->cpu_expires)
			t->value = time_left(raw->cpu_expires, cpu_clock(raw), t->interval);
		break;
	case CLOCK_ALARM_TIMER:
		if (raw->armed || t->interval)
			t->value = time_left(raw->alarm_expires, raw->now + raw->alarm_offset, t->interval);
		break;
	case CLOCK_REAL_TIMER: /* one that notifies nobody is never queued: its expiry is all there is */
		if (raw->armed || t->interval || (t->notify == SIGEV_NONE && raw->real_expires > raw->now + raw->real_offset))
			t->value = time_left(raw->real_expires, raw->now + raw->real_offset, t->interval);
		break;
	}
}

static int add_chunk(struct facts *facts, u32 tgid, const struct text *stream)
{
	struct bpf_reader reader = { .at = stream->data, .end = stream->data + stream->len };
	struct record_timer_raw raw;
	struct record_timer *new;
	int r;

	while ((r = bpf_next(&reader)) > 0) {
		if (reader.tag != RECORD_TIMER || reader.len != sizeof(raw))
			return -EBADMSG;
		memcpy(&raw, reader.data, sizeof(raw));
		new = vector_add(&facts->timers);
		if (!new)
			return -ENOMEM;
		decode(&raw, tgid, new);
	}
	return r;
}

static int walk(struct bpf_walker *w, struct facts *facts, u32 tgid, u64 signal_id)
{
	w->config->only = signal_id;
	w->config->cursor = 0;
	for (int i = 0; i < CHUNKS_MAX; i++) {
		_cleanup_text_ struct text stream = { 0 };
		int r = bpf_run_process(w, tgid, &stream);
		if (r == 0)
			r = add_chunk(facts, tgid, &stream);
		if (r < 0 || !w->config->cursor)
			return r;
	}
	return -EAGAIN;
}

static int by_process_and_id(const void *left, const void *right)
{
	const struct record_timer *a = left, *b = right;
	if (a->tgid != b->tgid)
		return a->tgid < b->tgid ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

/* The first record of a process says whether it has timers. */
int bpf_timers(struct bpf_source *source, struct facts *facts)
{
	struct bpf_walker *w = NULL;

	for (size_t i = 0; i < facts->tasks.n; i++) {
		const struct record_task *t = &facts->tasks.v[i];
		if (!facts_leads(facts, i) || !(t->known & KNOWN_ITIMERS) || !t->has_timers)
			continue;
		int r = w ? 0 : bpf_source_walker(source, BPF_TIMER, &w);
		if (r == 0)
			r = bpf_lock(w);
		if (r < 0)
			return r;
		r = walk(w, facts, t->tgid, t->signal_id);
		bpf_unlock(w);
		if (r < 0)
			return r;
	}
	if (facts->timers.n)
		qsort(facts->timers.v, facts->timers.n, sizeof(*facts->timers.v), by_process_and_id);
	return 0;
}
