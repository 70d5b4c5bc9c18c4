// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns epoll(7): which files an instance watches, under which numbers, and what it tells of them. */
#include "collect/collect.h"
#include "epoll.pb-c.h"
#include "resource/file_scope.h"
#include "resource/poller.h"
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

static const struct kind kind_epoll = { .name = "epoll", .desc = &ckpt__epoll__descriptor };

/* Bits that say how to tell, not what; a disarmed EPOLLONESHOT has no others. */
#define MANNER ((u32)(EPOLLET | EPOLLONESHOT | EPOLLWAKEUP | EPOLLEXCLUSIVE))
#define ANYTHING ((u32)(EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP))

static bool is_disarmed(const Ckpt__EpollEntry *e) { return !(e->events & ~MANNER); }

static bool epoll_claims(const struct record_file *file, const char *link)
{
	(void)file;
	return !strcmp(link, "anon_inode:[eventpoll]");
}

/* --- collect --- */

#define NESTING_MAX 5 /* of instances in instances: eventpoll.c */

/* Must a file not be asked? A signalfd tells the signals of whoever asks; files such as /proc/self/mounts tell a change once. */
static bool is_touchy(const struct graph *graph, u32 file, int depth)
{
	const Ckpt__File *f = graph_data(graph, &kind_file, file);
	const Ckpt__Epoll *inner = graph_data(graph, &kind_epoll, file);
	bool touchy = f && f->kind && (!strcmp(f->kind, "signalfd") || (f->link && !strncmp(f->link, "/proc/", 6)));
	for (size_t i = 0; !touchy && inner && i < inner->n_entry; i++)
		touchy = depth == NESTING_MAX || is_touchy(graph, inner->entry[i]->file, depth + 1);
	return touchy;
}

/* "tfd: 5 events: 19 data: 5 pos:0 ino:d3 sdev:10": what follows "tfd:". */
static bool parse_entry(const char *line, Ckpt__EpollEntry *e)
{
	unsigned fd, events;
	unsigned long long data, inode;
	if (sscanf(line, "%u events: %x data: %llx pos:%*d ino:%llx", &fd, &events, &data, &inode) != 4)
		return false;
	SET(e, fd, fd);
	SET(e, events, events);
	SET(e, data, data);
	SET(e, inode, inode);
	return true;
}

/* kcmp(2) counts the entries of one number in the order of fdinfo. */
static u32 same_number_before(const Ckpt__Epoll *m, size_t index)
{
	u32 n = 0;
	for (size_t i = 0; i < index; i++)
		n += m->entry[i]->fd == m->entry[index]->fd;
	return n;
}

static int find_file(struct collector *c, const Ckpt__Epoll *m, size_t index)
{
	Ckpt__EpollEntry *e = m->entry[index];
	u32 file, ready = 0, nth = same_number_before(m, index);
	int own = collector_fd(c);
	if (own < 0)
		return fail(FD_DUPLICATE, own, "anon_inode:[eventpoll]");
	int r = collector_add_watched(c, own, e->fd, nth, e->inode, &file, NULL);
	if (r == 0 && file && is_disarmed(e) && !is_touchy(collector_graph(c), file, 0))
		r = collector_add_watched(c, own, e->fd, nth, e->inode, &file, &ready);
	if (file)
		SET(e, file, file);
	if (is_disarmed(e))
		SET(e, ready, ready);
	return r;
}

static int by_number(const void *a, const void *b)
{
	const Ckpt__EpollEntry *x = *(Ckpt__EpollEntry *const *)a, *y = *(Ckpt__EpollEntry *const *)b;
	const u64 keys[][2] = { { x->fd, y->fd }, { x->data, y->data }, { x->events, y->events }, { x->file, y->file } };
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i][0] != keys[i][1])
			return keys[i][0] < keys[i][1] ? -1 : 1;
	return 0;
}

/* Network devices that are polled while somebody waits: eventpoll.h, EPIOCGPARAMS. */
struct busy_poll {
	u32 microseconds;
	u16 budget;
	u8 prefer, pad;
};
#define GET_BUSY_POLL _IOR(0x8A, 0x02, struct busy_poll)
#define SET_BUSY_POLL _IOW(0x8A, 0x01, struct busy_poll)

