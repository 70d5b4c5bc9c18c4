/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The wire between a source of facts (bpf/ or /proc and ptrace) and user/collect: fixed-size records of one task, one
 * mapping, one descriptor. All values are in the initial form of the kernel interface that is named. Identities
 * (RECORD id fields) are opaque: equal means the same kernel object; never stored in an image. */
#ifndef CKPT_RECORD_H
#define CKPT_RECORD_H

#ifndef __BPF__
#include <stdint.h>
typedef uint32_t rec_u32;
typedef uint64_t rec_u64;
typedef int64_t rec_s64;
typedef int32_t rec_s32;
typedef int16_t rec_s16;
#else
typedef unsigned int rec_u32;
typedef unsigned long long rec_u64;
typedef long long rec_s64;
typedef int rec_s32;
typedef short rec_s16;
#endif

#define RECORD_WIRE_VERSION 9

/* Which groups of a task record hold facts; a group that is not known is left 0. */
enum record_known {
	KNOWN_IDS = 1 << 0,      /* tid..sid, state, comm, exit_* */
	KNOWN_IDENTITY = 1 << 1, /* mm, files, fs, sighand, signal, nsproxy: equal means shared */
	KNOWN_CREDS = 1 << 2,    /* uid..cap_ambient, no_new_privs, user_ns */
	KNOWN_SECUREBITS = 1 << 3,
	KNOWN_SIGMASK = 1 << 4, /* sigmask: the mask that sigreturn would restore (saved mask when one is pending) */
	KNOWN_ALTSTACK = 1 << 5,
	KNOWN_RSEQ = 1 << 6,
	KNOWN_ROBUST = 1 << 7,
	KNOWN_CLEAR_TID = 1 << 8,
	KNOWN_RESTART = 1 << 9, /* restart_*: raw contents; believe them only when the registers say -516 */
	KNOWN_ITIMERS = 1 << 10,
	KNOWN_MM = 1 << 11,     /* start_code..env_end, brk */
	KNOWN_MM_BRK = 1 << 12, /* brk, exact */
	KNOWN_VDSO = 1 << 13,
	KNOWN_NS = 1 << 14,
	KNOWN_PRCTL = 1 << 15,      /* pdeath_signal, subreaper, timer_slack, dumpable */
	KNOWN_SECCOMP = 1 << 16,    /* seccomp_mode, seccomp_filters */
	KNOWN_SECCOMP_ID = 1 << 17, /* seccomp_filter identity */
	KNOWN_SUD = 1 << 18,        /* syscall user dispatch */
	KNOWN_OOM = 1 << 19,        /* oom_score_adj */
	KNOWN_MEMBARRIER = 1 << 20,
	KNOWN_MM_EXTRA = 1 << 21, /* has_aio, pkeys */
	KNOWN_IO_URING = 1 << 22, /* has_io_uring */
	KNOWN_UMASK = 1 << 23,
	KNOWN_GROUPS = 1 << 24,   /* groups: only when all fit */
	KNOWN_THP_MDWE = 1 << 25, /* thp_disable, mdwe, memory_merge */
	KNOWN_PENDING = 1 << 26,  /* pending, shared_pending: the sets */
	KNOWN_PERSONALITY = 1 << 27,
	KNOWN_TTY = 1 << 29,     /* has_tty */
	KNOWN_LDT = 1 << 30,     /* has_ldt */
	KNOWN_LOCKS = 1u << 31,  /* future_locks */
	KNOWN_NS_OURS = 1 << 28, /* ns_ours, pid_for_children, time_for_children */
};
#define KNOWN_NUMA (1ull << 35)     /* has_mempolicy */
#define KNOWN_LANDLOCK (1ull << 34) /* landlock */
#define KNOWN_PORTS (1ull << 33)    /* has_port_map, io_level */
#define KNOWN_CONTROLS (1ull << 32) /* tsc, store_bypass, indirect_branch, l1d_flush: each 0 where it cannot be told */

/* What of a task's namespaces is ckpt's own; a bit that is not set says nothing. */
enum record_ns_ours {
	NS_OURS_USER = 1 << 0,
	NS_OURS_OTHERS = 1 << 1, /* all others but that of pids: the nsproxy is shared */
};

