// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what helps to find locks on files: the kernel's list of all of them, and where each open file can be seen. */
#include "base/file.h"
#include "collect/collect_internal.h"
#include "diag/diag.h"
#include <fcntl.h>

/* The number of the initial pid namespace, on every kernel (proc_ns.h). */
#define INITIAL_PID_NAMESPACE "pid:[4026531836]"

const char *collector_locks(struct collector *c, bool *ret_all)
{
	char ns[32];
	*ret_all = file_readlink(AT_FDCWD, "/proc/self/ns/pid", ns, sizeof ns) > 0 && !strcmp(ns, INITIAL_PID_NAMESPACE);
	if (!c->have_locks && file_read(AT_FDCWD, "/proc/locks", &c->locks) < 0)
		*ret_all = false;
	c->have_locks = true;
	*ret_all &= !text_failed(&c->locks);
	return c->locks.data ?: "";
}

/* Ids are given and remembered in ascending order. */
bool collector_first_seen(struct collector *c, u32 file, struct file_seen *ret)
{
	size_t low = 0, high = c->known_files.n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (c->known_files.v[middle].id < file)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == c->known_files.n || c->known_files.v[low].id != file)
		return false;
	const struct known_file *k = &c->known_files.v[low];
	*ret = (struct file_seen){ .pid = (u32)k->pid, .fd = (u32)k->fd, .mode = k->mode };
	return true;
}
