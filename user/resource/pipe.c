// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns pipes, with and without a name: their ends, what is in them, packets and capacity. Data is read from a copy that tee(2) makes. */
#include "base/file.h"
#include "collect/collect.h"
#include "pipe.pb-c.h"
#include "resource/nameless.h"
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define PACKET_MAX 4096 /* a packet never crosses a page: pipe(2) */

static const struct kind kind_pipe = { .name = "pipe", .desc = &ckpt__pipe__descriptor };

static bool pipe_claims(const struct record_file *file, const char *link)
{
	return !(file->flags & O_PATH) && S_ISFIFO(file->mode) && (link[0] == '/' || !strncmp(link, "pipe:[", 6));
}

/* --- collect --- */

/* Splits what the private copy holds into packets: a read ends early only at the end of a packet. */
static int read_packets(int copy, u32 unread, Ckpt__Pipe *p)
{
	_cleanup_free_ u8 *data = malloc(unread);
	if (!data)
		return fail_memory();
	for (u32 at = 0; at < unread;) {
		ssize_t n = read(copy, data + at, unread - at);
		if (n <= 0)
			return fail(PIPE_CHANGED, n < 0 ? neg_errno() : -ENODATA, "%u of %u bytes could be read", at, unread);
		if (at || n < unread)
			if (!MESSAGE_APPEND(&p->n_packet, &p->packet, (u32)n))
				return fail_memory();
		at += (u32)n;
	}
	p->data = (ProtobufCBinaryData){ unread, take_ptr(data) };
	p->has_data = true;
	return 0;
}

/* Copies the pipe's buffers by reference: nothing is consumed. A writing end alone is looked into by a reader of our own. */
static int peek(struct collector *c, int fd, bool readable, Ckpt__Pipe *p)
{
	_cleanup_close_ int own = -1, from = -1, to = -1;
	if (!readable) {
		char path[32];
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		own = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (own < 0)
			return fail(PIPE_PEEK, neg_errno(), "open of its reading side");
		fd = own;
	}
	int ends[2], unread = 0;
	if (ioctl(fd, FIONREAD, &unread) < 0)
		return fail(PIPE_PEEK, neg_errno(), "FIONREAD");
	SET(p, unread, (u32)unread);
	bool maybe_quiet = readable && p->path && !p->hung_up;
	if (unread <= 0 && !maybe_quiet)
		return 0;
	if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0)
		return fail(SYSCALL, neg_errno(), "pipe2");
	from = ends[0];
	to = ends[1];
	if (unread <= 0) { /* nothing to copy: 0 without a writer, else EAGAIN (ipipe_prep) */
		if (tee(fd, to, 1, SPLICE_F_NONBLOCK) == 0)
			SET(p, quiet, true);
		return 0;
	}
	if (fcntl(to, F_SETPIPE_SZ, p->capacity) < 0)
		return fail(PIPE_PEEK, neg_errno(), "F_SETPIPE_SZ %u of a copy", p->capacity);
	ssize_t n = tee(fd, to, INT32_MAX, SPLICE_F_NONBLOCK);
	if (n >= 0 && n != unread && collector_external(c)) { /* somebody outside writes or reads */
		SET(p, changed, true);
		return 0;
	}
	if (n != unread)
		return fail(PIPE_PEEK, n < 0 ? neg_errno() : -EAGAIN, "tee copied %zd of %d bytes", n, unread);
	return read_packets(from, (u32)unread, p);
}

static int collect_first_end(struct collector *c, const struct object *mine, Ckpt__Pipe *my)
{
	u64 key = map_mix(map_mix((uintptr_t)&kind_pipe, my->inode), my->device);
	u32 first = collector_recall(c, key);
	SET(my, pipe, first ?: mine->id);
	return first || collector_remember(c, key, mine->id) == 0 ? 0 : fail_memory();
}

