// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* netfilter: drops the packets of locked TCP connections, those that come in and those that the locked end would send. What the
 * other end sends on its way out passes, also when it lives on this host: a sender is told of a drop. */
#include "vmlinux.h"
#include "flow.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum { DROP, ACCEPT };                     /* NF_* */
enum { LOCAL_IN = 1, LOCAL_OUT = 3 };      /* NF_INET_* */
enum { FAMILY_4 = 2, FAMILY_6 = 10 };      /* AF_*, which are NFPROTO_* too */
enum { PROTOCOL_TCP = 6, EXTENSIONS = 4 }; /* IPPROTO_*; how many headers may lie before that of TCP */

extern int bpf_dynptr_from_skb(struct __sk_buff *skb, u64 flags, struct bpf_dynptr *ptr) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *ptr, u32 offset, void *buffer, u32 buffer__szk) __ksym;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FLOWS_MAX);
	__uint(map_flags, 1); /* BPF_F_NO_PREALLOC */
	__type(key, struct flow);
	__type(value, u64);
} flows SEC(".maps");

struct header4 {
	u8 length, tos;
	u16 total, id, fragment;
	u8 ttl, protocol;
	u16 sum;
	u32 source, destination;
};
struct header6 {
	u32 version;
	u16 length;
	u8 next, hops;
	u8 source[16], destination[16];
};

#define SYN 0x02
#define ACK 0x10
struct header_tcp {
	u16 source, destination;
	u32 sequence, confirmed;
	u8 length, flags;
} __attribute__((packed));

/* Both addresses into the flow; where the header of TCP begins, 0: it is no TCP. */
static __always_inline u32 read_header4(const struct bpf_dynptr *packet, struct flow *flow, bool out)
{
	struct header4 copy, *h = bpf_dynptr_slice(packet, 0, &copy, sizeof(copy));

	if (!h || h->protocol != PROTOCOL_TCP)
		return 0;
	__builtin_memcpy(out ? flow->local : flow->remote, &h->source, sizeof(h->source));
	__builtin_memcpy(out ? flow->remote : flow->local, &h->destination, sizeof(h->destination));
	return (h->length & 15) * 4;
}

/* RFC 8200: hop-by-hop options, routing and destination options may come before. */
static __always_inline u32 read_header6(const struct bpf_dynptr *packet, struct flow *flow, bool out)
{
	struct header6 copy, *h = bpf_dynptr_slice(packet, 0, &copy, sizeof(copy));
	u32 at = sizeof(copy);

	if (!h)
		return 0;
	__builtin_memcpy(out ? flow->local : flow->remote, h->source, sizeof(h->source));
	__builtin_memcpy(out ? flow->remote : flow->local, h->destination, sizeof(h->destination));
	u8 next = h->next;
	for (int i = 0; i < EXTENSIONS && (next == 0 || next == 43 || next == 60); i++) {
		u8 bytes[2], *extension = bpf_dynptr_slice(packet, at, bytes, sizeof(bytes));

		if (!extension)
			return 0;
		next = extension[0];
		at += (extension[1] + 1) * 8;
	}
	return next == PROTOCOL_TCP ? at : 0;
}

static __always_inline bool is_locked(const struct flow *flow)
{
	const u64 *until = bpf_map_lookup_elem(&flows, flow);

	return until && bpf_ktime_get_boot_ns() < *until;
}

SEC("netfilter")
int ckpt_netlock(struct bpf_nf_ctx *ctx)
{
	struct flow flow = { 0 };
	struct bpf_dynptr packet;
	struct header_tcp copy, *tcp;
	bool out = ctx->state->hook == LOCAL_OUT;
	u8 family = ctx->state->pf;

	if (ctx->skb->mark == NETLOCK_MARK || bpf_dynptr_from_skb((struct __sk_buff *)ctx->skb, 0, &packet))
		return ACCEPT;
	flow.family = family;
	u32 at = family == FAMILY_4 ? read_header4(&packet, &flow, out) : read_header6(&packet, &flow, out);
	if (!at)
		return ACCEPT;
	tcp = bpf_dynptr_slice(&packet, at, &copy, sizeof(copy));
	if (!tcp)
		return ACCEPT;
	flow.local_port = out ? tcp->source : tcp->destination;
	flow.remote_port = out ? tcp->destination : tcp->source;
	if (is_locked(&flow))
		return DROP;
	if (out || (tcp->flags & (SYN | ACK)) != SYN)
		return ACCEPT;
	__builtin_memset(flow.remote, 0, sizeof(flow.remote));
	flow.remote_port = 0;
	if (is_locked(&flow))
		return DROP;
	__builtin_memset(flow.local, 0, sizeof(flow.local));
	return is_locked(&flow) ? DROP : ACCEPT;
}
