// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what helps to find locks on files: the kernel's list of all of them, and where each open file can be seen. */
#include "base/file.h"
#include "collect/collect_internal.h"
#include "diag/diag.h"
#include <fcntl.h>
#include <stdio.h>

/* The number of the initial pid namespace, on every kernel (proc_ns.h). */
#define INITIAL_PID_NAMESPACE "pid:[4026531836]"

bool lock_parse(const char *text, struct lock_line *ret)
{
	char end[24];
	long long pid;
	unsigned long long inode, start;
	if (sscanf(text, "%*d: %7s %9s %7s %lld %x:%x:%llu %llu %23s", ret->kind, ret->manner, ret->mode, &pid, &ret->major,
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

/* Without the list, or memory for it, locks are looked for at every file. */
static bool read_locks(struct collector *c)
{
	char ns[32];
	_cleanup_text_ struct text text = { 0 };
	if (has_none(c))
		return true;
	if (file_read(AT_FDCWD, "/proc/locks", &text) < 0 || text_failed(&text))
		return false;
	for (const char *at = text.data; at && *at; at = strchr(at, '\n'), at += at != NULL) {
		struct lock_line line, *place;
		if (!lock_parse(at, &line))
			continue;
		place = vector_add(&c->locks);
		if (!place)
			return false;
		*place = line;
	}
	return file_readlink(AT_FDCWD, "/proc/self/ns/pid", ns, sizeof ns) > 0 && !strcmp(ns, INITIAL_PID_NAMESPACE);
}

const struct lock_line *collector_locks(struct collector *c, size_t *ret_count, bool *ret_all)
{
	if (!c->have_locks)
		c->all_locks = read_locks(c);
	c->have_locks = true;
	*ret_count = c->locks.n;
	*ret_all = c->all_locks;
	return c->locks.v;
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
