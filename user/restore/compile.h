/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of the pure step share. Private to restore/. */
#pragma once
#include "base/map.h"
#include "model/kinds.h"
#include "model/shape.h"
#include "restore/restore.h"
#include <linux/sched.h>

struct compiler {
	const struct graph *graph;
	const struct survey *survey;
	struct plan *plan;
	struct site site; /* code and slot are known; the data's size is not */
	u32 spare_used;
	struct shape_stand_ins stand_ins;
	struct map table_sharers; /* descriptor table -> processes that have it besides its owner */
	struct map members;       /* process group -> how many are in it besides its leader */
	struct {
		u32 count, above, ckpt; /* data offset of where their pidfds and files begin; slot of ckpt's own id */
		struct map creators;    /* ids that sockets tell of */
	} makers;
};

/* Who makes files that ckpt has no room for: its array, and the slots of its id and its pidfd. */
struct maker {
	u32 tid, process, pidfd;
};

int compile_site(struct site *ret, const struct graph *, const struct survey *, u64 data_size);
int compile_tree(struct compiler *);  /* arrays, fork, sessions, groups, threads */
int compile_homes(struct compiler *); /* which files are made by the only process that has them: before all other steps */
int compile_kin(struct compiler *);   /* arrays of all, births, stand-ins, zombies: before compile_tree */
int compile_maker(struct compiler *, struct maker *ret); /* one more; negative: the kernel does not let tasks take from it */
void compile_makers_end(struct compiler *, u32 first); /* behind all descriptors of the world: theirs, and in each its files */
/* One descriptor of a table, from a maker. */
void compile_take(struct compiler *, struct place, const struct plan_home *, const struct fd_entry *);
void compile_session(struct compiler *, const Ckpt__Task *); /* session and process group of one process */
int compile_memory(struct compiler *, const Ckpt__Task *);   /* mappings and pages of one process */
int compile_files(struct compiler *, const Ckpt__Task *);    /* descriptors of one process */
void compile_table(struct compiler *, u32 tid);              /* those of a thread that has a table of its own */
int compile_interrupted(struct compiler *); /* the calls that threads were interrupted in: when all steps are there */
int compile_owners(struct compiler *);      /* who gets the signals of files */
int compile_resources(struct compiler *);
int compile_tells(struct compiler *, struct tells *); /* what threads tell of themselves: when all steps are there */
/* Adds the step that makes task or thread `tid`, which must have an array. args: flags, exit_signal and child_tid; the
 * stack in the arena and set_tid are filled in. */
void compile_spawn(struct compiler *, u32 by, enum stage, u32 tid, const struct clone_args *args);
/* The step that gives a task its name: at most 15 bytes; NULL: none. */
void compile_name(struct compiler *, struct place, const char *name);
u32 compile_first_fd(const struct graph *);
/* Judges that the tree is one and that what a plan looks up is there; the graph's host was judged. 0 or -EINVAL. */
int judge_structure(const struct graph *, const struct survey *);
int judge_vdso(const struct graph *, const struct survey *); /* vdso.c */
void compile_vdso(struct compiler *, const Ckpt__Task *);    /* the code of a redirected vDSO */
void compile_rseq(struct compiler *, const Ckpt__Task *);    /* areas that are left off say so */
