/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Multicast groups that a socket has joined. Nothing lists them; but a socket tells whether it is in a group of an interface, and
 * the groups of all interfaces are known. A part of inet.c. */
#pragma once
#include "base/file.h"
#include "resource/inet_options.h"

#define MOST_SOURCES 64

/* struct group_filter of linux/in.h, with room. */
struct sources {
	u32 interface;
	_Alignas(8) struct sockaddr_storage group;
	u32 mode, count;
	struct sockaddr_storage source[MOST_SOURCES];
};
_Static_assert(offsetof(struct sources, source) == GROUP_FILTER_SIZE(0), "the kernel's layout");

static inline int level_of_group(int family) { return family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP; }

/* It hears all, all but the sources, or none but the sources. */
static inline int add_sources(Ckpt__InetGroup *g, const struct sources *filter)
{
	char text[INET6_ADDRSTRLEN];
	u32 port, scope;
	if (filter->mode == MCAST_INCLUDE)
		SET(g, chosen, true);
	if (filter->count > MOST_SOURCES)
		SET(g, filtered, true);
	for (u32 i = 0; i < filter->count && !g->filtered; i++) {
		char *source;
		address_text((const union address *)&filter->source[i], text, &port, &scope);
		source = strdup(text);
		if (!source || !MESSAGE_APPEND(&g->n_source, &g->source, source)) {
			free(source);
			return fail_memory();
		}
	}
	return 0;
}

static inline int add_group(int fd, Ckpt__Inet *m, u32 interface, const union address *group)
{
	struct sources filter = { .interface = interface, .count = MOST_SOURCES };
	char text[INET6_ADDRSTRLEN], device[IF_NAMESIZE] = "";
	socklen_t len = sizeof filter;
	u32 port, scope;
	memcpy(&filter.group, group, address_size(group));
	int r = socket_option(fd, level_of_group(group->family), MCAST_MSFILTER, &filter, &len);
	if (r <= 0)
		return r;
	if (!if_indextoname(interface, device) && errno != ENXIO && errno != ENODEV)
		return fail(SYSCALL, neg_errno(), "SIOCGIFNAME of interface %u", interface);
	Ckpt__InetGroup *g = MESSAGE_NEW(Ckpt__InetGroup, ckpt__inet_group);
	if (!g || !MESSAGE_APPEND(&m->n_group, &m->group, g)) {
		free(g);
		return fail_memory();
	}
	address_text(group, text, &port, &scope);
	SET(g, interface, interface);
	return message_set_string(&g->address, text) && message_set_string(&g->device, device) ? add_sources(g, &filter)
											       : fail_memory();
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

/* A kernel may lack the table. */
static inline int read_groups(const char *table, struct text *ret)
{
	int r = file_read(AT_FDCWD, table, ret);
	return r < 0 && r != -ENOENT ? fail(PROC_READ, r, "%s", table) : 0;
}

static inline int collect_groups(int fd, Ckpt__Inet *m)
{
	_cleanup_text_ struct text four = { 0 }, six = { 0 };
	int r = read_groups("/proc/net/igmp", &four);
	if (r == 0 && four.data)
		r = collect_groups4(fd, m, four.data);
	if (r == 0 && is_v6(m))
		r = read_groups("/proc/net/igmp6", &six);
	return r == 0 && six.data ? collect_groups6(fd, m, six.data) : r;
}

static inline int judge_groups(const Ckpt__Inet *m)
{
	for (size_t i = 0; i < m->n_group; i++)
		if (m->group[i]->filtered)
			return fail(INET_GROUP, 0, "%s on %s, more than %d", m->group[i]->address, m->group[i]->device,
				    MOST_SOURCES);
	return 0;
}

static inline bool group_address(const Ckpt__InetGroup *g, union address *ret)
{
	return g->address && g->device && address_make(ret, strchr(g->address, ':') ? AF_INET6 : AF_INET, g->address, 0, 0);
}

static inline int judge_groups_restore(const Ckpt__Inet *m)
{
	union address a, source;
	for (size_t i = 0; i < m->n_group; i++) {
		const Ckpt__InetGroup *g = m->group[i];
		bool sound = group_address(g, &a) && g->n_source <= MOST_SOURCES && (g->n_source || !g->chosen);
		for (size_t k = 0; sound && k < g->n_source; k++)
			sound = address_make(&source, a.family, g->source[k], 0, 0);
		if (!sound)
			return fail(IMAGE_INCONSISTENT, 0, "group %zu", i);
		if (if_nametoindex(g->device) != g->interface)
			return fail(INET_ADDRESS, 0, "the device %s as number %u", g->device, g->interface);
	}
	return 0;
}

/* Of a group that it is in. */
static inline void plan_sources(struct plan *plan, struct place at, struct arg fd, const Ckpt__InetGroup *g,
				const union address *group)
{
	struct sources filter = { .interface = g->interface,
				  .mode = g->chosen ? MCAST_INCLUDE : MCAST_EXCLUDE,
				  .count = (u32)g->n_source };
	memcpy(&filter.group, group, address_size(group));
	for (size_t i = 0; i < g->n_source; i++) {
		union address a = { 0 };
		address_make(&a, group->family, g->source[i], 0, 0);
		memcpy(&filter.source[i], &a, address_size(&a));
	}
	plan_option(plan, at, fd, level_of_group(group->family), MCAST_MSFILTER, &filter, GROUP_FILTER_SIZE(g->n_source));
}

static inline void plan_groups(struct plan *plan, struct place at, struct arg fd, const Ckpt__Inet *m)
{
	for (size_t i = 0; i < m->n_group; i++) {
		union address a = { 0 };
		struct group_req request = { .gr_interface = m->group[i]->interface };
		group_address(m->group[i], &a);
		memcpy(&request.gr_group, &a, address_size(&a));
		plan_option(plan, at, fd, level_of_group(a.family), MCAST_JOIN_GROUP, &request, sizeof request);
		if (m->group[i]->n_source)
			plan_sources(plan, at, fd, m->group[i], &a);
	}
}