/* Keyrings that nobody else has (keyrings(7)); a bit that is not set says nothing. */
enum record_keyrings {
	KEYRING_PROCESS = 1 << 0,
	KEYRING_THREAD = 1 << 1,
	KEYRING_SESSION = 1 << 2, /* one that is not ckpt's */
};

/* Landlock domains (landlock(7)) that confine a thread. OURS: ckpt is confined by the same. */
enum record_landlock { LANDLOCK_FREE, LANDLOCK_OURS, LANDLOCK_CONFINED };

/* Which call a restart block belongs to, told by its function; UNKNOWN when the source cannot tell. */
enum restart_call { RESTART_UNKNOWN, RESTART_NONE, RESTART_NANOSLEEP, RESTART_POLL, RESTART_FUTEX };

enum {
	RECORD_NS_UTS,
	RECORD_NS_IPC,
	RECORD_NS_MNT,
	RECORD_NS_PID,
	RECORD_NS_NET,
	RECORD_NS_TIME,
	RECORD_NS_CGROUP,
	RECORD_NS_USER,
	RECORD_NS_COUNT
};

#define RECORD_GROUPS 16

/* One thread. */
struct record_task {
	rec_u64 known;
	rec_u32 tid, tgid, ppid, pgid, sid; /* in the pid namespace of ckpt; 0: outside of it */
	rec_u32 ns_tid, ns_tgid, ns_level;  /* in the thread's own pid namespace; level 0: that of ckpt */
	rec_u32 state;                      /* the letter of /proc/PID/stat: R S D T t Z X I */
	rec_u32 flags;                      /* the word of /proc/PID/stat: PF_* of include/linux/sched.h */
	rec_u32 exit_code, exit_signal, personality;
	rec_u32 ptraced; /* the thread that traces it, 0: none */
	rec_u32 nr_threads;
	char comm[16];
	rec_u64 mm_id, files_id, fs_id, sighand_id, signal_id, cred_id, seccomp_id,
		sysvsem_id;                      /* sysvsem: 0 when there is nothing to undo */
	rec_u32 mm_users, files_users, fs_users; /* references: more than the threads of the tree hint at other processes */
	rec_u32 map_count;                       /* mappings (with KNOWN_MM_EXTRA) */
	rec_u32 ns[RECORD_NS_COUNT];             /* inode numbers */
	rec_u32 uid, euid, suid, fsuid, gid, egid, sgid, fsgid; /* in the initial user namespace (BPF) or ckpt's (/proc) */
	rec_u64 cap_inheritable, cap_permitted, cap_effective, cap_bounding, cap_ambient;
	rec_u32 securebits, no_new_privs, keyrings,
		landlock; /* keyrings: enum record_keyrings; landlock: enum record_landlock */
	rec_u64 sigmask, pending, shared_pending;
	rec_u64 altstack_sp, altstack_size;
	rec_u32 altstack_flags;
	rec_u32 rseq_len, rseq_sig;
	rec_u32 umask;
	rec_u64 rseq;
	rec_u64 robust_list, clear_child_tid;
	/* struct restart_block: the members of the union, whichever is live. nanosleep: expires, ns, CLOCK id. */
	rec_u32 restart_call;              /* enum restart_call */
	rec_u32 has_timers;                /* POSIX timers exist (with KNOWN_ITIMERS) */
	rec_u64 restart_nanosleep_expires; /* ns on restart_nanosleep_clock */
	rec_s32 restart_nanosleep_clock, restart_poll_has_timeout;
	rec_u64 restart_poll_seconds, restart_poll_nanoseconds; /* absolute, CLOCK_MONOTONIC */
	rec_u64 restart_futex_time;                             /* absolute ns */
	rec_u32 restart_futex_flags, restart_futex_val;
	rec_u64 itimer_value[3], itimer_interval[3]; /* ITIMER_REAL, VIRTUAL, PROF: ns; value: time left, 0 disarmed */
	rec_u64 start_code, end_code, start_data, end_data, start_brk, brk, start_stack, arg_start, arg_end, env_start, env_end;
	rec_u64 vdso;     /* address of the vDSO image, 0: none */
	rec_u64 mm_flags; /* raw, diagnostics only */
	rec_u32 dumpable, thp_disable, mdwe, memory_merge, pdeath_signal, subreaper;
	rec_u32 future_locks; /* VMA_LOCKED, VMA_LOCKONFAULT: what mappings to come will have */
	rec_u32 seccomp_mode, seccomp_filters;
	rec_u64 timer_slack;
	rec_u64 sud_selector, sud_offset, sud_len;
	rec_u32 sud_on;
	rec_s32 oom_score_adj;
	rec_u32 tsc;                                      /* as PR_GET_TSC */
	rec_u32 store_bypass, indirect_branch, l1d_flush; /* as PR_GET_SPECULATION_CTRL, without PR_SPEC_PRCTL */
	rec_u32 membarrier;                               /* as MEMBARRIER_CMD_GET_REGISTRATIONS */
	rec_u32 has_ldt, has_aio, pkeys, has_io_uring;
	rec_u32 has_mempolicy;                                /* set_mempolicy(2): other than the default */
	rec_u32 has_port_map, io_level;                       /* of x86: ioperm(2), iopl(2) */
	rec_u64 start_time;                                   /* ns since boot */
	rec_u32 ns_ours, pid_for_children, time_for_children; /* inode numbers of the namespaces that its children get */
	rec_u32 max_fds; /* the descriptor table has room for so many (with KNOWN_IDENTITY) */
	rec_u32 has_tty; /* a controlling terminal */
	rec_u32 ngroups;
	rec_u32 groups[RECORD_GROUPS];
};

