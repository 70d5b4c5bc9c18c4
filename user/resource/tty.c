// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns pseudoterminals: both sides, settings, sizes, the session that they control and its foreground group. */
#include "resource/tty_named.h"
#include "resource/tty_waiting.h"
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define SLAVE_MAJOR 136
#define INDEX_MAX (1u << 20) /* the kernel has no more: NR_UNIX98_PTY_MAX */

static const struct kind kind_tty = { .name = "tty", .desc = &ckpt__tty__descriptor };

static bool is_side(const Ckpt__Tty *t, const char *side) { return t->side && !strcmp(t->side, side); }
static const char *name_of(const Ckpt__Tty *t) { return t->path ?: t->name ?: "?"; }
static bool has_number(const Ckpt__Tty *t) { return is_side(t, "master") ? t->has_index : t->has_number; }
static u32 number_of(const Ckpt__Tty *t) { return is_side(t, "master") ? t->index : t->number; }

/* Terminals of every kind; those that are no pseudoterminals are refused by name. */
static bool tty_claims(const struct record_file *file, const char *link)
{
	(void)link;
	if ((file->flags & O_PATH) || !S_ISCHR(file->mode))
		return false;
	return file->rdev_major == 4 || (file->rdev_major == 5 && file->rdev_minor <= 2) ||
	       (file->rdev_major >= SLAVE_MAJOR && file->rdev_major < SLAVE_MAJOR + 8);
}

/* Is it another side of the same terminal? */
static bool same_terminal(const Ckpt__Tty *a, const Ckpt__Tty *b)
{
	if (!has_number(a) || !has_number(b))
		return a->has_device && b->has_device && a->device == b->device;
	return number_of(a) == number_of(b) && a->devpts == b->devpts;
}

/* Programs have thousands of them: all files of one terminal are found by its number, in their order. */
enum { NEXT_KEY = 1, FIRST_KEY, LAST_KEY, INDEXED_KEY };
static u64 tty_key(u64 what, u64 a, u64 b) { return map_mix(map_mix(map_mix((uintptr_t)&kind_tty, what), a), b); }

static u64 terminal_key(u64 what, const Ckpt__Tty *t)
{
	return has_number(t) ? tty_key(what, number_of(t), 1ull << 32 | t->devpts) : tty_key(what, t->device, 0);
}

static int index_terminal(const struct graph *graph, const struct object *o)
{
	const Ckpt__Tty *t = o->data;
	u64 last = terminal_key(LAST_KEY, t);
	u32 before = graph_recall(graph, last);
	if (!has_number(t) && !t->has_device)
		return 0;
	int r = graph_remember(graph, before ? tty_key(NEXT_KEY, before, 0) : terminal_key(FIRST_KEY, t), o->id);
	return r < 0 ? r : graph_remember(graph, last, o->id);
}

/* What came to the graph since the last time. */
static int index_terminals(const struct graph *graph)
{
	u64 key = tty_key(INDEXED_KEY, 0, 0);
	u32 last = graph_recall(graph, key);
	const struct object *o = last ? graph_find(graph, &kind_tty, last) : NULL;
	int r = 0;
	while (r == 0 && (o = graph_next(graph, &kind_tty, o))) {
		if (!o->id || graph_find(graph, &kind_tty, o->id) != o) /* as a bad image may have it */
			continue;
		r = index_terminal(graph, o);
		if (r == 0)
			r = graph_remember(graph, key, o->id);
	}
	return r;
}

/* The files of the terminal that t is a side of: for (o = NULL; (o = terminal_next(graph, t, o));) */
static const struct object *terminal_next(const struct graph *graph, const Ckpt__Tty *t, const struct object *after)
{
	const struct object *o = after;
	if (index_terminals(graph) == 0) {
		u32 id = graph_recall(graph, o ? tty_key(NEXT_KEY, o->id, 0) : terminal_key(FIRST_KEY, t));
		return id ? graph_find(graph, &kind_tty, id) : NULL;
	}
	while ((o = graph_next(graph, &kind_tty, o)) && !same_terminal(o->data, t))
		;
	return o;
}

