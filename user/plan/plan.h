/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A restore as data: one array of steps for the world (run by ckpt) and one for each thread (run by the blob), printable
 * and simulated before anything is made. Pure: no system call. */
#pragma once
#include "base/text.h"
#include "base/vector.h"
#include "host/caps.h"
#include "model/model.h"
#include "wire.h"

/* Steps run in the order of stages, inside a stage in the order of adding. */
enum stage {
	STAGE_LIFELINE, /* a process dies with its parent from then on */
	/* the world: ckpt makes what tasks inherit */
	STAGE_CREATE, /* files, sockets, memory objects, namespaces */
	STAGE_LINK,   /* what refers to other objects: queued descriptors */
	STAGE_SETTLE, /* what begins only when all is linked: connections flow again */
	STAGE_WATCH,  /* what wants to know how the others are: epoll */
	STAGE_MAKERS, /* other processes do all of this for the files that ckpt has no room for */
	STAGE_NOTIFY, /* what would be told of files that are opened: inotify, fanotify */
	/* a task */
	STAGE_BIRTH,     /* a session whose members are born before anything else of its leader changes */
	STAGE_BIRTH_TTY, /* its controlling terminal */
	STAGE_ADOPT,     /* its members, made for the parent of its leader */
	STAGE_UNMAP,     /* ckpt's own mappings go, the vDSO is parked */
	STAGE_MAP,
	STAGE_FILL,
	STAGE_PROTECT,
	STAGE_FORK_EARLY, /* children that keep the session from before setsid */
	STAGE_SESSION,
	STAGE_CTTY,      /* the controlling terminal: children inherit it */
	STAGE_FORK,      /* the other children */
	STAGE_GROUP,     /* process groups */
	STAGE_REAP,      /* children have died: ghosts are reaped, zombies stay, their signals are taken */
	STAGE_OWN_WATCH, /* epoll entries of a task's own signals, of files that it has opened: descriptors have no places yet */
	STAGE_FILES,     /* descriptors to their places */
	STAGE_HOME_CREATE, /* what the world does from STAGE_CREATE on, for the files that the task alone has */
	STAGE_HOME_LINK,
	STAGE_HOME_SETTLE,
	STAGE_HOME_WATCH,
	STAGE_TTY,       /* foreground group */
	STAGE_TASK,      /* cwd, umask, signal actions, limits */
	STAGE_MM,        /* mm fields, exe */
	STAGE_THREADS,   /* the other threads */
	STAGE_THREAD,    /* name, rseq, robust list, altstack, scheduling */
	STAGE_IDS,       /* user and group ids, limits: while the task has the rights of ckpt */
	STAGE_NAMESPACE, /* enter namespaces */
	STAGE_CREDS,
	STAGE_TIMERS,
	STAGE_CLOSE, /* service descriptors go */
	STAGE_LOCKS, /* what a process loses with each descriptor that it closes */
	STAGE_TELL,  /* what a thread tells of itself, to be compared with the image */
	STAGE_SECCOMP,
	STAGE_PARK, /* behind the end: the call that a thread sleeps in until it is stopped */
	STAGE_COUNT
};
const char *stage_name(enum stage);

struct plan;
enum {
	PLAN_WORLD = 0, /* the "tid" of the world's array */
	PLAN_HELPER =
		1u << 30, /* from here on: arrays of helper processes, which the world spawns and which end by themselves */
};

struct plan_config {
	u32 first_service_fd;    /* descriptors of file objects begin here, above every descriptor of the tree */
	const struct caps *caps; /* what the kernel can do here; NULL: nothing new */
	int terminal;            /* a descriptor of the world: what external terminals become; 0: none */
	bool terminal_is_own;    /* it is the controlling terminal of the world */
	u64 ignored;             /* signals that a new root ignores: bit 0 is signal 1 */
	u32 self;                /* the id of the parent of the root: of ckpt, or of process 1 of its pid namespace */
};
struct plan *plan_new(const struct plan_config *);
void plan_free(struct plan *);
const struct plan_config *plan_config(const struct plan *);
static inline void plan_freep(struct plan **p) { plan_free(*p); }
#define _cleanup_plan_ _cleanup_(plan_freep)

