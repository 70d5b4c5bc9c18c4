// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the sockets that the kernel keeps of a killed dump or restore: closed without repair mode under the network lock they would
 * wait for the other end's word, and hold the address meanwhile. */
#include "restore/orphans.h"
#include "collect/netlink.h"
#include "model/kinds.h"
#include "netlock/lock.h"
#include "resource/registry.h"
#include "inet.pb-c.h"
#include <arpa/inet.h>

/* The kernel finds connections of IPv4 by their plain addresses. */
static bool make_address(struct sockaddr_in6 *ret, const char *text, u32 port)
{
	struct sockaddr_in *four = (struct sockaddr_in *)ret;
	const char *plain = strncmp(text, "::ffff:", 7) ? text : text + 7;
	bool six = strchr(plain, ':') != NULL;
	*ret = (struct sockaddr_in6){ .sin6_family = six ? AF_INET6 : AF_INET, .sin6_port = htons((u16)port) };
	return inet_pton(ret->sin6_family, plain, six ? (void *)&ret->sin6_addr : &four->sin_addr) == 1;
}

void orphans_end(const struct graph *graph)
{
	const Ckpt__Host *host = graph_data(graph, &kind_host, 1);
	if (!host || !host->network_lock || !netlock_exists(host->network_lock))
		return;
	for (struct object *o = NULL; (o = graph_next(graph, resource_inet.kind, o));) {
		const Ckpt__Inet *m = o->data;
		struct sockaddr_in6 local, remote;
		if (m->outside && m->local && m->remote && make_address(&local, m->local, m->local_port) &&
		    make_address(&remote, m->remote, m->remote_port)) {
			local.sin6_scope_id = local.sin6_family == AF_INET6 ? m->local_scope : local.sin6_scope_id;
			netlink_tcp_destroy(&local, &remote);
		}
	}
}
