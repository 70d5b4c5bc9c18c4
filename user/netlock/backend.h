/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a method of locking can do. Private to user/netlock. All return 0 or negative errno, and report nothing. */
#pragma once
#include "netlock/lock.h"

struct netlock_backend {
	const char *name;
	enum netlock_method method;
	int (*begin)(struct netlock *);
	int (*add)(struct netlock *, const struct flow *);
	int (*keep)(struct netlock *, const char *dir);
	void (*end)(struct netlock *);
	/* by the id of one that was handed on */
	bool (*exists)(const char *id);
	int (*release)(const char *id);
	int (*entry)(size_t index, struct netlock_entry *);
};
extern const struct netlock_backend netlock_link, netlock_nftables;
