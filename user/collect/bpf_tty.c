// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns reading what waits in a pseudoterminal: the rings of both line disciplines and what lies behind them, part by part. */
#include "collect/bpf_internal.h"
#include <linux/tty.h>
#include <time.h>

#define TRIES 100 /* a millisecond apart: what was just written is on its way through the kernel's own workers */

struct reading {
	struct bpf_walker *walker;
	u32 tgid, fd;
};

static int read_part(const struct reading *r, u32 part, bool slave, struct record_tty *ret)
{
	return bpf_read_record(r->walker, r->tgid, RECORD_TTY_CURSOR(r->fd, part, slave), RECORD_TTY, ret, sizeof *ret);
}

/* Will the line discipline take more as it is? One that waits for the end of its line takes all, whether it can keep it or not. */
static bool takes_more(const struct record_tty_side *s)
{
	return s->head - s->tail < RECORD_TTY_RING - 1 || (s->icanon && s->canon_head == s->tail);
}

static bool is_moving(const struct record_tty_side *s) { return s->queued && takes_more(s); }

/* What the ring holds, from the oldest byte on. */
static bool take_ring(const struct record_tty *raw, const struct record_tty_side *s, struct text *ret, u8 *ends)
{
	if (s->head - s->tail > RECORD_TTY_RING)
		return false;
	for (u64 at = s->tail, i = 0; at != s->head; at++, i++) {
		u32 place = at % RECORD_TTY_RING;
		text_add(ret, (const char *)raw->data + place, 1);
		if (ends && raw->ends[place / 64] >> place % 64 & 1)
			ends[i / 8] |= (u8)(1u << i % 8);
	}
	return true;
}

/* What waits behind it. */
static int take_pieces(const struct reading *r, const struct record_tty_side *s, bool slave, struct text *ret)
{
	struct record_tty raw;
	for (u32 part = 1; part <= s->buffers; part++) {
		int err = read_part(r, part, slave, &raw);
		if (err <= 0)
			return err;
		if (raw.bytes >= RECORD_TTY_RING)
			return -E2BIG;
		text_add(ret, (const char *)raw.data, raw.bytes);
	}
	return 1;
}

/* 1; 0: this kernel does not tell; -EAGAIN: it changed meanwhile. */
static int read_once(const struct reading *r, struct terminal_queues *ret)
{
	struct record_tty slave, master, after;
	terminal_queues_free(ret);
	int err = read_part(r, 0, true, &slave);
	if (err <= 0)
		return err;
	ret->master = slave.own;
	ret->slave = slave.other;
	ret->moving = is_moving(&ret->slave);
	if (ret->slave.discipline != N_TTY || ret->master.discipline != N_TTY)
		return 0;
	if (ret->slave.buffers > RECORD_TTY_PIECES || ret->master.buffers > RECORD_TTY_PIECES)
		return -E2BIG;
	err = read_part(r, 0, false, &master);
	if (err > 0)
		err = take_ring(&slave, &ret->slave, &ret->input, ret->input_ends) &&
				      take_ring(&master, &ret->master, &ret->output, NULL)
			      ? 1
			      : -EAGAIN;
	if (err > 0 && ret->slave.queued)
		err = take_pieces(r, &ret->slave, true, &ret->input_behind);
	if (err > 0 && ret->master.queued)
		err = take_pieces(r, &ret->master, false, &ret->output);
	if (err > 0)
		err = read_part(r, 0, true, &after);
	if (err <= 0)
		return err;
	bool same =
		!memcmp(&after.own, &ret->master, sizeof after.own) && !memcmp(&after.other, &ret->slave, sizeof after.other);
	return same ? 1 : -EAGAIN;
}

void terminal_queues_free(struct terminal_queues *q)
{
	text_free(&q->input);
	text_free(&q->input_behind);
	text_free(&q->output);
	*q = (struct terminal_queues){ 0 };
}

int bpf_tty(struct bpf_source *source, u32 tgid, u32 fd, struct terminal_queues *ret)
{
	struct reading reading = { .tgid = tgid, .fd = fd };
	int r = bpf_source_lock(source, BPF_TTY, &reading.walker);
	if (r < 0)
		return r;
	for (int i = 0; i < TRIES; i++) {
		r = read_once(&reading, ret);
		if (r != -EAGAIN && (r <= 0 || !(ret->moving || is_moving(&ret->master))))
			break;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	bpf_unlock(reading.walker);
	bool failed = text_failed(&ret->input) || text_failed(&ret->input_behind) || text_failed(&ret->output);
	return r > 0 && failed ? -ENOMEM : r;
}
