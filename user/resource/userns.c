// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns user namespaces: which one a process is in, and how those that are not ckpt's are made again. */
#include "base/child.h"
#include "base/file.h"
#include "collect/collect.h"
#include "diag/diag.h"
#include "model/kinds.h"
#include "plan/plan.h"
#include "userns.pb-c.h"
#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define DEPTH_MAX 33   /* the kernel nests no deeper */
#define RANGES_MAX 340 /* of one map */
#define HELPER_STACK 2048u
#define MAP_BYTES 4096u /* one write makes a map, of less than a page */

static const struct kind kind_userns = { .name = "userns", .desc = &ckpt__userns__descriptor };

/* --- collect --- */

/* The number of a namespace that an earlier process showed, 0 when it is new; *ret_next: the number of a new one. */
static u32 find_number(const struct graph *graph, u64 inode, u32 *ret_next)
{
	*ret_next = 1;
	for (struct object *o = NULL; (o = graph_next(graph, &kind_userns, o));) {
		const Ckpt__Userns *m = o->data;
		for (size_t i = 0; i < m->n_created; i++) {
			if (m->created[i]->inode == inode)
				return m->created[i]->number;
			*ret_next = MAX(*ret_next, m->created[i]->number + 1);
		}
	}
	return 0;
}

static int add_range(size_t *count, Ckpt__IdRange ***ranges, const u32 v[3])
{
	Ckpt__IdRange *r = MESSAGE_NEW(Ckpt__IdRange, ckpt__id_range);
	if (!r || !MESSAGE_APPEND(count, ranges, r)) {
		free(r);
		return fail_memory();
	}
	SET(r, inside, v[0]);
	SET(r, outside, v[1]);
	SET(r, count, v[2]);
	return 0;
}

static int parse_map(const char *text, size_t *count, Ckpt__IdRange ***ranges)
{
	u32 v[3];
	for (int used = 0; text && sscanf(text, "%u %u %u%n", &v[0], &v[1], &v[2], &used) == 3; text += used) {
		int err = add_range(count, ranges, v);
		if (err < 0)
			return err;
	}
	return 0;
}

/* proc: /proc/PID of a process in the namespace. */
static int read_maps(int proc, Ckpt__UserNamespace *ns)
{
	_cleanup_text_ struct text uid = { 0 }, gid = { 0 }, setgroups = { 0 };
	int err = file_read(proc, "uid_map", &uid);
	if (err >= 0)
		err = file_read(proc, "gid_map", &gid);
	if (err >= 0)
		err = file_read(proc, "setgroups", &setgroups);
	if (err < 0)
		return fail(SYSCALL, err, "read(/proc/PID/{uid_map,gid_map,setgroups})");
	SET(ns, setgroups, setgroups.len && !strncmp(setgroups.data, "allow", 5));
	err = parse_map(uid.data, &ns->n_uid, &ns->uid);
	return err < 0 ? err : parse_map(gid.data, &ns->n_gid, &ns->gid);
}

/* A namespace that no process of the tree is in shows its maps through a child that enters it. */
static int read_maps_inside(int fd, Ckpt__UserNamespace *ns)
{
	int ready[2];
	if (pipe2(ready, O_CLOEXEC) < 0)
		return fail(SYSCALL, neg_errno(), "pipe2");
	pid_t child = fork();
	if (!child) {
		char byte = (char)syscall(SYS_setns, fd, CLONE_NEWUSER);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (write(ready[1], &byte, 1) == 1)
			pause();
		_exit(1);
	}
	char byte = -1, path[32];
	close(ready[1]);
	int err = child < 0 ? neg_errno() : read(ready[0], &byte, 1) == 1 && !byte ? 0 : -EPERM;
	close(ready[0]);
	snprintf(path, sizeof path, "/proc/%d", (int)child);
	_cleanup_close_ int proc = err < 0 ? -1 : open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	err = err < 0 ? fail(SYSCALL, err, "setns(CLONE_NEWUSER) in a child") : read_maps(proc, ns);
	child_end(child);
	return err;
}

struct link {
	int fd;
	u64 inode;
};

static void close_links(struct link (*links)[DEPTH_MAX])
{
	for (size_t i = 0; i < DEPTH_MAX; i++)
		closep(&(*links)[i].fd);
}