/* One signal action of a process; index 0 is signal 1. Layout of the rt_sigaction system call. */
struct record_sigaction {
	rec_u64 handler, flags, restorer, mask;
};
struct record_sighand {
	rec_u32 tgid, pad;
	struct record_sigaction action[64];
};

/* One POSIX timer (timer_create(2)). */
struct record_timer {
	rec_u32 tgid, pad;
	rec_s32 id, clock, notify, signo;
	rec_u64 sigev_value;
	rec_u32 notify_tid, overrun;
	rec_u64 value, interval; /* ns; value: time left, 0 disarmed */
};

enum record_vma_flags {
	VMA_SHARED = 1 << 0,
	VMA_ANONYMOUS = 1 << 1, /* private anonymous: no file */
	VMA_GROWSDOWN = 1 << 2,
	VMA_LOCKED = 1 << 3,
	VMA_LOCKONFAULT = 1 << 4,
	VMA_DONTFORK = 1 << 5,
	VMA_WIPEONFORK = 1 << 6,
	VMA_DONTDUMP = 1 << 7,
	VMA_HUGEPAGE = 1 << 8,
	VMA_NOHUGEPAGE = 1 << 9,
	VMA_MERGEABLE = 1 << 10,
	VMA_SEQUENTIAL = 1 << 11,
	VMA_RANDOM = 1 << 12,
	VMA_NORESERVE = 1 << 13,
	VMA_ACCOUNT = 1 << 14,
	VMA_HUGETLB = 1 << 15,
	VMA_IO = 1 << 16,
	VMA_PFNMAP = 1 << 17,
	VMA_SEALED = 1 << 18,
	VMA_DROPPABLE = 1 << 19,
	VMA_UFFD_MISSING = 1 << 20,
	VMA_SPECIAL = 1 << 21, /* made by the kernel: name says which ([vdso], [vvar], ...) */
	VMA_MAYWRITE = 1 << 22,
	VMA_MAYSHARE = 1 << 23,
	VMA_SHADOW_STACK = 1 << 24,
	VMA_UFFD_WP = 1 << 26,
	VMA_UFFD_MINOR = 1 << 27,
	VMA_UFFD = VMA_UFFD_MISSING | VMA_UFFD_WP | VMA_UFFD_MINOR, /* a userfaultfd(2) answers some of its faults */
	VMA_PKEY_SHIFT = 28,                                        /* the protection key in the highest four bits */
};

