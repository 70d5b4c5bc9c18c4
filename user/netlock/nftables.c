// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns locks by nftables: a table of ckpt's own, over nfnetlink. Until it is handed on the table belongs to a socket of ckpt
 * (NFT_TABLE_F_OWNER, Linux 5.12) and goes with it; on older kernels another process takes it away. */
#include "base/clock.h"
#include "netlock/backend.h"
#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#define PREFIX "ckpt-"
#define HELD "-held" /* behind the name of a table that belongs to ckpt */
#define NAME_ROOM 40
#define REPLY_ROOM 32768
#ifndef NFT_TABLE_F_OWNER
#define NFT_TABLE_F_OWNER 0x2
#endif

/* --- messages --- */

struct batch {
	struct text t;
	size_t message; /* where the last one begins */
	u32 count;
};

static void add_padded(struct batch *b, const void *data, size_t len)
{
	static const char zeros[NLA_ALIGNTO];
	text_add(&b->t, data, len);
	text_add(&b->t, zeros, NLA_ALIGN(len) - len);
}

static void message_end(struct batch *b)
{
	if (!b->count || text_failed(&b->t))
		return;
	u32 len = (u32)(b->t.len - b->message);
	memcpy(b->t.data + b->message, &len, sizeof len);
}

static void message_begin(struct batch *b, u16 type, u16 flags, u8 family)
{
	message_end(b);
	bool is_batch = type == NFNL_MSG_BATCH_BEGIN || type == NFNL_MSG_BATCH_END;
	struct nlmsghdr h = { .nlmsg_type = is_batch ? type : (u16)(NFNL_SUBSYS_NFTABLES << 8 | type),
			      .nlmsg_flags = (u16)(NLM_F_REQUEST | flags),
			      .nlmsg_seq = ++b->count };
	struct nfgenmsg g = { .nfgen_family = family, .res_id = is_batch ? htons(NFNL_SUBSYS_NFTABLES) : 0 };
	b->message = b->t.len;
	add_padded(b, &h, sizeof h);
	add_padded(b, &g, sizeof g);
}

static void put(struct batch *b, u16 type, const void *data, size_t len)
{
	struct nlattr a = { .nla_type = type, .nla_len = (u16)(NLA_HDRLEN + len) };
	add_padded(b, &a, sizeof a);
	add_padded(b, data, len);
}
static void put_string(struct batch *b, u16 type, const char *s) { put(b, type, s, strlen(s) + 1); }
static void put_number(struct batch *b, u16 type, u32 value)
{
	u32 big = htonl(value);
	put(b, type, &big, sizeof big);
}

/* An attribute that holds others, up to the nest_end of what it returned. */
static size_t nest(struct batch *b, u16 type)
{
	size_t at = b->t.len;
	put(b, type | NLA_F_NESTED, NULL, 0);
	return at;
}

static void nest_end(struct batch *b, size_t at)
{
	if (text_failed(&b->t))
		return;
	u16 len = (u16)(b->t.len - at);
	memcpy(b->t.data + at, &len, sizeof len);
}

/* The answers lie there when send(2) returns. 0, or the first error. */
static int take_answers(int fd, u32 last)
{
	_Alignas(struct nlmsghdr) char reply[8192];
	int r = -EBADMSG;
	for (ssize_t n; (n = recv(fd, reply, sizeof reply, MSG_DONTWAIT)) > 0;) {
		const struct nlmsghdr *h = (const void *)reply;
		for (size_t left = (size_t)n; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			const struct nlmsgerr *e = NLMSG_DATA(h);
			if (h->nlmsg_type != NLMSG_ERROR)
				continue;
			if (e->error)
				return e->error;
			if (h->nlmsg_seq == last)
				r = 0;
		}
	}
	return r;
}

static int batch_send(struct batch *b, int fd)
{
	u32 last = b->count;
	message_begin(b, NFNL_MSG_BATCH_END, 0, AF_UNSPEC);
	message_end(b);
	int r = text_failed(&b->t) ? -ENOMEM : send(fd, b->t.data, b->t.len, 0) < 0 ? neg_errno() : take_answers(fd, last);
	text_free(&b->t);
	return r;
}

static int open_socket(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER), size = 1 << 20;
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
	return fd < 0 ? neg_errno() : fd;
}

/* --- expressions of a rule --- */

static size_t expression(struct batch *b, const char *name, size_t *ret_data)
{
	size_t at = nest(b, NFTA_LIST_ELEM);
	put_string(b, NFTA_EXPR_NAME, name);
	*ret_data = nest(b, NFTA_EXPR_DATA);
	return at;
}

