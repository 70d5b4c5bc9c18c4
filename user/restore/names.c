// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what a restore makes that outlives processes, until it is known what becomes of the tree: the files of unix sockets,
 * segments of System V shared memory, and directories of control groups. A socket cannot be bound under another name first, since
 * it would tell that one, so its file is there before the tree lives. */
#include "restore/names.h"
#include "base/child.h"
#include "base/vector.h"
#include "cgroup.pb-c.h"
#include "diag/diag.h"
#include "model/shape.h"
#include "resource/memory_object.h"
#include "resource/registry.h"
#include "resource/sysv.h"
#include "restore/restore.h"
#include "sysvshm.pb-c.h"
#include "unix.pb-c.h"
#include <dirent.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#ifndef SIOCUNIXFILE
#define SIOCUNIXFILE SIOCPROTOPRIVATE /* linux/un.h, which does not go with sys/un.h */
#endif
/* Times 10 ms. Processes that were killed with ckpt have their sockets until they have ended, which a machine with much to do
 * may take its time for; when they may have been let go, they may as well live for ever. */
#define PATIENCE 6000
#define PATIENCE_LET_GO 500

struct name {
	const char *path;  /* the image's, in ckpt; NULL: it is none of a socket */
	const char *group; /* the image's; NULL: a segment */
	int segment;
	bool was_there; /* what a socket had left behind; its file is made anew */
	struct stat st;
};

struct names {
	VECTOR(struct name) list;
	pid_t guard;
	int life[2]; /* a pipe; whoever makes names has the end to write to: ckpt, who restores for it, their helpers */
};

/* Does a living socket have this file? One that listens is not woken by who asks for datagrams. */
static bool is_bound(int file)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", file);
	_cleanup_close_ int asks = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return asks < 0 || connect(asks, (const struct sockaddr *)&address, sizeof address) == 0 || errno != ECONNREFUSED;
}

/* The file that a dead socket leaves. */
static void put_back(const struct name *n)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *base = strrchr(n->path, '/') + 1;
	_cleanup_free_ char *above = strndup(n->path, (size_t)(base - n->path));
	_cleanup_close_ int dir = above ? open(above, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	_cleanup_close_ int dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int len = snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", dir, base);
	if (dir < 0 || dead < 0 || len >= (int)sizeof address.sun_path ||
	    bind(dead, (const struct sockaddr *)&address, sizeof address) < 0)
		return;
	(void)!fchownat(dir, base, n->st.st_uid, n->st.st_gid, AT_SYMLINK_NOFOLLOW);
	(void)!fchmodat(dir, base, n->st.st_mode & 07777, 0);
}

/* Ends the sockets of that file which ckpt itself has, made by a world that did not get to its end. */
static void close_ours(const struct stat *st)
{
	DIR *fds = opendir("/proc/self/fd");
	for (struct dirent *e; fds && (e = readdir(fds));) {
		struct stat its;
		int fd = atoi(e->d_name);
		_cleanup_close_ int file = fd > 2 && fd != dirfd(fds) ? ioctl(fd, SIOCUNIXFILE) : -1;
		if (file >= 0 && fstat(file, &its) == 0 && its.st_ino == st->st_ino && its.st_dev == st->st_dev)
			close(fd);
	}
	if (fds)
		closedir(fds);
}

static bool is_as_before(const struct name *n, const struct stat *st)
{
	return n->was_there && st->st_mode == n->st.st_mode && st->st_uid == n->st.st_uid && st->st_gid == n->st.st_gid;
}

/* One that somebody has attached goes with him, or he lives. That is not ckpt itself, whose world did not get to its end. */
static bool settle_segment(int id)
{
	struct shmid_ds ds;
	(void)shmdt((const void *)WINDOW);
	if (shmctl(id, IPC_STAT, &ds) < 0)
		return true;
	return !ds.shm_nattch && shmctl(id, IPC_RMID, NULL) == 0;
}

