// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the source of facts that works everywhere: /proc. Fills what no better source has told. */
#include "base/file.h"
#include "collect/ahead.h"
#include "collect/proc_text.h"
#include "diag/diag.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define TASK_GROUPS (KNOWN_IDS | KNOWN_CREDS | KNOWN_SECCOMP | KNOWN_MM | KNOWN_NS | KNOWN_OOM)

static const char *const ns_names[RECORD_NS_COUNT] = {
	[RECORD_NS_UTS] = "uts", [RECORD_NS_IPC] = "ipc",   [RECORD_NS_MNT] = "mnt",       [RECORD_NS_PID] = "pid",
	[RECORD_NS_NET] = "net", [RECORD_NS_TIME] = "time", [RECORD_NS_CGROUP] = "cgroup", [RECORD_NS_USER] = "user",
};

static void read_namespaces(int task, struct record_task *t)
{
	for (int i = 0; i < RECORD_NS_COUNT; i++) {
		char path[32], link[64];
		snprintf(path, sizeof path, "ns/%s", ns_names[i]);
		const char *inode = file_readlink(task, path, link, sizeof link) > 0 ? strchr(link, '[') : NULL;
		t->ns[i] = inode ? (u32)strtoul(inode + 1, NULL, 10) : 0;
	}
	t->known |= KNOWN_NS;
}

static int read_number(int dir, const char *name, s64 *ret)
{
	_cleanup_text_ struct text text = { 0 };
	int r = file_read_once(dir, name, &text);
	if (r == 0 && text.len)
		*ret = strtoll(text.data, NULL, 10);
	return r;
}

static int read_task(int task, struct record_task *t)
{
	struct record_task read = { 0 };
	_cleanup_text_ struct text status = { 0 }, stat = { 0 };
	int r = file_read_once(task, "status", &status);
	if (r == 0)
		r = file_read_once(task, "stat", &stat);
	if (r == 0)
		r = parse_status(status.data, &read);
	if (r == 0)
		r = parse_stat(stat.data, &read);
	if (r < 0)
		return r;
	if (!(t->known & KNOWN_NS))
		read_namespaces(task, &read);
	s64 score = 0;
	if (!(t->known & KNOWN_OOM) && read_number(task, "oom_score_adj", &score) == 0)
		read.known |= KNOWN_OOM;
	read.oom_score_adj = (s32)score;
	u64 known = t->known;
	struct record_task merged = *t;
	if (!(known & KNOWN_IDS)) { /* at most what only the thread itself can tell is known */
		record_merge(&read, t);
		*t = read;
		return 0;
	}
	/* a better source has told the ids and credentials; only holes are filled */
	if (!(known & KNOWN_NS))
		memcpy(merged.ns, read.ns, sizeof read.ns);
	if (!(known & KNOWN_OOM))
		merged.oom_score_adj = read.oom_score_adj;
	if (!(known & KNOWN_SECCOMP))
		merged.seccomp_mode = read.seccomp_mode, merged.seccomp_filters = read.seccomp_filters;
	merged.known |= read.known & (KNOWN_NS | KNOWN_OOM | KNOWN_SECCOMP);
	*t = merged;
	return 0;
}

