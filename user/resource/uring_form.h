/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What lies where in the memory of an io_uring(7), which one its form says. Of uring.c alone. */
#pragma once
#include "diag/diag.h"
#include "model/kinds.h"
#include "uring.pb-c.h"
#include <linux/io_uring.h>
#include <sys/syscall.h>

/* Newer than the headers. */
#ifndef IORING_SETUP_NO_SQARRAY
#define IORING_SETUP_NO_MMAP (1u << 14)    /* Linux 6.5 */
#define IORING_SETUP_NO_SQARRAY (1u << 16) /* Linux 6.6 */
#endif

/* What is said by the numbers of entries. */
#define SETUP_SIZES ((u32)(IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP))
/* What decides where things lie. */
#define SETUP_LAYOUT ((u32)(IORING_SETUP_SQE128 | IORING_SETUP_CQE32 | IORING_SETUP_NO_SQARRAY))
#define SETUP_CARRIED                                                                                                          \
	(SETUP_LAYOUT | (u32)(IORING_SETUP_SQPOLL | IORING_SETUP_SQ_AFF | IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL |  \
			      IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SINGLE_ISSUER |             \
			      IORING_SETUP_DEFER_TASKRUN))
#define SQ_ENTRIES_MOST 32768u /* IORING_MAX_ENTRIES of io_uring/io_uring.h */
#define CQ_ENTRIES_MOST (2 * SQ_ENTRIES_MOST)

static const struct kind kind_uring = { .name = "uring", .desc = &ckpt__uring__descriptor };

struct offsets {
	struct io_sqring_offsets sq;
	struct io_cqring_offsets cq;
};
_Static_assert(sizeof(struct offsets) == sizeof(struct io_uring_params) - offsetof(struct io_uring_params, sq_off),
	       "they lie side by side at the end");

/* Asks the kernel what lies where in a ring of this form, by making one. 0 or -errno. */
static inline int ask_offsets(const Ckpt__Uring *u, struct offsets *ret)
{
	struct io_uring_params params = { .flags = (u->setup & SETUP_LAYOUT) | IORING_SETUP_CQSIZE,
					  .cq_entries = u->cq_entries };
	_cleanup_close_ int fd = (int)syscall(SYS_io_uring_setup, u->sq_entries, &params);
	if (fd < 0)
		return neg_errno();
	*ret = (struct offsets){ params.sq_off, params.cq_off };
	bool same = params.sq_entries == u->sq_entries && params.cq_entries == u->cq_entries;
	return same && params.features & IORING_FEAT_SINGLE_MMAP ? 0 : -EOPNOTSUPP;
}

static inline size_t queues_bytes(const Ckpt__Uring *u, const struct offsets *at)
{
	size_t completions = at->cq.cqes + (u->cq_entries * sizeof(struct io_uring_cqe) << !!(u->setup & IORING_SETUP_CQE32));
	size_t array = u->setup & IORING_SETUP_NO_SQARRAY ? 0 : at->sq.array + u->sq_entries * sizeof(u32);
	return MAX(completions, array);
}

static inline size_t entries_bytes(const Ckpt__Uring *u)
{
	return u->sq_entries * sizeof(struct io_uring_sqe) << !!(u->setup & IORING_SETUP_SQE128);
}

/* A word of the queues' memory as it was recorded. */
static inline u32 queue_word(const Ckpt__Uring *u, u32 offset)
{
	u32 word = 0;
	if (offset + sizeof word <= u->queues.len)
		memcpy(&word, u->queues.data + offset, sizeof word);
	return word;
}

static inline const struct offsets *offsets_of(const Ckpt__Uring *u)
{
	return u->offsets.len == sizeof(struct offsets) ? (const struct offsets *)u->offsets.data : NULL;
}

/* Completions that nobody has taken yet. */
static inline u32 untaken(const Ckpt__Uring *u) { return u->completed - queue_word(u, offsets_of(u)->cq.head); }

static inline bool is_polled(const Ckpt__Uring *u) { return u->setup & IORING_SETUP_SQPOLL; }
