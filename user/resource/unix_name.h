/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of unix sockets: how they are told, judged, and made again. A part of unix.c. */
#pragma once
#include "base/file.h"
#include "collect/netlink.h"
#include "resource/file_scope.h"
#include "unix.pb-c.h"
#include <linux/sockios.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#ifndef SIOCUNIXFILE
#define SIOCUNIXFILE SIOCPROTOPRIVATE /* linux/un.h, which does not go with sys/un.h */
#endif
#define NAME_ROOM sizeof(((struct sockaddr_un *)0)->sun_path)

/* --- collect --- */

/* The file that bind(2) made, and whether its path still leads there. */
static inline int collect_name_file(int socket, Ckpt__Unix *u)
{
	char link[32], path[4200];
	struct stat st, there;
	_cleanup_close_ int file = ioctl(socket, SIOCUNIXFILE);
	if (file < 0 || fstat(file, &st) < 0)
		return fail(UNIX_NAME, neg_errno(), "SIOCUNIXFILE of the socket at %s", u->name);
	snprintf(link, sizeof link, "/proc/self/fd/%d", file);
	int r = file_readlink(AT_FDCWD, link, path, sizeof path);
	if (r < 0)
		return fail(SYSCALL, r, "readlink of %s", link);
	SET(u, mode, st.st_mode & 07777);
	SET(u, uid, st.st_uid);
	SET(u, gid, st.st_gid);
	SET(u, name_inode, st.st_ino);
	SET(u, name_device, (u32)st.st_dev);
	if (lstat(path, &there) < 0 || there.st_ino != st.st_ino || there.st_dev != st.st_dev)
		SET(u, gone, true);
	return message_set_string(&u->path, path) ? 0 : fail_memory();
}

static inline int collect_name(int socket, Ckpt__Unix *u)
{
	struct sockaddr_un address = { 0 };
	socklen_t len = sizeof address;
	if (getsockname(socket, (void *)&address, &len) < 0)
		return fail(SYSCALL, neg_errno(), "getsockname");
	if (len <= sizeof address.sun_family)
		return 0;
	if (!message_set_bytes(&u->address, address.sun_path, MIN((size_t)len - sizeof address.sun_family, NAME_ROOM)))
		return fail_memory();
	u->has_address = true;
	return address.sun_path[0] ? collect_name_file(socket, u) : 0;
}

/* --- judge --- */

static inline bool is_abstract(const Ckpt__Unix *u) { return u->has_address && u->address.len && !u->address.data[0]; }

/* What was given to bind(2) as a path. */
static inline void bound_path(const Ckpt__Unix *u, char path[NAME_ROOM + 1])
{
	memcpy(path, u->address.data, u->address.len);
	path[u->address.len] = 0;
}

/* The directory that a relative name was bound in; false when the file's path does not end with the name. */
static inline bool bound_directory(const Ckpt__Unix *u, char directory[4200])
{
	char name[NAME_ROOM + 1];
	bound_path(u, name);
	size_t all = strlen(u->path), len = strlen(name);
	if (len + 1 >= all || all >= 4200 || strcmp(u->path + all - len, name) || u->path[all - len - 1] != '/')
		return false;
	snprintf(directory, 4200, "%.*s", (int)(all - len), u->path);
	return true;
}

static inline bool same_name(const Ckpt__Unix *a, const Ckpt__Unix *b)
{
	return a->has_address && b->has_address && a->address.len == b->address.len &&
	       !memcmp(a->address.data, b->address.data, a->address.len) && !strcmp(a->path ?: "", b->path ?: "") &&
	       !strcmp(a->type, b->type);
}

/* An accepted socket has the name of the one that listens. */
static inline bool is_accepted(const Ckpt__Unix *u) { return u->has_address && u->connected && !u->has_backlog; }

static inline const Ckpt__Unix *listener_of(const struct graph *graph, const struct kind *kind, const Ckpt__Unix *accepted)
{
	for (const struct object *o = NULL; (o = graph_next(graph, kind, o));) {
		const Ckpt__Unix *u = o->data;
		if (u->has_backlog && u->has_address && same_name(u, accepted))
			return u;
	}
	return NULL;
}

/* A connection is made again by the listener that it was made to: connect(2) and accept(2) give both ends name and
 * credentials. */
static inline int judge_accepted(const struct graph *graph, const struct kind *kind, const Ckpt__Unix *u)
{
	const Ckpt__Unix *client = u->peer ? graph_data(graph, kind, u->peer) : NULL;
	const Ckpt__Unix *listener = listener_of(graph, kind, u);
	if (!listener)
		return fail(UNIX_NAMED, 0, "a connection to %s, where nobody in the tree listens", u->name ?: "it");
	if (client && client->has_address)
		return fail(UNIX_NAMED, 0, "a connection to %s of a socket with a name of its own", u->name ?: "it");
	if (client && (client->creator_pid != listener->creator_pid || client->creator_uid != listener->creator_uid ||
		       client->creator_gid != listener->creator_gid))
		return fail(UNIX_NAMED, 0, "a connection to %s from before process %u listened", u->name ?: "it",
			    listener->creator_pid);
	return 0;
}

