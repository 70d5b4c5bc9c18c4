/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two sources of facts, one record stream: eBPF first, /proc and ptrace behind it. */
#pragma once
#include "base/map.h"
#include "base/text.h"
#include "base/vector.h"
#include "host/caps.h"
#include "record.h"
#include "task/tree.h"

struct facts {
	VECTOR(struct record_task) tasks;       /* one per thread, in the order of the tree */
	struct map task_of;                     /* tid -> index + 1 in tasks */
	VECTOR(struct record_sighand) sighands; /* one per process */
	VECTOR(struct record_timer) timers;     /* by process, then id */
	VECTOR(struct record_vma) vmas;         /* a process in one piece, by address */
	VECTOR(struct record_file) files;       /* a descriptor table in one piece, by fd */
	struct map path_of;                     /* inode_key() of a mapped file -> offset in paths + 1, PATH_UNSURE */
	struct text paths;                      /* NUL-terminated, as maps has them */
	bool have_sighands, have_timers, have_vmas, have_files;
};
#define PATH_UNSURE (~0u) /* several paths, or one that maps does not tell exactly */
/* Identity of an inode as a key. */
static inline u64 inode_key(u32 dev_major, u32 dev_minor, u64 ino) { return map_mix(map_mix(dev_major, dev_minor), ino); }
/* The path of the mapped file, NULL when maps has told none or more than one. */
const char *facts_path(const struct facts *, const struct record_vma *);
/* Is the record that of the first thread of its process, which stands for all of it? */
static inline bool facts_leads(const struct facts *f, size_t i) { return !i || f->tasks.v[i - 1].tgid != f->tasks.v[i].tgid; }
/* One empty record per thread of the tree. */
int facts_begin(struct facts *, const struct tree *);
void facts_free(struct facts *);
#define _cleanup_facts_ _cleanup_(facts_free)
struct record_task *facts_task(struct facts *, u32 tid);
/* Puts the groups that `from` knows over those of `to`. */
void record_merge(struct record_task *to, const struct record_task *from);
/* Puts the groups that one source knows over those of the thread's record, which is added when it is new. -ENOMEM. */
int facts_merge_task(struct facts *, const struct record_task *);
struct record_task *facts_add_task(struct facts *, u32 tid);
/* tgid, or another id -> index + 1 of its first record: each has its records in one piece, these in the order of the source.
 * at: offset of the id in a record. */
int facts_pieces(struct map *ret, const void *records, size_t count, size_t size, size_t at);

/* --- /proc and ptrace: works everywhere, tells less. frozen: ptrace may be asked. --- */
int proc_tasks(struct facts *, struct tree *);
/* ahead: what a thread has read of them meanwhile, or NULL. */
struct smaps_ahead;
int proc_vmas(struct facts *, struct tree *, struct smaps_ahead *ahead);
int proc_files(struct facts *, struct tree *);
/* The descriptors of one table of a process: proc is /proc/TID of a thread that has it. Negative errno, not reported. */
int proc_table(struct facts *, u32 pid, u32 table, int proc, bool frozen);

/* --- eBPF --- */
struct bpf_source;
enum bpf_effort {
	BPF_PINNED, /* pinned programs only: 0.1 ms */
	BPF_CACHED, /* or the raw cache of relocated instructions: a few ms */
	BPF_COLD,   /* or a cold load by libbpf: 50 ms */
};
/* NULL (with *ret_err: -EPERM, -ENOENT, ...) when this effort does not give a source. */
struct bpf_source *bpf_open(const struct caps *, enum bpf_effort, int *ret_err);
/* Like bpf_open, but a program that is not pinned is loaded by a thread while the caller does something else; who uses it waits. NULL:
 * there is none to be had. */