static int collect_nameless(const struct subject *subject, Ckpt__Pipe *p, int fd)
{
	char path[4096];
	struct stat st;
	if (!nameless_path(subject->link, path))
		return fail(PROC_READ, -ENAMETOOLONG, "%s", subject->link);
	if (fstat(fd, &st) < 0)
		return fail(SYSCALL, neg_errno(), "fstat of %s", subject->link);
	SET(p, nameless, true);
	SET(p, mode, st.st_mode & 07777);
	SET(p, uid, st.st_uid);
	SET(p, gid, st.st_gid);
	u32 lost = nameless_lost(path);
	if (lost)
		SET(p, lost, lost);
	if (st.st_nlink)
		SET(p, links, (u32)st.st_nlink);
	return message_set_string(&p->path, path) ? 0 : fail_memory();
}

static int collect_name(const struct subject *subject, Ckpt__Pipe *p, int fd)
{
	struct stat st;
	if (subject->link[0] != '/')
		return 0;
	if (nameless_claims(subject->file, subject->link))
		return collect_nameless(subject, p, fd);
	if (!message_set_string(&p->path, subject->link))
		return fail_memory();
	if (lstat(p->path, &st) < 0 || (u32)st.st_dev != p->device || st.st_ino != p->inode)
		SET(p, moved, true);
	return 0;
}

static int pipe_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	Ckpt__Pipe *p = o->data;
	u32 access = subject->file->flags & O_ACCMODE;
	SET(p, inode, subject->file->ino);
	SET(p, device, (u32)makedev(subject->file->dev_major, subject->file->dev_minor));
	int fd = collector_fd(c);
	if (fd < 0)
		return fail(FD_DUPLICATE, fd, "pipe:[%llu]", (unsigned long long)p->inode);
	int r = collect_first_end(c, o, p);
	if (r == 0)
		r = collect_name(subject, p, fd);
	if (r < 0)
		return r;
	struct pollfd poll_fd = { .fd = fd };
	SET(p, hung_up, poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & (POLLHUP | POLLERR)));
	if (p->pipe != o->id)
		return 0;
	int capacity = fcntl(fd, F_GETPIPE_SZ);
	if (capacity < 0)
		return fail(PIPE_PEEK, neg_errno(), "F_GETPIPE_SZ");
	SET(p, capacity, (u32)capacity);
	return collector_live(c) ? 0 : peek(c, fd, access != O_WRONLY, p);
}

/* --- judge --- */

enum { NOTED, FIRST, NEXT, LAST }; /* what the graph remembers of pipes: FIRST, LAST: end of a pipe; NEXT: behind an end */

static u64 end_key(u32 what, u32 number) { return map_mix(map_mix((uintptr_t)&kind_pipe, what), number); }

/* Notes which ends each pipe has: false when there was no memory for it, or they are in no order (a bad image). */
static bool note_ends(const struct graph *graph)
{
	enum { BROKEN_OFF = 1, DONE };
	u32 noted = graph_recall(graph, end_key(NOTED, 0));
	if (noted)
		return noted == DONE;
	int r = graph_remember(graph, end_key(NOTED, 0), BROKEN_OFF);
	for (const struct object *o = NULL; r == 0 && (o = graph_next(graph, &kind_pipe, o));) {
		u32 pipe = ((const Ckpt__Pipe *)o->data)->pipe, last = graph_recall(graph, end_key(LAST, pipe));
		r = last >= o->id ? -EINVAL : graph_remember(graph, last ? end_key(NEXT, last) : end_key(FIRST, pipe), o->id);
		if (r == 0)
			r = graph_remember(graph, end_key(LAST, pipe), o->id);
	}
	return r == 0 && graph_remember(graph, end_key(NOTED, 0), DONE) == 0;
}

/* The end of a pipe behind another one, in their order; NULL: behind the last. */
static const struct object *next_end(const struct graph *graph, u32 pipe, const struct object *o)
{
	if (note_ends(graph))
		return graph_find(graph, &kind_pipe, graph_recall(graph, o ? end_key(NEXT, o->id) : end_key(FIRST, pipe)));
	while ((o = graph_next(graph, &kind_pipe, o)) && ((const Ckpt__Pipe *)o->data)->pipe != pipe)
		;
	return o;
}

struct ends {
	bool reader, writer, hung_up, direct, quiet;
};