static void collect_busy_poll(int fd, Ckpt__Epoll *m)
{
	struct busy_poll b;
	if (fd < 0 || ioctl(fd, GET_BUSY_POLL, &b) < 0 || (!b.microseconds && !b.budget && !b.prefer))
		return;
	SET(m, busy_poll, b.microseconds);
	SET(m, busy_poll_budget, b.budget);
	SET(m, busy_poll_prefer, b.prefer != 0);
}

/* What is added is told when it is ready. Where it had been told, it is taken away again before it is joined by others. */
enum manner { DISARMED, ON_EDGES, ORDINARY };

static enum manner manner_of(const Ckpt__EpollEntry *e)
{
	if (is_disarmed(e))
		return DISARMED;
	return e->events & EPOLLET && !(e->events & EPOLLONESHOT) ? ON_EDGES : ORDINARY;
}

static bool watches(const Ckpt__Epoll *m, u32 number, u32 file)
{
	for (size_t i = 0; i < m->n_entry; i++)
		if (m->entry[i]->fd == number && m->entry[i]->file == file)
			return true;
	return false;
}

/* What no process has open may be on its way to one through a socket. The entries have been sorted meanwhile: each place among those of
 * one number is tried. */
static void find_in_flight(struct collector *c, const Ckpt__Epoll *m, int fd)
{
	for (size_t i = 0; i < m->n_entry; i++) {
		Ckpt__EpollEntry *e = m->entry[i];
		for (u32 nth = 0, ready = 0; !e->file && nth < m->n_entry; nth++) {
			u32 file = collector_watched_in_flight(c, fd, e->fd, nth, e->inode, &ready);
			if (!file || watches(m, e->fd, file))
				continue;
			SET(e, file, file);
			if (is_disarmed(e) && !is_touchy(collector_graph(c), file, 0))
				SET(e, ready, ready);
		}
	}
}

/* Does nothing wait to be told? Then what is ready and watched with EPOLLET has been told. The kernel asks every file that
 * may be ready, and forgets those that are not. What comes from outside may come until all has settled (data of a connection, until
 * the network is locked), and is told later: so this is asked last. */
static int epoll_settle(struct collector *c, struct object *o)
{
	Ckpt__Epoll *m = o->data;
	bool has_edges = false, lacks = false;
	WORKING_ON("file %u", o->id);
	for (size_t i = 0; i < m->n_entry; i++) {
		has_edges |= manner_of(m->entry[i]) == ON_EDGES;
		lacks |= !m->entry[i]->file;
	}
	if (!has_edges && !lacks)
		return 0;
	_cleanup_close_ int fd = collector_open(c, o->id);
	if (fd < 0)
		return fail(FD_DUPLICATE, fd, "anon_inode:[eventpoll]");
	if (lacks)
		find_in_flight(c, m, fd);
	for (size_t i = 0; i < m->n_entry; i++)
		if (is_touchy(collector_graph(c), m->entry[i]->file, 0))
			return 0;
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	if (has_edges && poll(&poll_fd, 1, 0) == 0)
		SET(m, quiet, true);
	return 0;
}

static int epoll_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	(void)subject;
	Ckpt__Epoll *m = o->data;
	for (const char *line = collector_fdinfo(c, "tfd"); line; line = strstr(line, "\ntfd:")) {
		line += *line == '\n' ? 5 : 0;
		Ckpt__EpollEntry *e = MESSAGE_NEW(Ckpt__EpollEntry, ckpt__epoll_entry);
		if (!e || !MESSAGE_APPEND(&m->n_entry, &m->entry, e)) {
			free(e);
			return fail_memory();
		}
		if (!parse_entry(line, e))
			return fail(FD_FDINFO, 0, "tfd:%.80s", line);
	}
	int r = 0;
	for (size_t i = 0; r == 0 && i < m->n_entry; i++)
		r = find_file(c, m, i);
	if (m->n_entry)
		qsort(m->entry, m->n_entry, sizeof *m->entry, by_number);
	collect_busy_poll(collector_fd(c), m);
	return r;
}

/* --- entries that a process adds: a signalfd tells the signals of who added it, what tells of a process is not there before --- */

static bool is_of_kind(const struct graph *graph, const Ckpt__EpollEntry *e, const char *kind)
{
	const Ckpt__File *f = graph_data(graph, &kind_file, e->file);
	return f && f->kind && !strcmp(f->kind, kind);
}

static bool is_added_late(const struct graph *graph, const Ckpt__EpollEntry *e)
{
	return is_of_kind(graph, e, "signalfd") || is_of_kind(graph, e, "pidfd") || is_of_kind(graph, e, "procfs") ||
	       is_of_kind(graph, e, "userfaultfd") || poller_of(graph, e->file);
}