/* The namespaces from that of the process outwards, without ckpt's own; the number of them. */
static int walk_outwards(const struct record_task *task, int proc, struct link links[DEPTH_MAX])
{
	struct stat own, now;
	if (task->known & KNOWN_NS_OURS && task->ns_ours & NS_OURS_USER)
		return 0;
	if (stat("/proc/self/ns/user", &own) < 0)
		return fail(SYSCALL, neg_errno(), "stat(/proc/self/ns/user)");
	if (task->known & KNOWN_NS && task->ns[RECORD_NS_USER] == own.st_ino)
		return 0;
	int fd = openat(proc, "ns/user", O_RDONLY | O_CLOEXEC);
	for (int depth = 0;; fd = ioctl(links[depth - 1].fd, NS_GET_PARENT)) {
		if (fd < 0)
			return fail(USERNS_OUTSIDE, neg_errno(), "%s",
				    depth ? "ioctl(NS_GET_PARENT)" : "open(/proc/PID/ns/user)");
		if (depth == DEPTH_MAX || fstat(fd, &now) < 0 || now.st_ino == own.st_ino) {
			close(fd);
			return depth;
		}
		links[depth++] = (struct link){ fd, now.st_ino };
	}
}

static int add_namespace(Ckpt__Userns *m, u32 number, u32 parent, const struct link *link, int proc)
{
	Ckpt__UserNamespace *ns = MESSAGE_NEW(Ckpt__UserNamespace, ckpt__user_namespace);
	uid_t owner;
	if (!ns || !MESSAGE_APPEND(&m->n_created, &m->created, ns)) {
		free(ns);
		return fail_memory();
	}
	if (ioctl(link->fd, NS_GET_OWNER_UID, &owner) < 0)
		return fail(SYSCALL, neg_errno(), "ioctl(NS_GET_OWNER_UID)");
	SET(ns, number, number);
	SET(ns, parent, parent);
	SET(ns, owner, owner);
	SET(ns, inode, link->inode);
	return proc >= 0 ? read_maps(proc, ns) : read_maps_inside(link->fd, ns);
}

static int userns_collect(struct collector *collector, const struct subject *subject, struct object *object)
{
	_cleanup_(close_links) struct link links[DEPTH_MAX];
	Ckpt__Userns *m = object->data;
	u32 next, parent = 0;
	for (size_t i = 0; i < DEPTH_MAX; i++)
		links[i].fd = -1;
	int proc = collector_proc(collector, subject->task->tgid);
	int depth = proc < 0 ? proc : walk_outwards(subject->task, proc, links);
	if (depth < 0)
		return depth;
	for (int i = depth - 1; i >= 0; i--) {
		u32 number = find_number(collector_graph(collector), links[i].inode, &next);
		int err = number ? 0 : add_namespace(m, next, parent, &links[i], i ? -1 : proc);
		if (err < 0)
			return err;
		parent = number ? number : next;
	}
	SET(m, number, parent);
	return 0;
}

/* --- judge --- */

static const Ckpt__UserNamespace *find_namespace(const struct graph *graph, u32 number)
{
	for (struct object *o = NULL; (o = graph_next(graph, &kind_userns, o));) {
		const Ckpt__Userns *m = o->data;
		for (size_t i = 0; i < m->n_created; i++)
			if (m->created[i]->number == number)
				return m->created[i];
	}
	return NULL;
}

static int judge_namespace(const struct graph *graph, const Ckpt__UserNamespace *ns)
{
	if (!ns->number || ns->number > UINT16_MAX || find_namespace(graph, ns->number) != ns ||
	    (ns->number > 1 && !find_namespace(graph, ns->number - 1)) || ns->n_uid > RANGES_MAX || ns->n_gid > RANGES_MAX ||
	    (ns->parent && (ns->parent >= ns->number || !find_namespace(graph, ns->parent))))
		return fail(IMAGE_VALUE, 0, "user namespace %u below %u", ns->number, ns->parent);
	if (ns->parent && !find_namespace(graph, ns->parent)->n_gid)
		return fail(USERNS_OUTSIDE, 0, "user namespace %u lies in one without groups", ns->number);
	return 0;
}

static int userns_judge(const struct graph *graph, const struct object *object, enum direction direction _unused_)
{
	const Ckpt__Userns *m = object->data;
	const Ckpt__Task *task = graph_data(graph, &kind_task, object->id);
	int err = 0;
	WORKING_ON_TASK(object->id);
	for (size_t i = 0; i < m->n_created; i++)
		if (judge_namespace(graph, m->created[i]) < 0)
			err = -EINVAL;
	if (m->number && !find_namespace(graph, m->number))
		err = fail(IMAGE_VALUE, 0, "user namespace %u is missing", m->number);
	if (m->number && task && (task->n_tid > 1 || task->has_leader_exit))
		err = fail(USERNS_THREADS, 0, "%zu threads in user namespace %u", task->n_tid, m->number);
	return err;
}

