// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns turning the task program's stream into facts about threads, signal actions and POSIX timers. */
#include "collect/bpf_internal.h"

/* hrtimer_nanosleep_restart+0x1/0x80 -> which call it restarts. The two that sleep on an alarm or a CPU-time clock keep
 * something else in the members: nobody can tell what is left of them. */
static u32 restart_call(const char *symbol, size_t len)
{
	static const struct {
		const char *function;
		enum restart_call call;
	} rows[] = {
		{ "do_no_restart_syscall+", RESTART_NONE },
		{ "hrtimer_nanosleep_restart+", RESTART_NANOSLEEP },
		{ "do_restart_poll+", RESTART_POLL },
		{ "futex_wait_restart+", RESTART_FUTEX },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t n = strlen(rows[i].function);
		if (len > n && !memcmp(symbol, rows[i].function, n))
			return rows[i].call;
	}
	return RESTART_UNKNOWN;
}

struct task_stream {
	struct facts *facts;
	struct tree *tree;
	const struct bpf_walker *walker;
	struct record_task_map *scratch;
	struct record_task task; /* the last one; not merged before its symbol came */
	bool pending, timers;
	bool ended; /* it is of a leader that has ended while others of its process live: it tells of no thread */
};

static int task_done(struct task_stream *s)
{
	if (!s->pending)
		return 0;
	s->pending = false;
	s->timers |= s->task.has_timers;
	return s->ended ? 0 : facts_merge_task(s->facts, &s->task);
}

/* The kernel also tells of its own threads in a process, workers of io_uring(7): who is not of the tree is left out. */
static int add_task(struct task_stream *s, const struct bpf_reader *reader)
{
	int r = bpf_task_fields(s->walker, reader, s->scratch);

	if (r < 0)
		return r;
	bpf_decode_task(&s->scratch->raw, s->walker->config, &s->task);
	const struct tree_process *p = tree_find(s->tree, (pid_t)s->task.tgid);
	s->ended = p && p->leader_ended && s->task.tid == s->task.tgid;
	s->pending = s->ended || facts_task(s->facts, s->task.tid);
	return 0;
}

static int add_sighand(struct task_stream *s, const struct bpf_reader *reader)
{
	struct record_sighand sighand, *new;

	if (!s->pending)
		return 0;
	memcpy(&sighand, reader->data, sizeof(sighand));
	sighand.tgid = s->task.tgid;
	new = vector_add(&s->facts->sighands);
	if (!new)
		return -ENOMEM;
	*new = sighand;
	return 0;
}

static int take_record(struct task_stream *s, const struct bpf_reader *reader)
{
	int r;

	switch (reader->tag) {
	case RECORD_TASK:
		r = task_done(s);
		return r < 0 ? r : add_task(s, reader);
	case RECORD_SYMBOL:
		s->task.restart_call = restart_call(reader->data, reader->len);
		return 0;
	case RECORD_SIGHAND:
		return reader->len == sizeof(struct record_sighand) ? add_sighand(s, reader) : -EBADMSG;
	default:
		return -EBADMSG;
	}
}

static int take_stream(struct task_stream *s, const struct text *stream)
{
	struct bpf_reader reader = { .at = stream->data, .end = stream->data + stream->len };
	int r;

	while ((r = bpf_next(&reader)) > 0) {
		r = take_record(s, &reader);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : task_done(s);
}

int bpf_tasks(struct bpf_source *source, struct facts *facts, struct tree *tree)
{
	_cleanup_free_ struct record_task_map *scratch = malloc(sizeof(*scratch));
	struct task_stream s = { .facts = facts, .tree = tree, .scratch = scratch };
	_cleanup_text_ struct text stream = { 0 };
	struct bpf_walker *w;

	int r = scratch ? bpf_source_walker(source, BPF_TASK, &w) : -ENOMEM;
	if (r == -ENOMEM)
		return r;
	bool mini = r < 0; /* under lockdown */
	if (mini)
		r = bpf_source_walker(source, BPF_MINI, &w);
	if (r == 0)
		r = bpf_run_tree(w, tree, &stream);
	if (r < 0)
		return r;
	s.walker = w;
	if (!mini)
		facts->sighands.n = facts->timers.n = 0;
	r = take_stream(&s, &stream);
	if (r < 0)
		return r;
	if (mini)
		return 0;
	facts->have_sighands = facts->sighands.n == tree->processes.n;
	facts->have_timers = !s.timers || bpf_timers(source, facts) == 0;
	return 0;
}
