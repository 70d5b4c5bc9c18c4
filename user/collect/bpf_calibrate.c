// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns finding out which bits of mm->flags, of thread_info.flags and of vm_flags mean what, where no kernel tells the numbers: a child switches
 * each on, and what changes is read. */
#include "collect/bpf_internal.h"
#include "base/child.h"
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_restrict_self 446
#endif
#ifndef SYS_mseal
#define SYS_mseal 462
#endif

/* A child that has done what it should, and waits for its end. */
struct helper {
	pid_t pid;
};
static void helper_end(struct helper *h) { child_end(h->pid); }
#define _cleanup_helper_ _cleanup_(helper_end)

/* Runs act(arg) in a child and waits for the `len` bytes that it gives as its answer. */
static int helper_start(struct helper *h, void (*act)(const void *arg, void *answer), const void *arg, void *answer, size_t len)
{
	int ends[2];

	if (pipe(ends) < 0)
		return neg_errno();
	_cleanup_close_ int get = ends[0];
	_cleanup_close_ int put = ends[1];
	h->pid = fork();
	if (h->pid < 0)
		return neg_errno();
	if (h->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		act(arg, answer);
		if (write(put, answer, len) != (ssize_t)len)
			_exit(1);
		for (;;)
			pause();
	}
	close(take_fd(&put));
	return read(get, answer, len) == (ssize_t)len ? 0 : -ECHILD;
}

/* What the program writes of one thread of ckpt or of a child; scratch->raw is made whole. */
static int read_task(struct bpf_walker *w, pid_t pid, struct record_task_map *scratch)
{
	_cleanup_text_ struct text stream = { 0 };
	const struct record_task_raw *raw = &scratch->raw;

	int r = bpf_run_process(w, (u32)pid, &stream);
	if (r < 0)
		return r;
	struct bpf_reader reader = { .at = stream.data, .end = stream.data + stream.len };
	while ((r = bpf_next(&reader)) > 0)
		if (reader.tag == RECORD_TASK && bpf_task_fields(w, &reader, scratch) == 0 &&
		    (pid_t)bpf_pid_seen(&raw->reader, &raw->pids[RECORD_PID_SELF]) == pid)
			return 0;
	return r < 0 ? r : -ESRCH;
}

/* The word of flags that lies `at` in a struct record_task_raw. */
static int read_flags(struct bpf_walker *w, pid_t pid, size_t at, u64 *ret)
{
	_cleanup_free_ struct record_task_map *scratch = malloc(sizeof(*scratch));

	int r = scratch ? read_task(w, pid, scratch) : -ENOMEM;
	if (r == 0)
		memcpy(ret, (const char *)&scratch->raw + at, sizeof(*ret));
	return r;
}

struct switch_row {
	int option;
	unsigned long arg2, arg3;
};
static const struct switch_row THP_DISABLE = { PR_SET_THP_DISABLE, 1, 0 };
static const struct switch_row THP_ADVISED = { PR_SET_THP_DISABLE, 1, 2 }; /* PR_THP_DISABLE_EXCEPT_ADVISED, 6.18 */
static const struct switch_row MDWE = { PR_SET_MDWE, 1, 0 };               /* PR_MDWE_REFUSE_EXEC_GAIN, 6.3 */
static const struct switch_row MDWE_NO_INHERIT = { PR_SET_MDWE, 3, 0 };    /* and PR_MDWE_NO_INHERIT, 6.6 */
static const struct switch_row MEMORY_MERGE = { PR_SET_MEMORY_MERGE, 1,
						0 }; /* 6.4: one bit of its own, one with MADV_MERGEABLE */

static const struct switch_row NOTHING = { PR_GET_DUMPABLE, 0, 0 };
static const struct switch_row TSC = { PR_SET_TSC, PR_TSC_SIGSEGV, 0 };
static const struct switch_row L1D_FLUSH = { PR_SET_SPECULATION_CTRL, PR_SPEC_L1D_FLUSH, PR_SPEC_ENABLE };

static void switch_on(const void *arg, void *answer)
{
	const struct switch_row *row = arg;
	*(char *)answer = prctl(row->option, row->arg2, row->arg3, 0, 0) >= 0;
}

/* The word `at` of a child in which this is switched on; 0: this kernel does not have it. */
static int switched_flags(struct bpf_walker *w, const struct switch_row *row, size_t at, u64 *ret)
{
	_cleanup_helper_ struct helper h = { 0 };
	char done = 0;

	*ret = 0;
	int r = helper_start(&h, switch_on, row, &done, 1);
	return r < 0 || !done ? r : read_flags(w, h.pid, at, ret);
}

#define MM_FLAGS (offsetof(struct record_task_raw, task) + offsetof(struct record_task, mm_flags))
#define THREAD_FLAGS offsetof(struct record_task_raw, thread_flags)

