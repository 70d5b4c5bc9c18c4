// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns sockets of unix(7): those that listen or have a name, connected pairs, their queues with descriptors and credentials in them, options, shutdown. */
#include "collect/collect.h"
#include "collect/netlink.h"
#include "resource/file_scope.h"
#include "resource/unix_name.h"
#include "unix.pb-c.h"
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define MAX_DESCRIPTORS 253 /* of one message: unix(7) */
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

static const struct kind kind_unix = { .name = "unix", .desc = &ckpt__unix__descriptor };

static const char *const types[] = { [SOCK_STREAM] = "stream", [SOCK_DGRAM] = "datagram", [SOCK_SEQPACKET] = "seqpacket" };

/* SOCK_* of the type's name, 0 for none. */
static int type_number(const char *name)
{
	for (size_t i = 1; name && i < ARRAY_SIZE(types); i++)
		if (types[i] && !strcmp(types[i], name))
			return (int)i;
	return 0;
}

/* Socket options that are one int: only what differs from the value of a new socket is set again. */
static const struct option {
	int name;
	bool always;
	int initial;
	size_t has, value;
} options[] = {
#define OPTION(name, field, ...)                                                                                               \
	{                                                                                                                      \
		name, __VA_ARGS__, offsetof(Ckpt__Unix, has_##field), offsetof(Ckpt__Unix, field)                              \
	}
	OPTION(SO_SNDBUF, send_buffer, true, 0),          OPTION(SO_RCVBUF, receive_buffer, true, 0),
	OPTION(SO_PASSCRED, pass_credentials, false, 0),  OPTION(SO_PASSSEC, pass_security, false, 0),
	OPTION(SO_PASSPIDFD, pass_pidfd, false, 0),       OPTION(SO_PASSRIGHTS, pass_rights, false, 1),
	OPTION(SO_RCVLOWAT, receive_low_water, false, 1), OPTION(SO_PEEK_OFF, peek_offset, false, -1),
	OPTION(SO_TIMESTAMP, timestamp, false, 0),        OPTION(SO_TIMESTAMPNS, timestamp_ns, false, 0),
};

/* Those of families that nobody carries are refused by judge, by their number. */
static bool unix_claims(const struct record_file *file, const char *link)
{
	bool other = file->family == AF_INET || file->family == AF_INET6;
	return !(file->flags & O_PATH) && !other && !strncmp(link, "socket:[", 8);
}

/* --- collect: the queue --- */

struct peek {
	u8 *data;
	size_t room;
	ssize_t len;
	unsigned nfds;
	int fds[MAX_DESCRIPTORS];
	struct ucred sender;
};

static void peek_close(struct peek *p)
{
	for (unsigned i = 0; i < p->nfds; i++)
		close(p->fds[i]);
	p->nfds = 0;
}

static void peek_free(struct peek *p)
{
	peek_close(p);
	free(p->data);
}

static void peek_control(struct peek *p, struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS) {
			p->nfds = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			memcpy(p->fds, CMSG_DATA(c), p->nfds * sizeof(int));
		} else if (c->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&p->sender, CMSG_DATA(c), sizeof p->sender);
		} else if (c->cmsg_type == SCM_PIDFD) {
			int pidfd;
			memcpy(&pidfd, CMSG_DATA(c), sizeof pidfd);
			if (pidfd >= 0)
				close(pidfd);
		}
	}
}

/* Looks at up to want bytes (0: one whole message of any length) without consuming; offset: where from, by SO_PEEK_OFF, or -1
 * for the beginning. -EAGAIN: nothing there. */
static int peek_at(int fd, struct peek *p, int offset, size_t want)
{
	_Alignas(struct cmsghdr) char
		control[CMSG_SPACE(sizeof(int) * MAX_DESCRIPTORS) + CMSG_SPACE(sizeof(struct ucred)) + 512];
	peek_close(p);
	for (;;) {
		size_t room = want ? want : MAX(p->room, 65536u);
		if (room > p->room) {
			free(p->data);
			p->data = malloc(room);
			p->room = p->data ? room : 0;
		}
		if (!p->data)
			return fail_memory();
		if (offset >= 0 && setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset) < 0)
			return fail(UNIX_PEEK, neg_errno(), "SO_PEEK_OFF");
		struct iovec iov = { p->data, room };
		struct msghdr m = {
			.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
		};
		p->sender = (struct ucred){ 0 };
		p->len = recvmsg(fd, &m, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC | (want ? 0 : MSG_TRUNC));
		if (p->len < 0)
			return errno == EAGAIN ? -EAGAIN : fail(UNIX_PEEK, neg_errno(), "recvmsg");
		peek_control(p, &m);
		if (m.msg_flags & MSG_CTRUNC)
			return fail(UNIX_PEEK, -EMFILE, "descriptors in flight did not fit");
		if ((size_t)p->len <= room)
			return 0;
		peek_close(p);
		want = (size_t)p->len;
	}
}

