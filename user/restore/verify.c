// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the proof of a restore: the same facts, collected again, before the first instruction runs. */
#include "collect/collect.h"
#include "diag/diag.h"
#include "inet.pb-c.h"
#include "model/field.h"
#include "model/reflect.h"
#include "resource/registry.h"
#include "restore/restore.h"

/* What is not the same by nature, each with its reason. */
static const char *const ignored[] = {
	"host",  /* facts of the moment */
	"pages", /* contents are proven by the checksums that were read with them */
	"memory",
	"vdso",                /* the kernel's */
	"mm.vdso",             /* its object */
	"thread.call",         /* the time that is left runs */
	"thread.registers",    /* of a call that ended meanwhile: compared with what was given */
	"+inet.datagram",      /* from outside, since the socket was bound */
	"packet.receive.head", /* the same; what the kernel counted has proven it */
	"packet.content",
};

/* Not every source tells these, nor every kernel has them. They are compared when the image and this host know them. */
static const char *const hearsay[] = { "mm.membarrier",
				       "persona.syscall_dispatch",
				       "controls.tsc_faults",
				       "controls.store_bypass",
				       "controls.indirect_branch",
				       "controls.l1d_flush",
				       "numa.policy",
				       "numa.range",
				       "sysvsem.set",
				       "sysvsem.own",
				       "tty.waiting",
				       "unix.pass_pidfd",
				       "unix.pass_rights" };

/* Does any object have the field of "kind.field"? */
static bool is_told(const struct graph *g, const char *path)
{
	size_t len = strcspn(path, ".");
	for (size_t i = 0; i < g->objects.n; i++) {
		const struct object *o = g->objects.v[i];
		if (strncmp(o->kind->name, path, len) != 0 || o->kind->name[len])
			continue;
		const ProtobufCFieldDescriptor *f =
			protobuf_c_message_descriptor_get_field_by_name(o->kind->desc, path + len + 1);
		if (f && field_count(f, o->data))
			return true;
	}
	return false;
}

static void report_lines(const char *lines)
{
	while (*lines) {
		int len = (int)strcspn(lines, "\n");
		fail(VERIFY_DIFFERS, 0, "%.*s", len, lines);
		lines += len + (lines[len] == '\n');
	}
}

/* Two kernels may tell of different sets of registers: what means the same is the same. */
static int settle_extended(const struct graph *then, struct graph *now)
{
	for (struct object *o = NULL; (o = graph_next(now, &kind_thread, o));) {
		Ckpt__Thread *t = o->data;
		const Ckpt__Thread *was = graph_data(then, &kind_thread, o->id);
		if (was && arch_extended_same(was->extended.data, was->extended.len, t->extended.data, t->extended.len) &&
		    !message_set_bytes(&t->extended, was->extended.data, was->extended.len))
			return fail_memory();
	}
	return 0;
}

/* Who was asked for a connection may have answered since: then that it was asked is proven. */
static int settle_connecting(const struct graph *then, struct graph *now)
{
	for (struct object *o = NULL; (o = graph_next(now, resource_inet.kind, o));) {
		Ckpt__Inet *m = o->data;
		const Ckpt__Inet *was = graph_data(then, resource_inet.kind, o->id);
		if (!was || !was->connecting || m->connecting)
			continue;
		if (m->tcp)
			ckpt__inet_tcp__free_unpacked(m->tcp, NULL);
		m->tcp = NULL;
		free(m->over);
		m->over = NULL;
		m->has_shutdown = m->has_outside = m->has_peer_closed = false;
		SET(m, connecting, true);
		m->has_local_port = was->has_local_port, m->local_port = was->local_port;
		m->has_local_scope = was->has_local_scope, m->local_scope = was->local_scope;
		m->has_remote_port = was->has_remote_port, m->remote_port = was->remote_port;
		m->has_remote_scope = was->has_remote_scope, m->remote_scope = was->remote_scope;
		if (!message_set_string(&m->local, was->local) || !message_set_string(&m->remote, was->remote))
			return fail_memory();
	}
	return 0;
}

/* Where a call is seen by entering it again (arm64), one whose time has come since ends at that: with a result, nothing else. */
static bool is_where_put(const Ckpt__Thread *was, const arch_regs *given, const Ckpt__Thread *t)
{
	arch_regs wanted = *given, now;
	if (t->registers.len != sizeof now)
		return false;
	memcpy(&now, t->registers.data, sizeof now);
	if (arch_decides_at_exit() && was->call && !t->call)
		arch_finish_call(&wanted, arch_call_result(&now));
	return !memcmp(&wanted, &now, sizeof now);
}

/* Each thread stands where it was put. */
static int verify_registers(const struct execution *x, const struct graph *now)
{
	size_t i = 0;
	int r = 0;
	for (struct object *o = NULL; (o = graph_next(x->graph, &kind_thread, o)) && i < x->registers.n; i++) {
		const Ckpt__Thread *t = graph_data(now, &kind_thread, o->id);
		WORKING_ON_THREAD(o->id);
		if (!t || !is_where_put(o->data, &x->registers.v[i], t))
			r = fail(VERIFY_DIFFERS, 0, "its registers");
	}
	return r;
}

#define EFFORT BPF_CACHED

struct bpf_source *verify_source(const struct survey *survey, const struct tells *tells)
{
	return tells->list.n ? NULL : bpf_open_beside(survey->caps, EFFORT);
}

int verify_restored(struct execution *x, const struct survey *survey, const struct told *told, struct bpf_source *bpf,
		    bool alone)
{
	_cleanup_graph_ struct graph now = { 0 };
	const struct collect_config config = {
		.caps = survey->caps, .resources = registry, .effort = EFFORT, .bpf = bpf, .told = told, .alone = alone
	};
	int r = collect(&now, &x->tree, &config);
	if (r < 0)
		return r;
	_cleanup_text_ struct text differences = { 0 };
	r = settle_extended(x->graph, &now);
	if (r == 0)
		r = settle_connecting(x->graph, &now);
	if (r < 0)
		return r;
	r = verify_registers(x, &now);
	const char *ignore[ARRAY_SIZE(ignored) + ARRAY_SIZE(hearsay) + 1] = { NULL };
	size_t n = ARRAY_SIZE(ignored);
	memcpy(ignore, ignored, sizeof ignored);
	for (size_t i = 0; i < ARRAY_SIZE(hearsay); i++)
		if (!is_told(x->graph, hearsay[i]) || !is_told(&now, hearsay[i]))
			ignore[n++] = hearsay[i];
	if (graph_compare(&differences, x->graph, &now, ignore) == 0)
		return r;
	report_lines(differences.data ? differences.data : "");
	return -EINVAL;
}
