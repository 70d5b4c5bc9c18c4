/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of unix sockets: how they are told, judged, and made again. A part of unix.c. */
#pragma once
#include "base/file.h"
#include "base/map.h"
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

/* --- names --- */

/* What was given to bind(2) as a path. */
static inline void bound_path(const Ckpt__Unix *u, char path[NAME_ROOM + 1])
{
	memcpy(path, u->address.data, u->address.len);
	path[u->address.len] = 0;
}

/* A relative name without what means nothing in it: "./s" and "a//./s" are "s" and "a/s". */
static inline void plain_name(const Ckpt__Unix *u, char plain[NAME_ROOM + 1])
{
	char name[NAME_ROOM + 1], *rest = name, *part;
	bound_path(u, name);
	*plain = 0;
	for (size_t len = 0; (part = strsep(&rest, "/"));)
		if (*part && strcmp(part, ".") != 0)
			len += (size_t)snprintf(plain + len, NAME_ROOM + 1 - len, "%s%s", len ? "/" : "", part);
}

/* The directory that a relative name was bound in; false when the file's path does not end with the name. */
static inline bool bound_directory(const Ckpt__Unix *u, char directory[4200])
{
	char name[NAME_ROOM + 1];
	plain_name(u, name);
	size_t all = strlen(u->path), len = strlen(name);
	if (!len || len + 1 >= all || all >= 4200 || strcmp(u->path + all - len, name) || u->path[all - len - 1] != '/')
		return false;
	snprintf(directory, 4200, "%.*s", (int)(all - len), u->path);
	return true;
}

/* Does the name that it was bound to lead to its file? Not when that was moved since, or bound below another root. */
static inline bool leads_there(const Ckpt__Unix *u, const struct stat *file)
{
	char name[NAME_ROOM + 1], directory[4200];
	struct stat st;
	if (u->address.data[0] != '/')
		return bound_directory(u, directory);
	bound_path(u, name);
	return lstat(name, &st) == 0 && st.st_ino == file->st_ino && st.st_dev == file->st_dev;
}

/* What a moved one is reached by: its name in its directory. */
static inline const char *moved_base(const Ckpt__Unix *u)
{
	const char *slash = u->path ? strrchr(u->path, '/') : NULL;
	return slash ? slash + 1 : "";
}

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
		SET(u, deleted, true);
	static const char suffix[] = " (deleted)";
	if (u->deleted && r >= (int)sizeof suffix && !strcmp(path + r - (sizeof suffix - 1), suffix))
		path[r - (int)(sizeof suffix - 1)] = 0;
	if (u->deleted && u->address.data[0] == '/') /* where it was moved to does not matter any more */
		snprintf(path, sizeof path, "%.*s", (int)u->address.len, (const char *)u->address.data);
	if (!message_set_string(&u->path, path))
		return fail_memory();
	if (!u->deleted && !leads_there(u, &st))
		SET(u, moved, true);
	return 0;
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

static inline bool same_name(const Ckpt__Unix *a, const Ckpt__Unix *b)
{
	return a->has_address && b->has_address && a->address.len == b->address.len &&
	       !memcmp(a->address.data, b->address.data, a->address.len) && !strcmp(a->path ?: "", b->path ?: "") &&
	       !strcmp(a->type ?: "", b->type ?: "");
}

static inline bool is_datagram(const Ckpt__Unix *u) { return u->type && !strcmp(u->type, "datagram"); }

static inline bool listens_by_name(const Ckpt__Unix *u) { return u->has_backlog && u->has_address; }

/* Of a socket with a name, by its bytes: the first one that listens there. NULL: that of whether these are known. */
static inline u64 listener_key(const Ckpt__Unix *u)
{
	u64 key = map_mix(0x4c495354, u ? u->address.len : ~0ull);
	for (size_t i = 0; u && i < u->address.len; i++)
		key = map_mix(key, u->address.data[i]);
	return key;
}

