/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The dump: caps, freeze, collect, judge, pages and image, commit, release. */
#pragma once
#include "host/caps.h"
#include "model/cgroups.h"
#include "model/model.h"
#include "model/policy.h"
#include "netlock/lock.h"
#include "task/confirm.h"
#include "task/tree.h"

enum dump_after { DUMP_KILL, DUMP_LEAVE_RUNNING, DUMP_LEAVE_STOPPED };

struct dump_config {
	const struct caps *caps;
	pid_t pid;
	const char *dir;
	int above; /* the opened directory above dir, -1: not yet */
	enum dump_after after;
	u64 freeze_timeout; /* ns, 0: default */
	int durable;        /* 1 yes, 0 no, -1: when the tree is killed and the image lies on a disk */
	bool no_bpf;
	u64 ghost_limit;                 /* see collect_config */
	const struct policies *policies; /* NULL: the defaults */
	struct cgroup_roots cgroup_roots;
	enum netlock_method lock;   /* how connections to the outside are held */
	u64 lock_timeout;           /* ns, 0: default */
	bool open_listeners;        /* who wants to connect while the tree is away is refused, and another program may listen */
	bool external;              /* files whose other side lies outside of the tree are left to a restore to hand over */
	const char *external_kinds; /* those of these kinds (pipe, unix; separated by commas); NULL: all that can be */
	bool replace;               /* an image that is in dir gives way to the new one, when that is whole */
	struct confirm confirm;     /* asked behind the commit: a refusal lets the tree run on, and leaves the image */
};
struct dump_result {
	u64 frozen_ns, bytes;
	u64 freezing_ns, writing_ns; /* until all threads stood; pages and facts */
	size_t processes, threads;
};

/* Dumps the tree. On any failure the tree runs on unchanged and no image is left; diag_result() says so. */
int dump_tree(const struct dump_config *, struct dump_result *ret);

/* Judges a collected model for a dump; every refusal is reported. 0 or -EINVAL. */
int judge_dump(const struct graph *);

/* Is a resource's name among these, which commas separate? NULL: all are. */
bool dump_is_listed(const char *names, const char *name);
/* Marks files of these resources that something else will take the place of, as dump_config.external_kinds has them. */
void dump_mark_external(struct graph *, const char *names);

/* Does the model show a thread inside of the vDSO? Such threads are brought out of it by letting them run on for a moment:
 * then the model is out of date. */
bool dump_is_in_vdso(const struct graph *);
int dump_leave_vdso(struct tree *, const struct graph *);