/* --- plan: a writer in the parent namespace makes a child in the new one, writes its maps and keeps the namespace by a
 * service descriptor. All of them share ckpt's descriptor table, so no path with a process id is needed. --- */

static u32 last_file(const struct graph *graph)
{
	u32 last = 0;
	for (struct object *o = NULL; (o = graph_next(graph, &kind_file, o));)
		last = MAX(last, o->id);
	return last;
}

/* The service descriptor of a namespace: behind those of the files. */
static int namespace_fd(struct plan *plan, const struct graph *graph, u32 number)
{
	return plan_fd(plan, last_file(graph) + number);
}

static u32 plan_spawn(struct plan *plan, struct place at, u32 helper, u64 flags)
{
	struct clone_args args = { .flags = flags, .exit_signal = SIGCHLD, .stack_size = HELPER_STACK };
	plan_thread(plan, helper);
	u32 data = plan_data(plan, &args, sizeof args, 8);
	plan_pointer(plan, data + (u32)offsetof(struct clone_args, stack), plan_stack(plan, helper) - HELPER_STACK);
	struct arg a[6] = { ARG_OF_DATA(data), ARG(sizeof args), ARG(plan_array(plan, helper)) };
	return step_result(plan, plan_op(plan, at, OP_SPAWN, SYS_clone3, a));
}

/* Waits until a child ended or stopped, and demands how (CLD_*) and with which status. */
static void plan_reap(struct plan *plan, struct place at, u32 child, int options, int code, int status)
{
	u32 info = plan_data(plan, NULL, sizeof(siginfo_t), 8);
	plan_call(plan, at, SYS_waitid, ARG(P_PID), ARG_OF_SLOT(child), ARG_OF_DATA(info), ARG(options));
	step_expect(plan_op(plan, at, OP_LOAD, 0, (struct arg[6]){ ARG(info + offsetof(siginfo_t, si_code)) }), code);
	step_expect(plan_op(plan, at, OP_LOAD, 0, (struct arg[6]){ ARG(info + offsetof(siginfo_t, si_status)) }), status);
}

static u32 plan_open(struct plan *plan, struct place at, u32 dir, const char *name, int flags)
{
	return step_result(plan,
			   plan_call(plan, at, SYS_openat, ARG_OF_SLOT(dir), ARG_OF_DATA(plan_string(plan, name)), ARG(flags)));
}

/* The map as it is to be written from the parent namespace: a range of a nested one lies in one range of its parent. */
static int plan_map(struct plan *plan, struct place at, u32 dir, const char *name, size_t n, Ckpt__IdRange *const *ranges,
		    size_t parents, Ckpt__IdRange *const *parent)
{
	_cleanup_text_ struct text text = { 0 };
	for (size_t i = 0; i < n; i++) {
		u32 outside = ranges[i]->outside;
		size_t p = 0;
		while (p < parents && outside - parent[p]->outside >= parent[p]->count)
			p++;
		if (p < parents)
			outside = outside - parent[p]->outside + parent[p]->inside;
		else if (parent)
			return fail(IMAGE_VALUE, 0, "%s: the parent namespace has no id %u", name, outside);
		text_addf(&text, "%u %u %u\n", ranges[i]->inside, outside, ranges[i]->count);
	}
	if (text_failed(&text))
		return fail_memory();
	if (text.len >= MAP_BYTES)
		return fail(IMAGE_VALUE, 0, "%s has %zu bytes", name, text.len);
	if (n)
		plan_write(plan, at, ARG_OF_SLOT(dir), name, text.data);
	return 0;
}

/* The child in the new namespace: shows its /proc directory in `dir`, stops, and is killed. */
static u32 plan_inside(struct plan *plan, u32 helper)
{
	struct place at = AT(helper, STAGE_CREATE);
	plan_thread(plan, helper);
	plan_call(plan, at, SYS_prctl, ARG(PR_SET_PDEATHSIG), ARG(SIGKILL));
	u32 self = plan_string(plan, "/proc/self");
	u32 dir = step_result(
		plan, plan_call(plan, at, SYS_openat, ARG(AT_FDCWD), ARG_OF_DATA(self), ARG(O_PATH | O_DIRECTORY | O_CLOEXEC)));
	u32 pid = step_result(plan, plan_call(plan, at, SYS_getpid));
	plan_call(plan, at, SYS_kill, ARG_OF_SLOT(pid), ARG(SIGSTOP));
	plan_op(plan, at, OP_EXIT, 0, (struct arg[6]){ ARG(1) });
	return dir;
}