static void expression_end(struct batch *b, size_t at, size_t data)
{
	nest_end(b, data);
	nest_end(b, at);
}

/* Goes on only where the first register is the value. */
static void compare(struct batch *b, const void *value, size_t len)
{
	size_t data, at = expression(b, "cmp", &data);
	put_number(b, NFTA_CMP_SREG, NFT_REG_1);
	put_number(b, NFTA_CMP_OP, NFT_CMP_EQ);
	size_t bytes = nest(b, NFTA_CMP_DATA);
	put(b, NFTA_DATA_VALUE, value, len);
	nest_end(b, bytes);
	expression_end(b, at, data);
}

/* Goes on only where this meta datum is the value. */
static void match_meta(struct batch *b, u32 key, const void *value, size_t len)
{
	size_t data, at = expression(b, "meta", &data);
	put_number(b, NFTA_META_KEY, key);
	put_number(b, NFTA_META_DREG, NFT_REG_1);
	expression_end(b, at, data);
	compare(b, value, len);
}

static void load_payload(struct batch *b, u32 words, u32 base, u32 offset, u32 len)
{
	size_t data, at = expression(b, "payload", &data);
	put_number(b, NFTA_PAYLOAD_DREG, NFT_REG32_00 + words);
	put_number(b, NFTA_PAYLOAD_BASE, base);
	put_number(b, NFTA_PAYLOAD_OFFSET, offset);
	put_number(b, NFTA_PAYLOAD_LEN, len);
	expression_end(b, at, data);
}

static void match_set(struct batch *b, const char *set)
{
	size_t data, at = expression(b, "lookup", &data);
	put_string(b, NFTA_LOOKUP_SET, set);
	put_number(b, NFTA_LOOKUP_SREG, NFT_REG_1);
	expression_end(b, at, data);
}

