// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns memory objects without a name in any directory: shared anonymous memory and memfds, and the files behind anonymous memory of
 * huge pages (MAP_HUGETLB), be it shared or private. */
#include "collect/collect.h"
#include "resource/memory_object.h"
#include "resource/same_inode.h"
#include "shmem.pb-c.h"
#include <linux/memfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define MEMFD "/memfd:"
#define DELETED " (deleted)"
#define ZERO "/dev/zero" DELETED
#define HUGE "/anon_hugepage" DELETED
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif
#ifndef MFD_EXEC
#define MFD_NOEXEC_SEAL 0x08
#define MFD_EXEC 0x10
#endif

static const struct kind kind_shmem = { .name = "shmem", .desc = &ckpt__shmem__descriptor };

static bool is_nameless(const char *link) { return !strcmp(link, ZERO) || !strcmp(link, HUGE); }

static bool shmem_claims(const struct record_file *file, const char *link)
{
	return S_ISREG(file->mode) && (!strncmp(link, MEMFD, sizeof MEMFD - 1) || is_nameless(link));
}

/* --- collect --- */

static int collect_name(Ckpt__Shmem *s, const char *link)
{
	if (is_nameless(link))
		return 0;
	link += sizeof MEMFD - 1;
	size_t len = strlen(link), suffix = sizeof DELETED - 1;
	if (len >= suffix && !strcmp(link + len - suffix, DELETED))
		len -= suffix;
	_cleanup_free_ char *name = strndup(link, len);
	return name && message_set_string(&s->name, name) ? 0 : fail_memory();
}

/* Seals are told by a descriptor, not by an O_PATH one. */
static int collect_seals(Ckpt__Shmem *s, int fd)
{
	char path[32];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	_cleanup_close_ int own = open(path, O_RDONLY | O_CLOEXEC);
	int seals = own < 0 ? -1 : fcntl(own, F_GET_SEALS);
	if (seals < 0 && errno != (own < 0 ? EACCES : EINVAL)) /* not everything can be sealed */
		return fail(SYSCALL, neg_errno(), "fcntl F_GET_SEALS");
	if (seals >= 0)
		SET(s, seals, (u32)seals);
	return 0;
}

static int shmem_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	Ckpt__Shmem *s = o->data;
	struct stat st;
	SET(s, inode, subject->file->ino);
	SET(s, device, (u32)makedev(subject->file->dev_major, subject->file->dev_minor));
	if (same_inode_first(collector_graph(c), &kind_shmem, s->device, s->inode, o->id, &s->memory) < 0)
		return fail_memory();
	s->has_memory = true;
	share_huge_page(collector_graph(c), s->memory, o->id);
	if (s->memory != o->id)
		return 0;
	int fd = collector_fd(c);
	if (fd < 0)
		return fail(FD_DUPLICATE, fd, "%s", subject->link);
	if (fstat(fd, &st) < 0)
		return fail(SYSCALL, neg_errno(), "fstat of %s", subject->link);
	SET(s, size, (u64)st.st_size);
	SET(s, mode, st.st_mode & 07777);
	SET(s, uid, st.st_uid);
	SET(s, gid, st.st_gid);
	note_huge_page(collector_graph(c), o->id, fd);
	int r = collect_name(s, subject->link);
	if (r == 0 && s->name)
		r = collect_seals(s, fd);
	return r < 0 ? r : collector_keep_memory(c, o->id);
}

/* --- judge --- */

/* The file of the object's first mapping that may be written, in these mappings; 0: there is none. */
static u32 writable_mapping(const struct graph *graph, const struct object *vmas, u32 memory)
{
	for (u32 i = 0; i < vmas->count; i++) {
		const struct vma *v = &((const struct vma *)vmas->data)[i];
		const Ckpt__Shmem *s = v->file ? graph_data(graph, &kind_shmem, v->file) : NULL;
		if (s && s->memory == memory && (v->flags & VMA_SHARED) && (v->flags & VMA_MAYWRITE))
			return v->file;
	}
	return 0;
}

