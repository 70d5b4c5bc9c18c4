// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tests of the graph of objects and of what reflection makes of it: text, JSON, comparison. */
#include "harness/test.h"
#include "harness/fill.h"
#include "record.h"
#include <stdio.h>

TEST(objects_are_found)
{
	_cleanup_graph_ struct graph g = { 0 };
	CHECK(graph_find(&g, &kind_task, 1) == NULL);
	for (u32 id = 0; id < 5000; id++) {
		CHECK(graph_add(&g, &kind_task, id * 7));
		CHECK(graph_add(&g, &kind_fds, id * 7));
	}
	CHECK(graph_add(&g, &kind_task, 0) == NULL);
	for (u32 id = 0; id < 5000; id++) {
		CHECK_EQ(graph_find(&g, &kind_task, id * 7)->id, id * 7);
		CHECK(graph_find(&g, &kind_fds, id * 7)->kind == &kind_fds);
		CHECK(graph_find(&g, &kind_task, id * 7 + 1) == NULL);
	}
	CHECK(graph_find(&g, &kind_mm, 0) == NULL);
}

TEST(what_judges_remember_stays_while_the_graph_grows)
{
	_cleanup_graph_ struct graph g = { 0 };
	CHECK_EQ(graph_recall(&g, 5), 0);
	CHECK(graph_add(&g, &kind_task, 1));
	for (u32 i = 1; i <= 500; i++) {
		CHECK_OK(graph_remember(&g, (u64)i << 32, i));
		CHECK(graph_add(&g, &kind_fds, i));
	}
	for (u32 i = 1; i <= 500; i++)
		CHECK_EQ(graph_recall(&g, (u64)i << 32), i);
	CHECK_EQ(graph_recall(&g, 1), 0);
}

TEST(records_grow)
{
	_cleanup_graph_ struct graph g = { 0 };
	struct object *o = graph_add(&g, &kind_fds, 1);
	for (u32 i = 0; i < 1000; i++)
		((struct fd_entry *)object_append(o))->fd = i;
	CHECK_EQ(o->count, 1000);
	for (u32 i = 0; i < 1000; i++)
		CHECK_EQ(((struct fd_entry *)o->data)[i].fd, i);
	CHECK(object_append(graph_add(&g, &kind_task, 1)) == NULL);
}

TEST(sorting_keeps_kinds_together)
{
	_cleanup_graph_ struct graph g = { 0 };
	u32 ids[] = { 9, 3, 5 };
	for (size_t i = 0; i < 3; i++) {
		graph_add(&g, &kind_thread, ids[i]);
		graph_add(&g, &kind_mm, ids[i] + 1);
	}
	graph_sort(&g);
	u32 want[] = { 3, 5, 9, 4, 6, 10 };
	for (size_t i = 0; i < 6; i++)
		CHECK_EQ(g.objects.v[i]->id, want[i]);
	u32 seen = 0;
	for (struct object *o = NULL; (o = graph_next(&g, &kind_mm, o));)
		CHECK_EQ(o->id, want[3 + seen++]);
	CHECK_EQ(seen, 3);
	CHECK_EQ(graph_find(&g, &kind_mm, 6)->id, 6);
}

TEST(text_of_a_thread)
{
	_cleanup_graph_ struct graph g = { 0 };
	struct object *o = graph_add(&g, &kind_thread, 12);
	Ckpt__Thread *thread = o->data;
	SET(thread, tid, 12);
	SET(thread, sigmask, 0x4000000000000201);
	SET(thread, pc, 0x1000);
	CHECK(message_set_string(&thread->comm, "old"));
	CHECK(message_set_string(&thread->comm, "a\033[2J"));
	CHECK(message_set_bytes(&thread->registers, "secret", 6));
	thread->has_registers = true;
	thread->rseq = MESSAGE_NEW(Ckpt__Rseq, ckpt__rseq);
	SET(thread->rseq, length, 32);
	SET(thread->rseq, signature, 0x53053053);
	_cleanup_text_ struct text t = { 0 };
	object_print(&t, o, FIELD_STATE);
	CHECK_STR(t.data, "thread 12\n"
			  "  tid: 12\n"
			  "  comm: \"a\\u001b[2J\"\n"
			  "  registers: 6 bytes, xxh3 ed2b0d32a2a33f5b3c41dd932b1931ef\n"
			  "  sigmask: 0x4000000000000201 (HUP USR1 63)\n"
			  "  rseq: length 32, signature 0x53053053\n");
}

