/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* facts -> model: reads a tree from outside and fills the graph; asks the registry's resources for their part. */
#pragma once
#include "collect/repair.h"
#include "collect/source.h"
#include "model/cgroups.h"
#include "model/kinds.h"
#include "model/policy.h"
#include "model/resource.h"
#include <sys/stat.h>

/* Memory objects whose contents are wanted: readable descriptors, owned by the receiver; of more than MEMORY_SOURCES_OPEN (fd negative)
 * who has it, and where below /proc/PID. */
#define MEMORY_SOURCES_OPEN 64
struct memory_source {
	u32 file;
	int fd;
	pid_t holder;
	char place[64];
};
struct memory_sources {
	VECTOR(struct memory_source) list;
};
void memory_sources_free(struct memory_sources *);

/* What threads have told of themselves: facts that others need eBPF for. */
struct told {
	VECTOR(struct record_task) tasks;
	VECTOR(struct record_sighand) sighands;
};
static inline void told_free(struct told *told)
{
	vector_free(&told->tasks);
	vector_free(&told->sighands);
}
#define _cleanup_told_ _cleanup_(told_free)

struct netlock;
struct collect_config {
	const struct caps *caps;
	const struct resource *const *resources; /* NULL-terminated */
	enum bpf_effort effort;
	struct bpf_source *bpf;          /* opened before with this effort (it stays the caller's), or NULL */
	const struct told *told;         /* instead of asking eBPF, or NULL: all threads, and who has no POSIX timers */
	bool no_bpf;                     /* only /proc and ptrace (the differential test) */
	bool no_hijack;                  /* never run code in the target; what is missing is left out and judged */
	bool live;                       /* the tree is not frozen: what moves is left out */
	bool alone;                      /* in one thread: so little is to be read that a second one takes as long to begin */
	struct memory_sources *memory;   /* filled; NULL: not wanted */
	struct connections *connections; /* filled, to end them with the tree; NULL: not wanted */
	bool external;                   /* pipes whose other side is open outside may change while they are looked at */
	struct netlock *lock;            /* locks connections to the outside; NULL: they are locked, or need not be */
	const struct policies *policies; /* NULL: the defaults */
	const struct cgroup_roots
		*cgroup_roots; /* what belongs to the tree's control groups; NULL: what the tree has in common */
	u64 ghost_limit;       /* bytes that a file without a name may hold on a disk; 0: GHOST_LIMIT */
};

#define GHOST_LIMIT (256ull << 20)

/* Fills ret. Never changes the target (but for the hijack, which undoes itself). */
int collect(struct graph *ret, struct tree *, const struct collect_config *);

/* What ckpt itself is like, by the thread resources: what a new task begins with. config as for collect. */
int collect_self(struct graph *ret, const struct collect_config *);

/* --- for resources --- */
const struct caps *collector_caps(const struct collector *);
struct graph *collector_graph(struct collector *);
bool collector_live(const struct collector *);
/* Is it for an image, or only looked at? */
bool collector_storing(const struct collector *);
u64 collector_ghost_limit(const struct collector *);
bool collector_external(const struct collector *);
/* A duplicate of the file that is being collected (pidfd_getfd; O_PATH for a mapped file, cwd and the like), owned by the
 * collector until the file is done; negative errno without the right. FILE scope only. */
int collector_fd(struct collector *);
/* A duplicate of any file that was collected, as long as the tree has it open: the caller's. FILE scope, also when all settles;
 * negative errno without the right. */
int collector_open(struct collector *, u32 file);
/* Remembers the socket that is being collected, a connection or one that listens (connections_add()). 0 or negative errno. */
int collector_note_connection(struct collector *, u32 file);
/* A number that the resource will want to know by a key of its own (mixed with map_mix): remembered until the collection is
 * done; recalled: 0 when there is none. -ENOMEM. */
