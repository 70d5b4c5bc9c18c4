// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns semaphores and message queues of System V that the tree uses. They belong to the IPC namespace and go on without it; those
 * that are gone at a restore are made again. Which ones they are the kernel tells by who has used them last. */
#include "base/file.h"
#include "collect/collect.h"
#include "model/shape.h"
#include "resource/sysv.h"
#include <sys/msg.h>

#define PERMISSIONS 0777u

static const struct kind kind_sysvipc = { .name = "sysvipc", .desc = &ckpt__sysvipc__descriptor };
static const struct sysv sets = { "set of semaphores", "/proc/sys/kernel/sem_next_id", SYS_semget };
static const struct sysv queues = { "message queue", "/proc/sys/kernel/msg_next_id", SYS_msgget };

/* --- collect --- */

static bool is_of_tree(const struct graph *graph, int pid) { return pid > 0 && graph_find(graph, &kind_task, (u32)pid); }

static bool is_set_used(const struct graph *graph, int id, u32 count)
{
	for (u32 i = 0; i < count; i++)
		if (is_of_tree(graph, semctl(id, (int)i, GETPID)))
			return true;
	return false;
}

static int add_values(Ckpt__SemaphoreSet *s, u32 count)
{
	_cleanup_free_ unsigned short *values = calloc(count, sizeof *values);
	if (!values)
		return fail_memory();
	if (semctl((int)s->id, 0, GETALL, (union semun){ .array = values }) < 0)
		return errno == EINVAL || errno == EIDRM ? 0 : fail(SYSCALL, neg_errno(), "semctl(%u, GETALL)", s->id);
	for (u32 i = 0; i < count; i++)
		if (!MESSAGE_APPEND(&s->n_value, &s->value, values[i]))
			return fail_memory();
	return 0;
}

/* A line of /proc/sysvipc/sem. */
static int add_set(const struct graph *graph, Ckpt__Sysvipc *m, const char *line)
{
	int key, id;
	u32 mode, count, uid, gid;
	if (sscanf(line, "%d %d %o %u %u %u", &key, &id, &mode, &count, &uid, &gid) != 6 || !is_set_used(graph, id, count))
		return 0;
	Ckpt__SemaphoreSet *s = MESSAGE_NEW(Ckpt__SemaphoreSet, ckpt__semaphore_set);
	if (!s || !MESSAGE_APPEND(&m->n_set, &m->set, s)) {
		free(s);
		return fail_memory();
	}
	SET(s, id, (u32)id);
	SET(s, key, (u32)key);
	SET(s, mode, mode & PERMISSIONS);
	SET(s, uid, uid);
	SET(s, gid, gid);
	return add_values(s, count);
}

/* A line of /proc/sysvipc/msg. */
static int add_queue(const struct graph *graph, Ckpt__Sysvipc *m, const char *line)
{
	int key, id, sender, receiver;
	u32 mode, uid, gid;
	unsigned long messages;
	struct msqid_ds ds;
	if (sscanf(line, "%d %d %o %*u %lu %d %d %u %u", &key, &id, &mode, &messages, &sender, &receiver, &uid, &gid) != 8 ||
	    (!is_of_tree(graph, sender) && !is_of_tree(graph, receiver)) || msgctl(id, IPC_STAT, &ds) < 0)
		return 0;
	Ckpt__MessageQueue *q = MESSAGE_NEW(Ckpt__MessageQueue, ckpt__message_queue);
	if (!q || !MESSAGE_APPEND(&m->n_queue, &m->queue, q)) {
		free(q);
		return fail_memory();
	}
	SET(q, id, (u32)id);
	SET(q, key, (u32)key);
	SET(q, mode, mode & PERMISSIONS);
	SET(q, uid, uid);
	SET(q, gid, gid);
	SET(q, most_bytes, ds.msg_qbytes);
	SET(q, messages, messages);
	return 0;
}