static inline bool know_listeners(const struct graph *graph, const struct kind *kind)
{
	int r = 0;
	if (graph_recall(graph, listener_key(NULL)))
		return true;
	for (const struct object *o = NULL; r == 0 && (o = graph_next(graph, kind, o));)
		if (listens_by_name(o->data) && !graph_recall(graph, listener_key(o->data)))
			r = graph_remember(graph, listener_key(o->data), o->id);
	return r == 0 && graph_remember(graph, listener_key(NULL), 1) == 0;
}

/* The socket that listens at the name that this one has. Very many may have been accepted there. */
static inline const struct object *listener_of(const struct graph *graph, const struct kind *kind, const Ckpt__Unix *accepted)
{
	if (!accepted->has_address)
		return NULL;
	if (know_listeners(graph, kind)) {
		u32 first = graph_recall(graph, listener_key(accepted));
		const struct object *o = first ? graph_find(graph, kind, first) : NULL;
		if (!o || same_name(o->data, accepted))
			return o;
	}
	for (const struct object *o = NULL; (o = graph_next(graph, kind, o));) {
		const Ckpt__Unix *u = o->data;
		if (listens_by_name(u) && same_name(u, accepted))
			return o;
	}
	return NULL;
}

/* The end of a connection that accept(2) gave: it has the name of the one that listens. The other end may have a name too. */
static inline bool is_accepted(const struct graph *graph, const struct kind *kind, const Ckpt__Unix *u)
{
	if (!u->has_address || !u->connected || u->has_backlog || u->unaccepted || is_datagram(u))
		return false;
	const Ckpt__Unix *peer = u->peer ? graph_data(graph, kind, u->peer) : NULL;
	return !peer || !peer->has_address || listener_of(graph, kind, u) || !listener_of(graph, kind, peer);
}

/* Where nobody listens any more, the first accepted one brings a listener for all of its name. */
static inline const struct object *first_accepted(const struct graph *graph, const struct kind *kind,
						  const Ckpt__Unix *accepted)
{
	for (const struct object *o = NULL; (o = graph_next(graph, kind, o));)
		if (is_accepted(graph, kind, o->data) && same_name(o->data, accepted))
			return o;
	return NULL;
}

/* A connection is made again by a listener: connect(2) and accept(2) give both ends name and credentials. */
static inline int judge_accepted(const struct graph *graph, const struct kind *kind, const Ckpt__Unix *u)
{
	const Ckpt__Unix *client = u->peer ? graph_data(graph, kind, u->peer) : NULL;
	if (client && client->has_address && is_accepted(graph, kind, client))
		return fail(UNIX_NAMED, 0, "from %s to %s or the other way", client->name ?: "it", u->name ?: "it");
	return 0;
}

/* The sockets of the tree with this name; NULL: none. */
static inline const struct object *named(const struct graph *graph, const struct kind *kind, const ProtobufCBinaryData *address)
{
	for (const struct object *o = NULL; (o = graph_next(graph, kind, o));) {
		const Ckpt__Unix *u = o->data;
		if (is_datagram(u) && u->has_address && u->address.len == address->len &&
		    !memcmp(u->address.data, address->data, address->len))
			return o;
	}
	return NULL;
}

