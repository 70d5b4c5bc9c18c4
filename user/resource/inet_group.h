/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Multicast groups that a socket has joined. Nothing lists them; but a socket tells whether it is in a group of an interface, and
 * the groups of all interfaces are known. A part of inet.c. */
#pragma once
#include "base/file.h"
#include "resource/inet_options.h"

static inline int add_group(int fd, Ckpt__Inet *m, u32 interface, const union address *group)
{
	struct group_filter filter = { .gf_interface = interface, .gf_numsrc = 0 };
	char text[INET6_ADDRSTRLEN], device[IF_NAMESIZE] = "";
	socklen_t len = sizeof filter;
	u32 port, scope;
	memcpy(&filter.gf_group, group, address_size(group));
	if (getsockopt(fd, group->family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP, MCAST_MSFILTER, &filter, &len) < 0)
		return 0;
	Ckpt__InetGroup *g = MESSAGE_NEW(Ckpt__InetGroup, ckpt__inet_group);
	if (!g || !MESSAGE_APPEND(&m->n_group, &m->group, g)) {
		free(g);
		return fail_memory();
	}
	address_text(group, text, &port, &scope);
	if_indextoname(interface, device);
	SET(g, interface, interface);
	if (filter.gf_fmode != MCAST_EXCLUDE || filter.gf_numsrc)
		SET(g, filtered, true);
	return message_set_string(&g->address, text) && message_set_string(&g->device, device) ? 0 : fail_memory();
}

/* /proc/net/igmp: "1\tlo : ..." and below it "\t\t\t\t010000E0 ...", as the bytes lie in memory. */
static inline int collect_groups4(int fd, Ckpt__Inet *m, const char *table)
{
	u32 interface = 0, group;
	int r = 0;
	for (const char *line = strchr(table, '\n'); r == 0 && line && *++line; line = strchr(line, '\n')) {
		union address a = { .family = AF_INET };
		if (*line != '\t')
			sscanf(line, "%u", &interface);
		else if (sscanf(line, "%x", &group) == 1) {
			a.v4.sin_addr.s_addr = group;
			r = add_group(fd, m, interface, &a);
		}
	}
	return r;
}

/* /proc/net/igmp6: "1 lo ff020000000000000000000000000001 1 ..." */
static inline int collect_groups6(int fd, Ckpt__Inet *m, const char *table)
{
	int r = 0;
	for (const char *line = table; r == 0 && line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		union address a = { .family = AF_INET6 };
		char hex[33];
		u32 interface;
		if (sscanf(line, "%u %*s %32[0-9a-f]", &interface, hex) != 2 || strlen(hex) != 32)
			continue;
		for (int i = 0; i < 16; i++)
			sscanf(hex + 2 * i, "%2hhx", &a.v6.sin6_addr.s6_addr[i]);
		r = add_group(fd, m, interface, &a);
	}
	return r;
}

static inline int collect_groups(int fd, Ckpt__Inet *m)
{
	_cleanup_text_ struct text four = { 0 }, six = { 0 };
	int r = file_read(AT_FDCWD, "/proc/net/igmp", &four) == 0 && four.data ? collect_groups4(fd, m, four.data) : 0;
	if (r == 0 && is_v6(m) && file_read(AT_FDCWD, "/proc/net/igmp6", &six) == 0 && six.data)
		r = collect_groups6(fd, m, six.data);
	return r;
}

static inline int judge_groups(const Ckpt__Inet *m)
{
	for (size_t i = 0; i < m->n_group; i++)
		if (m->group[i]->filtered)
			return fail(INET_GROUP, 0, "%s on %s", m->group[i]->address, m->group[i]->device);
	return 0;
}

static inline bool group_address(const Ckpt__InetGroup *g, union address *ret)
{
	return g->address && g->device && address_make(ret, strchr(g->address, ':') ? AF_INET6 : AF_INET, g->address, 0, 0);
}

static inline int judge_groups_restore(const Ckpt__Inet *m)
{
	union address a;
	for (size_t i = 0; i < m->n_group; i++) {
		const Ckpt__InetGroup *g = m->group[i];
		if (!group_address(g, &a))
			return fail(IMAGE_INCONSISTENT, 0, "group %zu", i);
		if (if_nametoindex(g->device) != g->interface)
			return fail(INET_ADDRESS, 0, "the device %s as number %u", g->device, g->interface);
	}
	return 0;
}

static inline void plan_groups(struct plan *plan, struct place at, struct arg fd, const Ckpt__Inet *m)
{
	for (size_t i = 0; i < m->n_group; i++) {
		union address a = { 0 };
		struct group_req request = { .gr_interface = m->group[i]->interface };
		group_address(m->group[i], &a);
		memcpy(&request.gr_group, &a, address_size(&a));
		plan_option(plan, at, fd, a.family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP, MCAST_JOIN_GROUP, &request,
			    sizeof request);
	}
}