/* What all slave files of one terminal tell alike, the first one speaks for. */
static bool is_first_of_its_side(const struct graph *graph, const struct object *mine)
{
	const Ckpt__Tty *t = mine->data;
	for (const struct object *o = NULL; (o = terminal_next(graph, t, o)) && o != mine;)
		if (is_side(o->data, "master") == is_side(t, "master"))
			return false;
	return true;
}

/* --- collect --- */

static void slave_path(char path[32], u32 index) { snprintf(path, 32, "/dev/pts/%u", index); }

/* Which pseudoterminal is it, and does ckpt see the same one below /dev/pts? */
static void find_index(int fd, const struct stat *st, Ckpt__Tty *t)
{
	unsigned index = 0, device = 0;
	bool master = st->st_rdev == makedev(5, 2);
	char path[32];
	struct stat slave;
	if (!master && ioctl(fd, TIOCGDEV, &device) == 0)
		SET(t, device, device);
	if (master ? ioctl(fd, TIOCGPTN, &index) < 0 : major(device) != SLAVE_MAJOR) {
		SET(t, other, true);
		return;
	}
	if (master)
		SET(t, index, index);
	else
		SET(t, number, minor(device));
	slave_path(path, number_of(t));
	bool by_path = st->st_rdev == makedev(SLAVE_MAJOR, number_of(t));
	if (stat(path, &slave) < 0 || slave.st_rdev != makedev(SLAVE_MAJOR, number_of(t)) ||
	    (by_path && (slave.st_dev != st->st_dev || slave.st_ino != st->st_ino))) {
		SET(t, other, true);
		return;
	}
	SET(t, devpts, (u32)slave.st_dev);
	if (master) {
		SET(t, uid, slave.st_uid);
		SET(t, gid, slave.st_gid);
		SET(t, mode, slave.st_mode & 07777);
	}
}

static int collect_settings(int fd, Ckpt__Tty *t)
{
	struct termios2 termios;
	struct winsize size;
	if (ioctl(fd, TCGETS2, &termios) < 0 || ioctl(fd, TIOCGWINSZ, &size) < 0)
		return fail(SYSCALL, neg_errno(), "the terminal ioctls of %s", name_of(t));
	if (!message_set_bytes(&t->termios, &termios, sizeof termios))
		return fail_memory();
	t->has_termios = true;
	SET(t, rows, size.ws_row);
	SET(t, columns, size.ws_col);
	SET(t, width, size.ws_xpixel);
	SET(t, height, size.ws_ypixel);
	return 0;
}

/* Settings that are locked, as a rule none. */
static int collect_fixed(int fd, Ckpt__Tty *t)
{
	static const struct termios none;
	struct termios fixed = { 0 };
	if (ioctl(fd, TIOCGLCKTRMIOS, &fixed) < 0)
		return fail(SYSCALL, neg_errno(), "the terminal ioctls of %s", name_of(t));
	if (!memcmp(&fixed, &none, sizeof fixed))
		return 0;
	t->has_fixed = message_set_bytes(&t->fixed, &fixed, sizeof fixed);
	return t->has_fixed ? 0 : fail_memory();
}

