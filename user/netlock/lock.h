/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The network lock: packets of single TCP connections are dropped, so that the other end does not notice that this one is away.
 * ckpt alone holds a lock, and it ends with ckpt, until it is handed on to an image: then it lasts until a restore takes it over,
 * until somebody ends it, or until its time is up. */
#pragma once
#include "base/text.h"
#include "base/vector.h"
#include "flow.h"
#include "host/caps.h"
#include <sys/types.h>

enum netlock_method { NETLOCK_ANY, NETLOCK_LINK, NETLOCK_NFTABLES, NETLOCK_NONE };
#define NETLOCK_TIMEOUT 600000000000ull /* ns */
#define NETLOCK_ID 17                   /* 16 hexadecimal digits and a NUL */

/* Zeroed but for caps, method and timeout: nothing is locked. */
struct netlock {
	const struct caps *caps; /* what this host lacks */
	enum netlock_method method;
	u64 timeout; /* ns from the first flow on; 0: NETLOCK_TIMEOUT */
	char id[NETLOCK_ID];
	const struct netlock_backend *backend; /* NULL: nothing is locked */
	u64 until;                             /* CLOCK_BOOTTIME, ns */
	int fds[6];                            /* the backend's, and what it needs to know */
	VECTOR(struct flow) flows;
	pid_t guard, watcher; /* of what was handed on; of what does not end with ckpt by itself */
};

/* By numeric addresses, IPv4 also as mapped by IPv6; remote NULL: who wants to connect. False: one is no address. */
bool flow_make(struct flow *ret, const char *local, u32 local_port, const char *remote, u32 remote_port);
/* By the name that people give it: "auto", "link", "nftables", "none". False: there is no such method. */
bool netlock_parse(const char *name, enum netlock_method *ret);
/* Locks a connection, or (remote_port 0) an address for who wants to connect, in ckpt's network namespace, by the best method there is. Reports its failures. */
int netlock_add(struct netlock *, const struct flow *);
/* Hands the lock on to the image in dir (for people), before the processes of root are killed: it outlives ckpt from now on. A
 * guard, another process, takes it away when ckpt dies before root does. What is left of locks whose time is up is taken away
 * too. Reports its failures. */
int netlock_keep(struct netlock *, const char *dir, pid_t root);
/* The tree is gone, and the lock stays. */
void netlock_kept(struct netlock *);
/* Frees what was not handed on. */
void netlock_free(struct netlock *);

/* --- a lock that was handed on, by its id --- */
/* Is it there? */
bool netlock_exists(const char *id);
/* Ends it. 0, -ENOENT when there is none, or another negative errno. */
int netlock_release(const char *id);
/* Sees to it that the lock ends when ckpt dies and root lives, and stays when both die; until netlock_unguard(). The guard's id
 * or negative errno. before: another guard (0: none), which may kill root in that moment: it is waited for. */
pid_t netlock_guard(const char *id, pid_t root, pid_t before);
void netlock_unguard(pid_t guard);

struct netlock_entry {
	char id[NETLOCK_ID];
	const char *method;
	char dir[512]; /* of the image; empty: not known */
	u64 until;     /* CLOCK_BOOTTIME, ns; 0: not known */
};
/* The index-th lock that was handed on, those of nftables in ckpt's own network namespace; -ENOENT behind the last. */
int netlock_entry(size_t index, struct netlock_entry *ret);
