// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the end of sockets in flight. Those that lie in each other's queues outlive their tree, with what else lies there: the kernel
 * looks for such circles (net/unix/garbage.c) only when somebody closes a unix socket, and a moment later. So long their names and
 * addresses are in use. */
#include "dump/flights.h"
#include "base/clock.h"
#include "collect/netlink.h"
#include "resource/registry.h"
#include "unix.pb-c.h"
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 2000000000ull
#define PAUSE 2000000

static bool is_there(const struct graph *graph, u32 file)
{
	const Ckpt__Unix *u = graph_data(graph, resource_unix.kind, file);
	struct unix_diag diag;
	return u && netlink_unix_diag(u->inode, &diag) == 0;
}

/* Any unix socket that is closed will do. What is not a unix socket goes together with those: hence a pause more. */
static void have_collected(void)
{
	int any = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (any >= 0)
		close(any);
	nanosleep(&(struct timespec){ .tv_nsec = PAUSE }, NULL);
}

static void await_gone(const struct graph *graph, const Ckpt__UnixMessage *m, u64 begun)
{
	for (size_t i = 0; i < m->n_file; i++)
		while (is_there(graph, m->file[i]) && now_ns() - begun < PATIENCE) {
			have_collected();
			have_collected();
		}
}

void dump_await_flights(const struct graph *graph)
{
	u64 begun = now_ns();
	for (const struct object *o = NULL; (o = graph_next(graph, resource_unix.kind, o));) {
		const Ckpt__Unix *u = o->data;
		for (size_t i = 0; i < u->n_message; i++)
			await_gone(graph, u->message[i], begun);
	}
}