static struct ends ends_of(const struct graph *graph, u32 pipe)
{
	struct ends e = { 0 };
	for (const struct object *o = NULL; (o = next_end(graph, pipe, o));) {
		const Ckpt__Pipe *p = o->data;
		u32 flags = file_flags(graph, o->id), access = flags & O_ACCMODE;
		e.reader |= access != O_WRONLY;
		e.writer |= access != O_RDONLY;
		e.hung_up |= p->hung_up;
		e.quiet |= p->quiet;
		e.direct |= access != O_RDONLY && (flags & O_DIRECT);
	}
	return e;
}

/* Packets and their lengths; a single one has no length of its own. */
static bool in_packets(const Ckpt__Pipe *p, const struct ends *e) { return p->n_packet || (e->direct && p->data.len); }

static int judge_packets(const Ckpt__Pipe *p, const struct ends *e)
{
	u64 sum = 0;
	bool fits = true;
	for (size_t i = 0; i < p->n_packet; i++) {
		sum += p->packet[i];
		fits &= p->packet[i] && p->packet[i] <= PACKET_MAX;
	}
	if (in_packets(p, e) && !p->n_packet)
		sum = p->data.len, fits = sum <= PACKET_MAX;
	if (p->n_packet && sum != p->data.len)
		return fail(IMAGE_INCONSISTENT, 0, "packets of %llu bytes, data of %zu", (unsigned long long)sum, p->data.len);
	return fits ? 0 : fail(PIPE_PACKETS, 0, "%zu bytes", p->data.len);
}

/* Of a named one: it can be opened again. */
static int judge_name(const Ckpt__Pipe *p, enum direction direction)
{
	struct stat st;
	if (!p->path)
		return p->nameless ? fail(IMAGE_INCONSISTENT, 0, "a fifo without a path") : 0;
	if (direction == DIRECTION_DUMP && p->links)
		return fail(FILE_DELETED, 0, "%s has %u other name%s", p->path, p->links, p->links == 1 ? "" : "s");
	if (direction == DIRECTION_DUMP)
		return p->moved ? fail(FILE_MOVED, 0, "%s", p->path) : 0;
	if (p->nameless)
		return nameless_judge(p->path, p->lost, false);
	if (lstat(p->path, &st) < 0)
		return fail(FILE_MISSING, neg_errno(), "%s", p->path);
	return S_ISFIFO(st.st_mode) ? 0 : fail(FILE_CHANGED, 0, "%s is no fifo", p->path);
}

static bool has_both_sides(const struct ends *e) { return e->hung_up || (e->quiet && e->reader) || (e->reader && e->writer); }

/* A named one is opened by its name, and so by others. */
static bool pipe_external(const struct graph *graph, const struct object *o)
{
	const Ckpt__Pipe *p = o->data;
	struct ends e = ends_of(graph, p->pipe);
	return !p->path && !has_both_sides(&e);
}

static void note_external(const struct graph *graph, const Ckpt__Pipe *p)
{
	struct ends e = ends_of(graph, p->pipe);
	char waits[64] = "";
	if (e.reader && (p->unread || p->changed))
		snprintf(waits, sizeof waits, ", with %u bytes that are not kept", p->unread);
	note(FILE_GIVEN, "pipe:[%llu]%s", (unsigned long long)p->inode, waits);
}

static int pipe_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	const Ckpt__Pipe *p = o->data, *first = graph_data(graph, &kind_pipe, p->pipe);
	if (!first || first->pipe != p->pipe)
		return fail(IMAGE_INCONSISTENT, 0, "pipe %u", p->pipe);
	if (p->pipe != o->id)
		return 0;
	struct ends e = ends_of(graph, o->id);
	if (file_is_external(graph, o->id)) {
		note_external(graph, p);
		return 0;
	}
	int r = judge_name(p, direction);
	if (p->changed)
		r = fail(PIPE_CHANGED, 0, "pipe:[%llu]", (unsigned long long)p->inode);
	if (!has_both_sides(&e))
		r = fail(PIPE_EXTERNAL, 0, "%s%spipe:[%llu], whose %s side is open elsewhere", p->path ?: "",
			 p->path ? ", " : "", (unsigned long long)p->inode, e.reader ? "writing" : "reading");
	int packets = judge_packets(p, &e);
	return r ? r : packets;
}