static int shmem_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	const Ckpt__Shmem *s = o->data, *first = graph_data(graph, &kind_shmem, s->memory);
	if (!first || first->memory != s->memory)
		return fail(IMAGE_INCONSISTENT, 0, "memory object %u", s->memory);
	if (s->memory != o->id)
		return 0;
	if (direction == DIRECTION_DUMP)
		return 0;
	u64 page = page_of(graph, o->id);
	if (!page_is_sane(page) || (huge_page_of(graph, o->id) && s->size % page) || (!s->name && !s->size))
		return fail(IMAGE_VALUE, 0, "memory object %u of %llu bytes in pages of %llu", o->id,
			    (unsigned long long)s->size, (unsigned long long)page);
	return contents_fit(graph, o->id, s->size)
		       ? 0
		       : fail(IMAGE_INCONSISTENT, 0, "contents beyond the end of memory object %u", o->id);
}

/* --- plan --- */

#define CREATE AT(PLAN_WORLD, STAGE_CREATE)

/* Who says neither gets what vm.memfd_noexec says. */
static u32 exec_flag(const struct plan *plan, const Ckpt__Shmem *s)
{
	const struct caps *caps = plan_config(plan)->caps;
	if ((s->seals & F_SEAL_EXEC) && !(s->mode & 0111))
		return MFD_NOEXEC_SEAL;
	return caps && caps_has(caps, CAN_MEMFD_EXEC) ? MFD_EXEC : 0;
}

/* Pages of hugetlbfs are taken when they are filled, and by the mappings of tasks: the window reserves none. */
static u32 plan_memfd(struct plan *plan, const Ckpt__Shmem *s, u64 len, u64 huge)
{
	u32 kind = huge ? MFD_HUGETLB | huge_page_bits(huge) : 0;
	u32 fd = step_result(plan, plan_call(plan, CREATE, SYS_memfd_create, arg_string(plan, s->name),
					     ARG(MFD_CLOEXEC | MFD_ALLOW_SEALING | exec_flag(plan, s) | kind)));
	step_expect(plan_call(plan, CREATE, SYS_ftruncate, ARG_OF_SLOT(fd), ARG(s->size)), 0);
	if (len)
		step_expect(plan_call(plan, CREATE, SYS_mmap, ARG(WINDOW), ARG(len), ARG(PROT_READ | PROT_WRITE),
				      ARG(MAP_SHARED | MAP_FIXED_NOREPLACE | (huge ? MAP_NORESERVE : 0)), ARG_OF_SLOT(fd),
				      ARG(0)),
			    (s64)WINDOW);
	return fd;
}

/* Was the memory made without a promise that there is room for all of it (MAP_NORESERVE)? Its mappings tell. */
static bool is_unreserved(const struct graph *graph, u32 memory)
{
	for (const struct object *o = NULL; (o = graph_next(graph, &kind_vmas, o));)
		for (u32 i = 0; i < o->count; i++) {
			const struct vma *v = &((const struct vma *)o->data)[i];
			const Ckpt__Shmem *s =
				v->flags & VMA_NORESERVE && v->file ? graph_data(graph, &kind_shmem, v->file) : NULL;
			if (s && s->memory == memory)
				return true;
		}
	return false;
}

/* Shared anonymous memory is born by mapping it; its file is reached through the mapping. */
static u32 plan_anonymous(struct plan *plan, const struct graph *graph, u32 memory, u64 len, u64 huge)
{
	char path[64];
	u32 kind = huge ? MAP_HUGETLB | MAP_NORESERVE | huge_page_bits(huge) : is_unreserved(graph, memory) ? MAP_NORESERVE : 0;
	step_expect(plan_call(plan, CREATE, SYS_mmap, ARG(WINDOW), ARG(len), ARG(PROT_READ | PROT_WRITE),
			      ARG(MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | kind), ARG(-1), ARG(0)),
		    (s64)WINDOW);
	snprintf(path, sizeof path, "/proc/self/map_files/%llx-%llx", (unsigned long long)WINDOW,
		 (unsigned long long)(WINDOW + len));
	return step_result(plan,
			   plan_call(plan, CREATE, SYS_openat, ARG(AT_FDCWD), arg_string(plan, path), ARG(O_RDWR | O_CLOEXEC)));
}

static void plan_attributes(struct plan *plan, const Ckpt__Shmem *s, u32 fd)
{
	plan_call(plan, CREATE, SYS_fchown, ARG_OF_SLOT(fd), ARG(s->uid), ARG(s->gid));
	plan_call(plan, CREATE, SYS_fchmod, ARG_OF_SLOT(fd), ARG(s->mode));
}

/* Flags of a file that fcntl(2) cannot set. */
#define OPENED (O_ACCMODE | O_DSYNC | O_SYNC | O_PATH | O_ASYNC)