/* One mapping. */
struct record_vma {
	rec_u64 start, end, pgoff; /* bytes, bytes, bytes into the file */
	rec_u32 prot;              /* PROT_* */
	rec_u32 flags;             /* VMA_* */
	rec_u32 flags_known;       /* which of VMA_* the source can tell */
	rec_u32 dev_major, dev_minor;
	rec_u32 tgid;
	rec_u64 ino;
	rec_u64 file_id, anon_id; /* identities; 0: none or not known */
	rec_u64 uffd_id;
	char name[48]; /* [heap], [stack], [vdso], [anon:...], empty for a file: its path is read apart */
};

enum record_locks { LOCKS_UNKNOWN, LOCKS_NONE, LOCKS_SOME }; /* as fdinfo shows them */

#define USERFAULT_AGREED (1u << 31) /* UFFD_FEATURE_INITIALIZED of fs/userfaultfd.c */

/* One descriptor. */
enum record_eventfd { EVENTFD_UNKNOWN, EVENTFD_COUNTER, EVENTFD_SEMAPHORE }; /* unknown, or it is none */
#define WAITING_UNKNOWN 0xffffffffu

struct record_file {
	rec_u32 tgid, fd;
	rec_u32 flags; /* as in fdinfo: open flags without O_CLOEXEC */
	rec_u32 cloexec;
	rec_u64 pos;
	rec_u64 file_id; /* identity of the open file description; 0: not known, ask kcmp */
	rec_u64 ino;
	rec_u32 dev_major, dev_minor, rdev_major, rdev_minor;
	rec_u32 mode; /* st_mode */
	rec_u32 mnt_id;
	rec_u32 owner_pid, owner_signum, owner_known;
	rec_u32 owner_type;      /* F_OWNER_TID, F_OWNER_PID, F_OWNER_PGRP */
	rec_u64 dentry_id;       /* identity: with mnt_id, of the path; 0: not known */
	rec_u64 magic;           /* f_type of statfs(2), 0: not known */
	rec_u32 family;          /* of a socket: AF_*, 0: not known */
	rec_u32 locks;           /* enum record_locks */
	rec_u32 eventfd;         /* enum record_eventfd */
	rec_u32 chosen;          /* of a socket: a program chooses among those of its port; 0: none does, or it is not known */
	rec_u64 userfault_id;    /* of userfaultfd(2): identity, as uffd_id of its mappings; 0: not known, or it is none */
	rec_u32 userfault_flags; /* of userfaultfd(2): as it was called, O_CLOEXEC and UFFD_USER_MODE_ONLY among others */
	rec_u32 userfault_process;  /* whose memory it is about; 0: of none in the tree */
	rec_u32 userfault_features; /* UFFD_FEATURE_*, and USERFAULT_AGREED when UFFDIO_API has been asked */
	rec_u32 waiting;            /* of a unix socket, or one of UDP: messages that it has not read; WAITING_UNKNOWN */
	rec_u64 notify_value;       /* of a POSIX message queue: what mq_notify(3) tells with its signal */
	rec_u32 notify_known;       /* that is known */
	rec_u32 table;              /* whose descriptor table it is in: tgid, or the first thread that has another */
	char link
		[48]; /* what readlink(/proc/PID/fd/N) would begin with when it is no path: "anon_inode:[eventfd]", "pipe:[123]" */
};

/* What ckpt keeps in the map of a BPF program, which begins with it. */
struct record_config {
	/* Bits of mm->flags, whose numbers no kernel tells: found by switching them on in a child. 0: does not exist. */
	rec_u64 thp_disable_mask, thp_advised_mask, mdwe_mask, mdwe_no_inherit_mask, merge_mask;
	/* The same of thread_info.flags. */
	rec_u64 tsc_mask, l1d_flush_mask;
	/* Where a pointer to the Landlock domain lies in what security modules keep with credentials: index + 1 in
	 * record_task_raw.security, LANDLOCK_NOWHERE: this kernel has no Landlock, 0: not known. It is another after another boot. */
	rec_u32 landlock_at;
	rec_u32 calibrated; /* the masks are known */
	rec_u64 boot;       /* a hash of the id of the boot that landlock_at is of */
	/* The same of vm_flags above bit 31. */
	rec_u64 sealed_mask, droppable_mask, pkey_mask, tagged_mask, minor_mask;
	/* Of a program that walks one process in several reads: */
	rec_u64 only;   /* signal_id or mm_id of the process */
	rec_u64 cursor; /* where the next read goes on; 0: from the start, and at the end */
};

