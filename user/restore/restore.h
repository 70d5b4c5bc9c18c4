/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The restore: load, survey, judge, plan, world, run plan, verify, release. */
#pragma once
#include "arch/arch.h"
#include "base/cpu.h"
#include "host/caps.h"
#include "image/image.h"
#include "model/cgroups.h"
#include "model/holes.h"
#include "model/kinds.h"
#include "model/policy.h"
#include "plan/plan.h"
#include "record.h"
#include "task/confirm.h"
#include "task/tree.h"
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>

struct restore_config {
	const struct caps *caps;
	const char *disable; /* CKPT_DISABLE, or NULL */
	const char *dir;
	bool trust, verify, plan_only;
	bool check_only;      /* all is examined, nothing is done */
	bool pidns;           /* in a pid namespace of its own, and a mount namespace with its /proc */
	bool userns;          /* these in a user namespace of its own, where the caller is who he was and may do all */
	bool own_groups;      /* it gets the supplementary groups of ckpt */
	bool detach;          /* nobody will wait for it */
	const char *terminal; /* a path or fd:N; "": that of ckpt; NULL: none */
	struct policies policies;
	struct cgroup_roots cgroup_roots; /* where the tree's control groups are to be */
	bool stdio;                       /* external files of the root's descriptors 0 to 2 become those of ckpt */
	VECTOR(const char *) inherit;     /* LINK=fd:N: what takes the place of an external file */
	bool spare_inherit;               /* entries of inherit that mean no file of the image are left aside */
	bool cut;               /* external files that nothing takes the place of: as if their other side had been closed */
	bool sibling;           /* the root becomes a child of ckpt's parent, who did not ask for the tree with pidns */
	bool stopped;           /* the tree is left stopped, as by SIGSTOP */
	struct confirm confirm; /* asked when the tree is made and proven, before its first instruction: a refusal undoes it */
};

/* An address space whose vDSO was another kernel's: its code stays where it was, and this kernel's answers from base on. */
struct redirect {
	u32 mm;
	const Ckpt__Vdso *vdso; /* of the image */
	u64 address, base;      /* base 0: this kernel has none */
};

/* An rseq area that this kernel does not take, and whose owner can do without. */
struct left_off {
	u32 pid;
	u64 address;
};

/* What this host is like, as far as the image refers to it: the only reading before the pure steps. */
struct survey {
	const struct caps *caps;
	VECTOR(struct record_vma) own; /* ckpt's mappings, which a new task begins with */
	u64 own_vdso;                  /* address of [vdso], 0: none */
	Ckpt__Vdso *vdso;              /* what it is */
	VECTOR(struct redirect) redirects;
	u64 rseq_bytes,
		rseq_align; /* what the kernel writes to an rseq area, and its alignment; 0: it takes but the first form */
	VECTOR(struct left_off) left_off;
	size_t auxv_room;                /* bytes of an auxiliary vector that the kernel keeps; 0: not known, or enough */
	struct graph self;               /* what ckpt's own threads are like: new tasks begin so */
	VECTOR(u32) spare_pids;          /* ids that nobody has and the image does not want */
	const struct terminal *terminal; /* that is handed over, or NULL */
	const struct handed_files *handed;
	u32 root_parent; /* the id of ckpt, of its parent for a sibling, or of process 1 in a fresh pid namespace */
	u64 core_limit;  /* how large a core file may be */
	char *core_dir;  /* where core files go; NULL: not to files, or not asked since no zombie has left one */
	u64 ignored;     /* signals that ckpt ignores, and a new task with it: bit 0 is signal 1 */
	u64 now_monotonic, now_raw, now_coarse, now_boottime; /* ns */
	u32 nofile;                                           /* descriptors that ckpt may open */
};
/* fresh: nobody has an id of the image in the pid namespace where it will be. sibling: the root's parent is ckpt's. */
int survey_host(struct survey *ret, const struct caps *, const struct graph *, bool fresh, bool sibling);
void survey_free(struct survey *);

/* Ids that the image wants and somebody has, each reported; and some that nobody has: ids.c. */
int survey_ids(struct survey *, const struct graph *, bool fresh);