static bool has_file(const struct graph *graph, const Ckpt__Task *task, u32 file)
{
	const struct object *fds = graph_find(graph, &kind_fds, task->fds);
	bool has = fds && table_has(fds, file);
	for (size_t i = 0; !has && i < task->n_tid; i++) { /* it has what their tables are made from */
		const Ckpt__Thread *thread = graph_data(graph, &kind_thread, task->tid[i]);
		fds = thread && thread->fds ? graph_find(graph, &kind_fds, thread->fds) : NULL;
		has = fds && table_has(fds, file);
	}
	return has;
}

/* The process that has added it: the eldest of those that have both, else of those that have the instance; of what
 * tells of a process of those that have that, since no others get it. 0: none. */
static u32 process_of_entry(const struct graph *graph, const struct object *o, const Ckpt__EpollEntry *e)
{
	u32 first = 0, needed = is_of_kind(graph, e, "signalfd") ? o->id : e->file;
	for (struct object *task = NULL; (task = graph_next(graph, &kind_task, task));) {
		if (!has_file(graph, task->data, needed))
			continue;
		if (has_file(graph, task->data, o->id) && has_file(graph, task->data, e->file))
			return task->id;
		first = first ?: task->id;
	}
	return first;
}

/* --- judge --- */

static int judge_late(const struct graph *graph, const struct object *o, const Ckpt__EpollEntry *e)
{
	if (is_disarmed(e))
		return fail(EPOLL_DISARMED, 0, "it was added as descriptor %u and is of kind %s", e->fd,
			    ((const Ckpt__File *)graph_data(graph, &kind_file, e->file))->kind);
	if (process_of_entry(graph, o, e))
		return 0;
	return is_of_kind(graph, e, "signalfd") ? fail(EPOLL_SIGNALFD, 0, "it was added as descriptor %u", e->fd)
						: fail(EPOLL_TARGET, 0, "it was added as descriptor %u", e->fd);
}

static int judge_entry(const struct graph *graph, const struct object *o, const Ckpt__EpollEntry *e, enum direction direction)
{
	if (!e->file && direction == DIRECTION_DUMP)
		return fail(EPOLL_TARGET, 0, "it was added as descriptor %u, inode %llu", e->fd, (unsigned long long)e->inode);
	if (e->file == o->id || !graph_find(graph, &kind_file, e->file))
		return fail(IMAGE_INCONSISTENT, 0, "it watches file %u", e->file);
	if (is_added_late(graph, e))
		return judge_late(graph, o, e);
	if (direction == DIRECTION_DUMP && is_disarmed(e) && (!e->ready || graph_find(graph, &kind_epoll, e->file)))
		return fail(EPOLL_DISARMED, 0, "it was added as descriptor %u", e->fd);
	return 0;
}

static int epoll_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	const Ckpt__Epoll *m = o->data;
	int r = 0;
	for (size_t i = 0; i < m->n_entry; i++)
		if (judge_entry(graph, o, m->entry[i], direction) < 0)
			r = -EINVAL;
	return r;
}

/* --- plan --- */

#define CREATE AT(PLAN_WORLD, STAGE_CREATE)
#define WATCH AT(PLAN_WORLD, STAGE_WATCH)

/* Who adds an entry: a process with descriptors of its own, since what is added must have its old number. One process does
 * for all numbers below the service descriptors; a number among these (its descriptor was closed) needs one for itself.
 * *ret_epoll: where that process has the instance. */
static struct place adder(struct plan *plan, const struct object *o, size_t index, const Ckpt__EpollEntry *e,
			  struct arg *ret_epoll)
{
	char name[48] = "watcher";
	*ret_epoll = ARG(plan_fd(plan, o->id));
	if (e->fd < plan_config(plan)->first_service_fd)
		return plan_helper_with(plan, WATCH, name, 0, 0, NULL);
	snprintf(name, sizeof name, "watcher %u %zu", o->id, index);
	struct place at = plan_helper_with(plan, WATCH, name, 0, 0, NULL);
	struct plan_step *above = plan_call(plan, at, SYS_fcntl, *ret_epoll, ARG(F_DUPFD), ARG(e->fd + 1));
	step_any(above);
	*ret_epoll = ARG_OF_SLOT(step_result(plan, above));
	return at;
}

