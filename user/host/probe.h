/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How each capability is found out: probes.def as data, a few generic probe functions. Private to user/host. */
#pragma once
#include "host/caps.h"
#include "host/kbtf.h"
#include <sys/types.h>

/* What is learnt of a row: kept for this boot. */
struct known {
	u8 answer; /* enum cap_answer, as far as it lasts */
	u8 built;  /* enum cap_answer */
	u8 asked;  /* built was asked for */
	u32 btf_id;
};

/* What the probes of one run share; the expensive parts are made when they are first asked for. */
struct host {
	u64 effective; /* effective capabilities */
	uid_t euid;
	bool init_userns;
	u64 userns;  /* inode number of the user namespace, 0: not known */
	int seccomp; /* 0 none, 1 strict, 2 filter */
	struct kbtf *btf;
	struct text config;
	bool btf_tried, config_tried;
	pid_t tracee; /* a stopped child of ours that ptrace probes ask, 0: not yet made */
	int tracee_err;
	bool learned; /* something new is known */
	struct known known[CAN_COUNT];
};

enum {
	NEED_DUMP = 1,    /* a dump of ordinary programs needs it */
	NEED_RESTORE = 2, /* a restore does */
	LOAD = 4,         /* dump or restore asks for it at run time: caps_load() answers it */
};

enum { PROBE_UNKNOWN = 0, PROBE_YES = 1 }; /* a negative errno: no */

#define NOTE_BYTES sizeof((struct cap_state){ 0 }.note)

struct probe {
	unsigned flags;
	enum cap_id instead; /* serves when this one is missing, or CAN_NOTHING */
	const char *built;   /* query of the kernel's build (see host_built), "" when nothing tells */
	/* Asks the running kernel; NULL when policy cannot refuse. May write the note. Changes nothing that anyone can see. */
	int (*run)(struct host *, const struct probe *, char *note);
	const char *name; /* a path, or what a BPF program is for; see the probe */
	long arg[6];
};

extern const struct probe probes[CAN_COUNT];

void host_open(struct host *);
void host_close(struct host *);
/* Was it built into this kernel? The query is a list "A, B": the first part that can be answered counts. Parts:
 * CONFIG_X | struct X | union X | member TYPE.FIELD | enum TYPE.VALUE | func X | sys X | typedef X. Says in note what told. */
enum cap_answer host_built(struct host *, const char *query, char *note);
const struct kbtf *host_btf(struct host *);
const struct text *host_config(struct host *);
bool host_capable(const struct host *, int cap);
/* Our stopped child, seized; or a negative errno. */
pid_t host_tracee(struct host *);
void host_drop_tracee(struct host *);
/* Id of a type in the kernel's BTF, 0 when there is none. */
u32 host_btf_id(struct host *, const struct probe *, u32 kind);
/* Asks one row; remembers what holds until the next boot for whoever has the same rights. */
struct cap_state host_judge(struct host *, enum cap_id);

#define PROBE_FN(name) int probe_##name(struct host *, const struct probe *, char *note)
/* arg: number, up to five arguments. Any outcome but ENOSYS, EOPNOTSUPP, EPERM and EACCES is a yes. */
PROBE_FN(syscall);
/* The same, where EINVAL says that the flags are not known. */
PROBE_FN(syscall_flags);
/* The same of a call that older kernels have too, but not in the form that was built into this one; unknown is yes. */
PROBE_FN(syscall_built);
/* arg: option, up to four arguments. EINVAL and EPERM are a no. prctl_child asks in a child. */
PROBE_FN(prctl);
PROBE_FN(prctl_child);
/* arg: number of the capability, 0 or a second one that serves too. */
PROBE_FN(capability);
/* arg: bit of membarrier commands. */
PROBE_FN(membarrier);
/* arg: flags of clone3, whether ids may be chosen is asked (1) or only whether the flags are known (0). */
PROBE_FN(clone3);
/* arg: kcmp type. */
PROBE_FN(kcmp);
PROBE_FN(pidfd_open);
PROBE_FN(pidfd_getfd);
PROBE_FN(pidfs);
/* arg: ioctl of a pidfd; returns a descriptor (1) or fills a structure (0). */
PROBE_FN(pidfd_ioctl);
PROBE_FN(waitid_pidfd);
PROBE_FN(msg_copy);
PROBE_FN(vdso_map);
PROBE_FN(vdso_movable);
PROBE_FN(vdso_room);
PROBE_FN(mm_map);
PROBE_FN(pkeys);
/* arg: request, addr, kind of data (0 none, 1 buffer), errno that means yes, a capability without which it
 * is refused (0: none). EIO is a no. */
PROBE_FN(ptrace);
PROBE_FN(ptrace_options);
PROBE_FN(ptrace_others);
PROBE_FN(proc_mem_force);
PROBE_FN(process_vm_readv);
/* arg: advice. */
PROBE_FN(madvise);
PROBE_FN(guard_file);
PROBE_FN(guard_visible);
PROBE_FN(fixed_noreplace);
PROBE_FN(dontunmap);
/* arg: flags of mmap. */
PROBE_FN(mmap);
/* arg: flags of memfd_create. */
PROBE_FN(memfd);
PROBE_FN(anon_name);
PROBE_FN(pagemap_scan);
PROBE_FN(pagemap_guard);
PROBE_FN(pagemap_pfn);
PROBE_FN(soft_dirty);
PROBE_FN(procmap_query);
PROBE_FN(map_files);
PROBE_FN(btf);
/* arg: bit of UFFDIO_API's features, -1: only whether it opens; 1: for faults of the kernel too. */
PROBE_FN(userfaultfd);
/* name: a path; arg: R_OK, W_OK or F_OK. */
PROBE_FN(access);
PROBE_FN(proc_others);
/* name: a file below /proc/self/ns; arg: ioctl, whether it returns a descriptor. */
PROBE_FN(ns_ioctl);
PROBE_FN(file_handle);
PROBE_FN(timerfd_ticks);
PROBE_FN(inotify_next_wd);
/* arg: family, level, option, value; value -1: getsockopt. */
PROBE_FN(sockopt);
/* arg: family, type, protocol. */
PROBE_FN(socket);
PROBE_FN(peer_pidfd);
/* arg: family, ioctl; returns a descriptor (1). */
PROBE_FN(socket_ioctl);
PROBE_FN(sock_diag);
/* name: a module; yes when it is there, built in, loaded or to be loaded. */
PROBE_FN(module);
/* arg: CLONE_NEW*. */
PROBE_FN(namespace);
PROBE_FN(user_namespace);
PROBE_FN(listmount);
PROBE_FN(cgroup2);
/* name: a file that every cgroup but the root has. */
PROBE_FN(cgroup_file);
/* name: what it would be attached to, or NULL; arg: program type, attach type, BTF kind of name, program flags. */
PROBE_FN(bpf_program);
PROBE_FN(bpf_read_kernel);
PROBE_FN(config);