/* Judges an image against the host; every refusal is reported. 0 or -EINVAL. */
int judge_restore(const struct graph *, const struct survey *);
int judge_clock(const struct graph *, const struct survey *);    /* do clocks go on? clock.c */
int judge_huge(const struct graph *);                            /* pools of huge pages, when resources were judged: huge.c */
int judge_cpu(const struct graph *);                             /* what threads have in registers: cpu.c */
int judge_rseq(const struct graph *, const struct survey *);     /* rseq areas: rseq.c */
int judge_dispatch(const struct graph *, const struct survey *); /* threads that handle their own calls: dispatch.c */
int judge_needs(const struct plan *, const struct caps *);       /* what its steps need of the kernel: needs.c */
/* Enters a time namespace when a judged image needs one. ckpt is still a single thread. 0 or negative (reported). */
int clock_enter(const struct graph *, const struct survey *);
/* Refuses the rights that ckpt cannot give, each by its name. 0 or -EINVAL. */
int judge_rights(const struct graph *, const struct survey *);
/* Gives every thread of the image the supplementary groups of ckpt. */
int adapt_groups(struct graph *, const struct survey *);
/* Makes a judged image of another kernel one that this kernel can hold: mappings of vDSOs, and survey.redirects. */
int adapt_vdso(struct graph *, struct survey *);
/* rseq areas of a judged image of another kernel that this one would refuse are left off, each told: survey.left_off. */
int adapt_rseq(struct graph *, struct survey *);
/* Auxiliary vectors of a judged image that are longer than this kernel keeps them lose their last entries, each told: auxv.c */
void adapt_auxv(struct graph *, const struct survey *);
/* Mappings of kinds that this kernel does not have become such as serve as well. 0 or -ENOMEM (reported). */
int adapt_mappings(struct graph *, const struct survey *);
/* Registers of a judged image of another processor, in the form of this one. */
int adapt_cpu(struct graph *);

/* Where the arena lies: free in every address space of the image and in ckpt's own. */
#define SITE_OWN 16
struct site {
	u64 code; /* one page, r-x */
	u64 data; /* plan_size() bytes, rw- */
	u64 slot; /* VDSO_SLOT bytes where a vDSO waits */
	u64 end;
	u64 room;                /* outside of the arena: twice SITE_ROOM bytes, where huge pages are made; 0: none are */
	struct hole_range bench; /* outside of the arena: where mappings are made that come to their places then */
	u64 heap;                /* where ckpt's own begins; 0: not known */
	struct hole_range own[SITE_OWN]; /* other private memory of ckpt, as much as there is room for */
	size_t nown;
};
/* linux/auxvec.h, since Linux 6.3 */
#define AUXV_RSEQ_BYTES 27
#define AUXV_RSEQ_ALIGN 28
#define VDSO_SLOT 0x20000ull
#define HUGE_BYTES (2ull << 20)
#define SITE_ROOM (32ull << 20)
#define PAGES_FILE PLAN_PAGES
#define SPARE_FDS 64u /* service descriptors behind those of the files: namespaces and the like */

/* What a thread is asked at the end of its steps. */
struct ask_sheet;
struct told;
struct tell {
	u32 tid, pid;
	struct ask_sheet *sheet;
	u32 data;            /* of the sheet, in the arena */
	u32 first_slot;      /* results, one after the other */
	bool own_namespaces; /* its steps enter some */
};
struct tells {
	VECTOR(struct tell) list; /* empty: the tree is too large for it */
};
void tells_free(struct tells *);

/* The pure step: model and survey to plan; ret_tells NULL: threads need not tell of themselves. site.data and site.end are fixed by
 * compile_site() once the plan is sealed. */
int compile(struct plan **ret, struct site *ret_site, struct tells *ret_tells, const struct graph *, const struct survey *);

/* fork(2), with an id for the child that the tree does not want: for guards. */
pid_t fork_aside(const struct graph *);