static int collect_master(struct collector *c, int fd, Ckpt__Tty *t)
{
	int locked = 0, packet = 0;
	pid_t session = 0, foreground = 0;
	if (ioctl(fd, TIOCGPTLCK, &locked) < 0 || ioctl(fd, TIOCGPKT, &packet) < 0)
		return fail(SYSCALL, neg_errno(), "the terminal ioctls of %s", t->path);
	SET(t, locked, locked != 0);
	SET(t, packet, packet != 0);
	if (ioctl(fd, TIOCGSID, &session) == 0 && session > 0 && ioctl(fd, TIOCGPGRP, &foreground) == 0) {
		SET(t, session, (u32)session);
		SET(t, foreground, (u32)foreground);
	}
	struct pollfd poll_fd = { .fd = fd, .events = POLLPRI };
	poll(&poll_fd, 1, 0);
	SET(t, hung_up, (poll_fd.revents & POLLHUP) != 0);
	SET(t, changed, packet && (poll_fd.revents & POLLPRI));
	int r = collect_fixed(fd, t);
	return r == 0 ? collect_waiting(c, fd, t) : r;
}

static int tty_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	Ckpt__Tty *t = o->data;
	struct stat st;
	int fd = collector_fd(c), unread = 0, discipline = 0, exclusive = 0;
	if (fd < 0)
		return fail(FD_DUPLICATE, fd, "%s", subject->link);
	if (fstat(fd, &st) < 0)
		return fail(SYSCALL, neg_errno(), "fstat of %s", subject->link);
	const char *side = st.st_rdev == makedev(5, 2) ? "master" : st.st_rdev == makedev(5, 0) ? "current" : "slave";
	if (!message_set_string(strcmp(side, "slave") ? &t->path : &t->name, subject->link) ||
	    !message_set_string(&t->side, side))
		return fail_memory();
	if (ioctl(fd, TIOCGEXCL, &exclusive) < 0) {
		SET(t, dead, true);
		SET(t, other, major(st.st_rdev) != SLAVE_MAJOR);
		return 0;
	}
	SET(t, exclusive, exclusive != 0);
	find_index(fd, &st, t);
	if (ioctl(fd, TIOCGETD, &discipline) == 0)
		SET(t, discipline, (u32)discipline);
	if (ioctl(fd, FIONREAD, &unread) == 0)
		SET(t, unread, (u32)unread);
	bool master = is_side(t, "master");
	int r = master ? !t->other : is_first_of_its_side(collector_graph(c), o);
	if (discipline) /* it is refused, and may lack the rest */
		return 0;
	if (r)
		r = collect_settings(fd, t);
	return r == 0 && master && !t->other ? collect_master(c, fd, t) : r;
}

/* --- judge --- */

static const struct object *master_of(const struct graph *graph, const Ckpt__Tty *t)
{
	const struct object *o = NULL;
	while (has_number(t) && (o = terminal_next(graph, t, o)))
		if (is_side(o->data, "master") && ((const Ckpt__Tty *)o->data)->has_index)
			return o;
	return NULL;
}

static const Ckpt__Task *member_of(const struct graph *graph, u32 group, u32 session)
{
	const Ckpt__Task *zombie = NULL;
	for (const struct object *o = NULL; (o = graph_next(graph, &kind_task, o));) {
		const Ckpt__Task *t = o->data;
		if (t->pgid != group || t->sid != session)
			continue;
		if (!t->state || strcmp(t->state, "zombie"))
			return t;
		zombie = t;
	}
	return zombie;
}

static int judge_session(const struct graph *graph, const Ckpt__Tty *t)
{
	if (!t->session)
		return 0;
	const Ckpt__Task *leader = graph_data(graph, &kind_task, t->session);
	if (!leader || leader->sid != t->session)
		return fail(TTY_SESSION, 0, "%s %u controls session %u", t->path, t->index, t->session);
	if (!member_of(graph, t->foreground, t->session))
		return fail(TTY_GROUP, 0, "/dev/pts/%u: process group %u", t->index, t->foreground);
	return 0;
}

/* Is its slave open in the tree, or was it? */
static bool was_used(const struct graph *graph, const struct object *master)
{
	const Ckpt__Tty *t = master->data;
	for (const struct object *o = NULL; (o = terminal_next(graph, t, o));)
		if (o != master && master_of(graph, o->data) == master)
			return true;
	return t->hung_up;
}

