// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the look at rings of io_uring(7) before anything is collected. What they were asked for threads of the kernel go on doing while the
 * program is frozen: they open and close its files. So they get some milliseconds to be done, and how far each ring had come is
 * remembered: when it has come further by the time it is collected, what was collected meanwhile may be of two moments. */
#include "base/clock.h"
#include "base/file.h"
#include "collect/collect_internal.h"
#include "diag/diag.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#define PATIENCE 5000000ull /* ns, for all of the tree */
#define PAUSE 200000        /* ns */

/* "CqTail:\t12": false when the kernel does not tell it now, since the ring is being worked on. */
static bool read_count(const struct text *fdinfo, const char *name, u32 *ret)
{
	const char *line = fdinfo->data ? strstr(fdinfo->data, name) : NULL;
	return line && sscanf(line + strlen(name), " %u", ret) == 1;
}

static bool read_counts(const struct tree_process *p, u32 fd, u32 *ret_written, u32 *ret_completed)
{
	_cleanup_text_ struct text fdinfo = { 0 };
	return file_readf(&fdinfo, p->proc, "fdinfo/%u", fd) >= 0 && read_count(&fdinfo, "\nSqTail:", ret_written) &&
	       read_count(&fdinfo, "\nCqTail:", ret_completed);
}

/* Each request has one completion, where rings can be carried. */
static int await_ring(struct collector *c, const struct tree_process *p, u32 fd, u64 end)
{
	u32 written = 0, completed = 0;
	bool is_known = read_counts(p, fd, &written, &completed);
	while ((!is_known || written != completed) && now_ns() < end) {
		nanosleep(&(struct timespec){ .tv_nsec = PAUSE }, NULL);
		is_known = read_counts(p, fd, &written, &completed);
	}
	return collector_remember(c, collector_ring_key((u32)p->pid, fd), is_known ? completed + 1 : UINT32_MAX);
}

static int await_process(struct collector *c, const struct tree_process *p, u64 end)
{
	char link[64], path[24];
	int r = 0, fd = openat(p->proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		r = neg_errno();
		close(fd);
		return fail(PROC_READ, r, "/proc/%d/fd", (int)p->pid);
	}
	for (struct dirent *e; r == 0 && (e = file_next(dir, &r));) {
		snprintf(path, sizeof path, "fd/%.19s", e->d_name);
		if (e->d_name[0] != '.' && file_readlink(p->proc, path, link, sizeof link) >= 0 &&
		    !strcmp(link, "anon_inode:[io_uring]"))
			r = await_ring(c, p, (u32)atoi(e->d_name), end) < 0 ? fail_memory() : 0;
	}
	closedir(dir);
	return r;
}

int collect_rings(struct collector *c)
{
	u64 end = now_ns() + PATIENCE;
	int r = 0;
	for (size_t i = 0; r == 0 && !c->config->live && i < c->tree->processes.n; i++)
		if (c->tree->processes.v[i].workers)
			r = await_process(c, &c->tree->processes.v[i], end);
	return r;
}