/* --- plan --- */

#define CREATE AT(PLAN_WORLD, STAGE_CREATE)

static void plan_contents(struct plan *plan, const Ckpt__Pipe *p, u32 writer)
{
	if (!p->data.len)
		return;
	u32 data = plan_data(plan, p->data.data, p->data.len, 8), offset = 0;
	for (size_t i = 0; i < MAX(p->n_packet, 1u); i++) {
		u32 len = p->n_packet ? p->packet[i] : (u32)p->data.len;
		step_expect(plan_call(plan, CREATE, SYS_write, ARG_OF_SLOT(writer), ARG_OF_DATA(data + offset), ARG(len)), len);
		offset += len;
	}
}

/* The member that gets what pipe2 itself makes for this side; 0: none. */
static u32 original_end(const struct graph *graph, u32 pipe, u32 access)
{
	for (const struct object *o = NULL; (o = next_end(graph, pipe, o));)
		if ((file_flags(graph, o->id) & O_ACCMODE) == access)
			return o->id;
	return 0;
}

/* open(2) of a fifo refuses O_DIRECT, fcntl(2) does not. */
static u32 member_flags(const struct graph *graph, u32 file)
{
	return (file_reopen_flags(graph, file) & ~(u32)O_DIRECT) | O_NONBLOCK;
}

static void plan_others(struct plan *plan, const struct graph *graph, const struct object *o, u32 any_end, u32 reader,
			u32 writer)
{
	for (const struct object *other = NULL; (other = next_end(graph, o->id, other));) {
		u32 flags = file_flags(graph, other->id);
		if (other->id != reader && other->id != writer)
			plan_reopen(plan, any_end, ((const Ckpt__Pipe *)o->data)->path, other->id,
				    member_flags(graph, other->id), flags);
	}
}

static void plan_capacity(struct plan *plan, const Ckpt__Pipe *p, u32 writer)
{
	step_expect(plan_call(plan, CREATE, SYS_fcntl, ARG_OF_SLOT(writer), ARG(F_SETPIPE_SZ), ARG(p->capacity)), p->capacity);
}

static void plan_end(struct plan *plan, const struct graph *graph, u32 fd, u32 file, u32 made)
{
	if (!file) {
		plan_call(plan, CREATE, SYS_close, ARG_OF_SLOT(fd));
		return;
	}
	plan_place_fd(plan, fd, file);
	plan_status_flags(plan, CREATE, file, file_flags(graph, file), made);
}

static void plan_anonymous(struct plan *plan, const struct graph *graph, const struct object *o, u32 packets)
{
	const Ckpt__Pipe *p = o->data;
	u32 reader = original_end(graph, o->id, O_RDONLY), writer = original_end(graph, o->id, O_WRONLY);
	u32 fds = plan_data(plan, (int[2]){ -1, -1 }, 8, 4);
	plan_call(plan, CREATE, SYS_pipe2, ARG_OF_DATA(fds), ARG(O_CLOEXEC | O_NONBLOCK | packets));
	u32 r = step_result(plan, plan_op(plan, CREATE, OP_LOAD, 0, (struct arg[6]){ ARG(fds) }));
	u32 w = step_result(plan, plan_op(plan, CREATE, OP_LOAD, 0, (struct arg[6]){ ARG(fds + 4) }));
	plan_capacity(plan, p, w);
	plan_contents(plan, p, w);
	plan_others(plan, graph, o, r, reader, writer);
	plan_end(plan, graph, r, reader, O_NONBLOCK);
	plan_end(plan, graph, w, writer, O_NONBLOCK | packets);
}

/* Holds a named one open for both sides while its members open it, so that none waits for the other; for reading only, when
 * its readers shall not see a writer come and go. */
static u32 holder_flags(const struct ends *e) { return (e->quiet && !e->writer ? O_RDONLY : O_RDWR) | O_NONBLOCK | O_CLOEXEC; }

static void fill_holder(struct plan *plan, const Ckpt__Pipe *p, u32 holder, u32 packets)
{
	plan_capacity(plan, p, holder);
	if (packets)
		plan_call(plan, CREATE, SYS_fcntl, ARG_OF_SLOT(holder), ARG(F_SETFL), ARG(packets | O_NONBLOCK));
	plan_contents(plan, p, holder);
}