/* What a BPF program writes: a header, then what its tag says. */
struct record_header {
	rec_u32 tag, len; /* bytes that follow; 0: text up to a newline */
};

/* A struct pid at the level of the reader's pid namespace; seen by the reader when level is enough and ns is the same. */
struct record_upid {
	rec_u32 nr, pad;
	rec_u64 ns;
};
struct record_pid {
	rec_u32 level, pad;
	struct record_upid id;
};
enum {
	RECORD_PID_SELF,
	RECORD_PID_PROCESS,
	RECORD_PID_PARENT,
	RECORD_PID_GROUP,
	RECORD_PID_SESSION,
	RECORD_PID_TRACER,
	RECORD_PIDS
};

#define RECORD_SECURITY_WORDS 16
#define LANDLOCK_NOWHERE (~0u)

/* A task as the program reads it: what the kernel's fields mean is decided in user space, a program without branches is
 * verified in half of the time. */
struct record_task_raw {
	struct record_task task;
	struct record_pid reader, pids[RECORD_PIDS];
	struct record_upid innermost_self, innermost_process;
	rec_u64 reader_nsproxy, reader_user_ns;
	rec_u64 blocked, saved_sigmask;
	rec_u32 restore_sigmask, has_restore_sigmask;
	rec_u32 state, exit_state;
	rec_u64 undo_first, undo_end; /* of what semop(2) has to undo: empty when they are the same */
	rec_u64 def_flags;            /* vm_flags that mappings of its memory begin with */
	/* Of ckpt, and of the task: the keyring of its session, what security modules keep with its credentials. bad: not read. */
	rec_u64 reader_session_keyring, session_keyring;
	rec_u64 reader_security[RECORD_SECURITY_WORDS], security[RECORD_SECURITY_WORDS];
	rec_u32 reader_security_bad, security_bad;
	rec_u64 atomic_flags; /* PFA_* of include/linux/sched.h */
	rec_u64 thread_flags; /* TIF_* of the architecture */
	rec_u64 now;          /* ns, CLOCK_MONOTONIC of the initial time namespace */
	rec_u64 real_expires;
	rec_u32 real_queued, groups_bad;
	rec_u64 prof_expires, virt_expires, cpu_user, cpu_system;
};

/* The map of the task program. `copies`: the kernel's task_struct, signal_struct, mm_struct and cred; longer ones give no
 * records. The fields of `raw` that are copied from there alone come from `fields`, which ckpt runs itself. */
#define RECORD_CODE_MAX 1024
struct record_code {
	rec_u32 count, pad;
	rec_u64 insns[RECORD_CODE_MAX]; /* struct bpf_insn */
};
struct record_task_map {
	struct record_config config;
	struct record_code fields;
	struct record_header header;
	struct record_task_raw raw;
	char copies[28672];
};

/* A timer as the program reads it: expiry times of every kind of clock, of which the clock's kind makes one valid. */
struct record_timer_raw {
	struct record_timer timer;
	struct record_pid reader, target;
	rec_u64 now;                                                    /* ns, CLOCK_MONOTONIC of the initial time namespace */
	rec_u64 real_expires, real_offset, alarm_expires, alarm_offset; /* offset: of the clock from CLOCK_MONOTONIC */
	rec_u64 cpu_expires;
	rec_u64 process_user, process_system, process_sum, thread_user, thread_system, thread_sum;
	rec_s64 overrun;
	rec_u32 armed, pad;
};

