/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The collector: what one collection holds while it runs. Private to collect/. */
#pragma once
#include "arch/arch.h"
#include "base/map.h"
#include "collect/clocks.h"
#include "collect/collect.h"
#include "collect/netlink.h"
#include <sys/stat.h>

/* One open file description that has got its object; table and fd say where it can be seen (table 0: ckpt itself). */
struct known_file {
	/* Index + 1 of others of the same inode. Whose identity eBPF has told are a list, by next[0]; the others are a tree in
	 * the order of kcmp(2): those before it, those behind it. */
	u32 next[2];
	u32 table; /* a process, or a thread that has another than its process */
	int fd;
	u32 id;
	u32 mode;  /* st_mode */
	u32 locks; /* enum record_locks */
};

struct smaps_ahead;
struct collector {
	const struct collect_config *config;
	struct tree *tree;
	struct graph *graph;
	struct facts facts;
	struct smaps_ahead *smaps;        /* on their way; or NULL */
	VECTOR(struct remote_home) homes; /* of the threads in facts.tasks; none: to be asked for */
	struct clock_offsets ahead;       /* of the tree's clocks before ckpt's: another time namespace */
	struct clock_offsets own_clocks;  /* of ckpt's before the kernel's */
	bool have_own_clocks;
	struct map by_identity;            /* kernel identity -> file id */
	struct map by_inode;               /* device and inode -> index + 1 in known_files of the first in the list */
	struct map by_order;               /* the same, of the root of the tree */
	struct map anons;                  /* kernel identity of private memory since a fork -> number */
	struct arch_components components; /* of the extended registers of threads */
	struct map vdsos;                  /* hash of bytes and layout -> vdso id */
	struct bpf_source *bpf;            /* of this collection, or the one that was given */
	struct map by_mapped;              /* struct file of a mapping and flags -> file id */
	struct map remembered;             /* keys of resources */
	struct map by_dentry;              /* dentry and mount -> offset + 1 in links */
	struct text links;                 /* NUL-terminated */
	struct map stat_of;                /* dentry and mount -> index + 1 in stats */
	VECTOR(struct stat) stats;
	const char *looked_at; /* lstat(2) of this path, which leads to the file that is being collected; or NULL */
	struct stat looked_at_stat;
	struct map by_link; /* device, inode and flags -> file id, of links */
	struct unix_table unix_sockets;
	struct map outside; /* ids of sessions and groups that processes outside of the tree are in */
	bool seen_outside;
	struct map sighand_of; /* tgid -> index + 1 in facts.sighands */
	VECTOR(struct known_file) known_files;
	VECTOR(struct own_table {
		u32 tid;
		int proc; /* /proc/TID, O_PATH */
	})
	own_tables;                     /* of threads whose table is not that of their process, ascending by process */
	VECTOR(int) own_fds;            /* duplicates that known_files needs until the end */
	struct connections connections; /* when the configuration has no place for them */
	u32 files;                      /* file ids given so far */
	struct text maps;               /* /proc/PID/maps of maps_of */
	u32 maps_of;
	VECTOR(struct lock_line) locks; /* /proc/locks */
	bool have_locks, locks_known, all_locks;
	struct text mounts; /* /proc/self/mountinfo */
	struct facts asked; /* with descriptors and mappings, when eBPF was asked for them after /proc */
	bool have_asked_files, have_asked_vmas;
	struct current { /* the file that is being collected */
		const struct record_file *record;
		const char *magic_link; /* below /proc/PID, NULL: a descriptor */
		int own;                /* the caller's descriptor (in flight), or -1 */
		int fd;                 /* duplicate made by collector_fd(), or -1 */
		struct text fdinfo;
		bool have_fdinfo;
		int lost; /* what has been reported of what a resource took for not there */
	} * current;
};

void collector_free(struct collector *);
int collect_rings(struct collector *); /* rings.c: what the kernel still does for the program; before all others */
int collect_files(struct collector *); /* fds.c: descriptor tables, when sharing is known */
/* What is known of rseq areas, for whoever makes calls in their threads: ptrace.c. */
void collect_hand_rseq(struct collector *);
/* Where the stopped threads go on. The way there may deliver a signal on arm64, so everything else about them comes behind it. */
int collect_homes(struct collector *);  /* tasks.c */
int collect_ptrace(struct collector *); /* ptrace.c: masks, rseq, robust lists */
int collect_tasks(struct collector *);  /* tasks.c: task and thread objects */
/* kin.c: does a session or group belong to others, outside of the tree? Not when nobody else is in it: its leader is dead then. */
int kin_outside(struct collector *, u32 id, bool *ret);
int collect_clocks(struct collector *); /* clocks.c: before anything that tells a time */
/* What a clock shows outside of any time namespace: what restart blocks count by. */
int collect_kernel_clock(struct collector *, clockid_t, s64 *ret);
int collect_memory(struct collector *);  /* mm.c: mm, vmas, vdso objects */
int collect_sharing(struct collector *); /* sharing.c: memory, descriptors, cwd shared between processes */
int collect_resources(struct collector *, enum scope);
/* collector_add_link for a link that was opened with these flags. */
int collector_add_link_as(struct collector *, u32 pid, const char *magic_link, u32 flags, u32 *ret_file);
/* name.c: a file that was opened by a name that is gone may have another: then that replaces the link, as if the file had been
 * renamed. */
void collect_find_name(const struct stat *, char *link, size_t room);
/* Takes threads for such that have no rseq area when nothing tells of it and GLIBC_TUNABLES has turned that of glibc off. */
void collect_tunables(struct collector *);
/* The file object behind a mapping: by the path in maps when that leads to the very inode, else by map_files. */
int collect_mapped(struct collector *, const struct record_vma *, u32 flags, u32 *ret_file);
/* A live tree moves: what failed since the mark is left out and noted, and 0 is returned. Otherwise r. */
int collect_survive(struct collector *, size_t mark, int r);
/* anon.c: who may still share private memory with whom, and the number that the model has for it. */
void collect_anons(struct collector *);
u32 anon_number(struct collector *, u64 anon_id);
