// SPDX-License-Identifier: LGPL-2.1-or-later
/* Programs of a kernel with another vDSO: their images are changed so that the vDSO in them is not this kernel's, and that only
 * what an entry leads to can be right: all else of its code is made of traps. The programs read clocks all the time. And of one
 * with other kinds of memory, longer rseq areas, and longer auxiliary vectors. */
#include "arch/arch.h"
#include "base/file.h"
#include "harness/edit.h"
#include "harness/target.h"
#include "host/auxv.h"
#include "model/kinds.h"
#include "restore/restore.h"
#include <fcntl.h>
#include <linux/rseq.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/rseq.h>
#include <sys/uio.h>

#if defined(__x86_64__)
#define TRAP 0xcc
#else
#define TRAP 0
#endif
#define PAD 4 /* bytes of a landing pad */

/* All symbols' code becomes traps, and whoever looks at the build-id sees another. */
static void make_foreign(struct graph *g, const void *with _unused_)
{
	for (struct object *o = NULL; (o = graph_next(g, &kind_vdso, o));) {
		Ckpt__Vdso *v = o->data;
		v->build_id.data[0] ^= 1;
		for (size_t i = 0; i < v->n_symbol; i++)
			memset(v->code.data + v->symbol[i]->value + PAD, TRAP, v->symbol[i]->size - PAD);
	}
}

/* No entry of it is known here: all make system calls. */
static void make_strange(struct graph *g, const void *with _unused_)
{
	make_foreign(g, with);
	for (struct object *o = NULL; (o = graph_next(g, &kind_vdso, o));) {
		Ckpt__Vdso *v = o->data;
		for (size_t i = 0; i < v->n_symbol; i++)
			CHECK(message_set_string(&v->symbol[i]->version, "LINUX_99"));
	}
}

/* Two mappings of this name, or one. */
static int count_maps(pid_t pid, const char *name)
{
	char path[64];
	int n = 0;
	snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
	_cleanup_free_ char *maps = read_text(path);
	for (const char *at = maps; at && (at = strstr(at, name)); at++)
		n++;
	return n;
}

static void cross(struct target *t, int leg, void (*change)(struct graph *, const void *))
{
	edit_leg(t, leg, change);
	CHECK_EQ(count_maps(t->pid, "[vdso]"), 1);
}

/* To another kernel, there dumped and restored, and on to others. */
static void travel(void (*change)(struct graph *, const void *), const char *const *argv)
{
	struct target t;
	target_startv(&t, argv);
	cross(&t, 1, change);
	cross(&t, 2, NULL);
	cross(&t, 3, change);
	cross(&t, 4, make_foreign);
	target_judge(&t);
}

#define TRAVEL(name, change, ...)                                                                                              \
	TEST(name, .root = true, .seconds = 60) { travel(change, (const char *const[]){ __VA_ARGS__, NULL }); }
TRAVEL(clock, make_foreign, "clock")
TRAVEL(clock_static, make_foreign, "clock.static")
TRAVEL(clock_musl, make_foreign, "clock.musl")
TRAVEL(clock_calls, make_strange, "clock")
TRAVEL(clock_static_calls, make_strange, "clock.static")
TRAVEL(clock_musl_calls, make_strange, "clock.musl")
TRAVEL(threads, make_foreign, "threads")
TRAVEL(prefork, make_foreign, "prefork")
TRAVEL(python, make_foreign, "/usr/bin/python3", "python.py")

/* --- other memory --- */

TEST(newer_kinds_of_memory_become_ordinary, .root = true)
{
	struct target t;
	target_start(&t, "newer");
	target_dump(&t, false);
	setenv("CKPT_DISABLE", "MAP_DROPPABLE,ANON_VMA_NAME,MADV_GUARD", 1);
	target_restore(&t, 0);
	unsetenv("CKPT_DISABLE");
	CHECK_EQ(count_maps(t.pid, "of a newer kernel"), 0);
	target_judge(&t);
}

/* --- rseq areas --- */

#define LONGER 33 /* as Linux 7 has them */

