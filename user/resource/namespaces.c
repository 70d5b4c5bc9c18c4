// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the facts about namespaces other than user namespaces: which ones a thread shares with ckpt. Those that it does not
 * share cannot be made again yet, but a time namespace that the whole tree is in: the image holds what its clocks showed, and
 * restore/clock.c makes them go on. */
#include "collect/collect.h"
#include "diag/diag.h"
#include "model/kinds.h"
#include "model/shape.h"
#include "namespaces.pb-c.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static const struct kind kind_namespaces = { .name = "namespaces", .desc = &ckpt__namespaces__descriptor };

static const char *const names[] = {
	[RECORD_NS_UTS] = "uts", [RECORD_NS_IPC] = "ipc",   [RECORD_NS_MNT] = "mnt",       [RECORD_NS_PID] = "pid",
	[RECORD_NS_NET] = "net", [RECORD_NS_TIME] = "time", [RECORD_NS_CGROUP] = "cgroup",
};

static int add_name(size_t *count, char ***list, const char *name)
{
	char *copy = strdup(name);
	if (copy && MESSAGE_APPEND(count, list, copy))
		return 0;
	free(copy);
	return fail_memory();
}

static int add_id(Ckpt__Namespaces *m, const char *name, u64 inode)
{
	Ckpt__NamespaceId *id = MESSAGE_NEW(Ckpt__NamespaceId, ckpt__namespace_id);
	if (!id || !MESSAGE_APPEND(&m->n_id, &m->id, id)) {
		free(id);
		return fail_memory();
	}
	SET(id, inode, inode);
	return message_set_string(&id->name, name) ? 0 : fail_memory();
}

/* The inode number of DIR/ns/NAME, 0 when there is no such namespace. */
static int inode_of(int proc, const char *dir, const char *name, const char *suffix, u64 *ret)
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof path, "%s/ns/%s%s", dir, name, suffix);
	*ret = 0;
	if (fstatat(proc, path, &st, 0) < 0)
		return errno == ENOENT ? 0 : fail(NAMESPACES, neg_errno(), "stat(%s)", path);
	*ret = st.st_ino;
	return 0;
}

static int task_inode(int proc, const struct record_task *t, unsigned i, u64 *ret)
{
	char dir[24];
	snprintf(dir, sizeof dir, "task/%u", t->tid);
	*ret = t->ns[i];
	return t->known & KNOWN_NS ? 0 : inode_of(proc, dir, names[i], "", ret);
}

/* Told by the record, else by comparing inode numbers. */
static int is_foreign(const struct record_task *t, unsigned i, u64 theirs, bool *ret)
{
	u64 own;
	*ret = false;
	if (t->known & KNOWN_NS_OURS && (i == RECORD_NS_PID ? !t->ns_level : t->ns_ours & NS_OURS_OTHERS))
		return 0;
	int err = inode_of(AT_FDCWD, "/proc/self", names[i], "", &own);
	*ret = err >= 0 && theirs != own;
	return err;
}

/* The namespace that children of the process will be in; 0: none that can be looked at. */
static int inode_for_children(int proc, const struct record_task *t, unsigned i, u64 *ret)
{
	*ret = i == RECORD_NS_PID ? t->pid_for_children : t->time_for_children;
	return t->known & KNOWN_NS_OURS ? 0 : inode_of(proc, ".", names[i], "_for_children", ret);
}

static int collect_one(int proc, const struct record_task *t, unsigned i, Ckpt__Namespaces *m)
{
	u64 theirs, later = 0;
	bool foreign = false;
	int err = task_inode(proc, t, i, &theirs);
	if (err >= 0)
		err = is_foreign(t, i, theirs, &foreign);
	if (err >= 0)
		err = add_id(m, names[i], theirs);
	if (err >= 0 && foreign && i != RECORD_NS_TIME)
		err = add_name(&m->n_foreign, &m->foreign, names[i]);
	if (err < 0 || (i != RECORD_NS_PID && i != RECORD_NS_TIME))
		return err;
	err = inode_for_children(proc, t, i, &later);
	bool empty = !later && theirs && i == RECORD_NS_PID; /* a pid namespace that no process is in yet cannot be looked at */
	return err >= 0 && (later ? later != theirs : empty) ? add_name(&m->n_pending, &m->pending, names[i]) : err;
}

static int compare_one(int proc, const struct record_task *t, unsigned i, const Ckpt__Namespaces *leader, Ckpt__Namespaces *m)
{
	u64 theirs;
	int err = task_inode(proc, t, i, &theirs);
	bool same = i < leader->n_id && leader->id[i]->inode == theirs;
	return err < 0 || same ? err : add_name(&m->n_differing, &m->differing, names[i]);
}

static int namespaces_collect(struct collector *collector, const struct subject *subject, struct object *object)
{
	const struct record_task *t = subject->task;
	const Ckpt__Namespaces *leader = NULL;
	int err = 0, proc = collector_proc(collector, t->tgid);
	if (proc < 0)
		return proc;
	u32 first = shape_first(collector_graph(collector), t->tgid);
	if (t->tid != first)
		leader = graph_data(collector_graph(collector), &kind_namespaces, first);
	for (unsigned i = 0; err >= 0 && i < ARRAY_SIZE(names); i++)
		err = leader ? compare_one(proc, t, i, leader, object->data) : collect_one(proc, t, i, object->data);
	return err;
}

/* Of a leader; 0: none. */
static u64 time_of(const Ckpt__Namespaces *m)
{
	for (size_t i = 0; m && i < m->n_id; i++)
		if (m->id[i]->name && !strcmp(m->id[i]->name, names[RECORD_NS_TIME]))
			return m->id[i]->inode;
	return 0;
}

static bool has_time_of_root(const struct graph *graph, const Ckpt__Namespaces *m)
{
	const Ckpt__Host *host = graph_data(graph, &kind_host, 1);
	return !m->n_id || !host ||
	       time_of(m) == time_of(graph_data(graph, &kind_namespaces, shape_first(graph, host->root_pid)));
}

static int namespaces_judge(const struct graph *graph, const struct object *object, enum direction direction)
{
	const Ckpt__Namespaces *m = object->data;
	int err = 0;
	WORKING_ON_THREAD(object->id);
	if (direction == DIRECTION_DUMP && !has_time_of_root(graph, m))
		err = fail(NAMESPACE_FOREIGN, 0, "time: not that of the first process");
	for (size_t i = 0; i < m->n_foreign; i++)
		err = fail(NAMESPACE_FOREIGN, 0, "%s", m->foreign[i]);
	for (size_t i = 0; i < m->n_differing; i++)
		err = fail(NAMESPACE_THREAD, 0, "%s", m->differing[i]);
	for (size_t i = 0; i < m->n_pending; i++)
		err = fail(NAMESPACE_PENDING, 0, "%s", m->pending[i]);
	return err;
}

const struct resource resource_namespaces = {
	.name = "namespaces",
	.scope = SCOPE_THREAD,
	.kind = &kind_namespaces,
	.collect = namespaces_collect,
	.judge = namespaces_judge,
};
