// SPDX-License-Identifier: LGPL-2.1-or-later
/* Images with one fact changed, every checksum right: each is refused by name, and nothing is made. */
#include "arch/arch.h"
#include "controls.pb-c.h"
#include "diag/diag.h"
#include "fs.pb-c.h"
#include "harness/edit.h"
#include "harness/left.h"
#include "model/kinds.h"
#include "model/reflect.h"
#include "numa.pb-c.h"
#include "persona.pb-c.h"
#include "reg.pb-c.h"
#include "resource/registry.h"
#include "restore/restore.h"
#include "sched.pb-c.h"
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/auxv.h>

static Ckpt__Host *host(struct graph *g) { return graph_find(g, &kind_host, 1)->data; }
static void other_arch(struct graph *g, const void *with _unused_) { CHECK(message_set_string(&host(g)->arch, "sparc")); }
static void later(struct graph *g, const void *with _unused_) { host(g)->monotonic += 1ull << 63; }
static void no_root(struct graph *g, const void *with _unused_) { host(g)->root_pid = 77777; }
static Ckpt__Vdso *vdso(struct graph *g) { return graph_next(g, &kind_vdso, NULL)->data; }
static void lost_vdso(struct graph *g, const void *with _unused_)
{
	vdso(g)->build_id.data[0] ^= 1;
	vdso(g)->code.len = 0;
}
static void short_vdso(struct graph *g, const void *with _unused_)
{
	vdso(g)->build_id.data[0] ^= 1;
	vdso(g)->symbol[0]->size = 5;
}
static void wild_vdso(struct graph *g, const void *with _unused_)
{
	vdso(g)->build_id.data[0] ^= 1;
	vdso(g)->symbol[0]->value = ~0ull - 100;
}
static void busy_vdso(struct graph *g, const void *with _unused_)
{
	const Ckpt__Mm *m = graph_next(g, &kind_mm, NULL)->data;
	Ckpt__Thread *t = graph_next(g, &kind_thread, NULL)->data;
	arch_regs regs;
	vdso(g)->build_id.data[0] ^= 1;
	memcpy(&regs, t->registers.data, sizeof regs);
	arch_set_pc(&regs, m->vdso_address + vdso(g)->symbol[0]->value + 20);
	memcpy(t->registers.data, &regs, sizeof regs);
}
/* The process has unmapped the code; of the data, which another kernel has made, there is less than here. */
static void rest_of_vdso(struct graph *g, const void *with _unused_)
{
	Ckpt__Mm *m = graph_next(g, &kind_mm, NULL)->data;
	struct object *vmas = graph_next(g, &kind_vmas, NULL);
	struct vma *v = vmas->data;
	u32 n = 0;
	m->has_vdso = m->has_vdso_address = 0;
	for (u32 i = 0; i < vmas->count; i++)
		if (strcmp(v[i].name, "[vdso]") != 0)
			v[n++] = v[i];
	vmas->count = n;
	for (u32 i = 0; i < n; i++)
		if (!strncmp(v[i].name, "[vvar", 5))
			v[i].end -= PAGE_BYTES;
}
static void high_fd(struct graph *g, const void *with _unused_)
{
	((struct fd_entry *)graph_next(g, &kind_fds, NULL)->data)->fd = 0x40000000;
}

/* The array of id 0 in a plan is run by ckpt itself. */
static void world_is_root(struct graph *g, const void *with _unused_)
{
	Ckpt__Task *task = graph_next(g, &kind_task, NULL)->data;
	Ckpt__Thread *thread = graph_next(g, &kind_thread, NULL)->data;
	for (size_t i = 0; i < g->objects.n; i++)
		if (g->objects.v[i]->id == task->pid)
			g->objects.v[i]->id = 0;
	host(g)->root_pid = task->tid[0] = thread->tid = thread->pid = 0;
	task->pid = task->mm = task->fds = 0;
}

static void short_registers(struct graph *g, const void *with _unused_)
{
	((Ckpt__Thread *)graph_next(g, &kind_thread, NULL)->data)->registers.len -= 8;
}

static void nobodys_object(struct graph *g, const void *with _unused_)
{
	for (size_t i = 0; i < g->objects.n; i++)
		if (g->objects.v[i]->kind == resource_persona.kind)
			g->objects.v[i]->id++;
}

/* A terminal is none of the devices that are opened by their names: a restore by root must not open what an image names. */
static void device(struct graph *g, const void *with _unused_)
{
	for (size_t i = 0; i < g->objects.n; i++) {
		Ckpt__Reg *f = g->objects.v[i]->data;
		if (g->objects.v[i]->kind == resource_reg.kind && !strcmp(f->type, "character")) {
			CHECK(message_set_string(&f->path, "/dev/tty"));
			f->has_rdev = 0;
		}
	}
}

static void bad_signal(struct graph *g, const void *with _unused_)
{
	for (size_t i = 0; i < g->objects.n; i++)
		if (g->objects.v[i]->kind == resource_persona.kind)
			((Ckpt__Persona *)g->objects.v[i]->data)->pdeath_signal = 99;
}

/* As of a machine where each thread may protect itself. */
static void protected(struct graph *g, const void *with _unused_)
{
	for (size_t i = 0; i < g->objects.n; i++)
		if (g->objects.v[i]->kind == resource_controls.kind)
			CHECK(message_set_string(&((Ckpt__Controls *)g->objects.v[i]->data)->store_bypass, "force-disabled"));
}