static void verdict(struct batch *b, u32 code)
{
	size_t data, at = expression(b, "immediate", &data);
	put_number(b, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	size_t value = nest(b, NFTA_IMMEDIATE_DATA), inner = nest(b, NFTA_DATA_VERDICT);
	put_number(b, NFTA_VERDICT_CODE, code);
	nest_end(b, inner);
	nest_end(b, value);
	expression_end(b, at, data);
}

static size_t rule_begin(struct batch *b, const char *table, const char *chain)
{
	message_begin(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, NFPROTO_INET);
	put_string(b, NFTA_RULE_TABLE, table);
	put_string(b, NFTA_RULE_CHAIN, chain);
	return nest(b, NFTA_RULE_EXPRESSIONS);
}

/* --- the table: a set of keys (local address, remote address, local port, remote port) for each family, one of who wants to connect
 * (local address, local port), a chain for each way --- */

static const struct family {
	const char *set, *wants;
	u8 number;                      /* NFPROTO_*, which are AF_* */
	u32 bytes, source, destination; /* of an address, and where it stands in the header */
} families[] = {
	{ "flows4", "wants4", NFPROTO_IPV4, 4, 12, 16 },
	{ "flows6", "wants6", NFPROTO_IPV6, 16, 8, 24 },
};

#define KEY_BYTES(f) (2 * (f)->bytes + 8)
#define WANTS_BYTES(f) ((f)->bytes + 4)

static void add_set(struct batch *b, const char *table, const char *name, u32 id, u32 key)
{
	message_begin(b, NFT_MSG_NEWSET, NLM_F_CREATE, NFPROTO_INET);
	put_string(b, NFTA_SET_TABLE, table);
	put_string(b, NFTA_SET_NAME, name);
	put_number(b, NFTA_SET_ID, id);
	put_number(b, NFTA_SET_FLAGS, NFT_SET_TIMEOUT);
	put_number(b, NFTA_SET_KEY_TYPE, 0); /* bytes, for people's tools */
	put_number(b, NFTA_SET_KEY_LEN, key);
}

static void add_drop(struct batch *b, const char *table, const char *chain, const struct family *f, bool out)
{
	const u8 tcp = IPPROTO_TCP;
	u32 words = f->bytes / 4;
	size_t rule = rule_begin(b, table, chain);
	match_meta(b, NFT_META_NFPROTO, &f->number, 1);
	match_meta(b, NFT_META_L4PROTO, &tcp, 1);
	load_payload(b, 0, NFT_PAYLOAD_NETWORK_HEADER, out ? f->source : f->destination, f->bytes);
	load_payload(b, words, NFT_PAYLOAD_NETWORK_HEADER, out ? f->destination : f->source, f->bytes);
	load_payload(b, 2 * words, NFT_PAYLOAD_TRANSPORT_HEADER, out ? 0 : 2, 2);
	load_payload(b, 2 * words + 1, NFT_PAYLOAD_TRANSPORT_HEADER, out ? 2 : 0, 2);
	match_set(b, f->set);
	verdict(b, NF_DROP);
	nest_end(b, rule);
}

/* The first packet of a connection: SYN without ACK. */
static void match_first(struct batch *b)
{
	const u8 mask = 0x12, none = 0, syn = 0x02;
	load_payload(b, 0, NFT_PAYLOAD_TRANSPORT_HEADER, 13, 1);
	size_t data, at = expression(b, "bitwise", &data);
	put_number(b, NFTA_BITWISE_SREG, NFT_REG_1);
	put_number(b, NFTA_BITWISE_DREG, NFT_REG_1);
	put_number(b, NFTA_BITWISE_LEN, 1);
	size_t bytes = nest(b, NFTA_BITWISE_MASK);
	put(b, NFTA_DATA_VALUE, &mask, 1);
	nest_end(b, bytes);
	bytes = nest(b, NFTA_BITWISE_XOR);
	put(b, NFTA_DATA_VALUE, &none, 1);
	nest_end(b, bytes);
	expression_end(b, at, data);
	compare(b, &syn, 1);
}

static void load_zeros(struct batch *b, u32 len)
{
	const u8 zeros[16] = { 0 };
	size_t data, at = expression(b, "immediate", &data);
	put_number(b, NFTA_IMMEDIATE_DREG, NFT_REG32_00);
	size_t value = nest(b, NFTA_IMMEDIATE_DATA);
	put(b, NFTA_DATA_VALUE, zeros, len);
	nest_end(b, value);
	expression_end(b, at, data);
}

/* To the address that the packet has, or (any) to one that was locked whatever the address. */
static void add_wants(struct batch *b, const char *table, const char *chain, const struct family *f, bool any)
{
	const u8 tcp = IPPROTO_TCP;
	size_t rule = rule_begin(b, table, chain);
	match_meta(b, NFT_META_NFPROTO, &f->number, 1);
	match_meta(b, NFT_META_L4PROTO, &tcp, 1);
	match_first(b);
	if (any)
		load_zeros(b, f->bytes);
	else
		load_payload(b, 0, NFT_PAYLOAD_NETWORK_HEADER, f->destination, f->bytes);
	load_payload(b, f->bytes / 4, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
	match_set(b, f->wants);
	verdict(b, NF_DROP);
	nest_end(b, rule);
}

static void add_chain(struct batch *b, const char *table, const char *chain, u32 hook)
{
	const u32 mark = NETLOCK_MARK;
	message_begin(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE, NFPROTO_INET);
	put_string(b, NFTA_CHAIN_TABLE, table);
	put_string(b, NFTA_CHAIN_NAME, chain);
	size_t at = nest(b, NFTA_CHAIN_HOOK);
	put_number(b, NFTA_HOOK_HOOKNUM, hook);
	put_number(b, NFTA_HOOK_PRIORITY, (u32)-400);
	nest_end(b, at);
	put_number(b, NFTA_CHAIN_POLICY, NF_ACCEPT);
	put_string(b, NFTA_CHAIN_TYPE, "filter");
	size_t rule = rule_begin(b, table, chain);
	match_meta(b, NFT_META_MARK, &mark, sizeof mark);
	verdict(b, NF_ACCEPT);
	nest_end(b, rule);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		add_drop(b, table, chain, &families[i], hook == NF_INET_LOCAL_OUT);
	for (size_t i = 0; hook == NF_INET_LOCAL_IN && i < 2 * ARRAY_SIZE(families); i++)
		add_wants(b, table, chain, &families[i / 2], i % 2);
}

static void acknowledge(struct batch *b)
{
	if (text_failed(&b->t))
		return;
	u16 flags;
	size_t at = b->message + offsetof(struct nlmsghdr, nlmsg_flags);
	memcpy(&flags, b->t.data + at, sizeof flags);
	flags |= NLM_F_ACK;
	memcpy(b->t.data + at, &flags, sizeof flags);
}

static int make_table(int fd, const char *table, u32 flags, const char *comment)
{
	struct batch b = { 0 };
	message_begin(&b, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC);
	message_begin(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, NFPROTO_INET);
	put_string(&b, NFTA_TABLE_NAME, table);
	put_number(&b, NFTA_TABLE_FLAGS, flags);
	if (comment)
		put(&b, NFTA_TABLE_USERDATA, comment, strlen(comment) + 1);
	for (u32 i = 0; i < ARRAY_SIZE(families); i++) {
		add_set(&b, table, families[i].set, 2 * i + 1, KEY_BYTES(&families[i]));
		add_set(&b, table, families[i].wants, 2 * i + 2, WANTS_BYTES(&families[i]));
	}
	add_chain(&b, table, "in", NF_INET_LOCAL_IN);
	add_chain(&b, table, "out", NF_INET_LOCAL_OUT);
	acknowledge(&b);
	return batch_send(&b, fd);
}

static u64 milliseconds_left(const struct netlock *lock)
{
	u64 ns = clock_ns(CLOCK_BOOTTIME);
	return lock->until > ns ? MAX((lock->until - ns) / 1000000, 1u) : 1;
}

static void add_element(struct batch *b, const struct netlock *lock, const char *table, const struct flow *flow)
{
	const struct family *f = &families[flow->family == AF_INET6];
	u8 key[40] = { 0 };
	u64 timeout = htobe64(milliseconds_left(lock));
	bool wants = !flow->remote_port;
	size_t ports = wants ? f->bytes : 2 * f->bytes;
	memcpy(key, flow->local, f->bytes);
	if (!wants)
		memcpy(key + f->bytes, flow->remote, f->bytes);
	memcpy(key + ports, &flow->local_port, 2);
	memcpy(key + ports + 4, &flow->remote_port, 2);
	message_begin(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE, NFPROTO_INET);
	put_string(b, NFTA_SET_ELEM_LIST_TABLE, table);
	put_string(b, NFTA_SET_ELEM_LIST_SET, wants ? f->wants : f->set);
	size_t list = nest(b, NFTA_SET_ELEM_LIST_ELEMENTS), element = nest(b, NFTA_LIST_ELEM);
	size_t value = nest(b, NFTA_SET_ELEM_KEY);
	put(b, NFTA_DATA_VALUE, key, wants ? WANTS_BYTES(f) : KEY_BYTES(f));
	nest_end(b, value);
	put(b, NFTA_SET_ELEM_TIMEOUT, &timeout, sizeof timeout);
	nest_end(b, element);
	nest_end(b, list);
}

static void table_name(char name[NAME_ROOM], const char *id, const char *suffix)
{
	snprintf(name, NAME_ROOM, PREFIX "%s%s", id, suffix);
}

#define AT_ONCE 500 /* elements in one batch */

static int add_all(const struct netlock *lock, const char *table, const struct flow *flows, size_t count)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < count;) {
		struct batch b = { 0 };
		message_begin(&b, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC);
		for (size_t end = MIN(count, i + AT_ONCE); i < end; i++)
			add_element(&b, lock, table, &flows[i]);
		acknowledge(&b);
		r = batch_send(&b, lock->fds[0]);
	}
	return r;
}

