/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a method of locking can do. Private to user/netlock. All return 0 or negative errno, and report nothing. */
#pragma once
#include "netlock/lock.h"

struct netlock_backend {
	const char *name;
	enum netlock_method method;
	enum cap_id needs; /* who is known to lack it is not asked; CAN_NOTHING */
	int (*begin)(struct netlock *);
	int (*add)(struct netlock *, const struct flow *);
	int (*keep)(struct netlock *, const char *dir);
	void (*end)(struct netlock *);
	/* by the id of one that was handed on */
	bool (*exists)(const char *id);
	int (*release)(const char *id);
	int (*entry)(size_t index, struct netlock_entry *);
};
/* Calls then() in another process when ckpt has died, and the process of the pidfd `before` (-1: none), with the descriptor `other`
 * (-1: none) as fd. Its id, or negative errno. */
typedef void netlock_then(int fd, const char *name);
pid_t netlock_watch(int before, int other, netlock_then *, const char *name);

extern const struct netlock_backend netlock_link, netlock_nftables;