TEST(text_of_tables)
{
	_cleanup_graph_ struct graph g = { 0 };
	struct object *o = graph_add(&g, &kind_vmas, 1);
	struct vma *v = object_append(o);
	*v = (struct vma){ .start = 0x1000, .end = 0x23000, .prot = 5, .file = 3, .pgoff = 0x2000 };
	v = object_append(o);
	*v = (struct vma){ .start = 0x7ffc00000000, .end = 0x7ffc00180000, .prot = 3, .flags = VMA_GROWSDOWN | VMA_ANONYMOUS };
	strcpy(v->name, "[stack]");
	Ckpt__File *file = graph_add(&g, &kind_file, 3)->data;
	CHECK(message_set_string(&file->kind, "eventfd"));
	o = graph_add(&g, &kind_fds, 1);
	*(struct fd_entry *)object_append(o) = (struct fd_entry){ 0, 1, 3 };
	*(struct fd_entry *)object_append(o) = (struct fd_entry){ 7, 0, 3 };
	_cleanup_text_ struct text t = { 0 };
	const char *kinds[] = { "vmas", "fds", NULL };
	graph_print(&t, &g, FIELD_ALL, kinds);
	CHECK_STR(t.data, "vmas 1\n"
			  "  000000001000-000000023000 136K   r-xp eventfd+0x2000\n"
			  "  7ffc00000000-7ffc00180000 1.5M   rw-p [stack] growsdown\n"
			  "\n"
			  "fds 1\n"
			  "     0 cloexec file 3    eventfd  (shared with 1:7)\n"
			  "     7         file 3    eventfd  (shared with 1:0)\n");
}

TEST(text_of_equal_and_short_objects)
{
	_cleanup_graph_ struct graph g = { 0 };
	for (u32 id = 1; id <= 3; id++) {
		Ckpt__File *file = graph_add(&g, &kind_file, id)->data;
		CHECK(message_set_string(&file->kind,
					 "a kind with a name that is so long that it would be a waste to show twice"));
		SET(file, pos, id / 2 * 2);
	}
	Ckpt__Mm *mm = graph_add(&g, &kind_mm, 1)->data;
	SET(mm, exe, 9);
	_cleanup_text_ struct text t = { 0 };
	graph_print(&t, &g, FIELD_ALL, NULL);
	CHECK_STR(t.data, "file 1  kind: a kind with a name that is so long that it would be a waste to show twice, pos: 0\n"
			  "file 2  kind: a kind with a name that is so long that it would be a waste to show twice, pos: 2\n"
			  "file 3  as file 2\n"
			  "mm 1  exe: 9 (file 9)\n");
}

TEST(json_of_everything_is_valid)
{
	_cleanup_graph_ struct graph g = { 0 };
	fill_graph(&g, 1);
	_cleanup_text_ struct text t = { 0 };
	graph_json(&t, &g, FIELD_ALL, NULL);
	CHECK_CONTAINS(t.data, "{\"kind\":\"vmas\",\"id\":");
	CHECK_CONTAINS(t.data, "\"registers\":{\"len\":");
	if (system("python3 -c pass 2>/dev/null"))
		SKIP("there is no python3 to judge the JSON");
	FILE *python = popen("python3 -c 'import json,sys; json.load(sys.stdin)'", "w");
	CHECK_EQ(fwrite(t.data, 1, t.len, python), t.len);
	CHECK_EQ(pclose(python), 0);
}

static size_t differences(struct text *t, u64 seed_a, u64 seed_b, const struct change *change, compare_ignore ignore)
{
	_cleanup_graph_ struct graph a = { 0 }, b = { 0 };
	fill_graph(&a, seed_a);
	fill_graph(&b, seed_b);
	for (struct object *o = NULL; (o = graph_next(&a, &kind_file, o));)
		((Ckpt__File *)o->data)->external = false; /* such a one may be anything */
	if (change)
		change_field(&b, change);
	return graph_compare(t, &a, &b, ignore);
}

TEST(equal_graphs_have_no_difference)
{
	_cleanup_text_ struct text t = { 0 };
	CHECK_EQ(differences(&t, 1, 1, NULL, NULL), 0);
	CHECK_EQ(t.len, 0);
	CHECK(differences(&t, 1, 2, NULL, NULL) > 10);
}