/* What waits between two sides of the tree, as far as the terminal itself tells. */
static int judge_unread(const struct graph *graph, const struct object *o, const struct object *master)
{
	const Ckpt__Tty *t = o->data;
	if (((const Ckpt__Tty *)master->data)->waiting || !(t->unread || t->changed) || !is_first_of_its_side(graph, o))
		return 0;
	return fail(TTY_DATA, 0, "/dev/pts/%u: %u bytes %s", number_of(t), t->unread,
		    o == master ? "that the program wrote" : "that were typed");
}

static int judge_dump(const struct graph *graph, const struct object *o)
{
	const Ckpt__Tty *t = o->data;
	bool master = is_side(t, "master");
	if (t->dead)
		return t->other ? fail(TTY_HUNG_UP, 0, "%s", name_of(t)) : 0;
	if (master && t->other)
		return fail(TTY_EXTERNAL, 0, "%s, no pseudoterminal of this /dev/pts", t->path);
	int r = 0;
	const struct object *other = master_of(graph, t); /* without one, what waits in it stays where it is */
	if (!other && is_first_of_its_side(graph, o) && !tty_is_named(graph, t))
		note(TTY_GIVEN, "%s", name_of(t));
	if (other)
		r = judge_unread(graph, o, other);
	if (master && judge_waiting(t, was_used(graph, o)) < 0)
		r = -EINVAL;
	if (t->discipline)
		r = fail(TTY_DISCIPLINE, 0, "%s: line discipline %u", name_of(t), t->discipline);
	int session = master ? judge_session(graph, t) : 0;
	return r ? r : session;
}

/* Does a path of the image lead to /dev/ptmx, /dev/tty, or a terminal of the machine (number: 1)? To open another device may already
 * do something. */
static int judge_path(const char *path, unsigned number)
{
	struct stat st;
	if (!path || path[0] != '/')
		return fail(IMAGE_INCONSISTENT, 0, "a terminal without a path");
	if (stat(path, &st) < 0)
		return fail(FILE_MISSING, neg_errno(), "%s", path);
	bool there = st.st_rdev == makedev(5, number) || (number == 1 && major(st.st_rdev) == 4);
	return S_ISCHR(st.st_mode) && there ? 0 : fail(FILE_CHANGED, 0, "%s is no terminal", path);
}

/* Whether there is a terminal to hand over is judged where the command line is known. */
static int judge_slave(const struct graph *graph, const struct object *o)
{
	const Ckpt__Tty *t = o->data;
	bool has_settings = t->termios.len == sizeof(struct termios2);
	if (t->dead)
		return is_side(t, "slave") && !has_number(t) && !t->has_index ? 0
									      : fail(IMAGE_INCONSISTENT, 0, "a dead terminal");
	if (t->has_index || (!is_side(t, "slave") && !is_side(t, "current")))
		return fail(IMAGE_INCONSISTENT, 0, "the side of a terminal");
	if (!master_of(graph, t) && is_first_of_its_side(graph, o) && !has_settings)
		return fail(IMAGE_INCONSISTENT, 0, "settings of an external terminal");
	if (tty_is_named(graph, t))
		return judge_path(t->name, 1);
	return is_side(t, "current") ? judge_path(t->path, 0) : 0;
}

static int judge_restore(const struct graph *graph, const struct object *o)
{
	const Ckpt__Tty *t = o->data;
	char path[32];
	if (!is_side(t, "master"))
		return judge_slave(graph, o);
	if (!t->has_index || t->index >= INDEX_MAX)
		return fail(IMAGE_INCONSISTENT, 0, "terminal %u", t->index);
	if (judge_path(t->path, 2) < 0)
		return -EINVAL;
	if (master_of(graph, t) != o)
		return fail(IMAGE_INCONSISTENT, 0, "terminal %u has two masters", t->index);
	if (t->termios.len != sizeof(struct termios2))
		return fail(IMAGE_INCONSISTENT, 0, "settings of terminal %u", t->index);
	if (t->has_fixed && t->fixed.len != sizeof(struct termios))
		return fail(IMAGE_INCONSISTENT, 0, "fixed settings of terminal %u", t->index);
	slave_path(path, t->index);
	int r = access(path, F_OK) < 0 ? 0 : fail(TTY_TAKEN, 0, "%s", path);
	int session = judge_session(graph, t), waiting = judge_waiting(t, was_used(graph, o));
	return r ? r : session ? session : waiting;
}