int collector_remember(struct collector *, u64 key, u32 number);
u32 collector_recall(const struct collector *, u64 key);
/* A question whose answer is the same for all of the collection, such as one about ckpt or the kernel: asked once, and remembered by
 * that key. */
bool collector_once(struct collector *, u64 key, bool (*ask)(const void *arg), const void *arg);
/* netlink_unix_diag() of a socket, for little where there are many. */
struct unix_diag;
int collector_unix(struct collector *, u64 inode, struct unix_diag *ret);
/* lstat(2) of a path; that of files of one dentry and mount is asked for once. 0 or -errno. */
int collector_stat(struct collector *, const struct record_file *, const char *path, struct stat *ret);
const struct cgroup_roots *collector_cgroup_roots(const struct collector *);
enum policy_choice collector_policy(const struct collector *, enum policy_id);
/* NULL: nothing is to be locked. */
struct netlock *collector_netlock(const struct collector *);
/* TCP connections are remembered here, to be looked at in repair mode. */
struct connections *collector_connections(struct collector *);
/* Gives the contents of the memory object that is being collected to the dump, by the same id. */
int collector_keep_memory(struct collector *, u32 file);
/* /proc/PID as O_PATH descriptor of the subject's process, or of a thread that has a descriptor table of its own, owned by the
 * collector. */
int collector_proc(struct collector *, u32 pid);
/* Makes calls inside of a stopped process, as hijack_run() does in its best thread: what nothing outside of it tells. -EPERM with
 * the reason warned of where that is not allowed, or not wanted. */
struct hijack_call;
int collector_run(struct collector *, u32 pid, struct hijack_call *, size_t count, void *data, size_t room);
/* The tags of a process' memory from address on, as remote_get_tags() tells them. */
int collector_tags(struct collector *, u32 pid, u64 address, u8 *ret, size_t room);
/* Reads len bytes of a process' memory. 0, -EFAULT when not all of it can be read, or another negative errno. */
int collector_read(struct collector *, u32 pid, u64 address, void *to, size_t len);
/* fdinfo of the file that is being collected: the value after "name:" and white space, NULL when absent. */
const char *collector_fdinfo(struct collector *, const char *name);
/* What a clock shows to the tree now, in ns: it may be in another time namespace than ckpt. */
s64 collector_clock(const struct collector *, clockid_t);
/* What eBPF tells of the descriptor that is being collected; NULL: nothing. Where /proc was asked before, this loads a program. */
const struct record_file *collector_kernel_file(struct collector *);
/* Identity of the userfaultfd(2) that answers for the mapping of a process that begins at `start`, as userfault_id of its file; 0: not
 * known. Where /proc was asked before, this loads a program. */
u64 collector_userfault(struct collector *, u32 pid, u64 start);
/* bpf_aio() by whichever effort answers: what a process has in flight. */
int collector_aio(struct collector *, u32 pid, u64 address, struct record_aio *ret);
/* bpf_undo() by whichever effort answers. */
int collector_undo(struct collector *, u32 pid, u64 list, u32 number, u32 first, struct record_undo *ret);
/* bpf_uring() by whichever effort answers, of the descriptor that is being collected. */
int collector_uring(struct collector *, struct record_uring *ret);
/* bpf_uring_slots() likewise, when collector_uring() has answered. */
int collector_uring_slots(struct collector *, u32 first, struct record_uring_slots *ret);
/* A descriptor of the tree that leads to the file of this identity (file_id); NULL: none does, or it is not known. Where /proc was asked
 * before, this loads a program. */
const struct record_file *collector_descriptor_of(struct collector *, u64 identity);
/* Under which collector_recall() knows how many completions (and 1) a ring had before all that is collected, where a thread of the kernel
 * works for its process. */