/* is_made: fd itself, as memfd_create(2) gave it, which is no writer to the kernel: the program in the memory may be executed. */
static void plan_member(struct plan *plan, const struct graph *graph, u32 file, u32 fd, bool is_made)
{
	u32 flags = file_flags(graph, file);
	if (is_made) {
		plan_call(plan, CREATE, SYS_dup3, ARG_OF_SLOT(fd), ARG(plan_fd(plan, file)), ARG(O_CLOEXEC));
		plan_status_flags(plan, CREATE, file, flags, O_RDWR);
	} else {
		plan_reopen(plan, fd, NULL, file, flags & (OPENED | O_APPEND | O_NONBLOCK | O_NOATIME), flags);
	}
	plan_position(plan, graph, file);
}

static u32 first_of(const void *shmem) { return ((const Ckpt__Shmem *)shmem)->memory; }

/* All files of the memory; of a memfd the first that could be what memfd_create(2) gave is taken for that. */
static int plan_members(struct plan *plan, const struct graph *graph, const struct object *o, u32 fd)
{
	bool made = !((const Ckpt__Shmem *)o->data)->name;
	int r = same_inode_index(graph, &kind_shmem, first_of);
	for (u32 member = o->id; r == 0 && member; member = same_inode_next(graph, &kind_shmem, member)) {
		bool is_made = !made && (file_flags(graph, member) & OPENED) == O_RDWR;
		plan_member(plan, graph, member, fd, is_made);
		made |= is_made;
	}
	return r < 0 ? fail_memory() : 0;
}

/* Writable mappings that are older than F_SEAL_FUTURE_WRITE are made before it: the root seals when all have theirs. */
static u32 plan_late_seals(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Shmem *s = o->data;
	const Ckpt__Host *host = graph_data(graph, &kind_host, 1);
	char name[32];
	snprintf(name, sizeof name, "mapped %u", o->id);
	u32 late = s->seals & (F_SEAL_FUTURE_WRITE | F_SEAL_SEAL), writer = 0, count = 0;
	for (const struct object *v = NULL; host && s->seals & F_SEAL_FUTURE_WRITE && (v = graph_next(graph, &kind_vmas, v));) {
		u32 file = writable_mapping(graph, v, o->id);
		if (!file)
			continue;
		plan_post(plan, AT(v->id, STAGE_PROTECT), plan_word(plan, name));
		writer = file;
		count++;
	}
	if (!writer)
		return 0;
	plan_wait(plan, AT(host->root_pid, STAGE_TIMERS), plan_word(plan, name), count);
	plan_call(plan, AT(host->root_pid, STAGE_TIMERS), SYS_fcntl, ARG(plan_fd(plan, writer)), ARG(F_ADD_SEALS), ARG(late));
	return late;
}

/* Seals that come late are set by the root, which has what the world has made. */
static bool shmem_apart(const struct graph *graph, const struct object *o)
{
	const Ckpt__Shmem *first = graph_data(graph, &kind_shmem, ((const Ckpt__Shmem *)o->data)->memory);
	return first && !(first->seals & F_SEAL_FUTURE_WRITE);
}

static int shmem_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Shmem *s = o->data;
	if (s->memory != o->id)
		return 0;
	u64 len = ALIGN_UP(s->size, PAGE_BYTES), huge = huge_page_of(graph, o->id);
	u32 fd = s->name ? plan_memfd(plan, s, len, huge) : plan_anonymous(plan, graph, o->id, len, huge);
	plan_window(plan, graph, o->id);
	if (len)
		plan_call(plan, CREATE, SYS_munmap, ARG(WINDOW), ARG(len));
	if (s->name || s->uid || s->gid) /* shared anonymous memory belongs to who has mapped it */
		plan_attributes(plan, s, fd);
	int r = plan_members(plan, graph, o, fd);
	u32 seals = s->name ? s->seals & ~plan_late_seals(plan, graph, o) : 0;
	if (seals)
		plan_call(plan, CREATE, SYS_fcntl, ARG_OF_SLOT(fd), ARG(F_ADD_SEALS), ARG(seals));
	plan_call(plan, CREATE, SYS_close, ARG_OF_SLOT(fd));
	return r;
}

const struct resource resource_shmem = {
	.name = "shmem",
	.scope = SCOPE_FILE,
	.kind = &kind_shmem,
	.claims = shmem_claims,
	.collect = shmem_collect,
	.judge = shmem_judge,
	.apart = shmem_apart,
	.plan = shmem_plan,
};