static int tty_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	return direction == DIRECTION_DUMP ? judge_dump(graph, o) : judge_restore(graph, o);
}

/* --- plan --- */

/* A socket pair that holds descriptors in flight: the masters whose numbers are too low, until the right one is open. */
struct parking {
	u32 ends[2], header, word; /* slots, data offsets */
};

static struct parking plan_parking(struct plan *plan)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	*(struct cmsghdr *)control = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	struct msghdr header = { .msg_iovlen = 1, .msg_controllen = sizeof control };
	int room = 16 << 20;
	struct parking p;
	u32 fds = plan_data(plan, (int[2]){ -1, -1 }, 8, 4), at = plan_data(plan, control, sizeof control, 8);
	u32 iov = plan_data(plan, &(struct iovec){ .iov_len = 1 }, sizeof(struct iovec), 8);
	p.header = plan_data(plan, &header, sizeof header, 8);
	p.word = at + (u32)CMSG_LEN(0);
	plan_pointer(plan, iov, fds);
	plan_pointer(plan, p.header + offsetof(struct msghdr, msg_iov), iov);
	plan_pointer(plan, p.header + offsetof(struct msghdr, msg_control), at);
	plan_call(plan, CREATE, SYS_socketpair, ARG(AF_UNIX), ARG(SOCK_DGRAM | SOCK_CLOEXEC), ARG(0), ARG_OF_DATA(fds));
	for (u32 i = 0; i < 2; i++)
		p.ends[i] = step_result(plan, plan_op(plan, CREATE, OP_LOAD, 0, (struct arg[6]){ ARG(fds + 4 * i) }));
	step_any(plan_call(plan, CREATE, SYS_setsockopt, ARG_OF_SLOT(p.ends[0]), ARG(SOL_SOCKET), ARG(SO_SNDBUFFORCE),
			   ARG_OF_DATA(plan_data(plan, &room, sizeof room, 4)), ARG(sizeof room)));
	return p;
}

/* The kernel gives the lowest free number: open until the recorded one comes. */
static void plan_master(struct plan *plan, const struct object *o, u32 made)
{
	const Ckpt__Tty *t = o->data;
	struct parking park = plan_parking(plan);
	u32 number = plan_data(plan, NULL, sizeof(u32), 4);
	struct plan_step *open = plan_call(plan, CREATE, SYS_openat, ARG(AT_FDCWD), arg_string(plan, t->path), ARG(made));
	struct arg fd = ARG_OF_SLOT(step_result(plan, open));
	plan_op(plan, CREATE, OP_STORE, 0, (struct arg[6]){ ARG(park.word), fd });
	plan_call(plan, CREATE, SYS_sendmsg, ARG_OF_SLOT(park.ends[0]), ARG_OF_DATA(park.header),
		  ARG(MSG_DONTWAIT | MSG_NOSIGNAL));
	plan_call(plan, CREATE, SYS_dup3, fd, MASTER(plan, o), ARG(O_CLOEXEC));
	plan_call(plan, CREATE, SYS_close, fd);
	plan_call(plan, CREATE, SYS_ioctl, MASTER(plan, o), ARG(TIOCGPTN), ARG_OF_DATA(number));
	u32 got = step_result(plan, plan_op(plan, CREATE, OP_LOAD, 0, (struct arg[6]){ ARG(number) }));
	plan_op(plan, CREATE, OP_BRANCH, 0, (struct arg[6]){ ARG_OF_SLOT(got), ARG(t->index), ARG(7), ARG(t->index) });
	plan_call(plan, CREATE, SYS_close, ARG_OF_SLOT(park.ends[0]));
	plan_call(plan, CREATE, SYS_close, ARG_OF_SLOT(park.ends[1]));
}

