/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What waits in a pseudoterminal: typed and not read, written and not read, and how its output stands. eBPF tells it; it is given back by
 * typing and writing it again while nothing is echoed, translated or taken for a signal. A part of tty.c. */
#pragma once
#include "collect/collect.h"
#include "resource/file_scope.h"
#include "tty.pb-c.h"
#include <asm/termbits.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#define INPUT_MOST RECORD_TTY_RING
#define QUEUE_MOST (1u << 16) /* more than the kernel lets wait behind a line discipline */
#define COLUMN_MOST 1024u     /* of a multiple of eight: nothing but tabs, and the left margin, depends on it */

/* --- collect --- */

static inline bool input_ends_at(const Ckpt__TtyWaiting *w, size_t at)
{
	return at / 8 < w->input_ends.len && w->input_ends.data[at / 8] >> at % 8 & 1;
}

/* Does what can be read by lines end behind the last byte that ends one? */
static inline bool is_marked(const Ckpt__TtyWaiting *w, const struct record_tty_side *slave)
{
	size_t end = w->input.len;
	while (end && !input_ends_at(w, end - 1))
		end--;
	return slave->canon_head - slave->tail == end;
}

static inline bool keep_bytes(ProtobufCBinaryData *to, protobuf_c_boolean *has, const void *bytes, size_t len)
{
	*has = message_set_bytes(to, bytes, len);
	return *has;
}

static inline int collect_waiting(struct collector *c, int master, Ckpt__Tty *t)
{
	_cleanup_terminal_queues_ struct terminal_queues q = { 0 };
	int r = collector_tty(c, master, &q);
	if (r <= 0 && r != -EAGAIN)
		return 0; /* judged by what the terminal itself tells */
	Ckpt__TtyWaiting *w = t->waiting = MESSAGE_NEW(Ckpt__TtyWaiting, ckpt__tty_waiting);
	if (!w || !keep_bytes(&w->input, &w->has_input, q.input.data, q.input.len) ||
	    !keep_bytes(&w->input_behind, &w->has_input_behind, q.input_behind.data, q.input_behind.len) ||
	    !keep_bytes(&w->output, &w->has_output, q.output.data, q.output.len) ||
	    (q.slave.icanon && !keep_bytes(&w->input_ends, &w->has_input_ends, q.input_ends, (q.input.len + 7) / 8)))
		return fail_memory();
	SET(w, literal_next, q.slave.lnext);
	SET(w, stopped, q.slave.stopped && !q.slave.tco_stopped);
	SET(w, suspended, q.slave.tco_stopped);
	SET(w, master_suspended, q.master.stopped);
	SET(w, column, q.slave.column < COLUMN_MOST ? q.slave.column : COLUMN_MOST + q.slave.column % 8);
	SET(w, input_column, q.slave.canon_column % 8);
	SET(w, echoes, (u32)(q.slave.echo_head - q.slave.echo_tail));
	SET(w, erasing, q.slave.erasing);
	SET(w, moving, q.moving || r < 0);
	SET(w, packet_status, t->packet ? q.slave.packet_status : 0);
	SET(w, unmarked, q.slave.icanon && !is_marked(w, &q.slave));
	return 0;
}

/* --- judge --- */

static inline const struct termios2 *termios_of(const Ckpt__Tty *t)
{
	return t->termios.len == sizeof(struct termios2) ? (const struct termios2 *)t->termios.data : NULL;
}

static inline bool waiting_is_empty(const Ckpt__TtyWaiting *w)
{
	return !w->input.len && !w->input_behind.len && !w->output.len && !w->literal_next && !w->stopped && !w->suspended &&
	       !w->master_suspended && !w->column && !w->input_column;
}

static inline bool has_flow_characters(const Ckpt__TtyWaiting *w, const struct termios2 *termios)
{
	for (size_t i = 0; i < w->input_behind.len; i++)
		if (w->input_behind.data[i] == termios->c_cc[VSTART] || w->input_behind.data[i] == termios->c_cc[VSTOP])
			return true;
	return false;
}