static int add_message(struct collector *c, Ckpt__Unix *u, const struct peek *p, const u8 *data, size_t len, bool with_files)
{
	Ckpt__UnixMessage *m = MESSAGE_NEW(Ckpt__UnixMessage, ckpt__unix_message);
	if (!m || !MESSAGE_APPEND(&u->n_message, &u->message, m)) {
		free(m);
		return fail_memory();
	}
	if (!message_set_bytes(&m->data, data, len))
		return fail_memory();
	m->has_data = true;
	if (p->sender.pid) {
		SET(m, pid, (u32)p->sender.pid);
		SET(m, uid, p->sender.uid);
		SET(m, gid, p->sender.gid);
	}
	for (unsigned i = 0; with_files && i < p->nfds; i++) {
		u32 file;
		int r = collector_add_file(c, p->fds[i], &file);
		if (r < 0)
			return r;
		if (!MESSAGE_APPEND(&m->n_file, &m->file, file))
			return fail_memory();
	}
	return 0;
}

/* A peek stops behind the first buffer that carries descriptors; where that buffer begins is told by a peek whose last byte
 * cannot be written: the kernel copies buffer by buffer, and returns how much it had copied when one failed. */
static int first_byte_with_files(int fd, int offset, size_t len, size_t *ret)
{
	_cleanup_free_ u8 *data = malloc(len);
	if (!data)
		return fail_memory();
	if (offset >= 0 && setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset) < 0)
		return fail(UNIX_PEEK, neg_errno(), "SO_PEEK_OFF");
	struct iovec iov[] = { { data, len - 1 }, { NULL, 1 } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n = recvmsg(fd, &m, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && errno != EFAULT)
		return fail(UNIX_PEEK, neg_errno(), "recvmsg");
	*ret = n < 0 ? 0 : (size_t)n;
	return *ret < len ? 0 : fail(UNIX_PEEK, -EINVAL, "descriptors in flight behind their data");
}

static int collect_stream(struct collector *c, int fd, Ckpt__Unix *u)
{
	_cleanup_(peek_free) struct peek p = { 0 };
	for (u32 at = 0; at < u->unread;) {
		int offset = at || u->peek_offset >= 0 ? (int)at : -1;
		int r = peek_at(fd, &p, offset, u->unread - at);
		if (r < 0 || p.len == 0)
			return r == -EAGAIN || p.len == 0 ? fail(UNIX_PEEK, -EAGAIN, "%u of %u bytes were there", at, u->unread)
							  : r;
		size_t plain = (size_t)p.len;
		if (p.nfds && (r = first_byte_with_files(fd, offset, plain, &plain)) < 0)
			return r;
		if (plain)
			r = add_message(c, u, &p, p.data, plain, false);
		if (r == 0 && p.nfds)
			r = add_message(c, u, &p, p.data + plain, (size_t)p.len - plain, true);
		if (r < 0)
			return r;
		at += (u32)p.len;
	}
	return 0;
}

/* Messages one by one. With SO_PEEK_OFF an empty message that was peeked at before is passed over: the first one is read
 * without. */
static int collect_messages(struct collector *c, int fd, Ckpt__Unix *u)
{
	_cleanup_(peek_free) struct peek p = { 0 };
	int offset = u->peek_offset >= 0 ? 0 : -1;
	for (u32 sum = 0;;) {
		int r = peek_at(fd, &p, offset, 0);
		bool end = r == 0 && p.len == 0 && !p.nfds && (u->shutdown & 1);
		if (r == -EAGAIN || end)
			return 0;
		if (r == 0)
			r = add_message(c, u, &p, p.data, (size_t)p.len, true);
		if (r < 0)
			return r;
		offset = (int)(sum += (u32)p.len);
	}
}

