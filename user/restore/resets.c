// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns ckpt's own descriptors of restored TCP connections, and their SO_LINGER. */
#include "restore/resets.h"
#include "diag/diag.h"
#include "inet.pb-c.h"
#include "resource/registry.h"
#include "restore/execute_internal.h"
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static int order_kept(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;
	return x->maker != y->maker ? (x->maker > y->maker) - (x->maker < y->maker) : x->fd - y->fd;
}

/* Seconds; -1: off. */
static s64 linger_of(const Ckpt__Inet *m)
{
	for (size_t i = 0; i < m->n_option; i++)
		if (!strcmp(m->option[i]->name, "SO_LINGER"))
			return m->option[i]->value;
	return -1;
}

int resets_keep(struct execution *x)
{
	const s64 *slots = (const s64 *)(x->map + execution_arena(x)->slots);
	for (struct object *o = NULL; (o = graph_next(x->graph, resource_inet.kind, o));) {
		const Ckpt__Inet *m = o->data;
		const struct plan_home *home = plan_home(x->plan, o->id);
		bool keeps = m->tcp || m->connecting;
		struct kept *k = keeps ? vector_add(&x->kept) : NULL;
		if (keeps && !k)
			return fail_memory();
		if (k)
			*k = (struct kept){ .fd = plan_fd((struct plan *)x->plan, o->id),
					    .maker = home && home->maker ? (pid_t)slots[home->process] : 0,
					    .linger = linger_of(m) };
		x->own_kept += k && !k->maker;
	}
	if (x->kept.n)
		qsort(x->kept.v, x->kept.n, sizeof *x->kept.v, order_kept);
	return 0;
}

void resets_close_others(const struct execution *x)
{
	unsigned from = plan_config(x->plan)->first_service_fd;
	for (size_t i = 0; i < x->own_kept; i++) {
		unsigned kept = (unsigned)x->kept.v[i].fd;
		if (kept > from)
			close_range(from, kept - 1, 0);
		from = kept + 1;
	}
	close_range(from, ~0u, 0);
}

/* Connections that ckpt has open, by its own descriptors. */
struct portion {
	const struct kept *v;
	size_t n;
};

static void reset_portion(const void *arg)
{
	const struct portion *p = arg;
	const struct linger at_once = { 1, 0 };
	for (size_t i = 0; i < p->n; i++)
		setsockopt(p->v[i].fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

/* From here on another process resets them when the tree comes to nothing. */
static int lift_portion(struct execution *x, const struct portion *p)
{
	int r = x->guard.pid ? tree_guard_more(&x->guard, &x->tree, reset_portion, p)
			     : tree_guard(&x->guard, &x->tree, reset_portion, p);
	for (size_t i = 0; r == 0 && i < p->n; i++) {
		s64 seconds = p->v[i].linger;
		const struct linger linger = { seconds >= 0, (int)MAX(seconds, 0) };
		if (setsockopt(p->v[i].fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) < 0)
			r = fail(SYSCALL, neg_errno(), "SO_LINGER");
	}
	return r;
}

#define SPARE 64
#define MOST 4096 /* that ckpt has open at once */

/* Duplicates those from here on that the first one's maker has, as far as ckpt may have more: how many. */
static size_t open_of_maker(struct kept *v, size_t n, rlim_t limit)
{
	_cleanup_close_ int maker = (int)syscall(SYS_pidfd_open, v->maker, 0);
	pid_t of = v->maker;
	size_t open = 0;
	while (maker >= 0 && open < n && v[open].maker == of) {
		int fd = (int)syscall(SYS_pidfd_getfd, maker, v[open].fd, 0);
		if (fd < 0)
			break;
		v[open++].fd = fd;
		if ((rlim_t)fd + SPARE >= limit)
			break;
	}
	return open;
}

/* Those of one maker after the other. Negative errno: not even one. */
static int open_portion(struct kept *v, size_t n)
{
	struct rlimit limit = { 0 };
	size_t open = 0, more = 1;
	getrlimit(RLIMIT_NOFILE, &limit);
	for (; open < n && more && (!open || (rlim_t)v[open - 1].fd + SPARE < limit.rlim_cur); open += more)
		more = open_of_maker(v + open, n - open, limit.rlim_cur);
	return open ? (int)open : neg_errno();
}

/* What makers have ckpt takes from them for the moment, a portion at a time; a guard keeps it, which is a copy of all of ckpt: so there
 * are not many. */
static int lift_others(struct execution *x)
{
	int r = 0;
	size_t most = MAX(MOST - SPARE, x->own_kept + SPARE) - x->own_kept;
	for (size_t i = x->own_kept, n; r == 0 && i < x->kept.n; i += n) {
		struct kept *first = &x->kept.v[i];
		int open = open_portion(first, MIN(x->kept.n - i, most));
		if (open < 0)
			return fail(SYSCALL, open, "a connection of a maker");
		n = (size_t)open;
		r = lift_portion(x, &(struct portion){ first, n });
		for (size_t k = 0; k < n; k++)
			close(first[k].fd);
	}
	return r;
}

int resets_lift(struct execution *x)
{
	int r = x->own_kept ? lift_portion(x, &(struct portion){ x->kept.v, x->own_kept }) : 0;
	return r == 0 ? lift_others(x) : r;
}

void resets_end(struct execution *x)
{
	tree_guard_end(&x->guard);
	for (size_t i = 0; i < x->own_kept; i++)
		close(x->kept.v[i].fd);
	vector_free(&x->kept);
	x->own_kept = 0;
}