static void add_descriptor(struct graph *g, u32 fd, u32 file)
{
	struct object *fds = graph_find(g, &kind_fds, 1) ?: graph_add(g, &kind_fds, 1);
	struct fd_entry *e = object_append(fds);
	CHECK(e != NULL);
	e->fd = fd, e->file = file;
}

/* What takes the place of external files may be of another kind, and one for two of them, but not that of an ordinary file. */
TEST(external_files_are_any)
{
	_cleanup_graph_ struct graph a = { 0 }, b = { 0 };
	_cleanup_text_ struct text t = { 0 };
	for (u32 id = 1; id <= 3; id++) {
		Ckpt__File *file = graph_add(&a, &kind_file, id)->data;
		CHECK(message_set_string(&file->kind, id < 3 ? "pipe" : "reg"));
		SET(file, external, id < 3);
		add_descriptor(&a, id, id);
	}
	for (u32 id = 7; id <= 8; id++)
		CHECK(message_set_string(&((Ckpt__File *)graph_add(&b, &kind_file, id)->data)->kind, "reg"));
	add_descriptor(&b, 1, 7);
	add_descriptor(&b, 2, 7);
	add_descriptor(&b, 3, 8);
	CHECK_EQ(graph_compare(&t, &a, &b, NULL), 0);
	CHECK(graph_compare(&t, &b, &a, NULL) > 0);
}

/* Every state field of every kind, one at a time: found, named, and silent when ignored; other fields: never found. */
TEST(each_changed_field_is_found)
{
	struct change change = { 0 };
	size_t state = 0;
	for (; next_change(&change); state += change.is_state) {
		_cleanup_text_ struct text t = { 0 };
		char ignored[128];
		snprintf(ignored, sizeof ignored, "%s.%s", change.kind->name, change.field->name);
		size_t n = differences(&t, 1, 1, &change, NULL);
		if (n != change.is_state)
			FAIL("%s: %zu differences: %s", ignored, n, t.data ? t.data : "none");
		if (change.is_state) {
			CHECK_CONTAINS(t.data, change.kind->name);
			CHECK_CONTAINS(t.data, change.field->name);
		}
		CHECK_EQ(differences(&t, 1, 1, &change, (const char *[]){ "host", ignored, NULL }), 0);
		CHECK_EQ(differences(&t, 1, 1, &change, (const char *[]){ change.kind->name, NULL }), 0);
	}
	CHECK(state > 60);
}

TEST(missing_objects_are_found)
{
	_cleanup_graph_ struct graph a = { 0 }, b = { 0 };
	graph_add(&a, &kind_task, 1);
	graph_add(&b, &kind_task, 2);
	_cleanup_text_ struct text t = { 0 };
	CHECK_EQ(graph_compare(&t, &a, &b, NULL), 2);
	CHECK_STR(t.data, "task 1: only in the first\ntask 2: only in the second\n");
	CHECK_EQ(graph_compare(&t, &a, &b, (const char *[]){ "task", NULL }), 0);
}

static void add_vdso(struct graph *g, u32 parts, u64 first)
{
	Ckpt__Vdso *vdso = graph_add(g, &kind_vdso, 1)->data;
	for (u32 i = 0; i < parts; i++) {
		Ckpt__VdsoPart *part = MESSAGE_NEW(Ckpt__VdsoPart, ckpt__vdso_part);
		SET(part, size, i ? i : first);
		CHECK(MESSAGE_APPEND(&vdso->n_part, &vdso->part, part));
	}
}

/* Where more may come it must come last, and what was there before is compared all the same. */
TEST(what_came_behind_is_ignored)
{
	static const char *const more[] = { "+vdso.part", NULL };
	_cleanup_graph_ struct graph two = { 0 }, three = { 0 }, other = { 0 };
	_cleanup_text_ struct text t = { 0 };
	add_vdso(&two, 2, 7);
	add_vdso(&three, 3, 7);
	add_vdso(&other, 3, 8);
	CHECK_EQ(graph_compare(&t, &two, &three, NULL), 1);
	CHECK_EQ(graph_compare(&t, &two, &three, more), 0);
	CHECK_EQ(graph_compare(&t, &three, &two, more), 1);
	CHECK_EQ(graph_compare(&t, &two, &other, more), 1);
}

static void add_open_file(struct graph *g, u32 fd, u32 file, u64 pos)
{
	struct object *table = graph_find(g, &kind_fds, 1);
	*(struct fd_entry *)object_append(table ? table : graph_add(g, &kind_fds, 1)) =
		(struct fd_entry){ .fd = fd, .file = file };
	if (graph_find(g, &kind_file, file))
		return;
	Ckpt__File *f = graph_add(g, &kind_file, file)->data;
	SET(f, pos, pos);
}