static int collect_queue(struct collector *c, int fd, Ckpt__Unix *u)
{
	int type = type_number(u->type), unread = 0;
	u8 byte;
	if (ioctl(fd, SIOCINQ, &unread) == 0)
		SET(u, unread, (u32)unread);
	if (type == SOCK_STREAM && recv(fd, &byte, 1, MSG_OOB | MSG_PEEK | MSG_DONTWAIT) > 0)
		SET(u, urgent, true);
	if (collector_live(c) || !u->connected || u->urgent)
		return 0;
	int r = type == SOCK_STREAM ? collect_stream(c, fd, u) : collect_messages(c, fd, u);
	if (setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &u->peek_offset, sizeof u->peek_offset) < 0 && r == 0)
		r = fail(UNIX_PEEK, neg_errno(), "SO_PEEK_OFF could not be set back to %d", u->peek_offset);
	return r;
}

/* --- collect: the socket --- */

static void find_peer(const struct graph *graph, const struct object *mine, Ckpt__Unix *u)
{
	for (const struct object *o = NULL; (o = graph_next(graph, &kind_unix, o));) {
		Ckpt__Unix *other = o->data;
		if (o == mine || !other->has_inode)
			continue;
		if (u->has_peer_inode && other->inode == u->peer_inode)
			SET(u, peer, o->id);
		if (other->has_peer_inode && other->peer_inode == u->inode)
			SET(other, peer, mine->id);
	}
}

static int collect_relations(struct collector *c, const struct object *o, Ckpt__Unix *u)
{
	struct unix_diag diag;
	int r = netlink_unix_diag(u->inode, &diag);
	if (r < 0)
		return r == -ENOENT ? 0 : fail(UNIX_DIAG, r, "socket:[%llu]", (unsigned long long)u->inode);
	SET(u, state, diag.state);
	SET(u, connected, diag.has_peer);
	SET(u, shutdown, diag.shutdown);
	if (diag.name[0] && !message_set_string(&u->name, diag.name))
		return fail_memory();
	if (diag.state == TCP_LISTEN) {
		SET(u, backlog, diag.backlog);
		SET(u, pending, diag.pending);
	}
	if (diag.has_peer && !diag.peer)
		SET(u, peer_closed, true);
	else if (diag.has_peer)
		SET(u, peer_inode, diag.peer);
	find_peer(collector_graph(c), o, u);
	return 0;
}

static void collect_options(int fd, Ckpt__Unix *u)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		int value;
		socklen_t len = sizeof value;
		if (getsockopt(fd, SOL_SOCKET, options[i].name, &value, &len) < 0)
			continue;
		*(protobuf_c_boolean *)((char *)u + options[i].has) = 1;
		*(s32 *)((char *)u + options[i].value) = value;
	}
	struct timeval t;
	socklen_t len = sizeof t;
	if (getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, &len) == 0)
		SET(u, receive_timeout, t.tv_sec * 1000000 + t.tv_usec);
	if (getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, &len) == 0)
		SET(u, send_timeout, t.tv_sec * 1000000 + t.tv_usec);
	struct ucred creator;
	len = sizeof creator;
	if ((u->connected || u->has_backlog) && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &creator, &len) == 0) {
		SET(u, creator_pid, (u32)creator.pid);
		SET(u, creator_uid, creator.uid);
		SET(u, creator_gid, creator.gid);
	}
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	SET(u, reset, poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & POLLERR));
	if (u->name && !u->has_backlog && (poll_fd.revents & POLLIN) && !(u->shutdown & 1))
		SET(u, pending, 1);
}

static int unix_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	Ckpt__Unix *u = o->data;
	int fd = collector_fd(c), family, type;
	socklen_t len = sizeof family;
	if (fd < 0)
		return fail(FD_DUPLICATE, fd, "%s", subject->link);
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return fail(SYSCALL, neg_errno(), "getsockopt of %s", subject->link);
	SET(u, inode, subject->file->ino);
	const char *name = type == SOCK_RAW ? "raw" : (size_t)type < ARRAY_SIZE(types) ? types[type] : NULL;
	if (!message_set_string(&u->type, name ?: "other"))
		return fail_memory();
	if (family != AF_UNIX) {
		SET(u, family, (u32)family);
		return 0;
	}
	int r = collect_relations(c, o, u);
	if (r == 0 && u->has_state)
		r = collect_name(fd, u);
	if (r < 0)
		return r;
	collect_options(fd, u);
	return collect_queue(c, fd, u);
}