int proc_tasks(struct facts *facts, struct tree *tree)
{
	size_t at = 0;
	for (size_t i = 0; i < tree->processes.n; i++) {
		struct tree_process *p = &tree->processes.v[i];
		WORKING_ON_TASK(p->pid);
		for (size_t k = 0; k < p->threads.n; k++, at++) {
			struct record_task *t = &facts->tasks.v[at];
			if ((t->known & TASK_GROUPS) == TASK_GROUPS)
				continue;
			char path[32];
			snprintf(path, sizeof path, "task/%d", p->threads.v[k].tid);
			_cleanup_close_ int task = openat(p->proc, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
			int r = task < 0 ? neg_errno() : read_task(task, t);
			if (r < 0 && tree->frozen_at)
				return fail(TASK_RACED, r, "/proc/%d/%s", p->pid, path);
		}
	}
	return 0;
}

/* --- mappings --- */

/* What maps tells exactly: a whole path without escapes (seq_path(9)) that has not been unlinked. */
static bool is_exact(const char *path, size_t len)
{
	static const char deleted[] = " (deleted)";
	size_t suffix = sizeof deleted - 1;
	return len && *path == '/' && !memchr(path, '\\', len) &&
	       !(len > suffix && !memcmp(path + len - suffix, deleted, suffix));
}

static int keep_path(struct facts *facts, const struct record_vma *v, const char *path, size_t len)
{
	u64 key = inode_key(v->dev_major, v->dev_minor, v->ino);
	u32 known = map_get(&facts->path_of, key), at = (u32)facts->paths.len + 1;
	if (known == PATH_UNSURE)
		return 0;
	if (known) {
		const char *kept = facts->paths.data + known - 1;
		bool same = !strncmp(kept, path, len) && !kept[len];
		return same ? 0 : map_set(&facts->path_of, key, PATH_UNSURE);
	}
	if (!is_exact(path, len))
		return map_set(&facts->path_of, key, PATH_UNSURE);
	text_add(&facts->paths, path, len);
	text_add(&facts->paths, "", 1);
	return text_failed(&facts->paths) ? -ENOMEM : map_set(&facts->path_of, key, at);
}

/* smaps tells the flags, which a dump cannot do without; a running process of another user has maps only, or nothing. */
static int read_mappings(const struct tree_process *p, bool frozen, struct text *text)
{
	int r = file_read(p->proc, "smaps", text);
	if (r < 0 && !frozen) {
		text_free(text);
		r = file_read(p->proc, "maps", text);
	}
	return r;
}

static int parse_vmas(struct facts *facts, const struct tree_process *p, const char *at)
{
	for (;;) {
		struct record_vma vma;
		const char *path;
		size_t path_len;
		int r = parse_mapping(&at, &vma, &path, &path_len);
		if (r <= 0)
			return r;
		struct record_vma *place = vector_add(&facts->vmas);
		if (!place)
			return -ENOMEM;
		*place = vma;
		place->tgid = (u32)p->pid;
		r = vma.flags & VMA_ANONYMOUS ? 0 : keep_path(facts, &vma, path, path_len);
		if (r < 0)
			return r;
	}
}

int proc_vmas(struct facts *facts, struct tree *tree, struct smaps_ahead *ahead)
{
	for (size_t i = 0; i < tree->processes.n; i++) {
		const struct tree_process *p = &tree->processes.v[i];
		if (p->state == 'Z')
			continue;
		WORKING_ON_TASK(p->pid);
		_cleanup_text_ struct text text = { 0 };
		int r = smaps_ahead_take(ahead, i, &text) ? 0 : read_mappings(p, tree->frozen_at, &text);
		if (r == 0)
			r = parse_vmas(facts, p, text.data);
		if (r < 0)
			return r == -ENOMEM ? fail_memory() : fail(PROC_READ, r, "/proc/%d/smaps", p->pid);
	}
	facts->have_vmas = true;
	return 0;
}

/* --- descriptors --- */

static int read_file(int proc, int dir, const char *name, struct record_file *f)
{
	_cleanup_text_ struct text text = { 0 };
	char path[32];
	snprintf(path, sizeof path, "fdinfo/%.16s", name);
	int r = file_read_once(proc, path, &text);
	if (r == 0)
		r = parse_fdinfo(text.data, f);
	struct stat st;
	if (r < 0)
		return r;
	if (fstatat(dir, name, &st, 0) < 0)
		return neg_errno();
	f->ino = st.st_ino;
	f->mode = st.st_mode;
	f->dev_major = major(st.st_dev), f->dev_minor = minor(st.st_dev);
	f->rdev_major = major(st.st_rdev), f->rdev_minor = minor(st.st_rdev);
	char link[4200];
	bool has_path = S_ISDIR(st.st_mode) || S_ISCHR(st.st_mode); /* read when the file turns out to be new */
	if (!has_path && file_readlink(dir, name, link, sizeof link) > 0 && *link != '/')
		snprintf(f->link, sizeof f->link, "%.47s", link);
	return 0;
}

static int order_fds(const void *a, const void *b)
{
	const struct record_file *x = a, *y = b;
	return x->fd < y->fd ? -1 : x->fd > y->fd;
}

int proc_table(struct facts *facts, u32 pid, u32 table, int proc, bool frozen)
{
	int fd = openat(proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return neg_errno();
	DIR *dir = fdopendir(fd);
	if (!dir)
		return close(fd), -ENOMEM;
	size_t first = facts->files.n;
	int r = 0;
	for (struct dirent *e; r == 0 && (e = file_next(dir, &r));) {
		if (e->d_name[0] == '.')
			continue;
		struct record_file f = { .tgid = pid, .table = table, .fd = (u32)atoi(e->d_name) };
		r = read_file(proc, dirfd(dir), e->d_name, &f);
		if (r == -ENOENT && !frozen) {
			r = 0;
			continue;
		}
		struct record_file *place = r == 0 ? vector_add(&facts->files) : NULL;
		if (r == 0 && !place)
			r = -ENOMEM;
		if (place)
			*place = f;
	}
	closedir(dir);
	if (r == -ENOENT && !frozen) /* it has ended */
		r = 0;
	if (facts->files.n > first)
		qsort(facts->files.v + first, facts->files.n - first, sizeof *facts->files.v, order_fds);
	return r;
}

int proc_files(struct facts *facts, struct tree *tree)
{
	for (size_t i = 0; i < tree->processes.n; i++) {
		struct tree_process *p = &tree->processes.v[i];
		WORKING_ON_TASK(p->pid);
		int r = p->state == 'Z' ? 0 : proc_table(facts, (u32)p->pid, (u32)p->pid, p->proc, tree->frozen_at);
		if (r < 0)
			return r == -ENOMEM ? fail_memory() : fail(PROC_READ, r, "/proc/%d/fd", p->pid);
	}
	facts->have_files = true;
	return 0;
}
