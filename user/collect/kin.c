// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the question whose a session or a process group is when its leader is not in the tree: the tree's own, when the leader
 * is dead and nobody else is in it, or that of others. */
#include "base/file.h"
#include "collect/collect_internal.h"
#include "diag/diag.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

static int note_outsider(struct collector *c, pid_t pid)
{
	_cleanup_text_ struct text stat = { 0 };
	int group, session;
	if (file_readf(&stat, AT_FDCWD, "/proc/%d/stat", pid) < 0)
		return 0; /* it has ended */
	const char *rest = stat.data ? strrchr(stat.data, ')') : NULL;
	if (!rest || sscanf(rest, ") %*c %*d %d %d", &group, &session) != 2)
		return fail(PROC_READ, -EBADMSG, "/proc/%d/stat", pid);
	if (map_set(&c->outside, (u64)group, 1) < 0 || map_set(&c->outside, (u64)session, 1) < 0)
		return fail_memory();
	return 0;
}

static int look_outside(struct collector *c)
{
	DIR *proc = opendir("/proc");
	if (!proc)
		return fail(PROC_READ, neg_errno(), "/proc");
	int r = 0, err = 0;
	for (struct dirent *e; r == 0 && (e = file_next(proc, &err));) {
		pid_t pid = atoi(e->d_name);
		if (pid > 0 && !tree_find(c->tree, pid))
			r = note_outsider(c, pid);
	}
	closedir(proc);
	c->seen_outside = true;
	return err < 0 ? fail(PROC_READ, err, "/proc") : r;
}

int kin_outside(struct collector *c, u32 id, bool *ret)
{
	char path[32];
	*ret = !id; /* of an outer pid namespace */
	if (!id || tree_find(c->tree, (pid_t)id))
		return 0;
	snprintf(path, sizeof path, "/proc/%u/stat", id);
	*ret = access(path, F_OK) == 0;
	if (*ret) /* the ordinary case, told for little */
		return 0;
	int r = c->seen_outside ? 0 : look_outside(c);
	*ret = map_get(&c->outside, id);
	return r;
}