/* Opens a slave: by its master, or again what was handed over. */
static struct plan_step *plan_open(struct plan *plan, struct place at, const struct object *master, u32 made)
{
	char path[32];
	if (master)
		return plan_call(plan, at, SYS_ioctl, MASTER(plan, master), ARG(TIOCGPTPEER), ARG(made));
	snprintf(path, sizeof path, "/proc/self/fd/%d", plan_config(plan)->terminal);
	return plan_call(plan, at, SYS_openat, ARG(AT_FDCWD), arg_string(plan, path), ARG(made));
}

/* What opening /dev/tty gives is decided by the controlling terminal: a process that has it for a moment opens it. */
static u32 plan_open_current(struct plan *plan, const struct object *master, const Ckpt__Tty *t, u32 file, u32 made)
{
	char name[32];
	u64 all = ~0ull;
	snprintf(name, sizeof name, "current %u", file);
	struct place at = plan_helper(plan, CREATE, name, 0, NULL);
	step_any(plan_call(plan, at, SYS_rt_sigprocmask, ARG(0), ARG_OF_DATA(plan_data(plan, &all, 8, 8)), ARG(0), ARG(8)));
	step_any(plan_call(plan, at, SYS_setsid));
	struct plan_step *open = plan_open(plan, at, master, O_RDWR | O_NOCTTY);
	step_any(open);
	struct arg slave = ARG_OF_SLOT(step_result(plan, open));
	step_any(plan_call(plan, at, SYS_ioctl, slave, ARG(TIOCSCTTY), ARG(0)));
	struct plan_step *got = plan_helper_call(plan, at, CREATE, SYS_openat,
						 (struct arg[6]){ ARG(AT_FDCWD), arg_string(plan, t->path), ARG(made) });
	step_any(plan_call(plan, at, SYS_ioctl, slave, ARG(TIOCNOTTY), ARG(0)));
	step_any(plan_call(plan, at, SYS_close, slave));
	return step_result(plan, got);
}

static void plan_slave(struct plan *plan, const struct graph *graph, const struct object *master, const struct object *o)
{
	const Ckpt__Tty *t = o->data;
	u32 flags = file_flags(graph, o->id), made = (flags & (O_ACCMODE | O_NONBLOCK)) | O_NOCTTY, fd;
	if (is_side(t, "slave"))
		fd = step_result(plan, plan_open(plan, CREATE, master, made));
	else if (!master && plan_config(plan)->terminal_is_own)
		fd = step_result(plan,
				 plan_call(plan, CREATE, SYS_openat, ARG(AT_FDCWD), arg_string(plan, t->path), ARG(made)));
	else
		fd = plan_open_current(plan, master, t, o->id, made);
	plan_place_fd(plan, fd, o->id);
	plan_status_flags(plan, CREATE, o->id, flags, made);
}

static void plan_settings(struct plan *plan, const struct object *o)
{
	const Ckpt__Tty *t = o->data;
	struct winsize size = { (u16)t->rows, (u16)t->columns, (u16)t->width, (u16)t->height };
	plan_termios(plan, MASTER(plan, o), termios_of(t));
	plan_call(plan, CREATE, SYS_ioctl, MASTER(plan, o), ARG(TIOCSWINSZ),
		  ARG_OF_DATA(plan_data(plan, &size, sizeof size, 8)));
}