/* A mapping as the program reads it. */
struct record_vma_raw {
	struct record_vma vma; /* name: of a special mapping, or what prctl(PR_SET_VMA_ANON_NAME) gave */
	rec_u64 signal_id;     /* of its process */
	rec_u64 vm_flags, ops_id;
	rec_u64 brk, start_brk, start_stack; /* of its mm */
	rec_u32 dev;                         /* as the kernel keeps it: minor in the low 20 bits */
	rec_u32 anon_name;                   /* name came from prctl */
};

/* A descriptor as the program reads it. */
struct record_file_raw {
	struct record_file file; /* link: the name of its dentry, or of its kind of namespace */
	rec_u64 signal_id, files_id;
	rec_u64 close_on_exec; /* the word of the descriptor table that holds its bit */
	struct record_pid reader, owner;
	rec_u64 userfault_mm; /* mm_id */
	rec_u32 dev, rdev, ns_inum;
	rec_u32 links; /* of the inode: an overlay tells others to stat(2) */
};

/* A context of asynchronous I/O as the program reads it: a part of its processors. */
struct record_aio_raw {
	rec_u64 address;      /* of its ring: the context's id */
	rec_u64 references;   /* sum of the counters of some processors */
	rec_u64 shared_count; /* what is counted beside them: one that the context holds, and 1 << 63 (lib/percpu-refcount.c) */
	rec_u32 number, max_reqs;
	rec_u32 more;   /* there are processors behind those */
	rec_u32 atomic; /* it is being destroyed */
};

/* A context of asynchronous I/O. */
struct record_aio {
	rec_u64 address;   /* of its ring: the context's id; 0: none has this number (any more) */
	rec_u64 in_flight; /* requests that have not completed */
	rec_u32 max_reqs;  /* as io_setup(2) was asked */
	rec_u32 pad;
};

#define RECORD_CPUS_PER_READ 64 /* of what the kernel counts for each processor */

/* What an io_uring has that its queues do not show. */
enum record_uring_has {
	URING_FILES = 1 << 0, /* registered, as are the next */
	URING_BUFFERS = 1 << 1,
	URING_BUFFER_RINGS = 1 << 2,
	URING_EVENTFD = 1 << 3,
	URING_PERSONALITIES = 1 << 4,
	URING_RESTRICTIONS = 1 << 5,
	URING_REGION = 1 << 6,
	URING_DESCRIPTORS = 1 << 7, /* IORING_REGISTER_RING_FDS: of any ring, by one of its users */
	URING_CLOCK = 1 << 8,       /* other than CLOCK_MONOTONIC */
	URING_WORKER_LIMITS = 1 << 9,
	URING_BUSY_POLL = 1 << 10,
	URING_NO_DRAIN = 1 << 11, /* IOSQE_IO_DRAIN is refused, since IOSQE_CQE_SKIP_SUCCESS was used */
	URING_PROGRAMS = 1 << 12, /* of eBPF */
};

/* An io_uring (io_uring_setup(2)). */
struct record_uring {
	rec_u32 flags; /* IORING_SETUP_* */
	rec_u32 sq_entries, cq_entries;
	rec_u32 submitted, completed; /* as the kernel counts them behind the memory of its queues */
	rec_u32 submitter;            /* the thread that alone may submit, 0: none, or not seen */
	rec_u32 has;                  /* enum record_uring_has */
	rec_u32 users;                /* threads that have used it */
	rec_s64 in_flight;            /* requests of theirs, of whatever ring, that have not completed */
	rec_u32 poller;               /* the process whose kernel thread takes the requests, 0: none, or not seen */
	rec_u32 poll_idle;            /* after so many ticks of nothing it sleeps */
	rec_s32 poll_cpu;             /* -1: any */
	rec_u32 poll_rights;          /* it has those of its process' main thread */
	rec_u32 eventfd_id;           /* as fdinfo tells it, and 1; 0: none */
	rec_u32 eventfd_async;        /* only what is not done at once is told */
};

#define URING_SLOTS_PER_READ 64

/* What is registered with an io_uring at one number, as file and as buffer. */
struct record_uring_slot {
	rec_u64 file; /* identity, as file_id of a descriptor; 0: none */
	rec_u64 file_tag;
	rec_u64 address; /* of a buffer, 0: none */
	rec_u64 buffer_tag, length;
	rec_u32 of_kernel, pad; /* of_kernel: it is a driver's */
};