/* The first line of a list is its head; a kernel without the kind has no list. */
static int add_all(const struct graph *graph, Ckpt__Sysvipc *m, const char *path,
		   int (*add)(const struct graph *, Ckpt__Sysvipc *, const char *))
{
	_cleanup_text_ struct text list = { 0 };
	int r = file_read(AT_FDCWD, path, &list);
	if (r < 0)
		return r == -ENOENT || r == -EACCES ? 0 : fail(PROC_READ, r, "%s", path);
	for (const char *line = strchr(list.data ?: "", '\n'); r == 0 && line && *++line; line = strchr(line, '\n'))
		r = add(graph, m, line);
	return r;
}

static bool are_queues(void)
{
	struct msginfo info; /* MSG_INFO, msgctl(2) */
	return msgctl(0, MSG_INFO, (struct msqid_ds *)&info) < 0 || info.msgpool;
}

static int sysvipc_collect(struct collector *collector, const struct subject *subject, struct object *object)
{
	const struct graph *graph = collector_graph(collector);
	const Ckpt__Task *task = graph_data(graph, &kind_task, subject->task->tgid);
	if (!task || task->ppid)
		return 0;
	int r = sysv_are_sets() ? add_all(graph, object->data, "/proc/sysvipc/sem", add_set) : 0;
	return r < 0 || !are_queues() ? r : add_all(graph, object->data, "/proc/sysvipc/msg", add_queue);
}

/* --- judge --- */

/* Is it there, and what is it? It may be that ckpt is not allowed to look. */
static bool is_there(int r) { return r == 0 || errno == EACCES; }

static int judge_present(const struct sysv *kind, u32 id, u32 key, const struct ipc_perm *now, bool same)
{
	return same && (u32)now->__key == key ? 0
					      : fail(SYSV_TAKEN, -EEXIST, "%s %u has key %#x and owner %u here", kind->name, id,
						     (unsigned)now->__key, now->uid);
}

static int judge_set(const Ckpt__SemaphoreSet *s)
{
	struct semid_ds ds = { 0 };
	bool fits = s->id <= INT32_MAX && s->n_value && s->n_value <= SYSV_SET_MAX && s->mode <= PERMISSIONS;
	for (size_t i = 0; fits && i < s->n_value; i++)
		fits = s->value[i] <= SYSV_VALUE_MAX;
	if (!fits)
		return fail(IMAGE_VALUE, 0, "set %u of %zu semaphores", s->id, s->n_value);
	if (!is_there(semctl((int)s->id, 0, IPC_STAT, (union semun){ .buf = &ds })))
		return sysv_judge_absent(&sets, s->id, s->key);
	bool same = ds.sem_nsems == s->n_value && ds.sem_perm.uid == s->uid && ds.sem_perm.gid == s->gid;
	return judge_present(&sets, s->id, s->key, &ds.sem_perm, same);
}

static int judge_queue(const Ckpt__MessageQueue *q)
{
	struct msqid_ds ds = { 0 };
	if (q->id > INT32_MAX || q->mode > PERMISSIONS)
		return fail(IMAGE_VALUE, 0, "message queue %u", q->id);
	if (is_there(msgctl((int)q->id, IPC_STAT, &ds)))
		return judge_present(&queues, q->id, q->key, &ds.msg_perm,
				     ds.msg_perm.uid == q->uid && ds.msg_perm.gid == q->gid);
	if (q->messages)
		return fail(SYSVIPC_GONE, 0, "message queue %u had %llu", q->id, (unsigned long long)q->messages);
	return sysv_judge_absent(&queues, q->id, q->key);
}

static int sysvipc_judge(const struct graph *graph _unused_, const struct object *object, enum direction direction)
{
	const Ckpt__Sysvipc *m = object->data;
	int r = 0;
	if (direction == DIRECTION_DUMP)
		return 0;
	for (size_t i = 0; i < m->n_set; i++)
		r |= judge_set(m->set[i]);
	for (size_t i = 0; i < m->n_queue; i++)
		r |= judge_queue(m->queue[i]);
	return r < 0 ? -EINVAL : 0;
}