/* The writer becomes the owner and enters the parent namespace. Its /proc files must stay its own: dumpable. */
static void plan_owner(struct plan *plan, struct place at, const Ckpt__UserNamespace *ns, const Ckpt__UserNamespace *parent,
		       int parent_fd)
{
	u32 group = parent ? parent->gid[0]->outside : 0;
	plan_call(plan, at, SYS_prctl, ARG(PR_SET_SECUREBITS), ARG(SECBIT_NO_SETUID_FIXUP));
	if (parent)
		plan_call(plan, at, SYS_setresgid, ARG(group), ARG(group), ARG(group));
	plan_call(plan, at, SYS_setresuid, ARG(ns->owner), ARG(ns->owner), ARG(ns->owner));
	if (parent)
		plan_call(plan, at, SYS_setns, ARG(parent_fd), ARG(CLONE_NEWUSER));
	plan_call(plan, at, SYS_prctl, ARG(PR_SET_DUMPABLE), ARG(1));
	plan_call(plan, at, SYS_prctl, ARG(PR_SET_PDEATHSIG), ARG(SIGKILL));
}

static int plan_namespace(struct plan *plan, const struct graph *graph, const Ckpt__UserNamespace *ns)
{
	u32 writer = PLAN_HELPER + 2 * ns->number, inside = writer + 1;
	struct place world = AT(PLAN_WORLD, STAGE_CREATE), at = AT(writer, STAGE_CREATE);
	const Ckpt__UserNamespace *parent = ns->parent ? find_namespace(graph, ns->parent) : NULL;
	plan_for(plan, "user namespace %u", ns->number);
	plan_reap(plan, world, plan_spawn(plan, world, writer, CLONE_FILES), WEXITED, CLD_EXITED, 0);

	plan_owner(plan, at, ns, parent, namespace_fd(plan, graph, ns->parent));
	u32 dir = plan_inside(plan, inside);
	u32 child = plan_spawn(plan, at, inside, CLONE_FILES | CLONE_NEWUSER);
	plan_reap(plan, at, child, WSTOPPED | WEXITED, CLD_STOPPED, SIGSTOP);
	if (!ns->setgroups)
		plan_write(plan, at, ARG_OF_SLOT(dir), "setgroups", "deny");
	int err =
		plan_map(plan, at, dir, "gid_map", ns->n_gid, ns->gid, parent ? parent->n_gid : 0, parent ? parent->gid : NULL);
	if (err >= 0)
		err = plan_map(plan, at, dir, "uid_map", ns->n_uid, ns->uid, parent ? parent->n_uid : 0,
			       parent ? parent->uid : NULL);
	u32 fd = plan_open(plan, at, dir, "ns/user", O_RDONLY | O_CLOEXEC);
	plan_call(plan, at, SYS_dup3, ARG_OF_SLOT(fd), ARG(namespace_fd(plan, graph, ns->number)), ARG(O_CLOEXEC));
	plan_call(plan, at, SYS_close, ARG_OF_SLOT(fd));
	plan_call(plan, at, SYS_close, ARG_OF_SLOT(dir));
	plan_call(plan, at, SYS_kill, ARG_OF_SLOT(child), ARG(SIGKILL));
	plan_reap(plan, at, child, WEXITED, CLD_KILLED, SIGKILL);
	plan_op(plan, at, OP_EXIT, 0, (struct arg[6]){ ARG(0) });
	return err;
}

/* All of them with the first process: a parent may be shown by a later one. */
static int plan_namespaces(struct plan *plan, const struct graph *graph)
{
	const Ckpt__UserNamespace *ns;
	int err = 0;
	for (u32 number = 1; err >= 0 && (ns = find_namespace(graph, number)); number++)
		err = plan_namespace(plan, graph, ns);
	return err;
}

static int userns_plan(struct plan *plan, const struct graph *graph, const struct object *object)
{
	const Ckpt__Userns *m = object->data;
	int err = graph_next(graph, &kind_userns, NULL) == object ? plan_namespaces(plan, graph) : 0;
	if (err < 0)
		return err;
	plan_for(plan, "user namespace of process %u", object->id);
	if (m->number)
		plan_call(plan, AT(object->id, STAGE_NAMESPACE), SYS_setns, ARG(namespace_fd(plan, graph, m->number)),
			  ARG(CLONE_NEWUSER));
	return 0;
}

const struct resource resource_userns = {
	.name = "userns",
	.scope = SCOPE_TASK,
	.kind = &kind_userns,
	.collect = userns_collect,
	.judge = userns_judge,
	.plan = userns_plan,
};
