// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the raising of the limit of locked memory. */
#include "base/memlock.h"
#include <sys/resource.h>

/* As high as this process may; *ret_old is what it was. */
static bool raise_memlock(struct rlimit *ret_old)
{
	struct rlimit high = { RLIM_INFINITY, RLIM_INFINITY };

	if (getrlimit(RLIMIT_MEMLOCK, ret_old) < 0 || ret_old->rlim_cur == RLIM_INFINITY)
		return false;
	if (setrlimit(RLIMIT_MEMLOCK, &high) == 0)
		return true;
	high = (struct rlimit){ ret_old->rlim_max, ret_old->rlim_max };
	return setrlimit(RLIMIT_MEMLOCK, &high) == 0;
}

int with_memlock(bool first, int (*load)(void *), void *arg)
{
	struct rlimit old;
	bool raised = first && raise_memlock(&old);
	int r = load(arg);

	if (r == -EPERM && !first && (raised = raise_memlock(&old)))
		r = load(arg);
	if (raised)
		setrlimit(RLIMIT_MEMLOCK, &old);
	return r;
}
