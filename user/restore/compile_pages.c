// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the plan of a process's pages: they are read from the image by the process itself, those of large memory by two tasks at
 * once and as huge pages. */
#include "diag/diag.h"
#include "model/vma.h"
#include "restore/compile_memory.h"
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define READ_IOVECS 1024u          /* UIO_MAXIOV */
#define READ_BYTES (1ull << 29)    /* one preadv gives at most 0x7ffff000 bytes */
#define HELPER_BYTES (32ull << 20) /* from here on a second thread reads the other half */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* linux/userfaultfd.h, since Linux 5.11 and 6.8 */
#define USER_MODE_ONLY 1
#define FEATURE_MOVE (1ull << 16)
struct uffd_move {
	u64 to, from, len, mode;
	s64 moved;
};
#define IOCTL_MOVE _IOWR(UFFDIO, 0x05, struct uffd_move)

/* Who reads, and the pages that are not read yet. */
struct reader {
	const struct space *s;
	u32 array; /* whose steps: the leader's or the helper's tid */
	u64 room;  /* of its own, where huge pages are made; 0: none */
	u32 uffd;  /* slot of the userfaultfd by which they are moved; 0: none yet */
	struct iovec iov[READ_IOVECS];
	u32 n;
	u64 offset, bytes;
};

static struct place at(const struct reader *r) { return AT(r->array, STAGE_FILL); }

static void reader_flush(struct reader *r)
{
	if (!r->n)
		return;
	struct plan *plan = r->s->c->plan;
	u64 fd = (u64)plan_fd(plan, PAGES_FILE);
	struct plan_step *step;
	if (r->n == 1) {
		step = plan_call(plan, at(r), SYS_pread64, ARG(fd), ARG(r->iov[0].iov_base), ARG(r->iov[0].iov_len),
				 ARG(r->offset));
	} else {
		u32 data = plan_data(plan, r->iov, r->n * sizeof *r->iov, 8);
		step = plan_call(plan, at(r), SYS_preadv, ARG(fd), ARG_OF_DATA(data), ARG(r->n), ARG(r->offset));
	}
	step_expect(step, (s64)r->bytes);
	r->n = 0;
	r->bytes = 0;
}

static void reader_add(struct reader *r, u64 start, u64 len, u64 offset)
{
	while (len) {
		if (r->n && (r->n == READ_IOVECS || r->offset + r->bytes != offset || r->bytes >= READ_BYTES))
			reader_flush(r);
		if (!r->n)
			r->offset = offset;
		u64 part = MIN(len, READ_BYTES - r->bytes);
		r->iov[r->n++] = (struct iovec){ (void *)(uintptr_t)start, part };
		r->bytes += part;
		start += part;
		offset += part;
		len -= part;
	}
}

/* --- huge pages --- */

static void collapse(const struct reader *r, u64 first, u64 end, u64 offset)
{
	struct plan *plan = r->s->c->plan;
	while (first < end) {
		struct iovec touch[READ_IOVECS];
		u32 n = 0;
		u64 stop = first;
		for (; stop < end && n < READ_IOVECS; stop += HUGE_BYTES)
			touch[n++] = (struct iovec){ (void *)(uintptr_t)stop, 1 };
		u32 data = plan_data(plan, touch, n * sizeof *touch, 8);
		step_any(plan_call(plan, at(r), SYS_preadv, ARG(plan_fd(plan, PAGES_FILE)), ARG_OF_DATA(data), ARG(n),
				   ARG(offset)));
		step_any(plan_call(plan, at(r), SYS_madvise, ARG(first), ARG(stop - first), ARG(MADV_COLLAPSE)));
		first = stop;
	}
}

static void open_room(struct reader *r)
{
	struct plan *plan = r->s->c->plan;
	struct uffdio_api api = { .api = UFFD_API, .features = FEATURE_MOVE };
	u32 data = plan_data(plan, &api, sizeof api, 8);
	struct plan_step *open = plan_call(plan, at(r), SYS_userfaultfd, ARG(O_CLOEXEC | USER_MODE_ONLY));
	step_any(open);
	r->uffd = step_result(plan, open);
	step_any(plan_call(plan, at(r), SYS_ioctl, ARG_OF_SLOT(r->uffd), ARG(UFFDIO_API), ARG_OF_DATA(data)));
	step_expect(plan_call(plan, at(r), SYS_mmap, ARG(r->room), ARG(SITE_ROOM), ARG(PROT_READ | PROT_WRITE),
			      ARG(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE), ARG(-1), ARG(0)),
		    (s64)r->room);
	step_any(plan_call(plan, at(r), SYS_madvise, ARG(r->room), ARG(SITE_ROOM), ARG(MADV_HUGEPAGE)));
}