static int delete_table(const char *name)
{
	struct batch b = { 0 };
	_cleanup_close_ int fd = open_socket();
	message_begin(&b, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC);
	message_begin(&b, NFT_MSG_DELTABLE, NLM_F_ACK, NFPROTO_INET);
	put_string(&b, NFTA_TABLE_NAME, name);
	int r = fd < 0 ? fd : batch_send(&b, fd);
	text_free(&b.t);
	return r;
}

static void delete_of_dead(int fd, const char *name)
{
	(void)fd;
	delete_table(name);
}

/* A table that nobody owns, and a process that takes it away when ckpt dies. */
static int make_watched(struct netlock *lock, int fd, const char *name)
{
	lock->watcher = netlock_watch(-1, -1, delete_of_dead, name);
	int r = lock->watcher < 0 ? (int)lock->watcher : make_table(fd, name, 0, NULL);
	if (r < 0)
		netlock_unguard(lock->watcher);
	return r;
}

static int begin(struct netlock *lock)
{
	char name[NAME_ROOM];
	table_name(name, lock->id, HELD);
	_cleanup_close_ int fd = open_socket();
	lock->watcher = 0;
	int r = fd < 0 ? fd : make_table(fd, name, NFT_TABLE_F_OWNER, NULL);
	if (r == -EINVAL || r == -EOPNOTSUPP)
		r = make_watched(lock, fd, name);
	lock->fds[0] = r == 0 ? take_fd(&fd) : -1;
	return r;
}