/* What is added is armed, always also for errors. To disarm it, it tells what it can: nothing else is in the list then. */
static void plan_entry(struct plan *plan, const struct object *o, size_t index, const Ckpt__EpollEntry *e)
{
	struct arg epoll;
	struct place at = adder(plan, o, index, e, &epoll);
	struct epoll_event event = { .events = is_disarmed(e) ? e->events | ANYTHING : e->events, .data.u64 = e->data };
	u32 data = plan_data(plan, &event, sizeof event, 8);
	if (plan_fd(plan, e->file) != (int)e->fd)
		step_any(plan_call(plan, at, SYS_dup3, ARG(plan_fd(plan, e->file)), ARG(e->fd), ARG(O_CLOEXEC)));
	step_expect(plan_helper_call(plan, at, WATCH, SYS_epoll_ctl,
				     (struct arg[6]){ epoll, ARG(EPOLL_CTL_ADD), ARG(e->fd), ARG_OF_DATA(data) }),
		    0);
	if (is_disarmed(e))
		step_expect(plan_helper_call(plan, at, WATCH, SYS_epoll_pwait,
					     (struct arg[6]){ epoll, ARG_OF_DATA(plan_data(plan, NULL, sizeof event, 8)),
							      ARG(1), ARG(0), ARG(0), ARG(8) }),
			    1);
}

static u32 plan_entries(struct plan *plan, const struct graph *graph, const struct object *o, enum manner manner)
{
	const Ckpt__Epoll *m = o->data;
	u32 count = 0;
	for (size_t i = 0; i < m->n_entry; i++)
		if (manner_of(m->entry[i]) == manner && !is_added_late(graph, m->entry[i])) {
			plan_entry(plan, o, i, m->entry[i]);
			count++;
		}
	return count;
}

#define TOLD_AT_ONCE 1024u

static void plan_told(struct plan *plan, const struct object *o, u32 count)
{
	struct place at = plan_helper_with(plan, WATCH, "watcher", 0, 0, NULL);
	u32 at_once = MIN(count, TOLD_AT_ONCE), events = plan_data(plan, NULL, at_once * sizeof(struct epoll_event), 8);
	for (u32 told = 0; told < count; told += at_once)
		plan_helper_call(plan, at, WATCH, SYS_epoll_pwait,
				 (struct arg[6]){ ARG(plan_fd(plan, o->id)), ARG_OF_DATA(events), ARG(at_once), ARG(0), ARG(0),
						  ARG(8) });
}

/* It has been told, and nothing else waits to be. */
static void plan_told_one(struct plan *plan, struct place at, struct arg epoll)
{
	u32 event = plan_data(plan, NULL, sizeof(struct epoll_event), 8);
	step_any(plan_call(plan, at, SYS_epoll_pwait, epoll, ARG_OF_DATA(event), ARG(1), ARG(0), ARG(0), ARG(8)));
}

/* Added by the process itself. Its table is still without the descriptors of the program; a service descriptor that has the
 * number makes room for a moment. */
static void plan_own_entry(struct plan *plan, const struct graph *graph, const struct object *o, const Ckpt__EpollEntry *e)
{
	struct place at = AT(process_of_entry(graph, o, e), STAGE_OWN_WATCH);
	if (plan_array(plan, at.tid) == UINT32_MAX) /* a plan without tasks */
		at = WATCH;
	struct epoll_event event = { .events = e->events, .data.u64 = e->data };
	struct arg fd = ARG(e->fd), epoll = ARG(plan_fd(plan, o->id)), kept = ARG(-1);
	bool is_quiet = ((const Ckpt__Epoll *)o->data)->quiet;
	bool is_high = e->fd >= plan_config(plan)->first_service_fd;
	if (is_high) {
		struct plan_step *above = plan_call(plan, at, SYS_fcntl, epoll, ARG(F_DUPFD), ARG(e->fd + 1));
		epoll = ARG_OF_SLOT(step_result(plan, above));
		struct plan_step *keep = plan_call(plan, at, SYS_fcntl, fd, ARG(F_DUPFD), ARG(e->fd + 1));
		step_any(keep);
		kept = ARG_OF_SLOT(step_result(plan, keep));
	}
	if (plan_fd(plan, e->file) != (int)e->fd)
		plan_call(plan, at, SYS_dup3, ARG(plan_fd(plan, e->file)), fd, ARG(O_CLOEXEC));
	step_expect(plan_call(plan, at, SYS_epoll_ctl, epoll, ARG(EPOLL_CTL_ADD), fd,
			      ARG_OF_DATA(plan_data(plan, &event, sizeof event, 8))),
		    0);
	if (is_quiet && manner_of(e) == ON_EDGES)
		plan_told_one(plan, at, epoll);
	if (!is_high)
		return;
	step_any(plan_call(plan, at, SYS_dup3, kept, fd, ARG(O_CLOEXEC)));
	step_any(plan_call(plan, at, SYS_close, kept));
	plan_call(plan, at, SYS_close, epoll);
}