static inline u64 collector_ring_key(u32 pid, u32 fd) { return map_mix(map_mix(0x72696e67, pid), fd); }
/* bpf_tty() by whichever effort answers, of a master that ckpt itself has at a descriptor. */
int collector_tty(struct collector *, int master, struct terminal_queues *ret);
/* bpf_links() by whichever effort answers, of the file that is being collected. */
int collector_links(struct collector *, u32 *ret);
/* bpf_packet() by whichever effort answers, of the descriptor that is being collected. */
int collector_packet(struct collector *, struct record_packet *ret);
/* The file object of a descriptor that ckpt itself holds (a file in flight); collects it when it is new. fd stays the
 * caller's. Negative errno. */
int collector_add_file(struct collector *, int fd, u32 *ret_file);
/* The file object behind an entry of an epoll instance: epoll is ckpt's own descriptor of the instance; the entry is the
 * nth (from 0) of those that fdinfo shows with the number tfd, and leads to an inode. Collects it when it is new. *ret_file 0:
 * no process of the tree has the file open. *ret_ready (may be NULL): what poll(2) tells of it. Negative errno: kcmp(2) does
 * not answer. */
int collector_add_watched(struct collector *, int epoll, u32 tfd, u32 nth, u64 inode, u32 *ret_file, u32 *ret_ready);
/* The same among files that were met in flight, when all is collected: 0, or the file object. */
u32 collector_watched_in_flight(struct collector *, int epoll, u32 tfd, u32 nth, u64 inode, u32 *ret_ready);
/* The file object of a path-like reference that no descriptor names (mapped file, cwd, root, exe): a magic link below
 * /proc/PID that leads to a directory, such as "cwd" and "root". Collects it when it is new. */
int collector_add_link(struct collector *, u32 pid, const char *magic_link, u32 *ret_file);
/* One line of /proc/locks or of fdinfo: "1: POSIX  ADVISORY  WRITE 12 08:01:34 0 EOF". */
struct lock_line {
	char kind[8], manner[10], mode[8];
	s64 pid; /* who took it: a process that may be dead; -1: an open file */
	u32 major, minor;
	u64 inode, start, length; /* length 0: to the end */
};
/* Reads a line from its number on; false when it is of another form, or of somebody who waits ("1: -> POSIX ..."). */
bool lock_parse(const char *text, struct lock_line *ret);
/* All locks of /proc/locks; false when there are more than it tells at one moment: then any file may have one. *ret_all: none is
 * missing; some are when somebody outside of ckpt's pid namespace may have taken one. */
bool collector_locks(struct collector *, const struct lock_line **ret, size_t *ret_count, bool *ret_all);
/* Where the collection has met an open file first; false when no descriptor led to it. */
struct file_seen {
	u32 table; /* a process, or a thread that has another than its process; 0: the descriptor is ckpt's own */
	u32 fd, mode;
	u32 locks; /* enum record_locks: of the open file, or of its inode when that has none */
};
bool collector_first_seen(struct collector *, u32 file, struct file_seen *ret);
/* An inode, where only numbers and perhaps a handle (name_to_handle_at(2)) are known. */
struct inode_name {
	u32 major, minor; /* of the file system */
	u64 inode;
	u32 handle_type, handle_bytes;
	u8 handle[128];
	/* found: */
	char *path; /* owned by the caller; NULL: none */
	u32 mode;
	bool deleted; /* its last name is gone */
};
/* Finds paths of ckpt's that lead to inodes. may_list: directories of the tree may be read, which is an event to those who
 * watch them for that. May change ckpt's working directory for a moment. */
int collector_find_inodes(struct collector *, struct inode_name *, size_t count, bool may_list);
/* Where a mount can be seen by ckpt: that of this id (mnt_id), or with id 0 any of the file system of a device. Owned by the caller;
 * NULL: nowhere. */
char *collector_mount_point(struct collector *, u32 id, dev_t device);
/* POSIX timers and signal actions of a process, NULL when no source told them. */
const struct record_sighand *collector_sighand(struct collector *, u32 tgid);
const struct record_timer *collector_timers(struct collector *, u32 tgid, size_t *ret_count);