static void close_room(const struct reader *r)
{
	struct plan *plan = r->s->c->plan;
	if (!r->uffd)
		return;
	step_any(plan_call(plan, at(r), SYS_close, ARG_OF_SLOT(r->uffd)));
	plan_call(plan, at(r), SYS_munmap, ARG(r->room), ARG(SITE_ROOM));
}

/* What cannot be moved is read once more, to its place. */
static void read_and_move(const struct reader *r, u64 start, u64 len, u64 offset)
{
	struct plan *plan = r->s->c->plan;
	u64 fd = (u64)plan_fd(plan, PAGES_FILE);
	struct uffdio_register range = { .range = { start, len }, .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffd_move move = { .to = start, .from = r->room, .len = len };
	u32 where = plan_data(plan, &range, sizeof range, 8), what = plan_data(plan, &move, sizeof move, 8);
	struct arg uffd = ARG_OF_SLOT(r->uffd);
	step_expect(plan_call(plan, at(r), SYS_pread64, ARG(fd), ARG(r->room), ARG(len), ARG(offset)), (s64)len);
	step_any(plan_call(plan, at(r), SYS_ioctl, uffd, ARG(UFFDIO_REGISTER), ARG_OF_DATA(where)));
	struct plan_step *step = plan_call(plan, at(r), SYS_ioctl, uffd, ARG(IOCTL_MOVE), ARG_OF_DATA(what));
	step_any(step);
	u32 moved = step_result(plan, step);
	step_any(plan_call(plan, at(r), SYS_ioctl, uffd, ARG(UFFDIO_UNREGISTER), ARG_OF_DATA(where)));
	struct plan_step *skip = plan_skip(plan, at(r), ARG_OF_SLOT(moved), 0, 0);
	step_expect(plan_call(plan, at(r), SYS_pread64, ARG(fd), ARG(start), ARG(len), ARG(offset)), (s64)len);
	plan_land(plan, at(r), skip);
}

/* UFFDIO_MOVE takes pages to a mapping that may be accessed in the same way. One that the parent had may have pages already. */
static bool may_move_to(const struct reader *r, const struct vma *v)
{
	u32 other = VMA_SHARED | VMA_DROPPABLE | VMA_SHADOW_STACK | VMA_HUGETLB | VMA_LOCKED | VMA_LOCKONFAULT;
	return r->room && !(v->flags & other) && (v->prot | PROT_WRITE) == (PROT_READ | PROT_WRITE) && !space_keeps(r->s, v);
}

/* Registering cuts a mapping, and what is cut becomes one again when all of it has the same anon_vma: so it gets one first, by a page that
 * goes again. Any system call that writes there will do. */
static void prepare(const struct space *s, const struct vma *v)
{
	struct place place = AT(s->pid, STAGE_MAP);
	plan_call(s->c->plan, place, SYS_getcpu, ARG(v->start), ARG(0), ARG(0));
	plan_call(s->c->plan, place, SYS_madvise, ARG(v->start), ARG(v->end - v->start), ARG(MADV_DONTNEED));
}

/* Whole aligned blocks become huge pages without a flag that the mapping did not have: they are read where there is such a flag, and
 * moved, with no lock that the other reader would wait for. Or one byte of each is touched, and then all are made huge by
 * MADV_COLLAPSE (6.1), which fills them with zeros one after the other. Where the kernel refuses, small pages do. */
static void read_huge(struct reader *r, const struct vma *v, u64 start, u64 len, u64 offset)
{
	u64 first = ALIGN_UP(start, HUGE_BYTES), end = ALIGN_DOWN(start + len, HUGE_BYTES);
	if (first >= end || !may_move_to(r, v)) {
		collapse(r, first, end, offset);
		reader_add(r, start, len, offset);
		return;
	}
	if (!r->uffd)
		open_room(r);
	reader_add(r, start, first - start, offset);
	for (u64 from = first; from < end; from += SITE_ROOM)
		read_and_move(r, from, MIN(end - from, SITE_ROOM), offset + (from - start));
	reader_add(r, end, start + len - end, offset + (end - start));
}

/* --- all pages --- */

/* A mapping whose flag asks for huge pages gets them without help. */
static bool needs_help(const struct space *s, const struct vma *v)
{
	return caps_has(s->c->survey->caps, CAN_MADV_COLLAPSE) && v && !v->file &&
	       !(v->flags & (VMA_HUGEPAGE | VMA_NOHUGEPAGE)) && !s->mm->thp_disable;
}

/* A page that is missing must be so afterwards: one that is read beside it must not bring 2 MiB (userfaultfd(2) tells who misses it). */
static bool must_be_small(const struct space *s)
{
	for (u32 i = 0; i < s->count; i++)
		if (s->vmas[i].flags & VMA_UFFD)
			return true;
	return false;
}

/* A second thread of execution in the same memory, to read the other half: a process of its own (not a thread, so that
 * its id is free again) with an id that nobody wants. */
static u32 add_helper(const struct space *s)
{
	struct compiler *c = s->c;
	if (c->spare_used >= c->survey->spare_pids.n)
		return 0;
	u32 pid = c->survey->spare_pids.v[c->spare_used++];
	if (plan_thread(c->plan, pid) < 0)
		return 0;
	compile_spawn(c, s->pid, STAGE_FILL, pid,
		      &(struct clone_args){ .flags = CLONE_VM | CLONE_FILES | CLONE_FS | CLONE_SIGHAND });
	return pid;
}

/* Bytes of the run that the helper reads, when it has so many left: a block is never split between the two. */
static u64 share(const struct page_run *run, u64 left)
{
	if (left >= run->len || !left)
		return MIN(run->len, left);
	u64 end = ALIGN_DOWN(run->start + left, HUGE_BYTES);
	return end > run->start ? end - run->start : 0;
}

static void fill(const struct space *s, bool small)
{
	u64 total = 0, done = 0, half = 0, room = s->own_table && !small ? s->c->site.room : 0;
	for (u32 i = 0; i < s->nruns; i++)
		total += s->runs[i].flags & PAGES_ELSEWHERE ? 0 : s->runs[i].len;
	u32 helper = total >= HELPER_BYTES ? add_helper(s) : 0;
	half = helper ? ALIGN_UP(total / 2, HUGE_BYTES) : 0;
	struct reader own = { .s = s, .array = s->pid, .room = room };
	struct reader other = { .s = s, .array = helper, .room = room ? room + SITE_ROOM : 0 };
	const struct vma *prepared = NULL;
	for (u32 i = 0; i < s->nruns; i++) {
		const struct page_run *run = &s->runs[i];
		if (run->flags & PAGES_ELSEWHERE)
			continue;
		u64 first = share(run, half - MIN(half, done));
		const struct vma *v = vma_at(s->vmas, s->count, run->start);
		bool huge = run->len >= HUGE_BYTES && needs_help(s, v);
		if (huge && v != prepared && may_move_to(&own, v))
			prepare(s, v), prepared = v;
		struct {
			struct reader *r;
			u64 start, len, offset;
		} parts[] = { { &other, run->start, first, run->offset },
			      { &own, run->start + first, run->len - first, run->offset + first } };
		for (int p = 0; p < 2; p++) {
			if (huge && parts[p].len >= HUGE_BYTES)
				read_huge(parts[p].r, v, parts[p].start, parts[p].len, parts[p].offset);
			else
				reader_add(parts[p].r, parts[p].start, parts[p].len, parts[p].offset);
		}
		done += run->len;
	}
	reader_flush(&own);
	close_room(&own);
	if (!helper)
		return;
	reader_flush(&other);
	close_room(&other);
	plan_op(s->c->plan, AT(helper, STAGE_FILL), OP_EXIT, 0, (struct arg[6]){ ARG(0) });
	step_expect(plan_call(s->c->plan, at(&own), SYS_wait4, ARG(helper), ARG(0), ARG(0x40000000 /* __WALL */)), helper);
}

static void allow_huge(const struct space *s, bool allowed)
{
	plan_call(s->c->plan, AT(s->pid, STAGE_FILL), SYS_prctl, ARG(PR_SET_THP_DISABLE), ARG(!allowed));
}

void compile_pages(const struct space *s)
{
	bool small = must_be_small(s);
	if (small)
		allow_huge(s, false);
	fill(s, small);
	if (small)
		allow_huge(s, true);
}