/* The number at which the table has the file: `wanted`, when that is one of them (else, or UINT32_MAX: any); -1: none. */
static int number_of(const struct object *fds, u32 file, u32 wanted)
{
	int found = -1;
	for (u32 i = 0; fds && i < fds->count; i++) {
		const struct fd_entry *e = (const struct fd_entry *)fds->data + i;
		if (e->file == file && (found < 0 || e->fd == wanted))
			found = (int)e->fd;
	}
	return found;
}

/* The number at which the process that adds an entry has the instance, when it has what is watched under the entry's number: then it can
 * add it when its descriptors have their places. -1: not so. */
static int number_in_place(const struct graph *graph, const struct object *o, const Ckpt__EpollEntry *e)
{
	const Ckpt__Task *task = graph_data(graph, &kind_task, process_of_entry(graph, o, e));
	const struct object *fds = task ? graph_find(graph, &kind_fds, task->fds) : NULL;
	return number_of(fds, e->file, e->fd) == (int)e->fd ? number_of(fds, o->id, UINT32_MAX) : -1;
}

/* What a process of the tree adds otherwise it has from the world. */
static bool epoll_apart(const struct graph *graph, const struct object *o)
{
	const Ckpt__Epoll *m = o->data;
	for (size_t i = 0; i < m->n_entry; i++)
		if (is_added_late(graph, m->entry[i]) && number_in_place(graph, o, m->entry[i]) < 0)
			return false;
	return true;
}

static void plan_entry_in_place(struct plan *plan, const struct graph *graph, const struct object *o, const Ckpt__EpollEntry *e)
{
	struct place at = AT(process_of_entry(graph, o, e), STAGE_HOME_WATCH);
	struct epoll_event event = { .events = e->events, .data.u64 = e->data };
	struct arg epoll = ARG(number_in_place(graph, o, e));
	step_expect(plan_call(plan, at, SYS_epoll_ctl, epoll, ARG(EPOLL_CTL_ADD), ARG(e->fd),
			      ARG_OF_DATA(plan_data(plan, &event, sizeof event, 8))),
		    0);
	if (((const Ckpt__Epoll *)o->data)->quiet && manner_of(e) == ON_EDGES)
		plan_told_one(plan, at, epoll);
}

static int epoll_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Epoll *m = o->data;
	plan_place_fd(plan, step_result(plan, plan_call(plan, CREATE, SYS_epoll_create1, ARG(EPOLL_CLOEXEC))), o->id);
	plan_status_flags(plan, CREATE, o->id, file_flags(graph, o->id), 0);
	if (m->has_busy_poll) {
		const struct busy_poll b = { .microseconds = m->busy_poll,
					     .budget = (u16)m->busy_poll_budget,
					     .prefer = m->busy_poll_prefer };
		plan_call(plan, CREATE, SYS_ioctl, ARG(plan_fd(plan, o->id)), ARG(SET_BUSY_POLL),
			  ARG_OF_DATA(plan_data(plan, &b, sizeof b, 8)));
	}
	plan_entries(plan, graph, o, DISARMED);
	u32 told = plan_entries(plan, graph, o, ON_EDGES);
	if (m->quiet && told)
		plan_told(plan, o, told);
	plan_entries(plan, graph, o, ORDINARY);
	for (size_t i = 0; i < m->n_entry; i++)
		if (is_added_late(graph, m->entry[i]) && plan_home(plan, o->id))
			plan_entry_in_place(plan, graph, o, m->entry[i]);
		else if (is_added_late(graph, m->entry[i]))
			plan_own_entry(plan, graph, o, m->entry[i]);
	return 0;
}

const struct resource resource_epoll = {
	.name = "epoll",
	.scope = SCOPE_FILE,
	.kind = &kind_epoll,
	.claims = epoll_claims,
	.collect = epoll_collect,
	.settle = epoll_settle,
	.judge = epoll_judge,
	.apart = epoll_apart,
	.watches = true,
	.plan = epoll_plan,
};