/* A restore that runs. */
struct execution {
	const struct plan *plan;
	const struct graph *graph;
	struct site site;
	int memory; /* the arena's memfd */
	char *map;  /* the data part as ckpt sees it */
	pid_t root;
	pid_t stand_in;                /* leads the session of the root, and makes it; 0: none, or gone */
	const struct object *extended; /* up to this thread those that finish_early() may have got their extended registers */
	u64 next_check;        /* CLOCK_MONOTONIC, ns: when the living are counted again, which takes long when they are many */
	u32 held;              /* so many processes of the plan are seized: they die with ckpt */
	bool sibling;          /* the root is to be a child of ckpt's parent */
	bool alone;            /* who does not die with ckpt */
	struct tree tree;      /* the restored tree, frozen */
	struct cpu_stay *stay; /* does ckpt stay on one CPU? */
	struct tree_guard guard; /* from when on connections may end without a reset: resets.h */
	VECTOR(struct kept {
		int fd;
		pid_t maker; /* the process that has it there; 0: ckpt itself has */
		s64 linger;  /* the image's, in seconds; -1: off */
	})
	kept;                        /* connections: ckpt's, ascending, then those of one maker after the other */
	size_t own_kept;             /* so many are ckpt's */
	VECTOR(u32) own_sigchld;     /* processes that have a SIGCHLD of their own pending */
	VECTOR(arch_regs) registers; /* what each thread was given, in the order of the graph */
};
/* Room for the service descriptors, with the image's pages at theirs. Before any thread is made: a descriptor table that
 * threads share grows only after an RCU grace period, some 10 ms (fs/file.c, expand_fdtable). */
int execute_room(const struct plan *, const struct graph *, struct image *);
/* Makes the arena, runs the world, clones the root and takes hold of every process as it is born. The caller has set
 * x->sibling and x->alone, and zeroed the rest. */
int execute_start(struct execution *, const struct plan *, const struct site *, const struct graph *);
/* Waits until every array is parked. */
int execute_wait(struct execution *);
/* Ends the makers: all tasks have taken what they need, and nobody else takes anything any more. */
void execute_end_makers(struct execution *);
/* Arms restart blocks, unmaps the arena, writes registers: every thread is as it was, and stopped. */
int execute_finish(struct execution *);
void execute_undo(struct execution *); /* kills what was made */
void execution_free(struct execution *);

/* What will be asked for the facts, got ready while the tasks run: NULL when they tell everything themselves, or there is none. */
struct bpf_source *verify_source(const struct survey *, const struct tells *);
/* Collects the restored tree again and compares; -EINVAL (reported) when a state field differs. bpf: of verify_source(); alone: in this
 * thread only. */
int verify_restored(struct execution *, const struct survey *, const struct told *, struct bpf_source *bpf, bool alone);
/* What the threads have told, once they are parked; *ret is the caller's to free. */
int tells_read(const struct tells *, const struct execution *, struct told *ret);

/* What external terminals of the image become. */
struct terminal {
	int fd;      /* -1: there are none */
	int master;  /* of a new one, to be relayed; -1: no */
	bool is_own; /* the controlling terminal of who restores */
	bool has_size, has_before;
	struct winsize size;   /* that it shall have when the tree runs */
	struct termios before; /* of it, then of ckpt's own while it relays */
};

/* What takes the place of external files of the image. */
struct handed_files {
	VECTOR(struct handed {
		u32 file;
		int fd; /* an open file description of its own where that can be had */
	})
	list;
};

struct restored {
	pid_t root;             /* as ckpt sees it */
	pid_t root_inside;      /* as it sees itself */
	pid_t reaper;           /* pid 1 of its namespace; 0: it lives in ckpt's */
	u64 bytes;              /* of memory that the image holds */
	int reaper_fd, channel; /* a pidfd, and who tells of the root's end; with a reaper */
	struct terminal terminal;
};
void restored_free(struct restored *);
/* Waits for the end of the root, hands it the signals that come, relays its terminal; its exit status, 128 + signal. */
int restore_wait(struct restored *, const sigset_t *signals);
/* Restores a tree and lets it go. On failure nothing is left of it; diag_result() says so. plan_only: prints the plan. */
int restore_tree(const struct restore_config *, struct restored *ret, struct text *plan_text);
/* Everything that speaks against a restore here, all at once, as restore_tree() would say it; makes nothing. ret: the image, as
 * far as it could be loaded; the caller frees it. */
int restore_check(const struct restore_config *, struct graph *ret);
