// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tests of the order and the drawing of what show and inspect print. */
#include "command/view.h"
#include "harness/test.h"
#include "model/kinds.h"

static void add_task(struct graph *g, u32 pid, u32 ppid, u32 threads)
{
	Ckpt__Task *task = graph_add(g, &kind_task, pid)->data;
	SET(task, pid, pid);
	SET(task, ppid, ppid);
	SET(task, pgid, pid);
	SET(task, sid, 1);
	graph_add(g, &kind_fds, pid);
	for (u32 tid = pid; tid < pid + threads; tid++) {
		Ckpt__Thread *thread = graph_add(g, &kind_thread, tid)->data;
		SET(thread, pid, pid);
		CHECK(message_set_string(&thread->comm, "name"));
		CHECK(MESSAGE_APPEND(&task->n_tid, &task->tid, tid));
	}
}

TEST(a_tree_is_drawn)
{
	_cleanup_graph_ struct graph g = { 0 };
	_cleanup_text_ struct text t = { 0 };
	add_task(&g, 10, 0, 1);
	add_task(&g, 20, 10, 7);
	add_task(&g, 30, 20, 1);
	add_task(&g, 40, 10, 1);
	view_tree(&t, &g);
	CHECK_STR(t.data, "10 name  session 1 group 10\n"
			  "├─ 20 name  session 1 group 20  threads: 21 name, 22 name, 23 name, 24 name and 2 more\n"
			  "│  └─ 30 name  session 1 group 30\n"
			  "└─ 40 name  session 1 group 40\n");
}

TEST(hostile_trees_end)
{
	_cleanup_graph_ struct graph g = { 0 };
	_cleanup_text_ struct text t = { 0 };
	for (u32 pid = 1; pid < 5000; pid++)
		add_task(&g, pid * 10, (pid - 1) * 10, 1);
	add_task(&g, 7, 7, 1); /* its own parent */
	add_task(&g, 8, 9, 1); /* each other's */
	add_task(&g, 9, 8, 1);
	view_tree(&t, &g);
	CHECK(!text_failed(&t));
	CHECK_CONTAINS(t.data, "...");
}

TEST(objects_of_a_process_stand_together)
{
	_cleanup_graph_ struct graph g = { 0 };
	struct graph ordered;
	graph_add(&g, &kind_host, 1);
	graph_add(&g, &kind_file, 2);
	add_task(&g, 10, 0, 2);
	add_task(&g, 5, 10, 1);
	graph_add(&g, &kind_file, 1);
	graph_add(&g, &kind_mm, 5);
	graph_add(&g, &kind_mm, 10);
	CHECK_OK(view_order(&g, &ordered));
	const struct {
		const struct kind *kind;
		u32 id;
	} want[] = {
		{ &kind_task, 10 },   { &kind_fds, 10 }, { &kind_mm, 10 },  { &kind_thread, 10 },
		{ &kind_thread, 11 }, { &kind_task, 5 }, { &kind_fds, 5 },  { &kind_mm, 5 },
		{ &kind_thread, 5 },  { &kind_file, 1 }, { &kind_file, 2 }, { &kind_host, 1 },
	};
	CHECK_EQ(ordered.objects.n, ARRAY_SIZE(want));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		CHECK_STR(ordered.objects.v[i]->kind->name, want[i].kind->name);
		CHECK_EQ(ordered.objects.v[i]->id, want[i].id);
	}
	vector_free(&ordered.objects);
}
