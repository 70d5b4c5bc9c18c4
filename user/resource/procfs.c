// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns files of /proc that tell of a process: of the living they are opened when these have been born, of those that have ended by a
 * process that has the id for a moment. */
#include "collect/collect.h"
#include "model/shape.h"
#include "procfs.pb-c.h"
#include "resource/opener.h"

static const struct kind kind_procfs = { .name = "procfs", .desc = &ckpt__procfs__descriptor };

static bool procfs_claims(const struct record_file *file, const char *link) { return is_process_file(file, link); }

/* --- collect --- */

static int procfs_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	static const char deleted[] = " (deleted)";
	const struct record_file *file = subject->file;
	Ckpt__Procfs *m = o->data;
	struct stat st;
	char *name;
	u32 pid = (u32)strtoul(subject->link + sizeof "/proc", &name, 10);
	int r = collector_stat(c, file, subject->link, &st);
	if (r < 0 && r != -ENOENT && r != -ESRCH && r != -ENOTDIR && r != -EACCES)
		return r == -ENOMEM ? fail_memory() : fail(PROC_READ, r, "%s", subject->link);
	bool there =
		r == 0 && st.st_ino == file->ino && major(st.st_dev) == file->dev_major && minor(st.st_dev) == file->dev_minor;
	size_t len = strlen(name), end = sizeof deleted - 1;
	SET(m, pid, pid);
	if (!message_set_string(&m->name, name))
		return fail_memory();
	if (there)
		return 0;
	SET(m, ended, true);
	if (len >= end && !strcmp(name + len - end, deleted))
		m->name[len - end] = 0;
	return 0;
}

/* --- judge --- */

/* Is it of another thread than the first, or below what fills only when the process has got its files and mappings? */
static bool is_late(const Ckpt__Procfs *m)
{
	static const char *const late[] = { "/fdinfo/", "/map_files/", "/fd/" };
	const char *name = m->name;
	char *rest;
	if (!strncmp(name, "/task/", 6)) {
		if (strtoul(name + 6, &rest, 10) != m->pid)
			return true;
		name = rest;
	}
	for (size_t i = 0; i < ARRAY_SIZE(late); i++)
		if (!strncmp(name, late[i], strlen(late[i])))
			return true;
	return false;
}

/* Can it be opened? */
static bool is_opened(const struct graph *graph, const struct object *o)
{
	const Ckpt__Procfs *m = o->data;
	if (is_late(m))
		return false;
	return m->ended || (graph_find(graph, &kind_task, m->pid) && opener_of(graph, o->id, true));
}

static int judge_restore(const struct graph *graph, const struct object *o)
{
	const Ckpt__Procfs *m = o->data;
	if (!is_opened(graph, o) || (m->name[0] && m->name[0] != '/') || strstr(m->name, "/.."))
		return fail(IMAGE_INCONSISTENT, 0, "/proc/%u%s", m->pid, m->name);
	if (m->ended && getpgid((pid_t)m->pid) >= 0)
		return fail(PID_TAKEN, 0, "a file is open that tells of process %u, which had ended: /proc/%u%s", m->pid,
			    m->pid, m->name);
	return 0;
}

static int procfs_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	const Ckpt__Procfs *m = o->data;
	if (!m->pid || m->pid >= PLAN_HELPER || !m->name)
		return fail(IMAGE_VALUE, 0, "a file of process %u", m->pid);
	if (direction == DIRECTION_RESTORE)
		return judge_restore(graph, o);
	return is_opened(graph, o) ? 0 : fail(FILE_OF_PROCESS, 0, "/proc/%u%s", m->pid, m->name);
}

/* --- plan --- */

#define CREATE AT(PLAN_WORLD, STAGE_CREATE)
#define BEHIND_ALL (1ull << 40) /* no text is as long */

static struct arg arg_path(struct plan *plan, const Ckpt__Procfs *m)
{
	char path[4200];
	snprintf(path, sizeof path, "/proc/%u%s", m->pid, m->name);
	return arg_string(plan, path);
}

static u64 position_of(const struct graph *graph, u32 file)
{
	const Ckpt__File *f = graph_data(graph, &kind_file, file);
	return f && !(f->flags & O_PATH) ? f->pos : 0;
}

/* Who will be dead does not die before the file is open: some of its files could not be opened then. */
static void plan_outlive(struct plan *plan, const struct graph *graph, struct place at, u32 file, u32 pid)
{
	const Ckpt__Task *task = graph_data(graph, &kind_task, pid);
	char name[32];
	if (!task || !shape_is_zombie(task) || plan_array(plan, pid) == UINT32_MAX)
		return;
	snprintf(name, sizeof name, "opened %u", file);
	plan_post(plan, at, plan_word(plan, name));
	plan_wait(plan, AT(pid, STAGE_TIMERS), plan_word(plan, name), 1);
}

static void plan_living(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Procfs *m = o->data;
	u32 opener = opener_of(graph, o->id, true);
	u64 pos = position_of(graph, o->id);
	struct place at = opener_place(plan, opener);
	plan_await_birth(plan, at, m->pid);
	u32 slot = step_result(
		plan, plan_call(plan, at, SYS_openat, ARG(AT_FDCWD), arg_path(plan, m), ARG(file_reopen_flags(graph, o->id))));
	plan_outlive(plan, graph, at, o->id, m->pid);
	if (pos)
		step_expect(plan_call(plan, at, SYS_lseek, ARG_OF_SLOT(slot), ARG(pos), ARG(SEEK_SET)), (s64)pos);
	plan_hand_out(plan, graph, o->id, opener, slot);
}

/* The process opens them itself, in the table that it shares with the world, and ends. */
static void plan_ended(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Procfs *m = o->data;
	char name[32];
	s32 service = plan_fd(plan, o->id);
	u64 pos = position_of(graph, o->id);
	snprintf(name, sizeof name, "process %u", m->pid);
	struct place at = plan_helper(plan, CREATE, name, m->pid, NULL);
	struct plan_step *open =
		plan_call(plan, at, SYS_openat, ARG(AT_FDCWD), arg_path(plan, m), ARG(file_reopen_flags(graph, o->id)));
	step_any(open);
	u32 slot = step_result(plan, open);
	struct arg place[6] = { ARG_OF_SLOT(slot), ARG(service), ARG(O_CLOEXEC) },
		   seek[6] = { ARG(service), ARG(pos), ARG(SEEK_SET) };
	step_expect(plan_helper_call(plan, at, CREATE, SYS_dup3, place), service);
	step_any(plan_call(plan, at, SYS_close, ARG_OF_SLOT(slot)));
	if (!pos)
		return;
	step_expect(plan_helper_call(plan, at, CREATE, SYS_lseek, seek), (s64)pos);
	/* the kernel forgets the text that it would hold from there on: it is not that of the process */
	step_any(plan_call(plan, at, SYS_pread64, ARG(service), ARG_OF_DATA(plan_data(plan, NULL, 8, 8)), ARG(1),
			   ARG(BEHIND_ALL)));
}

static int procfs_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Procfs *m = o->data;
	if (m->ended)
		plan_ended(plan, graph, o);
	else
		plan_living(plan, graph, o);
	return 0;
}

const struct resource resource_procfs = {
	.name = "procfs",
	.scope = SCOPE_FILE,
	.kind = &kind_procfs,
	.claims = procfs_claims,
	.collect = procfs_collect,
	.judge = procfs_judge,
	.plan = procfs_plan,
};