/* The bits of mm->flags that the switch sets. */
static int switched_bits(struct bpf_walker *w, const struct switch_row *row, u64 *ret)
{
	u64 before = 0;

	int r = read_flags(w, getpid(), MM_FLAGS, &before);
	if (r == 0)
		r = switched_flags(w, row, MM_FLAGS, ret);
	*ret &= ~before;
	return r;
}

#define CHILDREN 8

/* The bit of thread_info.flags that the switch sets. Others come and go by themselves (TIF_NEED_RESCHED): those are in some of the
 * children alone, or in children that have switched nothing. 0: none, or no single one is left. */
static int switched_thread_bit(struct bpf_walker *w, const struct switch_row *row, u64 *ret)
{
	u64 always = ~0ull, other = 0, flags = 0;
	int r = 0;

	for (unsigned i = 0; r == 0 && i < CHILDREN && (i < 2 || __builtin_popcountll(always & ~other) > 1); i++) {
		r = switched_flags(w, row, THREAD_FLAGS, &flags);
		always &= flags;
		if (r == 0 && always)
			r = switched_flags(w, &NOTHING, THREAD_FLAGS, &flags);
		other |= flags;
	}
	always &= ~other;
	*ret = __builtin_popcountll(always) == 1 ? always : 0;
	return r;
}

static int calibrate_tasks(struct bpf_walker *w)
{
	u64 thp = 0, advised = 0, mdwe = 0, no_inherit = 0, merge = 0;

	int r = switched_bits(w, &THP_DISABLE, &thp);
	if (r == 0)
		r = switched_bits(w, &THP_ADVISED, &advised);
	if (r == 0)
		r = switched_bits(w, &MDWE, &mdwe);
	if (r == 0)
		r = switched_bits(w, &MDWE_NO_INHERIT, &no_inherit);
	if (r == 0)
		r = switched_bits(w, &MEMORY_MERGE, &merge);
	if (r == 0)
		r = switched_thread_bit(w, &TSC, &w->config->tsc_mask);
	if (r == 0)
		r = switched_thread_bit(w, &L1D_FLUSH, &w->config->l1d_flush_mask);
	if (r < 0)
		return r;
	w->config->thp_disable_mask = thp;
	w->config->thp_advised_mask = advised & ~thp;
	w->config->mdwe_mask = mdwe;
	w->config->mdwe_no_inherit_mask = no_inherit & ~mdwe;
	w->config->merge_mask = merge;
	w->config->calibrated = thp != 0;
	return 0;
}

/* --- where Landlock keeps the domain of a thread: security modules share the room, and which of them there are is decided at boot --- */

static void enter_domain(const void *arg, void *answer)
{
	u64 handled = 1 << 12; /* LANDLOCK_ACCESS_FS_MAKE_SYM: the child makes no symbolic links */
	(void)arg;
	int fd = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof(handled), 0);
	bool done = fd >= 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_landlock_restrict_self, fd, 0) == 0;
	*(int *)answer = done ? 0 : neg_errno();
}

static void enter_nothing(const void *arg, void *answer)
{
	(void)arg;
	*(int *)answer = 0;
}

/* Bit i: word i of a new child's is a pointer of the kernel, and another than ckpt's; same: bit i: it is ckpt's. What lies behind the
 * room is anything. */
static int compare_child(struct bpf_walker *w, void (*enter)(const void *, void *), struct record_task_map *scratch,
			 u32 *ret_other, u32 *ret_same)
{
	_cleanup_helper_ struct helper h = { 0 };
	const struct record_task_raw *raw = &scratch->raw;
	int entered = 0;

	*ret_other = *ret_same = 0;
	int r = helper_start(&h, enter, NULL, &entered, sizeof(entered));
	if (r == 0)
		r = entered;
	if (r == 0)
		r = read_task(w, h.pid, scratch);
	if (r == 0 && (raw->security_bad || raw->reader_security_bad))
		r = -EFAULT;
	for (unsigned i = 0; r == 0 && i < RECORD_SECURITY_WORDS; i++) {
		bool same = raw->security[i] == raw->reader_security[i];
		*ret_same |= (u32)same << i;
		*ret_other |= (u32)(!same && raw->security[i] >> 63) << i;
	}
	return r;
}

static int find_landlock(struct bpf_walker *w, u32 *ret)
{
	_cleanup_free_ struct record_task_map *scratch = malloc(sizeof(*scratch));
	u32 found = ~0u, other = 0, same = 0, nothing;
	int r = scratch ? 0 : -ENOMEM;

	*ret = 0;
	for (unsigned i = 0; r == 0 && i < CHILDREN && found && (i < 2 || found & (found - 1)); i++) {
		r = compare_child(w, enter_domain, scratch, &other, &nothing);
		if (r == 0)
			r = compare_child(w, enter_nothing, scratch, &nothing, &same);
		found &= other & same;
	}
	if (r == -ENOSYS || r == -EOPNOTSUPP)
		*ret = LANDLOCK_NOWHERE;
	else if (r == 0 && found && !(found & (found - 1)))
		*ret = (u32)__builtin_ctz(found) + 1;
	return r == -ENOMEM ? r : 0;
}

