// SPDX-License-Identifier: LGPL-2.1-or-later
/* Every field of every message of an image is left out, emptied and made as large as it can be, one at a time: such an image is
 * refused or can be planned. With sanitizers, which take their time, an image has the turn of one field in four; fields that all
 * images have come to theirs in one of four images. */
#include "diag/diag.h"
#include "harness/edit.h"
#include "harness/target.h"
#include "model/field.h"
#include "resource/registry.h"
#include "restore/restore.h"
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum mutation { ABSENT, EMPTY, LARGEST, MUTATIONS };
#define LONG_STRING 6000
#define PATIENCE 10 /* seconds for one */
#define RECORDS 3   /* of an object with records, so many are changed */
#ifdef __SANITIZE_ADDRESS__
#define STRIDE 4
#else
#define STRIDE 1
#endif

/* Fields are counted; that with the wanted number is changed. */
struct search {
	u32 count, wanted;
	enum mutation mutation;
	char name[96]; /* of what was changed */
};

static size_t width_of(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return 8;
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	default:
		return 4;
	}
}

static void change_bytes(ProtobufCBinaryData *b, enum mutation mutation)
{
	size_t len = mutation == ABSENT ? 0 : mutation == EMPTY ? 1 : 2 * b->len + 1;
	*b = (ProtobufCBinaryData){ len, len ? calloc(1, len) : NULL };
}

static char *other_string(enum mutation mutation)
{
	char *s = mutation == ABSENT ? NULL : calloc(1, LONG_STRING + 1);
	return mutation == LARGEST ? memset(s, '/', LONG_STRING) : s;
}

/* A string that lies in the record itself; the largest has no end. */
static void change_name(char *name, enum mutation mutation)
{
	memset(name, mutation == LARGEST ? '/' : 0, sizeof(record_name));
	if (mutation == EMPTY)
		*name = '[';
}

static void change_value(const ProtobufCFieldDescriptor *f, void *value, enum mutation mutation)
{
	if (f->flags & FIELD_FLAG_INLINE)
		change_name(value, mutation);
	else if (f->type == PROTOBUF_C_TYPE_STRING)
		*(char **)value = other_string(mutation);
	else if (f->type == PROTOBUF_C_TYPE_BYTES)
		change_bytes(value, mutation);
	else if (f->type == PROTOBUF_C_TYPE_BOOL)
		*(protobuf_c_boolean *)value = mutation == LARGEST;
	else
		memset(value, mutation == LARGEST ? 0xff : 0, width_of(f));
}

static bool is_wanted(struct search *s, const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f)
{
	if (s->count++ != s->wanted)
		return false;
	static const char *const how[] = { "absent", "empty", "largest" };
	snprintf(s->name, sizeof s->name, "%s.%s %s", d->short_name, f->name, how[s->mutation]);
	return true;
}

static void change_message(struct search *, ProtobufCMessage *);

static void change_list(struct search *s, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	size_t *n = (size_t *)((char *)m + f->quantifier_offset);
	char *list = *(char **)((char *)m + f->offset);
	if (is_wanted(s, m->descriptor, f))
		*n = s->mutation == ABSENT ? 0 : *n - (s->mutation == EMPTY && *n);
	for (size_t i = 0; i < *n; i++)
		if (f->type == PROTOBUF_C_TYPE_MESSAGE)
			change_message(s, ((ProtobufCMessage **)list)[i]);
		else if (f->type != PROTOBUF_C_TYPE_STRING && f->type != PROTOBUF_C_TYPE_BYTES &&
			 is_wanted(s, m->descriptor, f))
			change_value(f, list + i * width_of(f), s->mutation);
}

static void change_field(struct search *s, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	void *value = (char *)m + f->offset;
	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		change_list(s, m, f);
	} else if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
		if (*(void **)value && is_wanted(s, m->descriptor, f))
			*(void **)value = NULL;
		if (*(void **)value)
			change_message(s, *(void **)value);
	} else if (is_wanted(s, m->descriptor, f)) {
		change_value(f, value, s->mutation);
		if (f->quantifier_offset)
			*(protobuf_c_boolean *)((char *)m + f->quantifier_offset) = s->mutation != ABSENT;
	}
}