struct bpf_source *bpf_open_beside(const struct caps *, enum bpf_effort);
/* Waits for it. Negative errno: it could not be loaded, and the source has nothing to tell. */
int bpf_await(struct bpf_source *);
/* Each merges what BPF knows into the records (adds missing ones) and raises their known bits; -errno. */
int bpf_tasks(struct bpf_source *, struct facts *, struct tree *);
int bpf_vmas(struct bpf_source *, struct facts *, struct tree *);
int bpf_files(struct bpf_source *, struct facts *, struct tree *);
/* How many names the inode of a file has that a process has at a descriptor, as the file system itself counts: 1, or 0: there is no such
 * descriptor. Negative errno. */
int bpf_links(struct bpf_source *, u32 tgid, u32 fd, u32 *ret);
/* The context of asynchronous I/O of a process whose ring is at the address: 1, or 0 when there is none. -EOPNOTSUPP, -EINVAL, ...:
 * this kernel does not tell (it takes Linux 6.1: bpf_map_lookup_percpu_elem(), and iterators that know one process). */
int bpf_aio(struct bpf_source *, u32 tgid, u64 address, struct record_aio *ret);
/* What semop(2) will undo of the number-th set of a list (sysvsem_id), from semaphore `first` on, a multiple of RECORD_UNDO_PER_READ: 1, or 0
 * behind the last set. pid: a process that has the list. Negative errno: this kernel does not tell. */
int bpf_undo(struct bpf_source *, u32 pid, u64 list, u32 number, u32 first, struct record_undo *ret);
/* The io_uring that a process has at a descriptor: 1, or 0 when this kernel's rings are of another form. Negative errno as bpf_aio();
 * -E2BIG: it has more than 256 users. */
int bpf_uring(struct bpf_source *, u32 tgid, u32 fd, struct record_uring *ret);
/* What is registered with it from the number `first` on, a multiple of URING_SLOTS_PER_READ. As bpf_uring(). */
int bpf_uring_slots(struct bpf_source *, u32 tgid, u32 fd, u32 first, struct record_uring_slots *ret);
/* What waits in a pseudoterminal, and how its two sides stand. */
struct terminal_queues {
	struct record_tty_side master, slave;
	struct text input;                  /* typed, and taken by the slave's line discipline: at most RECORD_TTY_RING bytes */
	u8 input_ends[RECORD_TTY_RING / 8]; /* a bit for each of them: it ends a line */
	struct text input_behind;           /* typed, and not taken yet */
	struct text output;                 /* for who reads the master */
	bool moving;                        /* input_behind is on its way: the line discipline has room for it */
};
void terminal_queues_free(struct terminal_queues *);
#define _cleanup_terminal_queues_ _cleanup_(terminal_queues_free)
/* Those of the master that a process has at a descriptor; nothing is taken out of them. 1, or 0 when this kernel's terminals are of
 * another form (before 5.15). Negative errno as bpf_aio(); -EAGAIN: they never stood still; -E2BIG: they are of too many pieces. The
 * caller frees *ret whatever is returned. */
int bpf_tty(struct bpf_source *, u32 tgid, u32 fd, struct terminal_queues *ret);
/* Where the kernel stands in the rings of the packet socket at a descriptor: 1, or 0 when there is none; else negative errno. */
int bpf_packet(struct bpf_source *, u32 tgid, u32 fd, struct record_packet *ret);
/* Need its programs not be loaded? */
bool bpf_is_pinned(const struct bpf_source *);
void bpf_close(struct bpf_source *);
static inline void bpf_closep(struct bpf_source **source) { bpf_close(*source); }
#define _cleanup_bpf_ _cleanup_(bpf_closep)

/* Pins every program below a root-only bpffs directory; used by `ckpt bpf pin`. */
int bpf_pin(const struct caps *);
int bpf_unpin(void);
/* The i-th program's name and where it can be had from; -ENOENT behind the last. */
enum bpf_stored { BPF_STORED_NOT, BPF_STORED_CACHED, BPF_STORED_PINNED };
int bpf_status(size_t i, const char **ret_name, enum bpf_stored *ret_stored);