/* True when nothing is left to do for it. */
static bool settle(const struct name *n)
{
	if (n->group) /* EBUSY as long as somebody is in it, or another below */
		return rmdir(n->group) == 0 || errno != EBUSY;
	if (!n->path)
		return settle_segment(n->segment);
	struct stat st;
	_cleanup_close_ int file = open(n->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (file < 0 && errno == ENOENT && n->was_there)
		put_back(n);
	if (file < 0 || fstat(file, &st) < 0 || !S_ISSOCK(st.st_mode) || is_as_before(n, &st))
		return true;
	close_ours(&st);
	if (is_bound(file))
		return false;
	unlink(n->path);
	if (n->was_there)
		put_back(n);
	return true;
}

/* Until all are free, or it seems that the tree lives. */
static void settle_all(const struct names *names, int patience)
{
	bool done = false;
	for (int tries = 0; !done && tries < patience; tries++) {
		if (tries)
			nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
		done = true;
		for (size_t i = 0; i < names->list.n; i++)
			done &= settle(&names->list.v[i]);
	}
}

/* Acts when nobody is left who could make a name. Whatever is sent to ckpt's group or terminal does not end it. */
static _Noreturn void be_guard(const struct names *names)
{
	sigset_t all;
	char byte;
	int patience = PATIENCE;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	close(names->life[1]);
	while (read(names->life[0], &byte, 1) == 1)
		patience = PATIENCE_LET_GO;
	settle_all(names, patience);
	_exit(0);
}

static int add(struct names *names, const Ckpt__Unix *u)
{
	if (!u->path || u->path[0] != '/' || u->deleted)
		return 0;
	for (size_t i = 0; i < names->list.n; i++)
		if (names->list.v[i].path && !strcmp(names->list.v[i].path, u->path))
			return 0;
	struct name *n = vector_add(&names->list);
	if (!n)
		return fail_memory();
	*n = (struct name){ .path = u->path };
	n->was_there = lstat(u->path, &n->st) == 0 && S_ISSOCK(n->st.st_mode);
	return 0;
}

/* Only one that is not there yet is made. */
static int add_segment(struct names *names, const Ckpt__Sysvshm *s)
{
	struct shmid_ds ds;
	if (!s->has_key || shmctl((int)s->id, IPC_STAT, &ds) == 0)
		return 0;
	if (!sysv_is_none(errno))
		return fail(SYSVSHM_STAT, neg_errno(), "shmctl(%u, IPC_STAT)", s->id);
	struct name *n = vector_add(&names->list);
	if (!n)
		return fail_memory();
	*n = (struct name){ .segment = (int)s->id };
	return 0;
}

/* Those below go before those above. */
static int add_groups(struct names *names, const Ckpt__Cgroup *m)
{
	for (size_t i = m->n_group; i-- > 0;) {
		struct name *n = m->group[i]->make ? vector_add(&names->list) : NULL;
		if (n)
			*n = (struct name){ .group = m->group[i]->directory };
		else if (m->group[i]->make)
			return fail_memory();
	}
	return 0;
}

static bool may_have_names(const struct object *o)
{
	return o->kind == resource_unix.kind || o->kind == resource_sysvshm.kind ||
	       (o->kind == resource_cgroup.kind && ((const Ckpt__Cgroup *)o->data)->n_group);
}

static int add_object(struct names *names, const struct object *o)
{
	return o->kind == resource_unix.kind     ? add(names, o->data)
	       : o->kind == resource_cgroup.kind ? add_groups(names, o->data)
						 : add_segment(names, o->data);
}

/* With an id that the tree does not want. */
static int start_guard(struct names *names, const struct graph *g)
{
	if (pipe2(names->life, O_CLOEXEC) < 0)
		return fail(SYSCALL, neg_errno(), "pipe2");
	names->guard = fork_aside(g);
	if (names->guard == 0)
		be_guard(names);
	return names->guard < 0 ? fail(SYSCALL, neg_errno(), "fork") : 0;
}

static struct names *names_new(void)
{
	struct names *names = calloc(1, sizeof *names);
	if (names)
		names->life[0] = names->life[1] = -1;
	return names;
}

int names_guard(struct names **ret, const struct graph *g)
{
	struct names *names = NULL;
	int r = 0;
	for (size_t i = 0; r == 0 && i < g->objects.n; i++) {
		const struct object *o = g->objects.v[i];
		if (!may_have_names(o))
			continue;
		names = names ?: names_new();
		r = names ? add_object(names, o) : fail_memory();
	}
	if (r == 0 && names && names->list.n)
		r = start_guard(names, g);
	if (r < 0)
		names_end(take_ptr(names), false);
	*ret = names;
	return r;
}

int names_let_go(const struct names *names)
{
	if (!names || !names->guard)
		return 0;
	return write(names->life[1], "", 1) == 1 ? 0 : fail(SYSCALL, neg_errno(), "write");
}

void names_end(struct names *names, bool undo)
{
	if (!names)
		return;
	child_end(names->guard);
	closep(&names->life[0]);
	closep(&names->life[1]);
	if (undo)
		settle_all(names, PATIENCE_LET_GO);
	vector_free(&names->list);
	free(names);
}