static void change_message(struct search *s, ProtobufCMessage *m)
{
	for (unsigned i = 0; i < m->descriptor->n_fields; i++)
		change_field(s, m, &m->descriptor->fields[i]);
}

static void change_records(struct search *s, const struct object *o)
{
	const ProtobufCMessageDescriptor *d = o->kind->desc;
	for (u32 i = 0; i < MIN(o->count, (u32)RECORDS); i++)
		for (unsigned k = 0; k < d->n_fields; k++)
			if (is_wanted(s, d, &d->fields[k]))
				change_value(&d->fields[k], (char *)o->data + i * o->kind->record_size + d->fields[k].offset,
					     s->mutation);
}

/* False when there are fewer fields. */
static bool change(struct graph *g, struct search *s)
{
	for (size_t i = 0; i < g->objects.n && s->count <= s->wanted; i++) {
		const struct object *o = g->objects.v[i];
		u32 id = o->id;
		if (o->kind->record_size)
			change_records(s, o);
		else
			change_message(s, o->data);
		if (s->count++ == s->wanted) {
			g->objects.v[i]->id = s->mutation == ABSENT ? 0 : s->mutation == EMPTY ? id + 1 : ~0u;
			snprintf(s->name, sizeof s->name, "id of %s %u", o->kind->name, id);
		}
	}
	return s->count > s->wanted;
}

/* Where a run has come to, for who looks after it. */
static struct progress {
	u32 wanted, mutation, refused, planned;
	bool done;
	char name[96];
} * progress;

static void try_one(const struct text *facts, const struct kind *const *kinds, const struct survey *survey)
{
	_cleanup_graph_ struct graph changed = { 0 }, g = { 0 };
	_cleanup_plan_ struct plan *plan = NULL;
	_cleanup_text_ struct text packed = { 0 }, printed = { 0 }, unknown = { 0 };
	struct search s = { .wanted = progress->wanted, .mutation = (enum mutation)progress->mutation };
	_cleanup_(tells_free) struct tells tells = { 0 };
	struct site site;
	size_t offset;
	CHECK_OK(graph_unpack(&changed, facts->data, facts->len, kinds, 64u << 20, &offset, &unknown));
	progress->done = !change(&changed, &s);
	if (progress->done)
		return;
	memcpy(progress->name, s.name, sizeof s.name);
	graph_pack(&packed, &changed, kinds);
	size_t mark = diag_mark();
	int r = graph_unpack(&g, packed.data, packed.len, kinds, 64u << 20, &offset, &unknown);
	if (r < 0)
		fail(IMAGE_FORMAT, r, "offset %zu", offset);
	if (r == 0)
		r = judge_restore(&g, survey);
	if (r == 0)
		r = compile(&plan, &site, &tells, &g, survey);
	if (r == 0)
		plan_print(&printed, plan, NULL);
	CHECK(r == 0 || diag_failed());
	diag_forget(mark);
	*(r == 0 ? &progress->planned : &progress->refused) += 1;
}

static void next_mutation(void)
{
	if (++progress->mutation < MUTATIONS)
		return;
	progress->mutation = 0;
	progress->wanted += STRIDE;
}

static void try_all(const struct text *facts, const struct kind *const *kinds, const struct survey *survey)
{
	while (!progress->done) {
		alarm(PATIENCE);
		try_one(facts, kinds, survey);
		next_mutation();
	}
	_exit(0);
}

/* A child does it; where it dies, or comes to no end, another goes on. */
static void mutate(struct target *t, u32 turn)
{
	const struct kind *kinds[REGISTRY_KINDS];
	_cleanup_graph_ struct graph g = { 0 };
	_cleanup_text_ struct text facts = { 0 };
	_cleanup_(survey_free) struct survey survey = { 0 };
	struct caps caps = { 0 };
	u32 deaths = 0;
	target_dump(t, false);
	registry_kinds(kinds);
	CHECK_OK(diag_begin("test", "mutated"));
	edit_load(t->image, &g);
	graph_pack(&facts, &g, kinds);
	CHECK_OK(survey_host(&survey, &caps, &g, true, false));
	CHECK_OK(survey_ids(&survey, &g, true));
	progress = mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(progress != MAP_FAILED);
	progress->wanted = turn % STRIDE;
	while (!progress->done) {
		int status;
		pid_t child = fork();
		CHECK(child >= 0);
		if (child == 0)
			try_all(&facts, kinds, &survey);
		CHECK_EQ(waitpid(child, &status, 0), child);
		if (status == 0)
			continue;
		fprintf(stderr, "%s: status %#x\n", progress->name, status);
		deaths++;
		next_mutation();
	}
	ckpt(NULL, "unlock", t->image); /* where there is a lock: it will not be restored */
	fprintf(stderr, "%u fields: %u refused, %u planned\n", progress->wanted, progress->refused, progress->planned);
	CHECK_EQ(deaths, 0);
	CHECK(progress->refused && progress->planned);
}