static inline int judge_name_dump(const struct graph *graph, const struct kind *kind, const Ckpt__Unix *u)
{
	char directory[4200];
	if (is_accepted(graph, kind, u))
		return judge_accepted(graph, kind, u);
	bool lost = u->path && u->address.data[0] != '/' && !u->moved && !bound_directory(u, directory);
	if (lost || (u->moved && strlen(moved_base(u)) >= NAME_ROOM))
		return fail(UNIX_NAME, 0, "it was bound to %s, which is %s", u->name, u->path);
	return 0;
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

static inline int judge_abstract(const ProtobufCBinaryData *name)
{
	int bound = netlink_unix_bound(name->data, name->len, 0, 0);
	if (bound < 0)
		return fail(UNIX_DIAG, bound, "an abstract name");
	return bound ? fail(UNIX_NAME_TAKEN, 0, "another socket has the abstract name @%.*s", (int)name->len - 1,
			    (const char *)name->data + 1)
		     : 0;
}

static inline int judge_name_restore(const struct graph *graph, const struct kind *kind, const Ckpt__Unix *u)
{
	char directory[4200];
	if (!u->has_address)
		return u->path || u->moved ? fail(IMAGE_INCONSISTENT, 0, "a socket with a path and without a name") : 0;
	if (!u->address.len || u->address.len > NAME_ROOM || (!is_abstract(u) && (!u->path || u->path[0] != '/')) ||
	    (is_abstract(u) && (u->path || u->deleted)))
		return fail(IMAGE_INCONSISTENT, 0, "a name of %zu bytes", u->address.len);
	if (u->moved && (!u->path || u->deleted || !*moved_base(u) || strlen(moved_base(u)) >= NAME_ROOM))
		return fail(IMAGE_INCONSISTENT, 0, "a moved name");
	if (u->path && u->address.data[0] != '/' && !u->moved && !bound_directory(u, directory))
		return fail(IMAGE_INCONSISTENT, 0, "a name that is not at %s", u->path);
	if (is_accepted(graph, kind, u)) {
		int r = judge_accepted(graph, kind, u);
		if (r < 0 || listener_of(graph, kind, u))
			return r;
	}
	if (u->path)
		return u->deleted ? 0 : judge_left_file(u);
	return judge_abstract(&u->address);
}

/* The name is used for a moment, so that datagrams go to it, and then to nobody. */
static inline int judge_lost_restore(const Ckpt__Unix *u)
{
	const ProtobufCBinaryData *name = &u->lost_address;
	if (!u->has_lost_address)
		return 0;
	if (!is_datagram(u) || u->peer || !u->peer_closed || !name->len || name->len > NAME_ROOM)
		return fail(IMAGE_INCONSISTENT, 0, "datagrams to a lost name of %zu bytes", name->len);
	return name->data[0] ? 0 : judge_abstract(name);
}

/* --- plan --- */

/* A file system of its own for a name that leads nowhere any more: the word that holds its descriptor. */
static inline u32 private_word(struct plan *plan, u32 file)
{
	char name[32];
	snprintf(name, sizeof name, "private %u", file);
	return plan_word(plan, name);
}

static inline void plan_private(struct plan *plan, u32 file)
{
	struct place world = AT(PLAN_WORLD, STAGE_CREATE);
	u32 config = step_result(plan, plan_call(plan, world, SYS_fsopen, arg_string(plan, "tmpfs"), ARG(1)));
	plan_call(plan, world, SYS_fsconfig, ARG_OF_SLOT(config), ARG(6 /* FSCONFIG_CMD_CREATE */), ARG(0), ARG(0), ARG(0));
	u32 mount = step_result(plan, plan_call(plan, world, SYS_fsmount, ARG_OF_SLOT(config), ARG(1), ARG(0)));
	plan_call(plan, world, SYS_close, ARG_OF_SLOT(config));
	plan_op(plan, world, OP_STORE, 0, (struct arg[6]){ ARG(private_word(plan, file)), ARG_OF_SLOT(mount) });
	u32 last = step_result(
		plan, plan_op(plan, AT(PLAN_WORLD, STAGE_WATCH), OP_LOAD, 0, (struct arg[6]){ ARG(private_word(plan, file)) }));
	plan_call(plan, AT(PLAN_WORLD, STAGE_WATCH), SYS_close, ARG_OF_SLOT(last));
}

/* The directory that the file of a moved one is in, with its slash. */
static inline struct arg arg_directory(struct plan *plan, const Ckpt__Unix *u)
{
	char directory[4200];
	const char *path = u->path ?: "";
	size_t len = strlen(path) - strlen(moved_base(u));
	snprintf(directory, sizeof directory, "%.*s", (int)len, path);
	return arg_string(plan, directory);
}

/* A helper that is to use the name goes to where it leads to the socket. */
static inline void plan_reach(struct plan *plan, struct place at, u32 file, const Ckpt__Unix *u)
{
	char directory[4200];
	if (u->deleted) {
		u32 mount = step_result(plan, plan_op(plan, at, OP_LOAD, 0, (struct arg[6]){ ARG(private_word(plan, file)) }));
		step_any(plan_call(plan, at, SYS_fchdir, ARG_OF_SLOT(mount)));
		step_any(plan_call(plan, at, SYS_chroot, arg_string(plan, ".")));
	}
	if (u->moved)
		step_any(plan_call(plan, at, SYS_chdir, arg_directory(plan, u)));
	else if (u->path && u->address.data[0] != '/' && bound_directory(u, directory))
		step_any(plan_call(plan, at, SYS_chdir, arg_string(plan, directory)));
}

static inline bool needs_reaching(const Ckpt__Unix *u)
{
	return u->deleted || u->moved || (u->path && u->address.data[0] != '/');
}

static inline struct arg arg_address(struct plan *plan, const void *name, size_t len)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (len) /* protobuf-c has no pointer to no bytes, and memcpy(3) wants one */
		memcpy(address.sun_path, name, len);
	return ARG_OF_DATA(plan_data(plan, &address, sizeof address, 8));
}