/* What keeps it from being given back as it is; NULL: nothing. used: its slave is open, or was. */
static inline const char *waiting_obstacle(const Ckpt__TtyWaiting *w, const struct termios2 *termios, bool used)
{
	bool lines = termios->c_lflag & ICANON;
	if (w->echoes)
		return "what was typed is still to be echoed";
	if (w->erasing)
		return "what was typed is being erased (ECHOPRT)";
	if (w->moving)
		return "what was typed is on its way";
	if (w->packet_status)
		return "a change of state is to be told to its master (TIOCPKT)";
	if (w->unmarked || lines != w->has_input_ends)
		return "lines end where nothing in them says so";
	if (termios->c_lflag & EXTPROC && (w->input.len || w->literal_next))
		return "what was typed has been edited elsewhere (EXTPROC)";
	if (!lines && w->input.len >= INPUT_MOST)
		return "more was typed than is taken when it is not read by lines";
	if (termios->c_iflag & IXON && has_flow_characters(w, termios))
		return "characters that stop and start it are behind what can be taken";
	if (w->stopped && !(termios->c_iflag & IXON))
		return "it is stopped by a character that does not stop it";
	return !used && !waiting_is_empty(w) ? "nobody in the tree has had its other side open" : NULL;
}

static inline int judge_waiting(const Ckpt__Tty *t, bool used)
{
	const Ckpt__TtyWaiting *w = t->waiting;
	const struct termios2 *termios = termios_of(t);
	if (!w || !termios)
		return 0;
	if (w->input.len > INPUT_MOST || w->input_behind.len > QUEUE_MOST || w->output.len > QUEUE_MOST ||
	    (w->has_input_ends && w->input_ends.len != (w->input.len + 7) / 8) || w->column >= COLUMN_MOST + 8 ||
	    w->input_column >= 8)
		return fail(IMAGE_INCONSISTENT, 0, "what waits in terminal %u", t->index);
	const char *obstacle = waiting_obstacle(w, termios, used);
	return obstacle ? fail(TTY_STATE, 0, "/dev/pts/%u: %s", t->index, obstacle) : 0;
}

/* --- plan --- */

#define CREATE AT(PLAN_WORLD, STAGE_CREATE)
#define MASTER(plan, o) ARG(plan_fd(plan, (o)->id))

#define KINDS_MOST 200 /* different bytes in one piece of input: there must be others left to have a meaning */
#define NAP_NS 200000
#define NAPS_MOST 50000

static inline void plan_bytes_to(struct plan *plan, struct arg fd, const void *bytes, size_t len)
{
	if (len)
		step_expect(plan_call(plan, CREATE, SYS_write, fd, ARG_OF_DATA(plan_data(plan, bytes, len, 1)), ARG(len)),
			    (s64)len);
}

static inline void plan_termios(struct plan *plan, struct arg fd, const struct termios2 *termios)
{
	plan_call(plan, CREATE, SYS_ioctl, fd, ARG(TCSETS2), ARG_OF_DATA(plan_data(plan, termios, sizeof *termios, 8)));
}

/* Lets some time go by, or waits for an event of a struct pollfd; two steps. */
static inline struct plan_step *plan_nap(struct plan *plan, u32 pollfd)
{
	u32 pause = plan_data(plan, &(struct timespec){ 0 }, sizeof(struct timespec), 8);
	u32 ns = pause + (u32)offsetof(struct timespec, tv_nsec); /* the kernel writes what is left of it */
	plan_op(plan, CREATE, OP_STORE, 0, (struct arg[6]){ ARG(ns), ARG(NAP_NS) });
	return plan_call(plan, CREATE, SYS_ppoll, ARG_OF_DATA(pollfd), ARG(1), ARG_OF_DATA(pause), ARG(0), ARG(8));
}

/* --- input --- */

/* A piece of input: the characters that have a meaning while it is typed are none of its own. */
struct typing {
	bool lines; /* of input that is read by lines */
	u8 stop, start, literal, eof, eol;
	struct text bytes; /* as they are typed */
	size_t last;       /* where what makes the last one begins */
};

static inline u8 unused_byte(bool used[256])
{
	u8 byte = 1; /* 0 is no character (__DISABLED_CHAR) */
	while (used[byte])
		byte++;
	used[byte] = true;
	return byte;
}