/* Some of them. */
struct record_uring_slots {
	rec_u32 files, buffers;         /* there are so many numbers */
	rec_u32 alloc_start, alloc_end; /* between these the kernel chooses where it may */
	struct record_uring_slot slot[URING_SLOTS_PER_READ];
};

/* The same as the program reads it: in_flight is that of one user, counted by some processors. */
struct record_uring_raw {
	struct record_uring uring;
	struct record_pid reader, submitter, poller;
	rec_u32 more_cpus, more_users;
};

#define RECORD_UNDO_PER_READ 64
/* What the kernel will undo of one set of System V semaphores at the end of a thread (semop(2), SEM_UNDO), for some of them. Behind the
 * last semaphore of the set lies anything. */
struct record_undo {
	rec_s64 set;                          /* semid */
	rec_s16 adjust[RECORD_UNDO_PER_READ]; /* what will be added to each */
};
#define RECORD_TTY_RING 4096u /* N_TTY_BUF_SIZE */

/* One side of a pseudoterminal: its line discipline, N_TTY, and what its driver has for that. Positions count from the start of the
 * ring on, and beyond its end. */
struct record_tty_side {
	rec_u64 head, tail, canon_head, echo_head, echo_tail;
	rec_u32 column, canon_column;
	rec_u32 queued,
		buffers; /* bytes that the line discipline has not taken yet, in so many pieces; ~0: more than are told */
	rec_u32 stopped, tco_stopped;
	rec_u32 lnext, erasing, icanon;
	rec_u32 packet_status; /* TIOCPKT_* that the other side has not been told */
	rec_s32 discipline;    /* of another one than N_TTY (0) nothing is known: what stands above means nothing */
	rec_u32 pad;
};
/* Both sides of the pseudoterminal that a descriptor leads to, and a part of what waits on one of them: for part 0 the ring, then the
 * pieces behind it. */
struct record_tty {
	struct record_tty_side own, other;
	rec_u32 bytes, pad;                 /* of the piece; from RECORD_TTY_RING on they are left out */
	rec_u64 ends[RECORD_TTY_RING / 64]; /* a bit for each byte of the ring: a line ends there */
	unsigned char data[RECORD_TTY_RING];
};
/* The cursor of the program: the descriptor; from bit 32 on the part; from bit 63 on: of the other side. */
#define RECORD_TTY_CURSOR(fd, part, other) ((rec_u64)(other) << 63 | (rec_u64)(part) << 32 | (fd))
#define RECORD_TTY_PIECES 128u

/* Where the kernel stands in the rings of a socket of packet(7): the frames (TPACKET_V3 receives by blocks) that it takes next. */
struct record_packet {
	rec_u32 receive_head, send_head;
	rec_u32 packets;  /* received and counted since PACKET_STATISTICS was read */
	rec_u32 in_block; /* TPACKET_V3: packets in the block that is being filled */
	rec_u32 frozen;   /* TPACKET_V3: that block was not free when it was due */
	rec_u32 pad;
	rec_u64 unwritten; /* frames before receive_head that are taken and not written yet: bit 0 is the last one */
};

enum record_tag {
	RECORD_TASK = 0x6b736174, /* struct record_task_raw */
	RECORD_SIGHAND,           /* struct record_sighand, after the leader's task */
	RECORD_TIMER,             /* struct record_timer_raw */
	RECORD_SYMBOL,            /* the function of the last task's restart block, text up to a newline */
	RECORD_VMA,               /* struct record_vma_raw */
	RECORD_FILE,              /* struct record_file_raw */
	RECORD_AIO,               /* struct record_aio_raw */
	RECORD_URING,             /* struct record_uring_raw */
	RECORD_URING_SLOTS,       /* struct record_uring_slots */
	RECORD_UNDO,              /* struct record_undo */
	RECORD_TTY,               /* struct record_tty */
	RECORD_PACKET,            /* struct record_packet */
};
#endif