/* --- judge --- */

static int refuse_family(const Ckpt__Unix *u)
{
	static const struct {
		u32 family;
		enum diag_code code;
		const char *name;
	} families[] = {
		{ AF_NETLINK, DIAG_SOCKET_NETLINK, "a netlink" },
		{ AF_PACKET, DIAG_SOCKET_PACKET, "a packet" },
		{ AF_VSOCK, DIAG_SOCKET_FAMILY, "a virtual machine's (vsock)" },
		{ AF_ALG, DIAG_SOCKET_FAMILY, "a kernel cryptography (AF_ALG)" },
		{ AF_BLUETOOTH, DIAG_SOCKET_FAMILY, "a Bluetooth" },
		{ AF_CAN, DIAG_SOCKET_FAMILY, "a CAN bus" },
		{ AF_TIPC, DIAG_SOCKET_FAMILY, "a TIPC" },
		{ 44 /* AF_XDP */, DIAG_SOCKET_FAMILY, "an XDP" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		if (families[i].family == u->family)
			return diag_report(DIAG_ERROR, families[i].code, 0, "%s socket of type %s", families[i].name, u->type);
	return fail(SOCKET_FAMILY, 0, "a socket of family %u and type %s", u->family, u->type);
}

static int judge_dump(const struct graph *graph, const struct object *o)
{
	const Ckpt__Unix *u = o->data;
	unsigned long long inode = u->inode;
	if (u->has_family)
		return refuse_family(u);
	if (!u->has_state)
		return fail(UNIX_NAMESPACE, 0, "socket:[%llu]", inode);
	const Ckpt__Unix *peer = u->peer ? graph_data(graph, &kind_unix, u->peer) : NULL;
	int r = u->has_address ? judge_name_dump(graph, &kind_unix, u) : 0;
	if (peer && peer->peer != o->id)
		r = fail(UNIX_NAMED, 0, "socket:[%llu] sends to %s", inode, peer->name ?: "it");
	if (u->has_peer_inode && !u->peer)
		r = fail(UNIX_EXTERNAL, 0, "socket:[%llu], connected to socket:[%llu]", inode,
			 (unsigned long long)u->peer_inode);
	if (u->urgent)
		r = fail(UNIX_URGENT, 0, "socket:[%llu]", inode);
	return r;
}

/* A process id that a short-lived helper takes must be free, or belong to the tree (that is checked elsewhere). */
static int judge_id(const struct graph *graph, u32 pid, const char *what)
{
	char path[32];
	if (!pid || graph_find(graph, &kind_task, pid))
		return 0;
	snprintf(path, sizeof path, "/proc/%u", pid);
	return access(path, F_OK) < 0 ? 0 : fail(UNIX_CREATOR, 0, "process %u %s", pid, what);
}

static int judge_message(const struct graph *graph, const Ckpt__UnixMessage *m)
{
	if (m->n_file > MAX_DESCRIPTORS)
		return fail(IMAGE_INCONSISTENT, 0, "%zu descriptors in one message", m->n_file);
	for (size_t i = 0; i < m->n_file; i++)
		if (!graph_find(graph, &kind_file, m->file[i]))
			return fail(IMAGE_INCONSISTENT, 0, "a message holds file %u, which is not there", m->file[i]);
	return judge_id(graph, m->pid, "sent a message");
}

static int judge_restore(const struct graph *graph, const struct object *o)
{
	const Ckpt__Unix *u = o->data, *peer = u->peer ? graph_data(graph, &kind_unix, u->peer) : NULL;
	if (!type_number(u->type) || (u->peer && (!peer || peer->peer != o->id || u->peer == o->id)))
		return fail(IMAGE_INCONSISTENT, 0, "socket %u, peer %u", o->id, u->peer);
	int r = 0;
	for (size_t i = 0; i < u->n_message && r == 0; i++)
		r = judge_message(graph, u->message[i]);
	bool first = is_accepted(u) || !u->peer || (o->id < u->peer && !is_accepted(peer));
	int creator = first ? judge_id(graph, u->creator_pid, "made it") : 0;
	int name = judge_name_restore(graph, &kind_unix, u);
	return r ? r : creator ? creator : name;
}

static int unix_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	return direction == DIRECTION_DUMP ? judge_dump(graph, o) : judge_restore(graph, o);
}

/* --- plan --- */

#define CREATE AT(PLAN_WORLD, STAGE_CREATE)
#define LINK AT(PLAN_WORLD, STAGE_LINK)
#define MADE_FLAGS (SOCK_CLOEXEC | SOCK_NONBLOCK)

static void plan_become(struct plan *plan, struct place at, const Ckpt__Unix *u)
{
	if (!u->creator_pid)
		return;
	step_any(plan_call(plan, at, SYS_setresgid, ARG(-1), ARG(u->creator_gid), ARG(-1)));
	step_any(plan_call(plan, at, SYS_setresuid, ARG(-1), ARG(u->creator_uid), ARG(-1)));
}

/* SO_PEERCRED tells who called socketpair(): a process with that id and those credentials does it. */
static struct place creator(struct plan *plan, const Ckpt__Unix *u)
{
	char name[64];
	snprintf(name, sizeof name, "creator %u %u %u", u->creator_pid, u->creator_uid, u->creator_gid);
	bool is_new;
	struct place at = plan_helper(plan, CREATE, name, u->creator_pid, &is_new);
	if (is_new)
		plan_become(plan, at, u);
	return at;
}

static u32 plan_socket(struct plan *plan, const Ckpt__Unix *u)
{
	return step_result(plan,
			   plan_call(plan, CREATE, SYS_socket, ARG(AF_UNIX), ARG(type_number(u->type) | MADE_FLAGS), ARG(0)));
}

/* A connected pair: the slots of both descriptors. */
static void plan_socketpair(struct plan *plan, const Ckpt__Unix *u, u32 ret_slots[2])
{
	u32 fds = plan_data(plan, (int[2]){ -1, -1 }, 8, 4);
	struct place at = creator(plan, u);
	plan_helper_call(plan, at, CREATE, SYS_socketpair,
			 (struct arg[6]){ ARG(AF_UNIX), ARG(type_number(u->type) | MADE_FLAGS), ARG(0), ARG_OF_DATA(fds) });
	for (u32 i = 0; i < 2; i++)
		ret_slots[i] = step_result(plan, plan_op(plan, CREATE, OP_LOAD, 0, (struct arg[6]){ ARG(fds + 4 * i) }));
}

static void plan_place(struct plan *plan, const struct graph *graph, u32 slot, u32 file)
{
	plan_place_fd(plan, slot, file);
	plan_status_flags(plan, CREATE, file, file_flags(graph, file), O_NONBLOCK);
}

static void set_option(struct plan *plan, struct arg fd, int name, const void *value, u32 len)
{
	plan_call(plan, LINK, SYS_setsockopt, fd, ARG(SOL_SOCKET), ARG(name), ARG_OF_DATA(plan_data(plan, value, len, 8)),
		  ARG(len));
}

static void plan_options(struct plan *plan, u32 file, const Ckpt__Unix *u)
{
	struct arg fd = ARG(plan_fd(plan, file));
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		s32 value = *(const s32 *)((const char *)u + options[i].value);
		int name = options[i].name;
		if (!*(const protobuf_c_boolean *)((const char *)u + options[i].has))
			continue;
		if (options[i].always) {
			/* The kernel doubles what it is given; more than the common net.core.?mem_max needs a right. */
			value /= 2;
			if (value > 212992)
				name = name == SO_SNDBUF ? SO_SNDBUFFORCE : SO_RCVBUFFORCE;
		} else if (value == options[i].initial) {
			continue;
		}
		set_option(plan, fd, name, &value, sizeof value);
	}
	s64 receive[2] = { u->receive_timeout / 1000000, u->receive_timeout % 1000000 };
	s64 send[2] = { u->send_timeout / 1000000, u->send_timeout % 1000000 };
	if (u->receive_timeout)
		set_option(plan, fd, SO_RCVTIMEO, receive, sizeof receive);
	if (u->send_timeout)
		set_option(plan, fd, SO_SNDTIMEO, send, sizeof send);
}

