/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small language helpers used everywhere; knows nothing of checkpointing. */
#pragma once
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define ALIGN_UP(v, to) (((v) + (to)-1) & ~((to)-1))
#define ALIGN_DOWN(v, to) ((v) & ~((to)-1))
#define PAGE_BYTES 4096ul

/* Runs fn(&variable) when the variable leaves its scope. */
#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))
#define _unused_ __attribute__((unused))

static inline void freep(void *p) { free(*(void **)p); }
static inline void closep(int *fd)
{
	int saved = errno;
	if (*fd >= 0)
		close(*fd);
	errno = saved;
}
#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)

/* Gives the descriptor away: the caller owns it from now on. */
static inline int take_fd(int *fd)
{
	int given = *fd;
	*fd = -1;
	return given;
}
#define take_ptr(p)                                                                                                            \
	({                                                                                                                     \
		__typeof__(p) given_ = (p);                                                                                    \
		(p) = NULL;                                                                                                    \
		given_;                                                                                                        \
	})

/* Negative errno of the last failed system call; never 0. */
static inline int neg_errno(void) { return errno > 0 ? -errno : -EIO; }