/* What keeps others from opening it, or tells of changes: after everything else. */
static void plan_modes(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Tty *t = o->data;
	struct place at = t->session ? AT(t->session, STAGE_TTY) : AT(PLAN_WORLD, STAGE_LINK);
	struct arg one = ARG_OF_DATA(plan_data(plan, &(int){ 1 }, sizeof(int), 4));
	bool slave_done = false;
	for (const struct object *s = NULL; (s = terminal_next(graph, t, s));)
		if (s != o && master_of(graph, s->data) == o && ((const Ckpt__Tty *)s->data)->exclusive && !slave_done) {
			plan_call(plan, at, SYS_ioctl, MASTER(plan, s), ARG(TIOCEXCL), ARG(0));
			slave_done = true;
		}
	if (t->exclusive)
		plan_call(plan, at, SYS_ioctl, MASTER(plan, o), ARG(TIOCEXCL), ARG(0));
	if (t->locked)
		plan_call(plan, at, SYS_ioctl, MASTER(plan, o), ARG(TIOCSPTLCK), one);
	if (t->packet)
		plan_call(plan, at, SYS_ioctl, MASTER(plan, o), ARG(TIOCPKT), one);
	if (t->has_fixed)
		plan_call(plan, at, SYS_ioctl, MASTER(plan, o), ARG(TIOCSLCKTRMIOS),
			  ARG_OF_DATA(plan_data(plan, t->fixed.data, t->fixed.len, 4)));
}

/* The session leader takes it before it forks: a controlling terminal is inherited. The foreground group is set when its
 * members are in it. */
static void plan_session(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Tty *t = o->data;
	struct place at = AT(t->session, plan_has_steps(plan, t->session, STAGE_BIRTH) ? STAGE_BIRTH_TTY : STAGE_CTTY);
	u32 flags = O_RDWR | O_NOCTTY; /* TIOCGPTPEER would keep O_CLOEXEC among the flags of the file */
	u32 slave = step_result(plan, plan_call(plan, at, SYS_ioctl, MASTER(plan, o), ARG(TIOCGPTPEER), ARG(flags)));
	plan_call(plan, at, SYS_ioctl, ARG_OF_SLOT(slave), ARG(TIOCSCTTY), ARG(0));
	plan_call(plan, at, SYS_close, ARG_OF_SLOT(slave));
	const Ckpt__Task *member = member_of(graph, t->foreground, t->session);
	if (!member || t->foreground == t->session)
		return;
	char name[32];
	snprintf(name, sizeof name, "foreground %u", t->foreground);
	plan_post(plan, AT(member->pid, STAGE_FILES), plan_word(plan, name));
	plan_wait(plan, AT(t->session, STAGE_TTY), plan_word(plan, name), 1);
	plan_call(plan, AT(t->session, STAGE_TTY), SYS_ioctl, MASTER(plan, o), ARG(TIOCSPGRP),
		  ARG_OF_DATA(plan_data(plan, &t->foreground, sizeof t->foreground, 4)));
}

static void plan_node(struct plan *plan, const Ckpt__Tty *t)
{
	char path[32];
	slave_path(path, t->index);
	struct arg name = arg_string(plan, path);
	step_any(plan_call(plan, CREATE, SYS_fchownat, ARG(AT_FDCWD), name, ARG(t->uid), ARG(t->gid), ARG(0)));
	step_any(plan_call(plan, CREATE, SYS_fchmodat, ARG(AT_FDCWD), name, ARG(t->mode)));
}

/* A terminal that was handed over gets the settings that the program knows; ctty.c gives it to its session. */
static void plan_external(struct plan *plan, const struct graph *graph, const struct object *o)
{
	plan_slave(plan, graph, NULL, o);
	if (is_first_of_its_side(graph, o))
		plan_settings(plan, o);
}

