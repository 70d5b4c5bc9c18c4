// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tests of the pure step: a model is compiled, the plan is run in the mind, and every process ends with the mappings and
 * the descriptors of the model. */
#include "diag/diag.h"
#include "harness/test.h"
#include "model/kinds.h"
#include "plan/simulate.h"
#include "record.h"
#include "reg.pb-c.h"
#include "resource/registry.h"
#include "restore/restore.h"
#include <sys/mman.h>

static const struct record_vma own[] = {
	{ .start = 0x400000, .end = 0x600000, .prot = PROT_READ | PROT_EXEC },
	{ .start = 0x7f0000000000, .end = 0x7f0000004000, .prot = PROT_READ, .flags = VMA_SPECIAL, .name = "[vvar]" },
	{ .start = 0x7f0000004000,
	  .end = 0x7f0000006000,
	  .prot = PROT_READ | PROT_EXEC,
	  .flags = VMA_SPECIAL,
	  .name = "[vdso]" },
	{ .start = 0x7ffffff00000, .end = 0x7fffffff0000, .prot = PROT_READ | PROT_WRITE, .name = "[stack]" },
};

static void add_file(struct graph *g, u32 id)
{
	Ckpt__File *file = graph_add(g, &kind_file, id)->data;
	CHECK(message_set_string(&file->kind, "reg"));
	SET(file, flags, 2);
	const struct kind *kinds[REGISTRY_KINDS];
	registry_kinds(kinds);
	for (size_t i = 0; kinds[i]; i++)
		if (!strcmp(kinds[i]->name, "reg")) {
			Ckpt__Reg *reg = graph_add(g, kinds[i], id)->data;
			CHECK(message_set_string(&reg->path, "/dev/null") && message_set_string(&reg->type, "character"));
		}
}

static void add_task(struct graph *g, u32 pid, u32 ppid, u32 sid, u32 pgid, u32 threads)
{
	Ckpt__Task *task = graph_add(g, &kind_task, pid)->data;
	SET(task, pid, pid);
	SET(task, ppid, ppid);
	SET(task, sid, sid);
	SET(task, pgid, pgid);
	SET(task, mm, pid);
	SET(task, fds, pid);
	SET(task, exit_signal, 17);
	for (u32 tid = pid; tid < pid + threads; tid++) {
		Ckpt__Thread *thread = graph_add(g, &kind_thread, tid)->data;
		SET(thread, tid, tid);
		SET(thread, pid, pid);
		CHECK(message_set_string(&thread->comm, "name"));
		CHECK(MESSAGE_APPEND(&task->n_tid, &task->tid, tid));
	}
	Ckpt__Mm *mm = graph_add(g, &kind_mm, pid)->data;
	SET(mm, exe, 1);
}

static struct object *records(struct graph *g, const struct kind *kind, u32 id, const void *data, u32 count)
{
	struct object *o = graph_add(g, kind, id);
	for (u32 i = 0; i < count; i++)
		memcpy(object_append(o), (const char *)data + i * kind->record_size, kind->record_size);
	return o;
}

#define VMAS(...) (struct vma[]){ __VA_ARGS__ }, sizeof((struct vma[]){ __VA_ARGS__ }) / sizeof(struct vma)
#define RUNS(...) (struct page_run[]){ __VA_ARGS__ }, sizeof((struct page_run[]){ __VA_ARGS__ }) / sizeof(struct page_run)
#define FDS(...) (struct fd_entry[]){ __VA_ARGS__ }, sizeof((struct fd_entry[]){ __VA_ARGS__ }) / sizeof(struct fd_entry)
#define TEXT_AT(a)                                                                                                             \
	{                                                                                                                      \
		.start = (a), .end = (a) + 0x3000, .prot = PROT_READ | PROT_EXEC, .file = 1, .pgoff = 0x1000                   \
	}
#define DATA_AT(a)                                                                                                             \
	{                                                                                                                      \
		.start = (a), .end = (a) + 0x9000, .prot = PROT_READ | PROT_WRITE, .flags = VMA_ANONYMOUS                      \
	}
#define SEALED_AT(a)                                                                                                           \
	{                                                                                                                      \
		.start = (a), .end = (a) + 0x2000, .prot = PROT_READ, .flags = VMA_ANONYMOUS | VMA_ACCOUNT                     \
	}
#define VDSO_AT(a)                                                                                                             \
	{ .start = (a), .end = (a) + 0x4000, .prot = PROT_READ, .flags = VMA_SPECIAL | VMA_ANONYMOUS, .name = "[vvar]" },      \
	{                                                                                                                      \
		.start = (a) + 0x4000, .end = (a) + 0x6000, .prot = PROT_READ | PROT_EXEC,                                     \
		.flags = VMA_SPECIAL | VMA_ANONYMOUS, .name = "[vdso]"                                                         \
	}