static int add(struct netlock *lock, const struct flow *flow)
{
	char name[NAME_ROOM];
	table_name(name, lock->id, HELD);
	struct flow *place = vector_add(&lock->flows);
	if (!place)
		return -ENOMEM;
	*place = *flow;
	return add_all(lock, name, flow, 1);
}

/* A table of nobody's beside the one that is ckpt's. */
static int keep(struct netlock *lock, const char *dir)
{
	char name[NAME_ROOM], comment[NFT_USERDATA_MAXLEN];
	table_name(name, lock->id, "");
	snprintf(comment, sizeof comment, "%llu %s", (unsigned long long)lock->until, dir);
	int r = make_table(lock->fds[0], name, 0, comment);
	return r < 0 ? r : add_all(lock, name, lock->flows.v, lock->flows.n);
}

static void end(struct netlock *lock)
{
	char name[NAME_ROOM];
	table_name(name, lock->id, HELD);
	if (lock->watcher)
		delete_table(name);
	netlock_unguard(lock->watcher);
	closep(&lock->fds[0]);
	lock->fds[0] = -1;
	vector_free(&lock->flows);
}

/* --- handed on --- */

static int release(const char *id)
{
	char name[NAME_ROOM];
	table_name(name, id, "");
	int r = delete_table(name);
	return r == -EBADMSG || r == -EOPNOTSUPP || r == -EINVAL || r == -EPROTONOSUPPORT || r == -EPERM ? -ENOENT : r;
}

/* "ckpt-ID" and nothing behind it. */
static bool read_table(const struct nlmsghdr *h, struct netlock_entry *ret)
{
	const struct nlattr *a = (const void *)((const char *)NLMSG_DATA(h) + NLMSG_ALIGN(sizeof(struct nfgenmsg)));
	const char *stop = (const char *)h + h->nlmsg_len;
	bool ours = false;
	for (; (const char *)(a + 1) <= stop && a->nla_len >= sizeof *a && (const char *)a + a->nla_len <= stop;
	     a = (const void *)((const char *)a + NLA_ALIGN(a->nla_len))) {
		const char *value = (const char *)(a + 1);
		size_t len = a->nla_len - sizeof *a;
		if ((a->nla_type & NLA_TYPE_MASK) == NFTA_TABLE_NAME && len == sizeof PREFIX - 1 + NETLOCK_ID &&
		    !memcmp(value, PREFIX, sizeof PREFIX - 1)) {
			memcpy(ret->id, value + sizeof PREFIX - 1, NETLOCK_ID);
			ours = true;
		} else if ((a->nla_type & NLA_TYPE_MASK) == NFTA_TABLE_USERDATA) {
			char comment[NFT_USERDATA_MAXLEN + 1], *dir;
			snprintf(comment, sizeof comment, "%.*s", (int)len, value);
			ret->until = strtoull(comment, &dir, 10);
			snprintf(ret->dir, sizeof ret->dir, "%s", dir + (*dir == ' '));
		}
	}
	return ours;
}

/* The index-th table of ours, or (id) the one of this id. */
static int find_table(const char *id, size_t index, struct netlock_entry *ret)
{
	struct batch b = { 0 };
	_cleanup_close_ int fd = open_socket();
	_cleanup_free_ char *reply = malloc(REPLY_ROOM);
	message_begin(&b, NFT_MSG_GETTABLE, NLM_F_DUMP, NFPROTO_INET);
	message_end(&b);
	bool sent = fd >= 0 && reply && !text_failed(&b.t) && send(fd, b.t.data, b.t.len, 0) >= 0;
	text_free(&b.t);
	for (ssize_t n; sent && (n = recv(fd, reply, REPLY_ROOM, 0)) > 0;) {
		const struct nlmsghdr *h = (const void *)reply;
		for (size_t left = (size_t)n; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
				return -ENOENT;
			struct netlock_entry entry = *ret;
			if (!read_table(h, &entry) || (id ? strcmp(id, entry.id) != 0 : index-- > 0))
				continue;
			*ret = entry;
			return 0;
		}
	}
	return -ENOENT;
}

static bool exists(const char *id) { return find_table(id, 0, &(struct netlock_entry){ .dir = "" }) == 0; }
static int entry(size_t index, struct netlock_entry *ret) { return find_table(NULL, index, ret); }

const struct netlock_backend netlock_nftables = {
	.name = "nftables",
	.method = NETLOCK_NFTABLES,
	.needs = CAN_NOTHING,
	.begin = begin,
	.add = add,
	.keep = keep,
	.end = end,
	.exists = exists,
	.release = release,
	.entry = entry,
};
