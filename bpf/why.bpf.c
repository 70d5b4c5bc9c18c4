// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Why a system call of a watched process ended with an error: which function returned it first, and which capability was
 * missing. Every program is for itself: who loads them takes those that this kernel lets in. */
#include "flavors.h"
#include "refused.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct why_log state;

struct call {
	u32 nr;
	s32 err; /* of the chain of functions that return it; 0: none */
	u32 first, last, depth;
	u32 cap_ns, own_ns;
	u64 caps;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u32); /* process */
	__type(value, u32);
} watched SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u32); /* thread, while it is in a system call */
	__type(value, struct call);
} calls SEC(".maps");

static __always_inline struct call *call_of_current(void)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();

	return bpf_map_lookup_elem(&calls, &tid);
}

/* Run by ckpt itself (BPF_PROG_TEST_RUN): only the kernel knows its number in the initial pid namespace. */
SEC("raw_tp")
int why_me(void *ctx)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;

	bpf_map_update_elem(&watched, &tgid, &tgid, 0);
	return 0;
}

SEC("raw_tp/sched_process_fork")
int why_fork(u64 *ctx)
{
	u32 parent = bpf_get_current_pid_tgid() >> 32, child = BPF_CORE_READ((struct task_struct *)ctx[1], tgid);

	if (bpf_map_lookup_elem(&watched, &parent))
		bpf_map_update_elem(&watched, &child, &child, 0);
	return 0;
}

SEC("raw_tp/sys_enter")
int why_enter(u64 *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 tgid = id >> 32, tid = (u32)id;
	struct call call = { .nr = (u32)ctx[1] };

	if (bpf_map_lookup_elem(&watched, &tgid))
		bpf_map_update_elem(&calls, &tid, &call, 0);
	return 0;
}

static __always_inline bool is_error(s64 value) { return value < 0 && value >= -4095; }

SEC("raw_tp/sys_exit")
int why_exit(u64 *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 tid = (u32)id;
	s64 ret = (s64)ctx[1];
	struct call *call = bpf_map_lookup_elem(&calls, &tid);

	if (!call)
		return 0;
	if (is_error(ret)) {
		u32 place = state.head;
		struct why_event *e = &state.event[place & (WHY_EVENTS - 1)];
		bool seen = call->err == (s32)ret;

		__sync_fetch_and_add(&state.head, 1); /* to read it at once needs Linux 5.12; two that meet lose one */
		e->at = bpf_ktime_get_ns();
		e->nr = call->nr;
		e->tid = tid;
		e->tgid = id >> 32;
		e->err = (s32)ret;
		e->first = seen ? call->first : 0;
		e->last = seen ? call->last : 0;
		e->depth = seen ? call->depth : 0;
		e->caps = call->caps;
		e->cap_ns = call->cap_ns;
		e->own_ns = call->own_ns;
	}
	bpf_map_delete_elem(&calls, &tid);
	return 0;
}

/* --- capabilities --- */

static __always_inline void missing(struct cred *cred, struct user_namespace *where, s32 cap)
{
	struct call *call = call_of_current();

	if (!call)
		return;
	call->caps |= 1ull << (cap & 63);
	call->cap_ns = BPF_CORE_READ(where, ns.inum);
	call->own_ns = BPF_CORE_READ(cred, user_ns, ns.inum);
}

/* include/trace/events/capability.h, Linux 6.14: credentials, where it is wanted, whose it is, capability, result. */
SEC("raw_tp/cap_capable")
int why_cap_tracepoint(u64 *ctx)
{
	if ((s32)ctx[4])
		missing((void *)ctx[0], (void *)ctx[1], (s32)ctx[3]);
	return 0;
}

/* cap_capable(cred, namespace, capability, options) */
SEC("fexit/cap_capable")
int why_cap_fexit(u64 *ctx)
{
	if ((s32)ctx[4])
		missing((void *)ctx[0], (void *)ctx[1], (s32)ctx[2]);
	return 0;
}

/* --- functions --- */

/* An error that is handed on goes from function to function. Other results tell nothing: interrupts return here too. */
static __always_inline int returned(u32 function, s32 value)
{
	struct call *call = is_error(value) ? call_of_current() : NULL;

	if (!call)
		return 0;
	if (call->err != value) {
		call->first = function;
		call->depth = 0;
	}
	call->err = value;
	call->last = function;
	call->depth++;
	return 0;
}

SEC("kretprobe.multi")
int why_return(void *ctx) { return returned((u32)bpf_get_attach_cookie(ctx), (s32)regs_result(ctx)); }

enum {
	NUMBER_0,
#define NUMBER(name, count) NUMBER_##name,
	WHY_FUNCTIONS(NUMBER)
};

/* By a helper: a pointer that is loaded from the context may not be looked at as a number. */
static __always_inline int returned_at(u32 function, u64 *place)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), place);
	return returned(function, (s32)value);
}

#define WATCH(name, count)                                                                                                     \
	SEC("fexit/" #name)                                                                                                    \
	int fexit_##name(u64 *ctx) { return returned_at(NUMBER_##name, &ctx[count]); }
WHY_FUNCTIONS(WATCH)