TEST(files_are_known_by_what_refers_to_them)
{
	_cleanup_graph_ struct graph a = { 0 }, b = { 0 };
	_cleanup_text_ struct text t = { 0 };
	add_open_file(&a, 3, 1, 100);
	add_open_file(&a, 4, 2, 200);
	add_open_file(&a, 5, 2, 200);
	add_open_file(&b, 3, 9, 100);
	add_open_file(&b, 4, 1, 200);
	add_open_file(&b, 5, 1, 200);
	CHECK_EQ(graph_compare(&t, &a, &b, NULL), 0);
	CHECK_EQ(graph_compare(&t, &a, &b, (const char *[]){ "fds", NULL }), 0);
	add_open_file(&a, 6, 3, 300);
	add_open_file(&b, 6, 2, 301);
	CHECK_EQ(graph_compare(&t, &a, &b, NULL), 1);
	CHECK_STR(t.data, "file 3/2 pos: 300 != 301\n");
}

TEST(lost_sharing_is_found)
{
	_cleanup_graph_ struct graph a = { 0 }, b = { 0 };
	_cleanup_text_ struct text t = { 0 };
	add_open_file(&a, 3, 1, 100);
	add_open_file(&a, 4, 1, 100);
	add_open_file(&b, 3, 1, 100);
	add_open_file(&b, 4, 2, 100);
	CHECK_EQ(graph_compare(&t, &a, &b, NULL), 2);
	CHECK_STR(t.data, "fds 1 4 file: 1 != 2\nfile 2: only in the second (pos 100)\n");
}

static void add_vma(struct graph *g, u64 start, u64 end, u32 prot, u32 file, u64 pgoff)
{
	struct object *o = graph_find(g, &kind_vmas, 1);
	struct vma *v = object_append(o ? o : graph_add(g, &kind_vmas, 1));
	*v = (struct vma){ .start = start, .end = end, .prot = prot, .file = file, .pgoff = pgoff };
}

/* Without randomization of addresses the heap begins where the program's data end: restored, both are one mapping. */
TEST(a_heap_is_memory_as_any)
{
	_cleanup_graph_ struct graph a = { 0 }, b = { 0 };
	_cleanup_text_ struct text t = { 0 };
	add_vma(&a, 0x1000, 0x2000, 3, 0, 0);
	add_vma(&a, 0x2000, 0x4000, 3, 0, 0);
	strcpy(((struct vma *)graph_find(&a, &kind_vmas, 1)->data)[1].name, "[heap]");
	add_vma(&b, 0x1000, 0x4000, 3, 0, 0);
	strcpy(((struct vma *)graph_find(&b, &kind_vmas, 1)->data)[0].name, "[heap]");
	CHECK_EQ(graph_compare(&t, &a, &b, NULL), 0);
}

TEST(neighbours_are_merged)
{
	_cleanup_graph_ struct graph a = { 0 }, b = { 0 };
	add_vma(&a, 0x1000, 0x4000, 3, 0, 0x1000);
	add_vma(&a, 0x8000, 0xa000, 1, 7, 0x1000);
	add_vma(&b, 0x1000, 0x2000, 3, 0, 0);
	add_vma(&b, 0x2000, 0x4000, 3, 0, 0x77000);
	add_vma(&b, 0x8000, 0x9000, 1, 7, 0x1000);
	add_vma(&b, 0x9000, 0xa000, 1, 7, 0x2000);
	_cleanup_text_ struct text t = { 0 };
	CHECK_EQ(graph_compare(&t, &a, &b, NULL), 0);
	add_vma(&a, 0xb000, 0xc000, 1, 7, 0x1000);
	add_vma(&a, 0xc000, 0xd000, 1, 7, 0x1000); /* not what follows in the file */
	add_vma(&b, 0xb000, 0xd000, 1, 7, 0x1000);
	CHECK_EQ(graph_compare(&t, &a, &b, NULL), 2);
	CHECK_STR(t.data, "vmas 1 b000 end: 0xc000 != 0xd000\n"
			  "vmas 1 c000: only in the first (start 0xc000, end 0xd000, pgoff 0x1000, prot 0x1, flags 0x0, "
			  "file 7)\n");
}