/* Where nobody can be protected the program runs all the same, which is said. */
TEST(protection_that_is_not_here, .root = true)
{
	struct target t;
	char edited[96];
	int own = prctl(PR_GET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, 0, 0, 0);
	bool exposed = own != PR_SPEC_NOT_AFFECTED && own != PR_SPEC_DISABLE && !(own > 0 && own & PR_SPEC_PRCTL);
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, "sleeper");
	target_dump(&t, false);
	snprintf(edited, sizeof edited, "%s.edited", t.image);
	edit_image(t.image, edited, protected, NULL);
	CHECK_EQ(ckpt(&output, "restore", edited, "-d"), 0);
	CHECK_EQ(output.data && strstr(output.data, "[SPECULATION]"), exposed);
	target_judge(&t);
}

/* A machine with more nodes than any. */
static void far_memory(struct graph *g, const void *with _unused_)
{
	for (size_t i = 0; i < g->objects.n; i++)
		if (g->objects.v[i]->kind == resource_numa.kind)
			CHECK(message_set_string(&((Ckpt__Numa *)g->objects.v[i]->data)->policy, "bind:1023"));
}

/* What a later kernel may have, and what an old one did not tell. */
static void later_policy(struct graph *g, const void *with _unused_)
{
	for (struct object *o = NULL; (o = graph_next(g, resource_sched.kind, o));)
		CHECK(message_set_string(&((Ckpt__Sched *)o->data)->policy, "later"));
}
static void no_umask(struct graph *g, const void *with _unused_)
{
	for (struct object *o = NULL; (o = graph_next(g, resource_fs.kind, o));)
		((Ckpt__Fs *)o->data)->has_umask = 0;
}

static void check_refused(void (*change)(struct graph *, const void *), const char *code, int status)
{
	struct target t;
	char edited[96], name[64];
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, "sleeper");
	target_dump(&t, false);
	snprintf(edited, sizeof edited, "%s.edited", t.image);
	edit_image(t.image, edited, change, NULL);
	_cleanup_free_ char *before = left_look_alone();
	CHECK_EQ(ckpt(&output, "restore", edited, "-d"), status);
	snprintf(name, sizeof name, "[%s]", code);
	CHECK_CONTAINS(output.data, name);
	CHECK_CONTAINS(output.data, "  do:");
	CHECK_CONTAINS(output.data, "not restored; nothing was made");
	left_check(before, code);
	target_restore(&t, 0);
	target_judge(&t);
}

TEST(nodes_of_memory, .root = true) { check_refused(far_memory, "NUMA_NODES", EXIT_KERNEL); }
TEST(nodes_of_memory_given_up, .root = true)
{
	struct target t;
	char edited[96];
	target_start(&t, "sleeper");
	target_dump(&t, false);
	snprintf(edited, sizeof edited, "%s.edited", t.image);
	edit_image(t.image, edited, far_memory, NULL);
	CHECK_EQ(ckpt(NULL, "restore", "--policy=numa=drop", edited, "-d"), 0);
	target_judge(&t);
}
TEST(architecture, .root = true) { check_refused(other_arch, "OTHER_ARCH", EXIT_IMAGE); }
TEST(clock, .root = true) { check_refused(later, "IMAGE_VALUE", EXIT_IMAGE); }
TEST(root, .root = true) { check_refused(no_root, "IMAGE_INCONSISTENT", EXIT_IMAGE); }
TEST(id_of_world, .root = true) { check_refused(world_is_root, "IMAGE_INCONSISTENT", EXIT_IMAGE); }
TEST(registers, .root = true) { check_refused(short_registers, "IMAGE_INCONSISTENT", EXIT_IMAGE); }
TEST(nobody, .root = true) { check_refused(nobodys_object, "IMAGE_INCONSISTENT", EXIT_IMAGE); }
TEST(vdso_without_code, .root = true) { check_refused(lost_vdso, "VDSO_DIFFERS", EXIT_KERNEL); }
TEST(vdso_too_short, .root = true) { check_refused(short_vdso, "VDSO_DIFFERS", EXIT_KERNEL); }
TEST(vdso_wild_symbol, .root = true) { check_refused(wild_vdso, "VDSO_DIFFERS", EXIT_KERNEL); }
TEST(vdso_data_alone, .root = true) { check_refused(rest_of_vdso, "VDSO_DIFFERS", EXIT_KERNEL); }
TEST(vdso_busy, .root = true) { check_refused(busy_vdso, "VDSO_BUSY", EXIT_RACED); }
TEST(descriptor, .root = true) { check_refused(high_fd, "TOO_MANY_FILES", EXIT_SYSTEM); }
TEST(opened_device, .root = true) { check_refused(device, "IMAGE_VALUE", EXIT_IMAGE); }
TEST(policy, .root = true) { check_refused(later_policy, "SCHED_POLICY", EXIT_UNSUPPORTED); }
TEST(umask, .root = true) { check_refused(no_umask, "UMASK", EXIT_KERNEL); }
TEST(value, .root = true) { check_refused(bad_signal, "IMAGE_VALUE", EXIT_IMAGE); }

/* Shorter than any kernel takes, and before Linux 6.3 longer. */
static void odd_rseq(struct graph *g, const void *with _unused_)
{
	Ckpt__Thread *t = graph_next(g, &kind_thread, NULL)->data;
	if (!t->rseq || !t->rseq->address)
		SKIP("the C library registers no rseq here");
	t->rseq->length = getauxval(AUXV_RSEQ_BYTES) ? 20 : 64;
}
TEST(rseq_length, .root = true) { check_refused(odd_rseq, "RSEQ_LENGTH", EXIT_KERNEL); }

TEST(pidfile, .root = true)
{
	struct target t;
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, "sleeper");
	target_dump(&t, false);
	CHECK_EQ(ckpt(&output, "restore", t.image, "-d", "--pidfile", "/nowhere/pid"), EXIT_SYSTEM);
	CHECK_CONTAINS(output.data, "[PIDFILE]");
	CHECK_CONTAINS(output.data, "  do:");
	target_judge(&t);
}
