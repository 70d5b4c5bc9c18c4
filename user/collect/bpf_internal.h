/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by user/collect/bpf_*.c: one BPF object is one iterator program and one map, whose value begins with struct
 * record_config; a second map may be the program's own: a word for each processor. All functions are silent: a source that cannot be had is no failure. */
#pragma once
#include "base/text.h"
#include "collect/source.h"
#include "host/store.h"
#include <linux/bpf.h>

enum bpf_object_id {
	BPF_TASK,
	BPF_TIMER,
	BPF_VMA,
	BPF_VMA_LIST,
	BPF_FILE,
	BPF_MINI,
	BPF_AIO,
	BPF_UNDO,
	BPF_URING,
	BPF_URING_TABLE,
	BPF_TTY,
	BPF_PACKET,
	BPF_OBJECTS
};

#define BPF_CPUS_MAX 8192u /* of what is counted for each processor, RECORD_CPUS_PER_READ in one read */

struct bpf_image {
	const char *name, *iterator; /* "task": attached to bpf_iter_task */
	const void *elf;
	size_t len;
	u64 hash; /* of elf, taken by the build */
};
struct bpf_image bpf_image(enum bpf_object_id);

/* A loaded program. fd -1: none. */
struct bpf_walker {
	int fd, map;
	int lock;                     /* shared with other processes: locked while it is read; -1: ours alone */
	struct record_config *config; /* the map, mapped */
	size_t mapped;
	struct record_code *fields; /* there: the program that finishes what this one gives; NULL: it needs none */
};
#define BPF_WALKER_NONE ((struct bpf_walker){ .fd = -1, .map = -1, .lock = -1 })
void bpf_walker_close(struct bpf_walker *);
#define _cleanup_bpf_walker_ _cleanup_(bpf_walker_close)
/* Maps the map's value; takes both descriptors. */
int bpf_walker_open(struct bpf_walker *, enum bpf_object_id, int fd, int map);

/* What can be stored of a loaded program and loaded again on the same kernel. */
struct bpf_code {
	u32 attach_btf_id, map_size, count;
	u32 fields_count;            /* of a second program, behind the first */
	struct record_config config; /* with the calibrated masks */
	struct bpf_insn *insns;      /* relocated; map references are index 0 */
};
void bpf_code_free(struct bpf_code *);
#define _cleanup_bpf_code_ _cleanup_(bpf_code_free)

/* "task-HASH-WIRE": names this object for any kernel: no BPF file system outlives its kernel. */
void bpf_pin_key(enum bpf_object_id, char key[STORE_KEY_MAX]);

int bpf_load_pinned(enum bpf_object_id, struct bpf_walker *);
int bpf_load_cached(enum bpf_object_id, struct bpf_walker *);
/* By libbpf, then stored in the cache where that is allowed. */
int bpf_load_cold(enum bpf_object_id, struct bpf_walker *);

int bpf_code_load(enum bpf_object_id, const struct bpf_code *, struct bpf_walker *);
int bpf_cache_read(enum bpf_object_id, struct bpf_code *);
int bpf_cache_write(enum bpf_object_id, const struct bpf_code *);
/* Finds bits of mm->flags, thread_info.flags and vm_flags by switching them on in children, and keeps them in the config. */
int bpf_calibrate(enum bpf_object_id, struct bpf_walker *);
/* Finds what is another after another boot, when the config is not of this one: 1. 0: there is nothing to find, or -ENOMEM. */
int bpf_calibrate_boot(enum bpf_object_id, struct bpf_walker *, u64 boot);

/* A pinned program is read by one process at a time; -EBUSY when another one keeps it for 100 ms. */
int bpf_lock(const struct bpf_walker *);
void bpf_unlock(const struct bpf_walker *);
/* Appends what the program writes about one process (0: about all that ckpt sees); the caller holds the lock.
 * -EOPNOTSUPP: this kernel's iterators (before 6.1) only know all. */
int bpf_run(const struct bpf_walker *, u32 tgid, struct text *);
/* Like bpf_run, but about all where the kernel cannot be asked for one. */
int bpf_run_process(const struct bpf_walker *, u32 tgid, struct text *);
struct bpf_reader {
	const char *at, *end;
	u32 tag, len;
	const void *data;
};
/* Runs a program that calls nothing and has no loop. -EOPNOTSUPP: an instruction that is not known here; -EFAULT: memory that is
 * neither the map's `size` bytes nor its stack; -ELOOP: it does not end. */
int bpf_interpret(const struct bpf_insn *code, size_t count, void *map, size_t size);
/* Makes a whole scratch->raw of a RECORD_TASK. -EBADMSG, or as bpf_interpret. */
int bpf_task_fields(const struct bpf_walker *, const struct bpf_reader *record, struct record_task_map *scratch);
/* 1 and the next record, 0 at the end, -EBADMSG when the stream is not whole. */
int bpf_next(struct bpf_reader *);
/* The first record of a stream: 1, or 0 when there is none. -EBADMSG: it is no record of this tag and length. */
int bpf_first_record(const struct text *stream, u32 tag, void *ret, size_t len);
/* Runs the program from the cursor on, about one process, for the one record that it writes then: 1 and the record, 0: none. The
 * caller holds the lock. */
int bpf_read_record(struct bpf_walker *, u32 tgid, u64 cursor, u32 tag, void *ret, size_t len);

/* The program of a source, loaded when it is first asked for. */
int bpf_source_walker(struct bpf_source *, enum bpf_object_id, struct bpf_walker **ret);
/* The same, and takes its lock: bpf_unlock(*ret) once this gave 0. */
int bpf_source_lock(struct bpf_source *, enum bpf_object_id, struct bpf_walker **ret);
/* Runs it over the tree, process by process or in one pass, whichever is cheaper. */
int bpf_run_tree(const struct bpf_walker *, const struct tree *, struct text *);
u32 bpf_pid_seen(const struct record_pid *reader, const struct record_pid *);
/* VMA_* of bits of vm_flags whose numbers every kernel agrees on. */
u32 bpf_vma_flags(u64 vm_flags);
void bpf_decode_task(const struct record_task_raw *, const struct record_config *, struct record_task *ret);
/* The timers of every process in facts whose record says that it has some. */
int bpf_timers(struct bpf_source *, struct facts *);
/* The process that a raw record belongs to, by the identity in its leader's record; 0: none of facts. */
u32 bpf_process_of(const struct facts *, u64 signal_id);
/* Merges a record into the facts: groups that only the older record knows are kept. */