/* Two sessions, a group across processes, 50 threads, shared and own pages, a vDSO elsewhere in each. */
static void make_model(struct graph *g)
{
	Ckpt__Host *host = graph_add(g, &kind_host, 1)->data;
	SET(host, root_pid, 100);
	add_file(g, 1);
	add_file(g, 2);
	add_task(g, 100, 0, 100, 100, 50);
	records(g, &kind_vmas, 100,
		VMAS(TEXT_AT(0x10000000), DATA_AT(0x20000000), SEALED_AT(0x30000000), VDSO_AT(0x7f1100000000)));
	records(g, &kind_pages, 100,
		RUNS({ .start = 0x20000000, .len = 0x4000 }, { .start = 0x30000000, .len = 0x1000, .offset = 0x4000 }));
	records(g, &kind_fds, 100, FDS({ .fd = 0, .file = 1 }, { .fd = 70, .file = 2, .cloexec = 1 }));
	/* born before setsid(): keeps ckpt's session; its data is the parent's, but for one page */
	add_task(g, 200, 100, 0, 200, 1);
	records(g, &kind_vmas, 200, VMAS(TEXT_AT(0x10000000), DATA_AT(0x20000000), VDSO_AT(0x7f1100000000)));
	records(g, &kind_pages, 200,
		RUNS({ .start = 0x20000000, .len = 0x2000, .flags = PAGES_INHERITED },
		     { .start = 0x20002000, .len = 0x1000, .offset = 0x5000 }));
	records(g, &kind_fds, 200, FDS({ .fd = 5, .file = 2 }));
	/* another program, in the group of its younger sister, which comes later */
	add_task(g, 300, 100, 100, 400, 1);
	records(g, &kind_vmas, 300, VMAS(DATA_AT(0x50000000), VDSO_AT(0x7f2200000000)));
	records(g, &kind_fds, 300, NULL, 0);
	add_task(g, 400, 100, 100, 400, 1);
	records(g, &kind_vmas, 400, VMAS(DATA_AT(0x60000000)));
	records(g, &kind_fds, 400, FDS({ .fd = 1, .file = 1 }));
}

static void check_process(const struct graph *g, const struct sim_process *p)
{
	const struct object *vmas = graph_find(g, &kind_vmas, p->tid), *fds = graph_find(g, &kind_fds, p->tid);
	CHECK_EQ(p->ranges.n, vmas->count);
	for (u32 i = 0; i < vmas->count; i++) {
		const struct vma *v = &((struct vma *)vmas->data)[i];
		CHECK_EQ(p->ranges.v[i].start, v->start);
		CHECK_EQ(p->ranges.v[i].end, v->end);
		CHECK_EQ(p->ranges.v[i].prot, v->prot);
		if (v->file)
			CHECK_EQ(p->ranges.v[i].offset, v->pgoff);
	}
	CHECK_EQ(p->fds.n, fds->count);
	for (u32 i = 0; i < fds->count; i++) {
		const struct fd_entry *e = &((struct fd_entry *)fds->data)[i];
		CHECK_EQ(p->fds.v[i].fd, e->fd);
		CHECK_EQ(p->fds.v[i].cloexec, e->cloexec);
		CHECK_EQ(p->fds.v[i].of, 128 + e->file);
	}
}

static void simulate_model(struct graph *g, struct simulation *sim, void (*damage)(struct plan *))
{
	struct caps caps = { 0 };
	struct survey survey = { .caps = &caps, .nofile = 20000 };
	struct sim_range begin[ARRAY_SIZE(own)];
	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		struct record_vma *place = vector_add(&survey.own);
		CHECK(place);
		*place = own[i];
		begin[i] = (struct sim_range){ .start = own[i].start, .end = own[i].end, .prot = own[i].prot, .fd = -1 };
	}
	struct plan *plan;
	_cleanup_(tells_free) struct tells tells = { 0 };
	struct site site;
	CHECK_EQ(compile(&plan, &site, &tells, g, &survey), 0);
	if (damage)
		damage(plan);
	struct sim_config config = {
		.code = site.code, .data = site.data, .end = site.end, .begin = begin, .nbegin = ARRAY_SIZE(own), .root = 100
	};
	CHECK_EQ(simulate(sim, plan, &config), 0);
	plan_free(plan);
	vector_free(&survey.own);
}

TEST(every_process_ends_with_its_mappings_and_descriptors)
{
	_cleanup_graph_ struct graph g = { 0 };
	_cleanup_(simulation_free) struct simulation sim = { 0 };
	CHECK_EQ(diag_begin("restore", "a model"), 0);
	make_model(&g);
	simulate_model(&g, &sim, NULL);
	CHECK_STR(sim.problems.data ? sim.problems.data : "", "");
	CHECK_EQ(sim.processes.n, 4);
	for (size_t i = 0; i < sim.processes.n; i++)
		check_process(&g, &sim.processes.v[i]);
}

static void unmap_all(struct plan *plan) { plan_call(plan, AT(100, STAGE_MAP), 11 /* munmap */, ARG(0), ARG(1ull << 47)); }
static void wait_for_nobody(struct plan *plan) { plan_wait(plan, AT(300, STAGE_TIMERS), plan_word(plan, "nobody"), 1); }
static void map_twice(struct plan *plan)
{
	plan_call(plan, AT(100, STAGE_FILL), 9 /* mmap */, ARG(0x20000000), ARG(0x1000), ARG(1), ARG(0x100022), ARG(-1));
}

TEST(unsound_plans_are_seen)
{
	static const struct {
		void (*damage)(struct plan *);
		const char *problem;
	} cases[] = { { unmap_all, "unmaps the ground it stands on" },
		      { wait_for_nobody, "waits for ever" },
		      { map_twice, "maps over another mapping" } };
	CHECK_EQ(diag_begin("restore", "a model"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_graph_ struct graph g = { 0 };
		_cleanup_(simulation_free) struct simulation sim = { 0 };
		make_model(&g);
		simulate_model(&g, &sim, cases[i].damage);
		CHECK_CONTAINS(sim.problems.data ? sim.problems.data : "", cases[i].problem);
	}
}