/* --- plan --- */

#define CREATE AT(PLAN_WORLD, STAGE_CREATE)

static struct plan_step *control_set(struct plan *plan, struct place at, u32 id, int command, struct arg data)
{
	return plan_call(plan, at, SYS_semctl, ARG(id), ARG(0), ARG(command), data);
}

/* The root gives the semaphores their values: so the kernel knows again that the tree has used them. */
static void plan_set(struct plan *plan, const struct graph *graph, u32 root, const Ckpt__SemaphoreSet *s)
{
	struct place fill = AT(root, STAGE_THREAD);
	struct semid_ds ds = { .sem_perm = { .uid = s->uid, .gid = s->gid, .mode = (unsigned short)s->mode } };
	struct plan_step *seen = control_set(plan, CREATE, s->id, IPC_STAT, ARG_OF_DATA(plan_data(plan, NULL, sizeof ds, 8)));
	step_any(seen);
	u32 slot = step_result(plan, seen);
	struct plan_step *there = plan_skip(plan, CREATE, ARG_OF_SLOT(slot), 0, 0);
	sysv_plan_id(plan, CREATE, &sets, s->id);
	step_expect(plan_call(plan, CREATE, SYS_semget, ARG(s->key), ARG(s->n_value), ARG(IPC_CREAT | IPC_EXCL | s->mode)),
		    s->id);
	control_set(plan, CREATE, s->id, IPC_SET, ARG_OF_DATA(plan_data(plan, &ds, sizeof ds, 8)));
	plan_land(plan, CREATE, there);
	u32 data = plan_data(plan, NULL, s->n_value * sizeof(unsigned short), 8);
	unsigned short *values = plan_bytes(plan, data);
	for (size_t i = 0; values && i < s->n_value; i++)
		values[i] = (unsigned short)s->value[i];
	if (values)
		sysv_give_back(graph, s->id, values, s->n_value);
	there = plan_skip(plan, fill, ARG_OF_SLOT(slot), 0, 0);
	control_set(plan, fill, s->id, SETALL, ARG_OF_DATA(data));
	plan_land(plan, fill, there);
}

static void plan_queue(struct plan *plan, const Ckpt__MessageQueue *q)
{
	struct msqid_ds ds = { .msg_perm = { .uid = q->uid, .gid = q->gid, .mode = (unsigned short)q->mode },
			       .msg_qbytes = q->most_bytes };
	struct arg now = ARG_OF_DATA(plan_data(plan, NULL, sizeof ds, 8));
	struct plan_step *seen = plan_call(plan, CREATE, SYS_msgctl, ARG(q->id), ARG(IPC_STAT), now);
	step_any(seen);
	struct plan_step *there = plan_skip(plan, CREATE, ARG_OF_SLOT(step_result(plan, seen)), 0, 0);
	sysv_plan_id(plan, CREATE, &queues, q->id);
	step_expect(plan_call(plan, CREATE, SYS_msgget, ARG(q->key), ARG(IPC_CREAT | IPC_EXCL | q->mode)), q->id);
	plan_call(plan, CREATE, SYS_msgctl, ARG(q->id), ARG(IPC_SET), ARG_OF_DATA(plan_data(plan, &ds, sizeof ds, 8)));
	plan_land(plan, CREATE, there);
}

static int sysvipc_plan(struct plan *plan, const struct graph *graph, const struct object *object)
{
	const Ckpt__Sysvipc *m = object->data;
	for (size_t i = 0; i < m->n_set; i++)
		plan_set(plan, graph, object->id, m->set[i]);
	for (size_t i = 0; i < m->n_queue; i++)
		plan_queue(plan, m->queue[i]);
	return 0;
}

const struct resource resource_sysvipc = {
	.name = "sysvipc",
	.scope = SCOPE_TASK,
	.kind = &kind_sysvipc,
	.collect = sysvipc_collect,
	.judge = sysvipc_judge,
	.plan = sysvipc_plan,
};