/* One of the machine: opening a serial line would wait for its carrier. */
static void plan_named(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Tty *t = o->data;
	u32 flags = file_flags(graph, o->id), made = (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY;
	struct arg name = arg_string(plan, t->name);
	u32 fd = step_result(plan, plan_call(plan, CREATE, SYS_openat, ARG(AT_FDCWD), name, ARG(made)));
	plan_place_fd(plan, fd, o->id);
	if (is_first_of_its_side(graph, o))
		plan_settings(plan, o);
	if (t->exclusive)
		plan_call(plan, AT(PLAN_WORLD, STAGE_LINK), SYS_ioctl, MASTER(plan, o), ARG(TIOCEXCL), ARG(0));
	plan_status_flags(plan, CREATE, o->id, flags, made);
}

/* The slave of a master that is closed at once. */
static void plan_dead(struct plan *plan, const struct graph *graph, const struct object *o)
{
	u32 flags = file_flags(graph, o->id), made = (flags & (O_ACCMODE | O_NONBLOCK)) | O_NOCTTY;
	struct plan_step *open = plan_call(plan, CREATE, SYS_openat, ARG(AT_FDCWD), arg_string(plan, "/dev/ptmx"),
					   ARG(O_RDWR | O_NOCTTY | O_CLOEXEC));
	struct arg master = ARG_OF_SLOT(step_result(plan, open));
	plan_call(plan, CREATE, SYS_ioctl, master, ARG(TIOCSPTLCK), ARG_OF_DATA(plan_data(plan, NULL, 4, 4)));
	u32 slave = step_result(plan, plan_call(plan, CREATE, SYS_ioctl, master, ARG(TIOCGPTPEER), ARG(made)));
	plan_call(plan, CREATE, SYS_close, master);
	plan_place_fd(plan, slave, o->id);
	plan_status_flags(plan, CREATE, o->id, flags, made);
}

static void plan_terminal(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Tty *t = o->data;
	bool waits = t->waiting && !waiting_is_empty(t->waiting);
	u32 flags = file_flags(graph, o->id), made = (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	struct arg slave = { 0 };
	plan_master(plan, o, made);
	plan_call(plan, CREATE, SYS_ioctl, MASTER(plan, o), ARG(TIOCSPTLCK), ARG_OF_DATA(plan_data(plan, NULL, 4, 4)));
	for (const struct object *s = NULL; (s = terminal_next(graph, t, s));)
		if (s != o && master_of(graph, s->data) == o)
			plan_slave(plan, graph, o, s);
	if (waits || t->hung_up)
		slave = ARG_OF_SLOT(step_result(plan, plan_open(plan, CREATE, o, O_RDWR | O_NOCTTY | O_NONBLOCK)));
	if (waits)
		plan_waiting(plan, o, slave);
	plan_settings(plan, o);
	if (waits)
		plan_waiting_behind(plan, o, slave);
	if (waits || t->hung_up)
		plan_call(plan, CREATE, SYS_close, slave);
	plan_status_flags(plan, CREATE, o->id, flags, made);
	plan_node(plan, t);
	if (t->session)
		plan_session(plan, graph, o);
	plan_modes(plan, graph, o);
}

static int tty_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Tty *t = o->data;
	if (is_side(t, "master"))
		plan_terminal(plan, graph, o);
	else if (tty_is_named(graph, t))
		plan_named(plan, graph, o);
	else if (!t->dead && !master_of(graph, t))
		plan_external(plan, graph, o);
	if (graph_next(graph, &kind_tty, o))
		return 0;
	/* the dead take any number: now those are taken that the others need */
	for (const struct object *dead = NULL; (dead = graph_next(graph, &kind_tty, dead));)
		if (((const Ckpt__Tty *)dead->data)->dead)
			plan_dead(plan, graph, dead);
	return 0;
}

const struct resource resource_tty = {
	.name = "tty",
	.scope = SCOPE_FILE,
	.kind = &kind_tty,
	.claims = tty_claims,
	.collect = tty_collect,
	.judge = tty_judge,
	.plan = tty_plan,
};
