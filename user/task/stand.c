// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the step into the pid namespace of a tree. What is elsewhere is refused later, by the name of its namespace. */
#include "task/stand.h"
#include "base/file.h"
#include "base/vector.h"
#include "diag/diag.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

struct stand {
	int proc, pid_ns, mnt_ns, user_ns;
	pid_t inside;
};

static void stand_free(struct stand *s)
{
	closep(&s->proc);
	closep(&s->pid_ns);
	closep(&s->mnt_ns);
	closep(&s->user_ns);
}

/* The last of the ids that /proc tells, one for each pid namespace on the way down; 0 when there is but one. */
static pid_t inner_id(int proc)
{
	_cleanup_text_ struct text status = { 0 };
	char *line = file_read(proc, "status", &status) == 0 ? strstr(status.data, "\nNSpid:\t") : NULL;
	char *ids = line ? line + strlen("\nNSpid:\t") : "";
	const char *last = memrchr(ids, '\t', strcspn(ids, "\n"));
	return last ? atoi(last + 1) : 0;
}

struct mounts {
	VECTOR(char *) lines;
};

static void mounts_free(struct mounts *m)
{
	for (size_t i = 0; i < m->lines.n; i++)
		free(m->lines.v[i]);
	vector_free(&m->lines);
}

/* Is it what a restore gives a tree of its own: /proc and all below it, terminals? */
static bool is_given(const char *place)
{
	return !strcmp(place, "/proc") || !strncmp(place, "/proc/", 6) || !strcmp(place, "/dev/pts");
}

/* Device, root, place and type of a line of mountinfo, as text; NULL when it does not count. */
static char *mount_of(const char *line)
{
	char device[32], root[1024], place[1024], type[32], *text = NULL;
	const char *dash = strstr(line, " - ");
	if (!dash || sscanf(line, "%*s %*s %31s %1023s %1023s", device, root, place) != 3 ||
	    sscanf(dash, " - %31s", type) != 1 || is_given(place))
		return NULL;
	return asprintf(&text, "%s %s %s %s", device, root, place, type) < 0 ? NULL : text;
}

static int order_lines(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* A copy of a mount namespace has its mounts in another order. */
static int read_mounts(int proc, const char *name, struct mounts *ret)
{
	_cleanup_text_ struct text text = { 0 };
	int r = file_read(proc, name, &text);
	for (char *line, *rest = text.data; r == 0 && (line = strsep(&rest, "\n"));) {
		_cleanup_free_ char *mount = mount_of(line);
		char **place = mount ? vector_add(&ret->lines) : NULL;
		if (place)
			*place = take_ptr(mount);
	}
	if (ret->lines.n)
		qsort(ret->lines.v, ret->lines.n, sizeof *ret->lines.v, order_lines);
	return r;
}

static bool same_mounts(int proc)
{
	_cleanup_(mounts_free) struct mounts own = { 0 }, theirs = { 0 };
	if (read_mounts(AT_FDCWD, "/proc/self/mountinfo", &own) < 0 || read_mounts(proc, "mountinfo", &theirs) < 0 ||
	    own.lines.n != theirs.lines.n)
		return false;
	for (size_t i = 0; i < own.lines.n; i++)
		if (strcmp(own.lines.v[i], theirs.lines.v[i]))
			return false;
	return true;
}

static bool find(struct stand *s, pid_t pid)
{
	char path[32];
	snprintf(path, sizeof path, "/proc/%d", (int)pid);
	s->proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	s->inside = s->proc < 0 ? 0 : inner_id(s->proc);
	if (!s->inside)
		return false;
	s->pid_ns = openat(s->proc, "ns/pid", O_RDONLY | O_CLOEXEC);
	s->mnt_ns = openat(s->proc, "ns/mnt", O_RDONLY | O_CLOEXEC);
	s->user_ns = openat(s->proc, "ns/user", O_RDONLY | O_CLOEXEC);
	return s->pid_ns >= 0 && s->mnt_ns >= 0 && same_mounts(s->proc);
}

/* In the child: false when /proc here is that of another pid namespace. */
static bool enter(const struct stand *s)
{
	char self[16] = "";
	if (setns(s->mnt_ns, CLONE_NEWNS) < 0)
		return false;
	return file_readlink(AT_FDCWD, "/proc/self", self, sizeof self) > 0 && atoi(self) == getpid();
}

static int await(pid_t child)
{
	int status;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return fail(SYSCALL, neg_errno(), "waitpid(%d)", (int)child);
	if (WIFEXITED(status))
		_exit(WEXITSTATUS(status)); /* it has said everything */
	return fail(TASK_RACED, 0, "who looked at it in its pid namespace was ended by signal %d", WTERMSIG(status));
}

/* Who has no right outside has all rights in a user namespace that he owns. It is entered by a child, whom ckpt waits for,
 * since nobody comes back from there. In the child: 1 when it may go on in the pid namespace. */
static int join_user_namespace(const struct stand *s)
{
	pid_t child = fork();
	if (child)
		return child < 0 ? fail(SYSCALL, neg_errno(), "fork") : await(child);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	return setns(s->user_ns, CLONE_NEWUSER) == 0 && setns(s->pid_ns, CLONE_NEWPID) == 0;
}

int stand_in_tree(pid_t *pid)
{
	_cleanup_(stand_free) struct stand s = { .proc = -1, .pid_ns = -1, .mnt_ns = -1, .user_ns = -1 };
	if (!find(&s, *pid))
		return 0;
	int life[2];
	_cleanup_close_ int back = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	if (back < 0 || pipe2(life, O_CLOEXEC) < 0)
		return fail(SYSCALL, neg_errno(), "pipe2");
	_cleanup_close_ int ours = life[1], theirs = life[0];
	int joined = setns(s.pid_ns, CLONE_NEWPID) < 0 ? 0 : 1;
	if (!joined && errno == EPERM && s.user_ns >= 0)
		joined = join_user_namespace(&s);
	if (joined <= 0)
		return joined;
	pid_t child = fork();
	if (child) {
		int r = child < 0 ? fail(SYSCALL, neg_errno(), "fork") : await(child);
		setns(back, CLONE_NEWPID);
		return r;
	}
	closep(&ours);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	char byte;
	fcntl(theirs, F_SETFL, O_NONBLOCK);
	if (read(theirs, &byte, 1) == 0) /* ckpt is dead already */
		_exit(1);
	if (!enter(&s))
		return fail(NAMESPACE_FOREIGN, 0, "pid, whose /proc is not mounted where the tree lives");
	*pid = s.inside;
	return 0;
}