static inline int judge_name_dump(const struct graph *graph, const struct kind *kind, const Ckpt__Unix *u)
{
	char directory[4200];
	if (is_accepted(u))
		return judge_accepted(graph, kind, u);
	int r = 0;
	if (u->gone)
		r = fail(UNIX_NAME, 0, "%s is gone, or leads to another file", u->path);
	else if (u->path && u->address.data[0] != '/' && !bound_directory(u, directory))
		r = fail(UNIX_NAME, 0, "it was bound to %s, which is %s", u->name, u->path);
	if (u->pending)
		r = fail(UNIX_PENDING, 0, "%s", u->name);
	return r;
}

/* A file that is in the way is taken away only when it is what a socket of that name left behind. */
static inline int judge_left_file(const Ckpt__Unix *u)
{
	struct stat st;
	_cleanup_free_ char *directory = strdup(u->path);
	if (!directory)
		return fail_memory();
	*(strrchr(directory, '/') + 1) = 0;
	if (access(directory, F_OK) < 0)
		return fail(FILE_MISSING, neg_errno(), "%s", directory);
	if (lstat(u->path, &st) < 0)
		return errno == ENOENT ? 0 : fail(SYSCALL, neg_errno(), "lstat of %s", u->path);
	bool same = st.st_ino == u->name_inode && st.st_dev == u->name_device;
	bool alike = (st.st_mode & 07777) == u->mode && st.st_uid == u->uid && st.st_gid == u->gid;
	if (!S_ISSOCK(st.st_mode) || (!same && !alike))
		return fail(UNIX_NAME_TAKEN, 0, "%s is another file", u->path);
	int bound = netlink_unix_bound(NULL, 0, st.st_dev, st.st_ino);
	if (bound < 0)
		return fail(UNIX_DIAG, bound, "%s", u->path);
	return bound ? fail(UNIX_NAME_TAKEN, 0, "another socket is bound to %s", u->path) : 0;
}

static inline int judge_name_restore(const struct graph *graph, const struct kind *kind, const Ckpt__Unix *u)
{
	char directory[4200];
	if (!u->has_address)
		return u->path ? fail(IMAGE_INCONSISTENT, 0, "a socket with a path and without a name") : 0;
	if (!u->address.len || u->address.len > NAME_ROOM || (!is_abstract(u) && (!u->path || u->path[0] != '/')) ||
	    (is_abstract(u) && u->path))
		return fail(IMAGE_INCONSISTENT, 0, "a name of %zu bytes", u->address.len);
	if (u->path && u->address.data[0] != '/' && !bound_directory(u, directory))
		return fail(IMAGE_INCONSISTENT, 0, "a name that is not at %s", u->path);
	if (is_accepted(u))
		return judge_accepted(graph, kind, u);
	if (u->path)
		return judge_left_file(u);
	int bound = netlink_unix_bound(u->address.data, u->address.len, 0, 0);
	if (bound < 0)
		return fail(UNIX_DIAG, bound, "an abstract name");
	return bound ? fail(UNIX_NAME_TAKEN, 0, "another socket has the abstract name @%.*s", (int)u->address.len - 1,
			    (const char *)u->address.data + 1)
		     : 0;
}

/* --- plan --- */

/* bind(2) or connect(2) at a place; for a relative name that is one of a helper, which goes to the directory alone. */
static inline struct plan_step *plan_use_name(struct plan *plan, struct place at, long nr, u32 socket, const Ckpt__Unix *u)
{
	struct place world = AT(PLAN_WORLD, STAGE_CREATE);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char directory[4200];
	memcpy(address.sun_path, u->address.data, u->address.len);
	u32 data = plan_data(plan, &address, sizeof address, 8);
	struct arg args[6] = { ARG_OF_SLOT(socket), ARG_OF_DATA(data), ARG(sizeof address.sun_family + u->address.len) };
	if (u->path && address.sun_path[0] != '/' && bound_directory(u, directory))
		step_any(plan_call(plan, at, SYS_chdir, arg_string(plan, directory)));
	return plan_helper_call(plan, at, world, nr, args);
}

/* socket: a slot. */
static inline void plan_name(struct plan *plan, u32 socket, u32 file, const Ckpt__Unix *u)
{
	struct place world = AT(PLAN_WORLD, STAGE_CREATE);
	if (!u->has_address)
		return;
	struct arg path = u->path ? arg_string(plan, u->path) : ARG(0);
	if (u->path)
		step_any(plan_call(plan, world, SYS_unlinkat, ARG(AT_FDCWD), path, ARG(0)));
	char name[32];
	bool relative = u->path && u->address.data[0] != '/';
	snprintf(name, sizeof name, "binder %u", file);
	struct place at = relative ? plan_helper(plan, world, name, 0, NULL) : world;
	step_expect(plan_use_name(plan, at, SYS_bind, socket, u), 0);
	if (!u->path)
		return;
	plan_call(plan, world, SYS_fchownat, ARG(AT_FDCWD), path, ARG(u->uid), ARG(u->gid), ARG(AT_SYMLINK_NOFOLLOW));
	plan_call(plan, world, SYS_fchmodat, ARG(AT_FDCWD), path, ARG(u->mode));
}