/* How far one piece of input goes: until too many of its bytes are different, or a second kind of them ends lines. */
static inline size_t piece_end(const Ckpt__TtyWaiting *w, size_t from, bool used[256], u8 *ret_eol)
{
	u32 kinds = 0;
	size_t at;
	for (at = from; at < w->input.len && kinds < KINDS_MOST; at++) {
		u8 byte = w->input.data[at];
		bool special = input_ends_at(w, at) && byte != '\n' && byte != 0;
		if (special && *ret_eol && *ret_eol != byte)
			break;
		if (special)
			*ret_eol = byte;
		kinds += !used[byte];
		used[byte] = true;
	}
	return at;
}

static inline void type_byte(struct typing *y, u8 byte, bool ends)
{
	bool is_special = y->lines && (byte == '\n' || (byte && byte == y->eol));
	y->last = y->bytes.len;
	if (ends && !byte)
		byte = y->eof;
	else if (!ends && is_special)
		text_add(&y->bytes, &y->literal, 1);
	text_add(&y->bytes, &byte, 1);
}

/* Settings under which what is typed goes into the line discipline as it is. */
static inline struct termios2 typing_termios(const struct termios2 *of, const struct typing *y)
{
	struct termios2 termios = *of;
	termios.c_iflag = IXON;
	termios.c_oflag = 0;
	termios.c_lflag = (of->c_lflag & ICANON) | IEXTEN;
	memset(termios.c_cc, 0, sizeof termios.c_cc);
	termios.c_cc[VSTOP] = y->stop;
	termios.c_cc[VSTART] = y->start;
	termios.c_cc[VLNEXT] = y->literal;
	termios.c_cc[VEOF] = y->eof;
	termios.c_cc[VEOL] = y->eol;
	return termios;
}

/* Types it, and waits until the line discipline has taken it: the kernel's worker brings it there. In packet mode the master is told
 * that the output was stopped, by a character that stands before what makes the last byte: when there is no room behind that one, the
 * line discipline would not come to it. It takes what one write(2) brought without letting a change of settings come between. */
static inline void plan_typing(struct plan *plan, const struct object *o, struct typing *y, bool stay_stopped)
{
	struct pollfd told = { .fd = plan_fd(plan, o->id), .events = POLLPRI };
	_cleanup_text_ struct text end = { 0 };
	text_add(&end, &y->stop, 1);
	if (!stay_stopped)
		text_add(&end, &y->start, 1);
	text_add(&end, y->bytes.data + y->last, y->bytes.len - y->last);
	struct termios2 termios = typing_termios(termios_of(o->data), y);
	plan_termios(plan, MASTER(plan, o), &termios);
	plan_call(plan, CREATE, SYS_ioctl, MASTER(plan, o), ARG(TIOCPKT), ARG_OF_DATA(plan_data(plan, &(int){ 1 }, 4, 4)));
	plan_bytes_to(plan, MASTER(plan, o), y->bytes.data, y->last);
	plan_bytes_to(plan, MASTER(plan, o), end.data, end.len);
	struct plan_step *wait = plan_nap(plan, plan_data(plan, &told, sizeof told, 8));
	plan_op(plan, CREATE, OP_BRANCH, 0,
		(struct arg[6]){ ARG_OF_SLOT(step_result(plan, wait)), ARG(1), ARG(2), ARG(NAPS_MOST) });
	plan_call(plan, CREATE, SYS_ioctl, MASTER(plan, o), ARG(TIOCPKT), ARG_OF_DATA(plan_data(plan, &(int){ 0 }, 4, 4)));
}

static inline void plan_input(struct plan *plan, const struct object *o)
{
	const Ckpt__TtyWaiting *w = ((const Ckpt__Tty *)o->data)->waiting;
	size_t at = 0;
	if (!w->input.len && !w->literal_next && !w->stopped)
		return;
	do {
		bool used[256] = { [0] = true, ['\n'] = true };
		struct typing y = { .lines = w->has_input_ends };
		size_t from = at;
		at = piece_end(w, from, used, &y.eol);
		y.stop = unused_byte(used), y.start = unused_byte(used);
		y.literal = unused_byte(used), y.eof = unused_byte(used);
		for (size_t i = from; i < at; i++)
			type_byte(&y, w->input.data[i], input_ends_at(w, i));
		bool is_last = at >= w->input.len;
		if (is_last && w->literal_next) {
			y.last = y.bytes.len;
			text_add(&y.bytes, &y.literal, 1);
		}
		plan_typing(plan, o, &y, is_last && w->stopped);
		text_free(&y.bytes);
	} while (at < w->input.len);
}

