/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which devices FILE-scope resources carry: those that keep nothing for who has them open. */
#pragma once
#include "base/base.h"
#include <fcntl.h>

/* By their numbers (Documentation/admin-guide/devices.txt); flags: of the open file. */
static inline bool is_stateless_device(u32 flags, u32 major, u32 minor)
{
	static const struct {
		u32 major, minor;
		bool write_only; /* who reads has a position that nothing tells */
	} devices[] = {
		{ 1, 3, false },    /* null */
		{ 1, 5, false },    /* zero */
		{ 1, 7, false },    /* full */
		{ 1, 8, false },    /* random */
		{ 1, 9, false },    /* urandom */
		{ 1, 11, true },    /* kmsg */
		{ 10, 183, false }, /* hwrng */
		{ 10, 232, false }, /* kvm: virtual machines are files of their own */
		{ 10, 234, false }, /* btrfs-control */
		{ 10, 235, false }, /* autofs */
		{ 10, 237, false }, /* loop-control */
	};
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
		if (devices[i].major == major && devices[i].minor == minor)
			return !devices[i].write_only || (flags & O_ACCMODE) == O_WRONLY;
	return false;
}
