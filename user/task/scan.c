// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns finding the tree: processes, threads, children, as /proc tells them. */
#include "task/tree_internal.h"
#include "base/file.h"
#include "diag/diag.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define PF_KTHREAD 0x00200000u
#define PF_IO_WORKER 0x00000010u

int stat_read(int proc, struct task_stat *ret)
{
	_cleanup_text_ struct text text = { 0 };
	int r = file_read_once(proc, "stat", &text);
	if (r < 0)
		return r;
	const char *rest = strrchr(text.data, ')');
	unsigned long long start;
	if (!rest || sscanf(rest, ") %c %d %d %d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld %*d %llu", &ret->state,
			    &ret->ppid, &ret->pgid, &ret->sid, &ret->flags, &ret->threads, &start) != 7)
		return -EBADMSG;
	ret->start_ticks = start;
	return 0;
}

/* Of a thread, which /proc does not list, it is what that of its process is as long as the leader lives (proc_pid_lookup()). */
static int open_process(pid_t tid)
{
	char path[32];
	snprintf(path, sizeof path, "/proc/%d", (int)tid);
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int task_started(pid_t pid, u64 *ret_ticks)
{
	struct task_stat stat = { 0 };
	_cleanup_close_ int proc = open_process(pid);
	int r = proc < 0 ? neg_errno() : stat_read(proc, &stat);
	if (r == 0)
		*ret_ticks = stat.start_ticks;
	return r;
}

static void process_free(struct tree_process *p)
{
	closep(&p->pidfd);
	closep(&p->proc);
	vector_free(&p->threads);
}

struct tree_process *tree_find(struct tree *tree, pid_t pid)
{
	u32 at = map_get(&tree->by_pid, (u64)pid);
	return at ? &tree->processes.v[at - 1] : NULL;
}

void tree_clear(struct tree *tree)
{
	for (size_t i = 0; i < tree->processes.n; i++)
		process_free(&tree->processes.v[i]);
	vector_free(&tree->processes);
	map_free(&tree->by_pid);
}

static int tree_forget(struct tree *tree, size_t i)
{
	process_free(&tree->processes.v[i]);
	memmove(&tree->processes.v[i], &tree->processes.v[i + 1], (--tree->processes.n - i) * sizeof *tree->processes.v);
	map_free(&tree->by_pid);
	for (size_t k = 0; k < tree->processes.n; k++)
		if (map_set(&tree->by_pid, (u64)tree->processes.v[k].pid, (u32)k + 1) < 0)
			return -ENOMEM;
	return 0;
}

/* Adds the process below its parent; -ESRCH when it is gone. */
int tree_add(struct tree *tree, pid_t pid, pid_t ppid, struct tree_process **ret)
{
	struct tree_process p = { .pid = pid, .ppid = ppid, .proc = -1 };
	p.pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (p.pidfd < 0)
		return neg_errno();
	p.proc = open_process(pid);
	struct task_stat stat = { 0 };
	int r = p.proc < 0 ? neg_errno() : stat_read(p.proc, &stat);
	if (r == 0 && ppid && stat.ppid != ppid)
		r = -ESRCH; /* another process has taken the id */
	if (r == 0)
		r = map_set(&tree->by_pid, (u64)pid, (u32)tree->processes.n + 1);
	struct tree_process *place = r == 0 ? vector_add(&tree->processes) : NULL;
	if (!place) {
		process_free(&p);
		return r < 0 ? (r == -ENOENT ? -ESRCH : r) : -ENOMEM;
	}
	p.flags = stat.flags;
	p.leader_ended = stat.state == 'Z' && stat.threads > 1;
	p.state = p.leader_ended ? 'S' : stat.state;
	*place = p;
	*ret = place;
	return 0;
}

/* The links of its directory tell how many threads it has (proc_task_getattr()), and a leader that has ended; 0: not known. */
static size_t count_threads(const struct tree_process *p)
{
	struct stat st;
	return fstatat(p->proc, "task", &st, 0) < 0 || st.st_nlink < 2u + p->leader_ended ? 0
											  : st.st_nlink - 2 - p->leader_ended;
}

/* Those who are known are there: as many as there are, or the first of one. */
static bool knows_threads(struct tree_process *p, bool *ret_grew)
{
	size_t n = count_threads(p);
	if (n != 1 || p->threads.n || p->leader_ended)
		return n && n == p->threads.n;
	struct tree_thread *t = vector_add(&p->threads);
	if (t)
		t->tid = p->pid;
	*ret_grew |= t != NULL;
	return t != NULL;
}

/* The others have ended too: now it is dead, or gone. */
static int see_last_end(struct tree_process *p)
{
	struct tree_thread *leader = faccessat(p->proc, "stat", F_OK, 0) < 0 ? NULL : vector_add(&p->threads);
	if (!leader)
		return -ESRCH;
	leader->tid = p->pid;
	p->leader_ended = false;
	p->state = 'Z';
	return 0;
}

/* Does the kernel work here for an io_uring(7)? Such a thread has no code of the program's, and what it does must not be interrupted: it
 * would tell EINTR. Threads of the C library have a list of robust futexes, which it never has: most need no look at /proc. */
static bool is_worker(const struct tree_process *p, pid_t tid)
{
	_cleanup_text_ struct text text = { 0 };
	void *list = NULL;
	size_t len;
	unsigned flags = 0;
	if (tid == p->pid || (syscall(SYS_get_robust_list, tid, &list, &len) == 0 && list))
		return false;
	const char *rest = file_readf(&text, p->proc, "task/%d/stat", tid) < 0 || !text.data ? NULL : strrchr(text.data, ')');
	return rest && sscanf(rest, ") %*c %*d %*d %*d %*d %*d %u", &flags) == 1 && flags & PF_IO_WORKER;
}

/* Adds the threads that are not known yet; *ret_grew says whether there were any. */
int tree_scan_threads(struct tree_process *p, bool *ret_grew)
{
	if (knows_threads(p, ret_grew))
		return 0;
	int fd = openat(p->proc, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : neg_errno();
	DIR *dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	size_t at = 0; /* the kernel lists threads in the order of their birth, as they are kept here */
	u32 workers = 0;
	int r = 0;
	for (struct dirent *e; r == 0 && (e = file_next(dir, &r));) {
		pid_t tid = atoi(e->d_name);
		if (tid <= 0 || (tid == p->pid && p->leader_ended))
			continue;
		if (at < p->threads.n && p->threads.v[at].tid == tid) {
			at++;
			continue;
		}
		size_t i = 0;
		while (i < p->threads.n && p->threads.v[i].tid != tid)
			i++;
		if (i < p->threads.n)
			continue;
		if (is_worker(p, tid)) {
			workers++;
			continue;
		}
		struct tree_thread *t = vector_add(&p->threads);
		if (!t) {
			r = -ENOMEM;
			break;
		}
		t->tid = tid;
		at = p->threads.n;
		*ret_grew = true;
	}
	closedir(dir);
	p->workers = workers;
	if (r == 0 && !p->threads.n && p->leader_ended)
		return see_last_end(p);
	return r == -ENOENT || (r == 0 && p->threads.n == 0) ? -ESRCH : r;
}

int tree_look_through(struct tree *tree)
{
	for (size_t i = 0; i < tree->processes.n; i++) {
		struct tree_process *p = &tree->processes.v[i];
		int proc = p->leader_ended ? open_process(tree_first(p)) : -1;
		if (proc < 0 && p->leader_ended)
			return errno == ENOENT ? -ESRCH : neg_errno();
		if (proc < 0)
			continue;
		closep(&p->proc);
		p->proc = proc;
	}
	return 0;
}

static int children_of_thread(struct tree_process *p, struct tree_thread *t, int (*visit)(void *, pid_t), void *arg)
{
	_cleanup_text_ struct text text = { 0 };
	t->read_out = t->stopped;
	int r = file_readf(&text, p->proc, "task/%d/children", t->tid);
	if (r < 0)
		return r == -ENOENT || r == -ESRCH ? 0 : r;
	for (char *s = text.data, *end; s && *s; s = end) {
		long pid = strtol(s, &end, 10);
		if (end == s)
			break;
		r = visit(arg, (pid_t)pid);
		if (r < 0)
			return r;
		while (*end == ' ')
			end++;
	}
	return 0;
}

#define MANY_THREADS 64

/* Would it be less work to ask all processes for their parent? /proc has a link for each (proc_root_getattr()). */
static bool outnumber_processes(size_t threads)
{
	struct stat st;
	return threads > MANY_THREADS && stat("/proc", &st) == 0 && st.st_nlink < threads;
}

static int children_of_all(struct tree_process *p, int (*visit)(void *, pid_t), void *arg)
{
	DIR *dir = opendir("/proc");
	if (!dir)
		return neg_errno();
	int r = 0;
	for (struct dirent *e; r == 0 && (e = readdir(dir));) {
		_cleanup_text_ struct text stat = { 0 };
		pid_t pid = atoi(e->d_name), parent = 0;
		if (pid <= 0 || file_readf(&stat, dirfd(dir), "%d/stat", pid) < 0)
			continue;
		const char *rest = stat.data ? strrchr(stat.data, ')') : NULL;
		if (rest && sscanf(rest, ") %*c %d", &parent) == 1 && parent == p->pid)
			r = visit(arg, pid);
	}
	closedir(dir);
	for (size_t i = 0; i < p->threads.n; i++)
		p->threads.v[i].read_out = p->threads.v[i].stopped;
	return r;
}

/* Calls visit for each child of the process. A thread that has stopped has no more of them than it had then, but for the
 * first one, to which orphans come. */
static int each_child(struct tree_process *p, enum scan_extent extent, int (*visit)(void *, pid_t), void *arg)
{
	size_t unread = 0;
	for (size_t i = 1; i < p->threads.n && extent == SCAN_ALL; i++)
		unread += !p->threads.v[i].read_out;
	if (outnumber_processes(unread))
		return children_of_all(p, visit, arg);
	int r = 0;
	for (size_t i = 0; r == 0 && i < p->threads.n; i++)
		if (i == 0 || (extent == SCAN_ALL && !p->threads.v[i].read_out))
			r = children_of_thread(p, &p->threads.v[i], visit, arg);
	return r;
}

/* Why pid is not the root of a tree. */
static int no_process(pid_t pid)
{
	_cleanup_text_ struct text status = { 0 };
	if (file_readf(&status, AT_FDCWD, "/proc/%d/status", pid) == 0) {
		const char *tgid = strstr(status.data, "\nTgid:");
		if (tgid && atoi(tgid + 6) != pid)
			return fail(NO_PROCESS, 0, "%d is a thread of process %d", pid, atoi(tgid + 6));
	}
	return fail(NO_PROCESS, -ESRCH, "/proc/%d", pid);
}

static int add_root(struct tree *tree, pid_t root)
{
	struct tree_process *p;
	if (root == 1)
		return fail(PID_ONE, 0, "pid 1");
	int r = tree_add(tree, root, 0, &p);
	if (r == -ENOMEM)
		return fail_memory();
	if (r < 0) /* a thread has no pidfd without PIDFD_THREAD (pidfd_open(2)) */
		return no_process(root);
	if (p->flags & PF_KTHREAD)
		return fail(KERNEL_THREAD, 0, "PF_KTHREAD is set");
	return p->state == 'Z' ? fail(ZOMBIE, 0, "it is the root of the tree") : 0;
}

struct scan {
	struct tree *tree;
	pid_t parent;
	bool grew;
};

static int scan_child(void *arg, pid_t pid)
{
	struct scan *scan = arg;
	if (tree_find(scan->tree, pid))
		return 0;
	struct tree_process *p;
	int r = tree_add(scan->tree, pid, scan->parent, &p);
	if (r == -ESRCH)
		return 0;
	if (r < 0)
		return r;
	scan->grew = true;
	return 0;
}

int tree_scan_all(struct tree *tree, enum scan_extent extent, bool *ret_grew)
{
	for (size_t i = 0; i < tree->processes.n; i++) {
		int r = tree_scan_threads(&tree->processes.v[i], ret_grew);
		if (r == -ESRCH) { /* gone meanwhile: its children went to another parent */
			r = i == 0 ? r : tree_forget(tree, i--);
			if (r < 0)
				return r;
			continue;
		}
		if (r < 0)
			return r;
		/* a growing vector moves: the callback gets ids, the process is a copy of what it needs */
		struct tree_process at = tree->processes.v[i];
		struct scan scan = { tree, at.pid, false };
		r = each_child(&at, extent, scan_child, &scan);
		if (r < 0)
			return r;
		*ret_grew |= scan.grew;
	}
	return 0;
}

int tree_lost(int err, const char *why)
{
	if (err == -ENOMEM)
		return fail_memory();
	if (err == -EMFILE || err == -ENFILE)
		return fail(TOO_MANY_FILES, err, "two for each process of the tree");
	return fail(TASK_RACED, err, "%s", why);
}

int tree_scan_begin(struct tree *ret, pid_t root, enum scan_extent extent)
{
	WORKING_ON_TASK(root);
	bool grew = false;
	file_limit_raise(); /* each process takes two descriptors */
	int r = add_root(ret, root);
	if (r == 0) {
		r = tree_scan_all(ret, extent, &grew);
		if (r < 0)
			r = tree_lost(r, "its /proc directory is read");
		else if (tree_find(ret, getpid()))
			r = fail(TREE_CONTAINS_SELF, 0, "ckpt is process %d", getpid());
	}
	if (r < 0)
		tree_clear(ret);
	return r;
}

int tree_scan(struct tree *ret, pid_t root)
{
	int r = tree_scan_begin(ret, root, SCAN_ALL), looks = r < 0 ? 0 : tree_look_through(ret);
	if (looks < 0) {
		WORKING_ON_TASK(root);
		r = tree_lost(looks, "its /proc directory is read");
		tree_clear(ret);
	}
	return r;
}