/* --- output --- */

/* Where the output stands: by writing so much that nobody reads. */
static inline void plan_column(struct plan *plan, const struct object *o, struct arg slave)
{
	const Ckpt__Tty *t = o->data;
	const Ckpt__TtyWaiting *w = t->waiting;
	struct termios2 termios = *termios_of(t);
	_cleanup_text_ struct text moves = { 0 };
	if (!w->column && !w->input_column)
		return;
	for (u32 i = 0; i < w->input_column; i++)
		text_adds(&moves, " ");
	text_adds(&moves, "\n"); /* goes down, not back: without ONLCR, that is where a line of input may begin */
	for (u32 i = w->input_column; i < w->column; i++)
		text_adds(&moves, " ");
	for (u32 i = w->column; i < w->input_column; i++)
		text_adds(&moves, "\b");
	termios.c_iflag = 0;
	termios.c_oflag = OPOST;
	termios.c_lflag &= ICANON;
	plan_termios(plan, MASTER(plan, o), &termios);
	plan_bytes_to(plan, slave, moves.data, moves.len);
	plan_call(plan, CREATE, SYS_ioctl, MASTER(plan, o), ARG(TCFLSH), ARG(TCIFLUSH));
}

/* What the master's line discipline has room for goes there first: the buffers behind it might have no room for all. */
static inline void plan_output(struct plan *plan, const struct object *o, struct arg slave)
{
	const Ckpt__Tty *t = o->data;
	const ProtobufCBinaryData *output = &t->waiting->output;
	struct termios2 termios = *termios_of(t);
	size_t first = MIN(output->len, RECORD_TTY_RING - 1);
	if (!output->len)
		return;
	termios.c_oflag = 0;
	termios.c_lflag &= ICANON;
	plan_termios(plan, MASTER(plan, o), &termios);
	plan_bytes_to(plan, slave, output->data, first);
	if (first == output->len)
		return;
	u32 waiting = plan_data(plan, NULL, sizeof(u32), 4);
	struct pollfd nothing = { .fd = -1 };
	plan_nap(plan, plan_data(plan, &nothing, sizeof nothing, 8));
	plan_call(plan, CREATE, SYS_ioctl, MASTER(plan, o), ARG(FIONREAD), ARG_OF_DATA(waiting));
	u32 got = step_result(plan, plan_op(plan, CREATE, OP_LOAD, 0, (struct arg[6]){ ARG(waiting) }));
	plan_op(plan, CREATE, OP_BRANCH, 0, (struct arg[6]){ ARG_OF_SLOT(got), ARG(first), ARG(4), ARG(NAPS_MOST) });
	plan_bytes_to(plan, slave, output->data + first, output->len - first);
}

/* --- the order --- */

/* While the settings are not the terminal's own. slave: one that does not block. */
static inline void plan_waiting(struct plan *plan, const struct object *o, struct arg slave)
{
	plan_column(plan, o, slave);
	plan_output(plan, o, slave);
	plan_input(plan, o);
}

/* When they are: what there was no room for waits behind what fills it, and nobody looks at it. */
static inline void plan_waiting_behind(struct plan *plan, const struct object *o, struct arg slave)
{
	const Ckpt__TtyWaiting *w = ((const Ckpt__Tty *)o->data)->waiting;
	plan_bytes_to(plan, MASTER(plan, o), w->input_behind.data, w->input_behind.len);
	if (w->suspended)
		plan_call(plan, CREATE, SYS_ioctl, slave, ARG(TCXONC), ARG(TCOOFF));
	if (w->master_suspended)
		plan_call(plan, CREATE, SYS_ioctl, MASTER(plan, o), ARG(TCXONC), ARG(TCOOFF));
}