/* Arguments: constants, results of earlier steps, data in the arena. */
struct arg {
	enum arg_kind kind;
	u64 value;
};
#define ARG(v) ((struct arg){ ARG_CONST, (u64)(v) })
#define ARG_OF_SLOT(s) ((struct arg){ ARG_SLOT, (s) })
#define ARG_OF_DATA(d) ((struct arg){ ARG_DATA, (d) })

/* Who and when: tid (or PLAN_WORLD) and stage. */
struct place {
	u32 tid;
	enum stage stage;
};
#define AT(tid, stage) ((struct place){ tid, stage })

/* Adds a system call; up to six struct arg. The returned handle is valid until the plan is sealed; refine it with
 * step_*(). Without memory the plan remembers the failure: ask plan_seal(). */
struct plan_step;
#define plan_call(plan, place, nr, ...) plan_op(plan, place, OP_CALL, nr, (struct arg[6]){ __VA_ARGS__ })
struct plan_step *plan_op(struct plan *, struct place, enum step_op, long nr, const struct arg args[6]);
void step_expect(struct plan_step *, s64 result); /* else: any result that is no error */
void step_any(struct plan_step *);
u32 step_result(struct plan *, struct plan_step *); /* a slot for its result, for ARG_OF_SLOT */
void step_into(struct plan_step *, u32 slot);       /* its result goes to the slot of another step */

/* Writes a string, at once, to a file that is there below a directory: ARG(AT_FDCWD) or a slot. */
void plan_write(struct plan *, struct place, struct arg dir, const char *path, const char *text);
/* Leaves out what is added to the same array between plan_skip() and plan_land() when low <= value <= high (signed). All of it
 * must be of one stage. */
struct plan_step *plan_skip(struct plan *, struct place, struct arg value, s64 low, s64 high);
void plan_land(struct plan *, struct place, struct plan_step *skip);
/* The number of steps that the array has: differences within one stage are what OP_BRANCH goes back by. */
u32 plan_length(const struct plan *, u32 tid);

/* Reserves bytes in the arena (data may be NULL: zeroes); returns the data offset. */
u32 plan_data(struct plan *, const void *data, size_t len, size_t align);
/* A copy of a string. */
u32 plan_string(struct plan *, const char *text);
/* Bytes of a data offset while the plan is built, to fill in. NULL after a failed allocation. */
void *plan_bytes(struct plan *, u32 offset);
/* The 64-bit word at data offset `at` becomes the address of data offset `target` when the arena is made. */
void plan_pointer(struct plan *, u32 at, u32 target);
/* A process writes len bytes at data offset `data` to an address of its own memory. */
void plan_write_memory(struct plan *, struct place, u64 address, u32 data, size_t len);
/* The same from another address of its memory; two steps. */
void plan_copy_memory(struct plan *, struct place, u64 to, u64 from, size_t len);
/* A word for WAIT and POST, by name: equal names give the same word. */
u32 plan_word(struct plan *, const char *name);
void plan_wait(struct plan *, struct place, u32 word, u32 value);
/* The call that a thread is in when it has done its steps, instead of waiting for nothing; it may end. */
void plan_park(struct plan *, u32 tid, long nr, const struct arg args[6]);
void plan_post(struct plan *, struct place, u32 word);

/* From this step on ckpt must have seized the thread with PTRACE_O_SUSPEND_SECCOMP: the thread says that it has come, and
 * waits until the gate is open. Who runs the plan seizes all gated threads when as many have come, and opens. */
void plan_gate(struct plan *, struct place);
/* The i-th gated thread, 0 behind the last. */
bool plan_is_gated(const struct plan *, u32 tid);
u32 plan_gated(const struct plan *, u32 i);
/* Data offsets of the gate's words: how many threads have come; 1 when it is open (a futex word). */
u32 plan_gate_come(struct plan *);
u32 plan_gate_open(struct plan *);

/* The first steps of a process: it dies when its parent does, and at once when its parent is gone already. */
void plan_lifeline(struct plan *, u32 pid, u32 parent);
#define PLAN_LIFELINE_STEPS 2 /* the steps after which it hangs on its parent */
/* That is lost with a change of credentials of its own, and without effect after one of its parent, so who runs the plan takes
 * hold of the process before (ptrace with EXITKILL), as soon as it is born. Here the process waits until it and its children
 * are held, and hangs on its parent no more. */