static u32 plan_control(struct plan *plan, const Ckpt__UnixMessage *m, size_t *ret_len)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * MAX_DESCRIPTORS) + CMSG_SPACE(sizeof(struct ucred))] = {
		0
	};
	struct cmsghdr *c = (struct cmsghdr *)control;
	*ret_len = 0;
	if (m->n_file) {
		*c = (struct cmsghdr){ CMSG_LEN(m->n_file * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		for (size_t i = 0; i < m->n_file; i++)
			((int *)CMSG_DATA(c))[i] = plan_fd(plan, m->file[i]);
		*ret_len += CMSG_SPACE(m->n_file * sizeof(int));
		c = (struct cmsghdr *)(control + *ret_len);
	}
	if (m->pid) {
		*c = (struct cmsghdr){ CMSG_LEN(sizeof(struct ucred)), SOL_SOCKET, SCM_CREDENTIALS };
		memcpy(CMSG_DATA(c), &(struct ucred){ (pid_t)m->pid, m->uid, m->gid }, sizeof(struct ucred));
		*ret_len += CMSG_SPACE(sizeof(struct ucred));
	}
	return *ret_len ? plan_data(plan, control, *ret_len, 8) : 0;
}

/* struct msghdr in the arena. */
static u32 plan_msghdr(struct plan *plan, const Ckpt__UnixMessage *m)
{
	size_t control_len;
	u32 control = plan_control(plan, m, &control_len);
	u32 data = plan_data(plan, m->data.data, m->data.len, 8);
	u32 iov = plan_data(plan, &(struct iovec){ .iov_len = m->data.len }, sizeof(struct iovec), 8);
	struct msghdr header = { .msg_iovlen = 1, .msg_controllen = control_len };
	u32 at = plan_data(plan, &header, sizeof header, 8);
	plan_pointer(plan, iov, data);
	plan_pointer(plan, at + offsetof(struct msghdr, msg_iov), iov);
	if (control)
		plan_pointer(plan, at + offsetof(struct msghdr, msg_control), control);
	return at;
}

/* One message into the queue of `to`; one with credentials is sent by a process of that id. */
static void plan_send(struct plan *plan, struct arg from, u32 to, size_t index, const Ckpt__UnixMessage *m)
{
	struct arg args[6] = { from, ARG_OF_DATA(plan_msghdr(plan, m)), ARG(MSG_DONTWAIT | MSG_NOSIGNAL) };
	if (!m->pid) {
		step_expect(plan_op(plan, LINK, OP_CALL, SYS_sendmsg, args), (s64)m->data.len);
		return;
	}
	char name[64];
	snprintf(name, sizeof name, "sender %u %zu", to, index);
	struct place at = plan_helper(plan, LINK, name, m->pid, NULL);
	step_expect(plan_helper_call(plan, at, LINK, SYS_sendmsg, args), (s64)m->data.len);
}

/* The queue of `to`, filled through the descriptor of its peer, which gets room for all of it first. */
static void plan_queue(struct plan *plan, struct arg from, u32 to, const Ckpt__Unix *u)
{
	if (!u->n_message)
		return;
	int room = 1 << 20;
	step_any(plan_call(plan, LINK, SYS_setsockopt, from, ARG(SOL_SOCKET), ARG(SO_SNDBUF),
			   ARG_OF_DATA(plan_data(plan, &room, sizeof room, 4)), ARG(sizeof room)));
	for (size_t i = 0; i < u->n_message; i++)
		plan_send(plan, from, to, i, u->message[i]);
}

static void plan_shutdown(struct plan *plan, u32 file, const Ckpt__Unix *u)
{
	plan_options(plan, file, u);
	if (u->shutdown & 3)
		plan_call(plan, LINK, SYS_shutdown, ARG(plan_fd(plan, file)), ARG((u->shutdown & 3) - 1));
}

static void plan_pair(struct plan *plan, const struct graph *graph, const struct object *o, const u32 slots[2])
{
	const Ckpt__Unix *a = o->data, *b = graph_data(graph, &kind_unix, a->peer);
	plan_place(plan, graph, slots[0], o->id);
	plan_place(plan, graph, slots[1], a->peer);
	plan_queue(plan, ARG(plan_fd(plan, a->peer)), o->id, a);
	plan_queue(plan, ARG(plan_fd(plan, o->id)), a->peer, b);
	plan_shutdown(plan, o->id, a);
	plan_shutdown(plan, a->peer, b);
}

/* One end whose peer is closed. What the peer had not read when it was closed makes the error that waits. */
static void plan_widow(struct plan *plan, const struct graph *graph, const struct object *o, const u32 slots[2])
{
	const Ckpt__Unix *u = o->data;
	plan_place(plan, graph, slots[0], o->id);
	plan_queue(plan, ARG_OF_SLOT(slots[1]), o->id, u);
	if (u->reset)
		plan_call(plan, LINK, SYS_sendto, ARG(plan_fd(plan, o->id)), arg_string(plan, "x"), ARG(1),
			  ARG(MSG_DONTWAIT | MSG_NOSIGNAL));
	plan_call(plan, LINK, SYS_close, ARG_OF_SLOT(slots[1]));
	plan_options(plan, o->id, u);
	if (u->shutdown & 3)
		step_any(plan_call(plan, LINK, SYS_shutdown, ARG(plan_fd(plan, o->id)), ARG((u->shutdown & 3) - 1)));
}

/* SO_PEERCRED tells who called listen(). */
static void plan_listen(struct plan *plan, u32 socket, u32 file, const Ckpt__Unix *u)
{
	char name[32];
	snprintf(name, sizeof name, "listener %u", file);
	struct place at = plan_helper(plan, CREATE, name, u->creator_pid, NULL);
	plan_become(plan, at, u);
	plan_helper_call(plan, at, CREATE, SYS_listen, (struct arg[6]){ ARG_OF_SLOT(socket), ARG(u->backlog) });
}

/* The ends of a connection to the socket that listens at a slot: connected by a process with the old id, accepted at once. It
 * may have had rights to reach the name that the credentials it has now would not give. */
static void plan_connection(struct plan *plan, const struct graph *graph, u32 listener, const struct object *o)
{
	const Ckpt__Unix *u = o->data;
	char name[32];
	u32 slots[2];
	slots[1] = plan_socket(plan, u);
	snprintf(name, sizeof name, "connector %u", o->id);
	struct place at = plan_helper(plan, CREATE, name, u->creator_pid, NULL);
	plan_become(plan, at, u);
	step_any(plan_call(plan, at, SYS_setfsuid, ARG(0)));
	step_expect(plan_use_name(plan, at, SYS_connect, slots[1], u), 0);
	slots[0] =
		step_result(plan, plan_call(plan, CREATE, SYS_accept4, ARG_OF_SLOT(listener), ARG(0), ARG(0), ARG(MADE_FLAGS)));
	if (u->peer)
		plan_pair(plan, graph, o, slots);
	else
		plan_widow(plan, graph, o, slots);
}

static void plan_alone(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Unix *u = o->data;
	u32 socket = plan_socket(plan, u);
	plan_name(plan, socket, o->id, u);
	if (u->has_backlog)
		plan_listen(plan, socket, o->id, u);
	for (struct object *other = NULL; u->has_backlog && (other = graph_next(graph, &kind_unix, other));)
		if (is_accepted(other->data) && listener_of(graph, &kind_unix, other->data) == u)
			plan_connection(plan, graph, socket, other);
	plan_place(plan, graph, socket, o->id);
	plan_shutdown(plan, o->id, u);
}

static int unix_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Unix *u = o->data, *peer = u->peer ? graph_data(graph, &kind_unix, u->peer) : NULL;
	u32 slots[2];
	if (is_accepted(u) || (peer && (is_accepted(peer) || o->id > u->peer)))
		return 0; /* its listener or its peer makes it */
	if (u->peer || u->peer_closed)
		plan_socketpair(plan, u, slots);
	if (u->peer)
		plan_pair(plan, graph, o, slots);
	else if (u->peer_closed)
		plan_widow(plan, graph, o, slots);
	else
		plan_alone(plan, graph, o);
	return 0;
}

const struct resource resource_unix = {
	.name = "unix",
	.scope = SCOPE_FILE,
	.kind = &kind_unix,
	.claims = unix_claims,
	.collect = unix_collect,
	.judge = unix_judge,
	.plan = unix_plan,
};
