// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what helps to find locks on files: the kernel's list of all of them, and where each open file can be seen. */
#include "base/file.h"
#include "collect/collect_internal.h"
#include "diag/diag.h"
#include <fcntl.h>
#include <stdio.h>

/* The number of the initial pid namespace, on every kernel (proc_ns.h). */
#define INITIAL_PID_NAMESPACE "pid:[4026531836]"

#define LINE_ROOM 160 /* lock_get_status() in fs/locks.c writes less */

bool lock_parse(const char *text, struct lock_line *ret)
{
	char end[24], line[LINE_ROOM];
	long long pid;
	unsigned long long inode, start;
	/* sscanf(3) looks for the end of what it is given, which may be a list of many */
	snprintf(line, sizeof line, "%.*s", (int)strcspn(text, "\n"), text);
	if (sscanf(line, "%*d: %7s %9s %7s %lld %x:%x:%llu %llu %23s", ret->kind, ret->manner, ret->mode, &pid, &ret->major,
		   &ret->minor, &inode, &start, end) != 9)
		return false;
	ret->pid = pid;
	ret->inode = inode;
	ret->start = start;
	ret->length = strcmp(end, "EOF") ? strtoull(end, NULL, 10) - start + 1 : 0;
	return true;
}

/* No descriptor shows a lock, and no open file is on its way through a socket. */
static bool has_none(const struct collector *c)
{
	for (size_t i = 0; i < c->facts.files.n; i++)
		if (c->facts.files.v[i].locks != LOCKS_NONE)
			return false;
	return !c->own_fds.n;
}

#define LIST_ROOM 8192 /* more than one read(2) gives: a page, unless a line is longer */

/* The list as it is at one moment, which is what one read(2) gives: between two others may take and release locks, and lines are
 * missed. The kernel also goes through all that was read before (locks_start()). False when there is more, or none. */
static bool read_list(char *list)
{
	_cleanup_close_ int fd = open("/proc/locks", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, list, LIST_ROOM - 1);
	char more;
	list[MAX(n, 0)] = 0;
	return n >= 0 && read(fd, &more, 1) == 0;
}

/* Without the list, or memory for it, locks are looked for at every file. */
static bool read_locks(struct collector *c)
{
	char ns[32], list[LIST_ROOM];
	c->all_locks = true;
	if (has_none(c))
		return true;
	c->all_locks = file_readlink(AT_FDCWD, "/proc/self/ns/pid", ns, sizeof ns) > 0 && !strcmp(ns, INITIAL_PID_NAMESPACE);
	if (!read_list(list))
		return false;
	for (const char *at = list; at && *at; at = strchr(at, '\n'), at += at != NULL) {
		struct lock_line line, *place;
		if (!lock_parse(at, &line))
			continue;
		place = vector_add(&c->locks);
		if (!place)
			return false;
		*place = line;
	}
	return true;
}

bool collector_locks(struct collector *c, const struct lock_line **ret, size_t *ret_count, bool *ret_all)
{
	if (!c->have_locks)
		c->locks_known = read_locks(c);
	c->have_locks = true;
	*ret = c->locks.v;
	*ret_count = c->locks.n;
	*ret_all = c->all_locks;
	return c->locks_known;
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
	*ret = (struct file_seen){ .table = k->table, .fd = (u32)k->fd, .mode = k->mode, .locks = k->locks };
	return true;
}