/* The sockaddr in the arena by which a helper that has reached it uses it. */
static inline size_t name_len(const Ckpt__Unix *u)
{
	return sizeof(sa_family_t) + (u->moved ? strlen(moved_base(u)) : u->address.len);
}

static inline struct arg arg_name(struct plan *plan, const Ckpt__Unix *u)
{
	return u->moved ? arg_address(plan, moved_base(u), strlen(moved_base(u)))
			: arg_address(plan, u->address.data, u->address.len);
}

/* bind(2) or connect(2) by a helper at a place, judged by the world. named: whose name it is. */
static inline struct plan_step *plan_use_name(struct plan *plan, struct place at, struct place world, long nr,
					      struct arg socket, u32 named, const Ckpt__Unix *u)
{
	plan_reach(plan, at, named, u);
	return plan_helper_call(plan, at, world, nr, (struct arg[6]){ socket, arg_name(plan, u), ARG(name_len(u)) });
}

/* The directories above a name, in a root of its own. */
static inline void plan_directories(struct plan *plan, struct place at, const char *path)
{
	char above[4200];
	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(above, sizeof above, "%.*s", (int)(slash - path), path);
		step_any(plan_call(plan, at, SYS_mkdirat, ARG(AT_FDCWD), arg_string(plan, above), ARG(0700)));
	}
}

static inline void plan_no_directories(struct plan *plan, struct place at, const char *path)
{
	char above[4200];
	snprintf(above, sizeof above, "%s", path);
	for (char *slash; (slash = strrchr(above, '/')) && slash != above;) {
		*slash = 0;
		step_any(plan_call(plan, at, SYS_unlinkat, ARG(AT_FDCWD), arg_string(plan, above), ARG(AT_REMOVEDIR)));
	}
}

/* One whose file has no name any more: bound where nobody else looks. */
static inline void plan_deleted_name(struct plan *plan, struct arg socket, u32 file, const Ckpt__Unix *u)
{
	struct place world = AT(PLAN_WORLD, STAGE_CREATE);
	char name[32];
	plan_private(plan, file);
	snprintf(name, sizeof name, "binder %u", file);
	struct place at = plan_helper(plan, world, name, 0, NULL);
	u32 mount = step_result(plan, plan_op(plan, at, OP_LOAD, 0, (struct arg[6]){ ARG(private_word(plan, file)) }));
	step_any(plan_call(plan, at, SYS_fchdir, ARG_OF_SLOT(mount)));
	step_any(plan_call(plan, at, SYS_chroot, arg_string(plan, ".")));
	plan_directories(plan, at, u->path);
	step_expect(plan_use_name(plan, at, world, SYS_bind, socket, file, u), 0);
	struct arg made = arg_string(plan, u->path);
	step_any(plan_call(plan, at, SYS_fchownat, ARG(AT_FDCWD), made, ARG(u->uid), ARG(u->gid), ARG(AT_SYMLINK_NOFOLLOW)));
	step_any(plan_call(plan, at, SYS_fchmodat, ARG(AT_FDCWD), made, ARG(u->mode)));
}

/* One whose name leads elsewhere or nowhere: it is bound below a root of its own in the directory where its file is now, and
 * moved out of it. The helper goes on when ckpt is killed, and leaves nothing but the file. */