/* Where the kernel lacks the capability the program cannot be dumped. */
static void program_needs(enum cap_id id)
{
	if (id != CAN_NOTHING && caps_ask(NULL, id).answer != CAP_YES)
		SKIP("this kernel lacks %s", caps_row(id)->interface);
}

#define IMAGE_NEEDS(ident, capability, ...)                                                                                    \
	TEST(ident, .root = true, .net = true, .seconds = 120)                                                                 \
	{                                                                                                                      \
		struct target t;                                                                                               \
		program_needs(capability);                                                                                     \
		target_start(&t, __VA_ARGS__);                                                                                 \
		mutate(&t, __COUNTER__ / 2);                                                                                   \
	}
#define IMAGE(ident, ...) IMAGE_NEEDS(ident, CAN_NOTHING, __VA_ARGS__)
IMAGE(sleeper, "sleeper")
IMAGE(signals, "signals")
IMAGE(timers, "timers")
IMAGE(rights, "rights")
IMAGE(userns, "userns")
IMAGE(files, "files")
IMAGE(ghosts, "ghosts")
IMAGE(covered, "covered")
IMAGE(hangups, "hangups")
IMAGE(fifos, "fifos")
IMAGE(memfds, "memfds")
IMAGE(queues, "queues")
IMAGE(names, "named")
IMAGE(connections, "named", "connections")
IMAGE(datagrams, "unix", "datagrams")
IMAGE(listeners, "unix", "listeners")
IMAGE(waiting, "unix", "waiting")
IMAGE(inet, "inet")
IMAGE(tcp, "/usr/bin/python3", "loop.py", "tcp")
IMAGE(outside, "outside", "127.0.0.1")
IMAGE(parts, "parts", "closed")
IMAGE(packets, "packets")
IMAGE(netlink, "netlink")
IMAGE(capture, "capture")
IMAGE_NEEDS(rings, CAN_BPF_TASK_LINK, "rings")
IMAGE(dispatch, "dispatch")
IMAGE(numa, "numa")
IMAGE(epoll, "epoll")
IMAGE(mqueues, "mqueues")
IMAGE(namespaces, "namespaces")
IMAGE(pidfds, "pidfds")
IMAGE(aio, "aio")
IMAGE(userfaults, "userfaults")
IMAGE_NEEDS(urings, CAN_IO_URING, "urings", "polled")
IMAGE_NEEDS(urings_registered, CAN_IO_URING_TABLES, "urings", "registered")
IMAGE(procfiles, "procfiles")
IMAGE(signalfds, "signalfds")
IMAGE(sysvipc, "sysvipc")
IMAGE(sysvsem, "sysvsem")
IMAGE(sysvsem_undo, "sysvsem", "undo")
IMAGE(sysvshm, "sysvshm")
IMAGE(sysvparts, "sysvparts")
IMAGE(timerfds, "timerfds")
IMAGE(tuns, "tuns")
IMAGE(watches, "watches")
IMAGE(locks, "locks")
IMAGE(leases, "leases")
IMAGE(bpfmaps, "bpfmaps")
IMAGE(fanotify, "fanotify")
IMAGE(hugepages, "hugepages")
IMAGE(ldt, "ldt")
IMAGE(advice, "advice")
IMAGE(apart, "apart")
IMAGE(tables, "tables")
IMAGE(attributes, "attributes")
IMAGE(seals, "seals")
IMAGE(pty, "pty")
IMAGE_NEEDS(typeahead, CAN_BPF_TASK_LINK, "typeahead")
IMAGE(shared, "shared")
IMAGE(nohup, "nohup")
IMAGE(leaders, "leaders")
