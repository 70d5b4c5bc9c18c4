// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the objects of address spaces: fields, mappings, the vDSO. */
#include "base/file.h"
#include "collect/collect_internal.h"
#include "collect/vdso.h"
#include "diag/diag.h"
#include "infect/remote.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/uio.h>

static int set_fields(Ckpt__Mm *m, const struct record_task *t)
{
	SET(m, start_code, t->start_code);
	SET(m, end_code, t->end_code);
	SET(m, start_data, t->start_data);
	SET(m, end_data, t->end_data);
	SET(m, start_brk, t->start_brk);
	SET(m, start_stack, t->start_stack);
	SET(m, arg_start, t->arg_start);
	SET(m, arg_end, t->arg_end);
	SET(m, env_start, t->env_start);
	SET(m, env_end, t->env_end);
	if (t->known & KNOWN_MM_BRK)
		SET(m, brk, t->brk);
	if (t->known & KNOWN_PRCTL)
		SET(m, dumpable, t->dumpable);
	if (t->known & KNOWN_THP_MDWE) {
		SET(m, thp_disable, t->thp_disable);
		SET(m, mdwe, t->mdwe);
		SET(m, memory_merge, t->memory_merge);
	}
	if (t->known & KNOWN_LOCKS && t->future_locks)
		SET(m, future_locks, t->future_locks);
	if (!(t->known & KNOWN_LOCKS))
		SET(m, locks_unknown, true);
	if (t->known & KNOWN_MEMBARRIER)
		SET(m, membarrier, t->membarrier);
	return 0;
}

/* The vDSO object of these bytes: processes of one kernel share it. */
static int find_vdso(struct collector *c, const struct record_vma *vmas, size_t count, const void *image, size_t len,
		     u32 *ret_id)
{
	u32 id = 1;
	for (struct object *o = NULL; (o = graph_next(c->graph, &kind_vdso, o));)
		id = MAX(id, o->id + 1);
	struct object *o = graph_add(c->graph, &kind_vdso, id);
	if (!o)
		return fail_memory();
	int r = vdso_describe(o->data, vmas, count, image, len);
	if (r < 0)
		return r == -ENOMEM ? fail_memory() : fail(VDSO_UNREADABLE, r, "[vdso] is no ELF image with dynamic symbols");
	*ret_id = id;
	return 0;
}

int collector_read(struct collector *c, u32 pid, u64 address, void *to, size_t len)
{
	const struct tree_process *p = tree_find(c->tree, (pid_t)pid);
	struct iovec local = { to, len }, remote = { (void *)(uintptr_t)address, len };
	ssize_t got = process_vm_readv(p ? tree_first(p) : (pid_t)pid, &local, 1, &remote, 1, 0);
	return got < 0 ? neg_errno() : (size_t)got == len ? 0 : -EFAULT;
}

int collector_tags(struct collector *c, u32 pid, u64 address, u8 *ret, size_t room)
{
	const struct tree_process *p = tree_find(c->tree, (pid_t)pid);
	return p ? remote_get_tags(tree_first(p), address, ret, room) : -ESRCH;
}

static int add_vdso(struct collector *c, Ckpt__Mm *m, pid_t pid, const struct record_vma *vmas, size_t count)
{
	const struct record_vma *vdso = NULL;
	for (size_t i = 0; i < count; i++)
		if (!strcmp(vmas[i].name, "[vdso]"))
			vdso = &vmas[i];
	if (!vdso)
		return 0;
	SET(m, vdso_address, vdso->start);
	size_t len = vdso->end - vdso->start;
	if (len > 1u << 20)
		return fail(VDSO_UNREADABLE, 0, "[vdso] has %zu bytes", len);
	_cleanup_free_ void *image = malloc(len);
	if (!image)
		return fail_memory();
	int err = collector_read(c, (u32)pid, vdso->start, image, len);
	if (err < 0)
		return c->config->live ? 0 : fail(VDSO_UNREADABLE, err, "process_vm_readv");
	u64 key = 0;
	for (size_t i = 0; i + 8 <= len; i += 8) {
		u64 word;
		memcpy(&word, (char *)image + i, 8);
		key = map_mix(key, word);
	}
	for (size_t i = 0; i < count; i++) /* the layout belongs to the identity */
		if (vmas[i].flags & VMA_SPECIAL && strcmp(vmas[i].name, "[vsyscall]"))
			key = map_mix(key, map_mix(vmas[i].start - vdso->start, vmas[i].end - vdso->start));
	u32 id = map_get(&c->vdsos, key);
	int r = id ? 0 : find_vdso(c, vmas, count, image, len, &id);
	if (r == 0)
		SET(m, vdso, id);
	return r == 0 && map_set(&c->vdsos, key, id) < 0 ? fail_memory() : r;
}

/* The file object behind a mapping; neighbours of the same file, which are most, ask once. */
static int map_file(struct collector *c, const struct record_vma *v, struct vma *previous,
		    const struct record_vma *previous_record, u32 *ret_file)
{
	bool writable = v->flags & VMA_SHARED && v->flags & VMA_MAYWRITE;
	if (previous && previous->file && previous_record->ino == v->ino && previous_record->dev_major == v->dev_major &&
	    previous_record->dev_minor == v->dev_minor &&
	    ((previous_record->flags ^ v->flags) & (VMA_SHARED | VMA_MAYWRITE)) == 0) {
		*ret_file = previous->file;
		return 0;
	}
	return collect_mapped(c, v, writable ? O_RDWR : O_RDONLY, ret_file);
}