void plan_hold(struct plan *, struct place, u32 parent);
struct plan_held {
	u32 pid, word, parent_word; /* data offsets of futex words, which count who is held; 0: none */
};
/* The i-th process that is to be held, NULL behind the last. */
const struct plan_held *plan_held(const struct plan *, u32 i);
/* Data offset of the number of births of all but the root (a futex word). */
u32 plan_births(struct plan *);

#define PLAN_PAGES 0u /* the file id whose service descriptor is the image's pages */
/* A file that one process alone has is made there (at home), at the only descriptor that it has there, and nobody else ever holds it.
 * Of what several need, a maker has what the world has no room for: a process that makes it like the world, until all have taken it.
 * Before any step for a file is added; files in ascending order. Without memory the plan remembers the failure. */
struct plan_home {
	u32 file, pid, fd; /* pid: of the process, or the tid of the maker's array */
	u32 maker;         /* slot: the pidfd of the maker, in every task; 0: it is at home */
	u32 process;       /* slot: the id of the maker */
	u32 holder,
		held; /* a descriptor table that has it in the end, that of its owner if it has one, and the number there; 0: none */
	bool cloexec; /* at home */
};
void plan_add_home(struct plan *, const struct plan_home *);
/* NULL: the world makes the file. */
const struct plan_home *plan_home(const struct plan *, u32 file);
/* Steps for the world that are added from here on are for who makes this file: the world itself, or a maker. PLAN_PAGES: the world. */
void plan_world_of(struct plan *, u32 file);
/* The tid of that array. */
u32 plan_world(const struct plan *);
/* Makers: the slots of their pids, 0 behind the last. */
void plan_add_maker(struct plan *, u32 pid_slot);
u32 plan_maker(const struct plan *, u32 i);
/* Where a file is made: that stage (STAGE_CREATE to STAGE_WATCH) of the world or of its maker, or what stands for it at its home. */
struct place plan_at(const struct plan *, u32 file, enum stage);
/* O_CLOEXEC, or 0: what the first descriptor of a file is made with. */
u32 plan_cloexec(const struct plan *, u32 file);
/* The descriptor of a file while it is made, and in every task that has it until STAGE_CLOSE: in the world and in all tasks its
 * service descriptor, at home the one that it has there. Of a maker: the maker's, and nobody else's. */
int plan_fd(struct plan *, u32 file);
/* Moves the descriptor that a step returned, or a slot holds, to where plan_fd() has it. At home it may be there already, or else
 * becomes so at once: nothing else may have taken the number meanwhile. */
void plan_place_fd(struct plan *, u32 slot, u32 file);
/* The same at a later stage than STAGE_CREATE. */
void plan_place_fd_at(struct plan *, enum stage, u32 slot, u32 file);

/* Steps that are added from here on are for this object: its name stands in plans and diagnostics. */
void plan_for(struct plan *, const char *format, ...) _printf_(2, 3);

/* Registers a thread's array; must come before steps are added for it. */
int plan_thread(struct plan *, u32 tid);
/* The index that OP_SPAWN takes. */
u32 plan_array(const struct plan *, u32 tid);
/* Has the thread steps in this stage so far? */
bool plan_has_steps(const struct plan *, u32 tid, enum stage);
/* Data offset of the top of a thread's stack in the arena (2 KiB), for clone_args. */
u32 plan_stack(const struct plan *, u32 tid);

/* Fixes everything; no more steps. -ENOMEM or -EINVAL (a programming error, reported). */
int plan_seal(struct plan *);
/* The sealed data part, to be copied into the arena that will be mapped at base: size bytes. */
size_t plan_size(const struct plan *);
const struct arena *plan_layout(const struct plan *);
void plan_emit(const struct plan *, void *to, u64 base);
const char *plan_syscall_name(long nr);
const char *plan_object_name(const struct plan *, u32 object);
/* One line per step, slots and data by name. results: a copy of the arena after the run, or NULL. */
void plan_print(struct text *, const struct plan *, const void *results);
/* Every step in the order of arrays, and within one as it runs. */
void plan_walk(const struct plan *, void (*visit)(void *arg, const struct step *), void *arg);
/* One step as a line. */
void plan_print_step(struct text *, const struct plan *, const struct step *);