int bpf_calibrate_boot(enum bpf_object_id id, struct bpf_walker *w, u64 boot)
{
	if (id != BPF_TASK || w->config->boot == boot)
		return 0;
	int r = find_landlock(w, &w->config->landlock_at);
	w->config->boot = boot;
	return r < 0 ? r : 1;
}

/* Where the child mapped a page of each sort; NULL: this kernel does not have it. */
struct samples {
	void *plain, *sealed, *droppable, *keyed, *tagged, *minor;
	u32 pkey, pad;
};

static void *map_page(int flags)
{
	/* Of different protection than its neighbours, so that nothing merges. */
	void *guard = mmap(NULL, PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
	return guard == MAP_FAILED || page == MAP_FAILED ? NULL : page;
}

/* A page whose minor faults are userfaultfd(2)'s (5.13). */
static void *map_minor(void)
{
	struct uffdio_api api = { .api = UFFD_API, .features = 1 << 10 /* UFFD_FEATURE_MINOR_SHMEM, 5.14 */ };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* UFFD_USER_MODE_ONLY */);
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) < 0)
		return NULL;
	void *page = map_page(MAP_SHARED);
	struct uffdio_register range = { .range = { (uintptr_t)page, PAGE_BYTES },
					 .mode = 1 << 2 /* UFFDIO_REGISTER_MODE_MINOR */ };
	return page && ioctl(fd, UFFDIO_REGISTER, &range) == 0 ? page : NULL;
}

static void map_samples(const void *arg, void *answer)
{
	struct samples *s = answer;
	(void)arg;

	s->plain = map_page(MAP_PRIVATE);
	s->minor = map_minor();
	s->droppable = map_page(MAP_DROPPABLE);
	s->sealed = map_page(MAP_PRIVATE);
	if (s->sealed && syscall(SYS_mseal, s->sealed, PAGE_BYTES, 0) < 0)
		s->sealed = NULL;
#ifdef __x86_64__
	int key = pkey_alloc(0, 0);
	s->keyed = key > 0 ? map_page(MAP_PRIVATE) : NULL;
	if (s->keyed && pkey_mprotect(s->keyed, PAGE_BYTES, PROT_READ | PROT_WRITE, key) < 0)
		s->keyed = NULL;
	s->pkey = key > 0 ? (u32)key : 0;
#else
	s->tagged = map_page(MAP_PRIVATE);
	if (s->tagged && mprotect(s->tagged, PAGE_BYTES, PROT_READ | PROT_WRITE | PROT_MTE) < 0)
		s->tagged = NULL;
#endif
}

static u64 flags_at(const struct text *stream, const void *address)
{
	struct bpf_reader reader = { .at = stream->data, .end = stream->data + stream->len };
	struct record_vma_raw raw;

	while (bpf_next(&reader) > 0) {
		if (reader.tag != RECORD_VMA || reader.len != sizeof(raw))
			continue;
		memcpy(&raw, reader.data, sizeof(raw));
		if (raw.vma.start <= (uintptr_t)address && (uintptr_t)address < raw.vma.end)
			return raw.vm_flags;
	}
	return 0;
}

#define HIGH_BITS 0xffffffff00000000ull
static int calibrate_vmas(struct bpf_walker *w)
{
	_cleanup_helper_ struct helper h = { 0 };
	_cleanup_text_ struct text stream = { 0 };
	struct samples s = { 0 };

	int r = helper_start(&h, map_samples, NULL, &s, sizeof(s));
	if (r == 0)
		r = bpf_run_process(w, (u32)h.pid, &stream);
	if (r < 0)
		return r;
	u64 other = ~flags_at(&stream, s.plain) & HIGH_BITS;
	w->config->sealed_mask = s.sealed ? flags_at(&stream, s.sealed) & other : 0;
	w->config->droppable_mask = s.droppable ? flags_at(&stream, s.droppable) & other : 0;
	w->config->tagged_mask = s.tagged ? flags_at(&stream, s.tagged) & other : 0;
	w->config->minor_mask = s.minor ? flags_at(&stream, s.minor) & other : 0;
	u64 key_bits = s.keyed ? flags_at(&stream, s.keyed) & other : 0;
	w->config->pkey_mask = s.pkey ? key_bits / s.pkey * 15 : 0;
	w->config->calibrated = s.plain != NULL;
	return 0;
}

int bpf_calibrate(enum bpf_object_id id, struct bpf_walker *w)
{
	if (id == BPF_TASK)
		return calibrate_tasks(w);
	return id == BPF_VMA ? calibrate_vmas(w) : 0;
}