/* Nobody else may have left data in it. */
static void plan_named(struct plan *plan, const struct graph *graph, const struct object *o, const struct ends *e, u32 packets)
{
	const Ckpt__Pipe *p = o->data;
	u32 unread = plan_data(plan, NULL, 4, 4);
	u32 holder = step_result(
		plan, plan_call(plan, CREATE, SYS_openat, ARG(AT_FDCWD), arg_string(plan, p->path), ARG(holder_flags(e))));
	plan_call(plan, CREATE, SYS_ioctl, ARG_OF_SLOT(holder), ARG(FIONREAD), ARG_OF_DATA(unread));
	step_expect(plan_op(plan, CREATE, OP_LOAD, 0, (struct arg[6]){ ARG(unread) }), 0);
	fill_holder(plan, p, holder, packets);
	plan_others(plan, graph, o, holder, 0, 0);
	plan_call(plan, CREATE, SYS_close, ARG_OF_SLOT(holder));
}

struct making {
	u32 holder, holder_flags;
	struct opened_list members;
};

static struct plan_step *make_fifo(struct plan *plan, struct place at, struct arg name, void *with _unused_)
{
	return plan_call(plan, at, SYS_mknodat, ARG(AT_FDCWD), name, ARG(S_IFIFO | 0600), ARG(0));
}

static void use_fifo(struct plan *plan, struct place at, struct arg name, void *with)
{
	struct making *m = with;
	struct plan_step *open = plan_call(plan, at, SYS_openat, ARG(AT_FDCWD), name, ARG(m->holder_flags));
	step_any(open);
	step_into(open, m->holder);
	opened_plan(&m->members, plan, at, name);
}

static int plan_unlinked(struct plan *plan, const struct graph *graph, const struct object *o, const struct ends *e,
			 u32 packets)
{
	const Ckpt__Pipe *p = o->data;
	struct making m = { .holder = nameless_slot(plan), .holder_flags = holder_flags(e) };
	int r = 0;
	for (const struct object *other = NULL; r == 0 && (other = next_end(graph, o->id, other));)
		r = opened_add(&m.members, plan, other->id, member_flags(graph, other->id));
	plan_nameless(plan,
		      &(struct nameless){ .path = p->path, .lost = p->lost, .make = make_fifo, .use = use_fifo, .with = &m });
	plan_check(plan, CREATE, m.holder);
	fill_holder(plan, p, m.holder, packets);
	opened_place(&m.members, plan);
	for (size_t i = 0; i < m.members.list.n; i++) {
		u32 file = m.members.list.v[i].file;
		plan_status_flags(plan, CREATE, file, file_flags(graph, file), m.members.list.v[i].flags);
	}
	plan_call(plan, CREATE, SYS_fchown, ARG_OF_SLOT(m.holder), ARG(p->uid), ARG(p->gid));
	plan_call(plan, CREATE, SYS_fchmod, ARG_OF_SLOT(m.holder), ARG(p->mode));
	plan_call(plan, CREATE, SYS_close, ARG_OF_SLOT(m.holder));
	vector_free(&m.members.list);
	return r;
}

static bool pipe_apart(const struct graph *graph _unused_, const struct object *o _unused_) { return true; }

static int pipe_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Pipe *p = o->data;
	if (p->pipe != o->id)
		return 0;
	struct ends e = ends_of(graph, o->id);
	u32 packets = in_packets(p, &e) ? O_DIRECT : 0;
	if (p->nameless)
		return plan_unlinked(plan, graph, o, &e, packets);
	if (p->path)
		plan_named(plan, graph, o, &e, packets);
	else
		plan_anonymous(plan, graph, o, packets);
	return 0;
}

const struct resource resource_pipe = {
	.name = "pipe",
	.scope = SCOPE_FILE,
	.kind = &kind_pipe,
	.claims = pipe_claims,
	.collect = pipe_collect,
	.judge = pipe_judge,
	.external = pipe_external,
	.apart = pipe_apart,
	.plan = pipe_plan,
};