/* The C library of the program was told of longer areas, and has registered such. */
static void make_longer(struct graph *g, const void *with _unused_)
{
	for (struct object *o = NULL; (o = graph_next(g, &kind_mm, o));) {
		Elf64_auxv_t told[] = { { AUXV_RSEQ_BYTES, { LONGER } }, { AT_NULL, { 0 } } };
		CHECK(message_set_bytes(&((Ckpt__Mm *)o->data)->auxv, told, sizeof told));
	}
	for (struct object *o = NULL; (o = graph_next(g, &kind_thread, o));)
		((Ckpt__Thread *)o->data)->rseq->length = LONGER;
}

static int cpu_id_at(pid_t pid, u64 area)
{
	int id = 0;
	struct iovec here = { &id, sizeof id },
		     there = { (void *)(uintptr_t)(area + offsetof(struct rseq, cpu_id)), sizeof id };
	CHECK_EQ(process_vm_readv(pid, &here, 1, &there, 1, 0), (ssize_t)sizeof id);
	return id;
}

/* The C library's way without rseq is what it takes when cpu_id says so, also for threads that are born later. */
TEST(longer_rseq_areas_are_left_off, .root = true)
{
	struct target t;
	char edited[96];
	_cleanup_text_ struct text output = { 0 };
	_cleanup_graph_ struct graph g = { 0 };
	if (getauxval(AUXV_RSEQ_BYTES) || !__rseq_size)
		SKIP(__rseq_size ? "the kernel here takes longer areas (Linux 6.3)" : "glibc registers no rseq");
	target_start(&t, "threads");
	target_dump(&t, false);
	snprintf(edited, sizeof edited, "%s.edited", t.image);
	edit_image(t.image, edited, make_longer, NULL);
	CHECK_EQ(ckpt(&output, "restore", edited, "-d"), 0);
	CHECK_CONTAINS(output.data, "[RSEQ_LEFT_OFF]");
	edit_load(edited, &g);
	for (struct object *o = NULL; (o = graph_next(&g, &kind_thread, o));)
		CHECK_EQ(cpu_id_at(t.pid, ((Ckpt__Thread *)o->data)->rseq->address), RSEQ_CPU_ID_REGISTRATION_FAILED);
	target_judge(&t);
}

/* --- auxiliary vectors --- */

#define ENTRIES 200 /* more than any kernel keeps */

/* Of a kernel that tells its programs more than any has. */
static void make_talkative(struct graph *g, const void *with _unused_)
{
	for (struct object *o = NULL; (o = graph_next(g, &kind_mm, o));) {
		Ckpt__Mm *m = o->data;
		Elf64_auxv_t told[ENTRIES] = { 0 };
		size_t known = m->auxv.len / sizeof *told - 1; /* without AT_NULL */
		memcpy(told, m->auxv.data, known * sizeof *told);
		for (size_t i = known; i < ENTRIES - 1; i++)
			told[i] = (Elf64_auxv_t){ .a_type = 1000 + i, .a_un.a_val = i };
		CHECK(message_set_bytes(&m->auxv, told, sizeof told));
	}
}

TEST(longer_auxiliary_vectors_are_cut, .root = true)
{
	struct target t;
	char edited[96];
	_cleanup_text_ struct text output = { 0 }, before = { 0 }, after = { 0 };
	target_start(&t, "sleeper");
	CHECK_OK(file_readf(&before, AT_FDCWD, "/proc/%d/auxv", (int)t.pid));
	target_dump(&t, false);
	snprintf(edited, sizeof edited, "%s.edited", t.image);
	edit_image(t.image, edited, make_talkative, NULL);
	CHECK_EQ(ckpt(&output, "restore", edited, "-d"), 0);
	CHECK_CONTAINS(output.data, "[AUXV_CUT]");
	CHECK_OK(file_readf(&after, AT_FDCWD, "/proc/%d/auxv", (int)t.pid));
	CHECK_EQ(after.len, auxv_room(AUXV_BYTES_MAX));
	CHECK(after.len >= before.len);
	CHECK_EQ(memcmp(before.data, after.data, before.len - sizeof(Elf64_auxv_t)), 0);
	target_judge(&t);
}