/* The path of a mapping in /proc/PID/maps; an owned copy, NULL when it is gone. */
static char *path_in_maps(struct collector *c, const struct record_vma *v)
{
	struct tree_process *p = tree_find(c->tree, (pid_t)v->tgid);
	if (c->maps_of != v->tgid) {
		text_free(&c->maps);
		c->maps_of = v->tgid;
		if (p)
			file_read(p->proc, "maps", &c->maps);
	}
	char range[64];
	snprintf(range, sizeof range, "%llx-%llx ", (unsigned long long)v->start, (unsigned long long)v->end);
	const char *line = c->maps.data ? strstr(c->maps.data, range) : NULL;
	size_t len = line ? strcspn(line, "\n") : 0;
	const char *path = len ? memchr(line, '/', len) : NULL;
	return path ? strndup(path, len - (size_t)(path - line)) : NULL;
}

/* Without the right to follow map_files a live tree's files are known by their paths only. */
static int map_path(struct collector *c, const struct record_vma *v, u32 *ret_file)
{
	_cleanup_free_ char *path = path_in_maps(c, v);
	if (!path)
		return 0;
	u64 key = inode_key(v->dev_major, v->dev_minor, v->ino);
	*ret_file = map_get(&c->by_link, key);
	if (*ret_file)
		return 0;
	u32 id = ++c->files;
	struct object *o = graph_add(c->graph, &kind_file, id);
	Ckpt__File *file = o ? o->data : NULL;
	if (!file || !message_set_string(&file->kind, "") || !message_set_string(&file->link, path))
		return fail_memory();
	SET(file, inode, v->ino);
	*ret_file = id;
	return map_set(&c->by_link, key, id) < 0 ? fail_memory() : 0;
}

/* Of a special mapping all other flags are the kernel's own matter, and differ between kernels; but a program may seal its vDSO, too,
 * where the kernel does not. */
static u32 special_flags(const struct collector *c, const struct record_vma *v)
{
	bool by_itself = c->config->caps->state[CAN_VDSO_MOVABLE].answer != CAP_NO;
	return VMA_SPECIAL | (by_itself ? v->flags & VMA_SEALED : 0);
}

static int add_vmas(struct collector *c, pid_t pid, const struct record_vma *vmas, size_t count)
{
	struct object *o = graph_add(c->graph, &kind_vmas, (u32)pid);
	if (!o)
		return fail_memory();
	struct vma *previous = NULL;
	for (size_t i = 0; i < count; i++) {
		const struct record_vma *v = &vmas[i];
		if (!strcmp(v->name, "[vsyscall]")) /* the gate page: outside of what a task maps */
			continue;
		u32 file = 0;
		size_t mark = diag_mark();
		int r = v->flags & VMA_ANONYMOUS ? 0 : map_file(c, v, previous, i ? &vmas[i - 1] : NULL, &file);
		if (r == -EPERM && c->config->live) {
			diag_forget(mark);
			r = map_path(c, v, &file);
		}
		r = collect_survive(c, mark, r);
		if (r < 0)
			return r;
		struct vma *place = object_append(o);
		if (!place)
			return fail_memory();
		*place = (struct vma){
			.start = v->start, .end = v->end, .pgoff = v->pgoff, .prot = v->prot, .flags = v->flags, .file = file
		};
		if (v->flags & VMA_SPECIAL) {
			place->flags = special_flags(c, v);
			place->prot &= PROT_READ | PROT_WRITE | PROT_EXEC;
		}
		memcpy(place->name, v->name, sizeof place->name);
		place->anon = anon_number(c, v->anon_id);
		previous = place;
	}
	return 0;
}

static int add_mm(struct collector *c, const struct tree_process *p, const struct record_task *t, const struct record_vma *vmas,
		  size_t count)
{
	struct object *o = graph_add(c->graph, &kind_mm, (u32)p->pid);
	if (!o)
		return fail_memory();
	Ckpt__Mm *m = o->data;
	set_fields(m, t);
	_cleanup_text_ struct text auxv = { 0 };
	int r = file_read_once(p->proc, "auxv", &auxv);
	if (r < 0)
		return fail(PROC_READ, r, "/proc/%d/auxv", p->pid);
	m->has_auxv = message_set_bytes(&m->auxv, auxv.data, auxv.len);
	if (!m->has_auxv)
		return fail_memory();
	u32 exe;
	r = collector_add_link_as(c, (u32)p->pid, "exe", O_RDONLY, &exe);
	if (r < 0)
		return r;
	SET(m, exe, exe);
	r = add_vdso(c, m, p->pid, vmas, count);
	return r < 0 ? r : add_vmas(c, p->pid, vmas, count);
}

int collect_memory(struct collector *c)
{
	size_t at = 0;
	_cleanup_(map_free) struct map pieces = { 0 };
	if (facts_pieces(&pieces, c->facts.vmas.v, c->facts.vmas.n, sizeof *c->facts.vmas.v,
			 offsetof(struct record_vma, tgid)) < 0)
		return fail_memory();
	for (size_t i = 0; i < c->tree->processes.n; i++) {
		const struct tree_process *p = &c->tree->processes.v[i];
		const struct record_task *t = &c->facts.tasks.v[at];
		at += p->threads.n;
		size_t count = 0, vma = map_get(&pieces, (u64)p->pid) ?: c->facts.vmas.n + 1;
		vma--;
		while (vma + count < c->facts.vmas.n && c->facts.vmas.v[vma + count].tgid == (u32)p->pid)
			count++;
		WORKING_ON_TASK(p->pid);
		size_t mark = diag_mark();
		const Ckpt__Task *task = graph_data(c->graph, &kind_task, (u32)p->pid);
		bool own = p->state != 'Z' && task->mm == task->pid;
		int r = !own ? 0 : collect_survive(c, mark, add_mm(c, p, t, c->facts.vmas.v + vma, count));
		if (r < 0)
			return r;
	}
	return 0;
}