static inline void plan_moved_name(struct plan *plan, struct arg socket, u32 file, const Ckpt__Unix *u)
{
	struct place world = AT(PLAN_WORLD, STAGE_CREATE);
	char name[32], bound[NAME_ROOM + 1];
	snprintf(name, sizeof name, "binder %u", file);
	struct place at = plan_helper(plan, world, name, 0, NULL);
	u32 all = plan_data(plan, &(u64){ ~0ull }, 8, 8);
	step_any(plan_call(plan, at, SYS_rt_sigprocmask, ARG(0 /* SIG_BLOCK */), ARG_OF_DATA(all), ARG(0), ARG(8)));
	struct arg flags = ARG(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), above = arg_directory(plan, u);
	struct plan_step *open = plan_call(plan, at, SYS_openat, ARG(AT_FDCWD), above, flags);
	step_any(open);
	struct arg there = ARG_OF_SLOT(step_result(plan, open));
	snprintf(name, sizeof name, ".ckpt-%llu", (unsigned long long)u->name_inode);
	struct arg own = arg_string(plan, name);
	step_any(plan_call(plan, at, SYS_mkdirat, there, own, ARG(0700)));
	open = plan_call(plan, at, SYS_openat, there, own, flags);
	step_any(open);
	struct arg root = ARG_OF_SLOT(step_result(plan, open));
	step_any(plan_call(plan, at, SYS_fchdir, root));
	struct plan_step *enter = plan_call(plan, at, SYS_chroot, arg_string(plan, "."));
	step_any(enter);
	struct plan_step *failed = plan_skip(plan, at, ARG_OF_SLOT(step_result(plan, enter)), -4095, -1);
	bound_path(u, bound);
	plan_directories(plan, at, bound);
	struct arg made = arg_string(plan, bound), address = arg_address(plan, u->address.data, u->address.len);
	struct arg len = ARG(sizeof(sa_family_t) + u->address.len);
	step_expect(plan_helper_call(plan, at, world, SYS_bind, (struct arg[6]){ socket, address, len }), 0);
	struct arg move[6] = { ARG(AT_FDCWD), made, there, arg_string(plan, moved_base(u)), ARG(0) };
	step_expect(plan_helper_call(plan, at, world, SYS_renameat2, move), 0);
	step_any(plan_call(plan, at, SYS_unlinkat, ARG(AT_FDCWD), made, ARG(0))); /* there only when it was not moved */
	plan_no_directories(plan, at, bound);
	plan_land(plan, at, failed);
	step_any(plan_call(plan, at, SYS_unlinkat, there, own, ARG(AT_REMOVEDIR)));
	step_any(plan_call(plan, at, SYS_close, root));
	step_any(plan_call(plan, at, SYS_close, there));
}

static inline void plan_name(struct plan *plan, struct arg socket, u32 file, const Ckpt__Unix *u)
{
	struct place at = plan_at(plan, file, STAGE_CREATE);
	if (!u->has_address)
		return;
	if (u->deleted) {
		plan_deleted_name(plan, socket, file, u);
		return;
	}
	struct arg path = u->path ? arg_string(plan, u->path) : ARG(0);
	if (u->path)
		step_any(plan_call(plan, at, SYS_unlinkat, ARG(AT_FDCWD), path, ARG(0)));
	char name[32];
	snprintf(name, sizeof name, "binder %u", file);
	if (u->moved)
		plan_moved_name(plan, socket, file, u);
	else if (needs_reaching(u))
		step_expect(plan_use_name(plan, plan_helper(plan, at, name, 0, NULL), at, SYS_bind, socket, file, u), 0);
	else
		step_expect(plan_call(plan, at, SYS_bind, socket, arg_name(plan, u), ARG(name_len(u))), 0);
	if (!u->path)
		return;
	plan_call(plan, at, SYS_fchownat, ARG(AT_FDCWD), path, ARG(u->uid), ARG(u->gid), ARG(AT_SYMLINK_NOFOLLOW));
	plan_call(plan, at, SYS_fchmodat, ARG(AT_FDCWD), path, ARG(u->mode));
}
