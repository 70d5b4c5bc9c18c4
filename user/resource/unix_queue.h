/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Queues of unix sockets: data, descriptors and senders, looked at without taking them. A part of unix.c. */
#pragma once
#include "resource/socket_room.h"
#include "resource/unix_options.h"

struct peek {
	u8 *data;
	size_t room;
	ssize_t len;
	unsigned nfds;
	int fds[MAX_DESCRIPTORS];
	struct ucred sender;
	struct sockaddr_un source;
	socklen_t source_len;
};

static inline void peek_close(struct peek *p)
{
	for (unsigned i = 0; i < p->nfds; i++)
		close(p->fds[i]);
	p->nfds = 0;
}

static inline void peek_free(struct peek *p)
{
	peek_close(p);
	free(p->data);
}

static inline void peek_control(struct peek *p, struct msghdr *m)
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

/* Where the next look begins; -1: nothing is set. */
static inline int set_peek(int fd, int offset)
{
	if (offset < 0 || setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset) == 0)
		return 0;
	fail(UNIX_PEEK, neg_errno(), "SO_PEEK_OFF");
	return -EIO; /* EAGAIN would say that nothing waits */
}

/* Looks at up to want bytes (0: one whole message of any length) without consuming; offset: where from, by SO_PEEK_OFF, or -1
 * for the beginning. -EAGAIN: nothing there. */
static inline int peek_at(int fd, struct peek *p, int offset, size_t want)
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
		int r = set_peek(fd, offset);
		if (r < 0)
			return r;
		struct iovec iov = { p->data, room };
		struct msghdr m = { .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = control,
				    .msg_controllen = sizeof control,
				    .msg_name = &p->source,
				    .msg_namelen = sizeof p->source };
		p->sender = (struct ucred){ 0 };
		p->len = recvmsg(fd, &m, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC | (want ? 0 : MSG_TRUNC));
		if (p->len < 0)
			return errno == EAGAIN ? -EAGAIN : fail(UNIX_PEEK, neg_errno(), "recvmsg");
		p->source_len = m.msg_namelen;
		peek_control(p, &m);
		if (m.msg_flags & MSG_CTRUNC)
			return fail(UNIX_PEEK, -EMFILE, "descriptors in flight did not fit");
		if ((size_t)p->len <= room)
			return 0;
		peek_close(p);
		want = (size_t)p->len;
	}
}

static inline int add_message(struct collector *c, Ckpt__Unix *u, const struct peek *p, const u8 *data, size_t len,
			      bool with_files)
{
	Ckpt__UnixMessage *m = MESSAGE_NEW(Ckpt__UnixMessage, ckpt__unix_message);
	if (!m || !MESSAGE_APPEND(&u->n_message, &u->message, m)) {
		free(m);
		return fail_memory();
	}
	if (!message_set_bytes(&m->data, data, len))
		return fail_memory();
	m->has_data = true;
	if (p->source_len > sizeof(sa_family_t) && type_number(u->type) == SOCK_DGRAM) {
		m->has_source = true;
		if (!message_set_bytes(&m->source, p->source.sun_path, p->source_len - sizeof(sa_family_t)))
			return fail_memory();
	}
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
static inline int first_byte_with_files(int fd, int offset, size_t len, size_t *ret)
{
	_cleanup_free_ u8 *data = malloc(len);
	if (!data)
		return fail_memory();
	int r = set_peek(fd, offset);
	if (r < 0)
		return r;
	struct iovec iov[] = { { data, len - 1 }, { NULL, 1 } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n = recvmsg(fd, &m, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && errno != EFAULT)
		return fail(UNIX_PEEK, neg_errno(), "recvmsg");
	*ret = n < 0 ? 0 : (size_t)n;
	return *ret < len ? 0 : fail(UNIX_PEEK, -EINVAL, "descriptors in flight behind their data");
}

static inline int collect_stream(struct collector *c, int fd, Ckpt__Unix *u)
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
static inline int collect_messages(struct collector *c, int fd, Ckpt__Unix *u)
{
	_cleanup_(peek_free) struct peek p = { 0 };
	int offset = u->peek_offset >= 0 ? 0 : -1;
	for (u32 sum = 0;;) {
		int r = peek_at(fd, &p, offset, 0);
		bool end = r == 0 && p.len == 0 && !p.nfds && (u->shutdown & 1);
		if (r == -EAGAIN && u->unread && !u->n_message)
			return fail(UNIX_PEEK, r, "the first of %u bytes was not there", u->unread);
		if (r == -EAGAIN || end)
			return u->n_message || end || offset >= 0 ? judge_seen(c, u->n_message) : 0;
		if (r == 0)
			r = add_message(c, u, &p, p.data, (size_t)p.len, true);
		if (r < 0)
			return r;
		offset = (int)(sum += (u32)p.len);
	}
}

/* Of a program that runs: descriptors in flight speak against a dump as its own do. Nothing is taken and no place of reading is moved,
 * so only what comes first can be looked at: a message, or a stream up to its first descriptors. */
static inline int collect_flying(struct collector *c, int fd, Ckpt__Unix *u)
{
	_cleanup_(peek_free) struct peek p = { 0 };
	const char *flying = collector_fdinfo(c, "scm_fds"); /* unix_show_fdinfo(), Linux 5.5 */
	unsigned count = flying ? (unsigned)strtoul(flying, NULL, 10) : 0;
	bool stream = type_number(u->type) == SOCK_STREAM;
	if (!count || u->peek_offset >= 0 || (stream && !u->unread))
		return count ? note(UNIX_FLYING, "%u of %u in socket:[%llu]", count, count, (unsigned long long)u->inode) : 0;
	int r = peek_at(fd, &p, -1, stream ? u->unread : 0);
	if (r == 0)
		r = add_message(c, u, &p, NULL, 0, true);
	if (r == 0 && p.nfds < count)
		note(UNIX_FLYING, "%u of %u in socket:[%llu]", count - p.nfds, count, (unsigned long long)u->inode);
	return r == -EAGAIN ? 0 : r;
}

static inline int collect_queue(struct collector *c, int fd, Ckpt__Unix *u)
{
	int type = type_number(u->type), unread = 0;
	u8 byte;
	int r = socket_queue(fd, SIOCINQ, &unread);
	if (r < 0)
		return r;
	if (r > 0)
		SET(u, unread, (u32)unread);
	if (type == SOCK_STREAM && recv(fd, &byte, 1, MSG_OOB | MSG_PEEK | MSG_DONTWAIT) > 0)
		SET(u, urgent, true);
	if (u->unaccepted || (!u->connected && type != SOCK_DGRAM) || u->urgent)
		return 0;
	if (collector_live(c))
		return collect_flying(c, fd, u);
	r = type == SOCK_STREAM ? collect_stream(c, fd, u) : collect_messages(c, fd, u);
	int back = socket_set_back(fd, SO_PEEK_OFF, u->peek_offset);
	if (back < 0 && r == 0)
		r = fail(UNIX_PEEK, back, "SO_PEEK_OFF could not be set back to %d", u->peek_offset);
	return r;
}
