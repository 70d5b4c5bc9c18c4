// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns ckpt's own descriptors of restored TCP connections, and their SO_LINGER. */
#include "restore/resets.h"
#include "diag/diag.h"
#include "inet.pb-c.h"
#include "resource/registry.h"
#include <sys/socket.h>

static int order_kept(const void *a, const void *b) { return ((const struct kept *)a)->fd - ((const struct kept *)b)->fd; }

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
	for (struct object *o = NULL; (o = graph_next(x->graph, resource_inet.kind, o));) {
		const Ckpt__Inet *m = o->data;
		bool keeps = m->tcp || m->connecting;
		struct kept *k = keeps ? vector_add(&x->kept) : NULL;
		if (keeps && !k)
			return fail_memory();
		if (k)
			*k = (struct kept){ .fd = plan_fd((struct plan *)x->plan, o->id), .linger = linger_of(m) };
	}
	if (x->kept.n)
		qsort(x->kept.v, x->kept.n, sizeof *x->kept.v, order_kept);
	return 0;
}

void resets_close_others(const struct execution *x)
{
	unsigned from = plan_config(x->plan)->first_service_fd;
	for (size_t i = 0; i < x->kept.n; i++) {
		unsigned kept = (unsigned)x->kept.v[i].fd;
		if (kept > from)
			close_range(from, kept - 1, 0);
		from = kept + 1;
	}
	close_range(from, ~0u, 0);
}

static void reset_all(const void *arg)
{
	const struct execution *x = arg;
	const struct linger at_once = { 1, 0 };
	for (size_t i = 0; i < x->kept.n; i++)
		setsockopt(x->kept.v[i].fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

int resets_lift(struct execution *x)
{
	int r = x->kept.n ? tree_guard(&x->guard, &x->tree, reset_all, x) : 0;
	for (size_t i = 0; r == 0 && i < x->kept.n; i++) {
		s64 seconds = x->kept.v[i].linger;
		const struct linger linger = { seconds >= 0, (int)MAX(seconds, 0) };
		if (setsockopt(x->kept.v[i].fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) < 0)
			r = fail(SYSCALL, neg_errno(), "SO_LINGER");
	}
	return r;
}

void resets_end(struct execution *x)
{
	tree_guard_end(&x->guard);
	for (size_t i = 0; i < x->kept.n; i++)
		close(x->kept.v[i].fd);
	vector_free(&x->kept);
}
