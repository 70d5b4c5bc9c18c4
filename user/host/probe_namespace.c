// SPDX-License-Identifier: LGPL-2.1-or-later
/* Probes of namespaces: made and forgotten in a child of ours. */
#include "host/probe.h"
#include "base/child.h"
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>

int probe_ns_ioctl(struct host *host _unused_, const struct probe *p, char *note _unused_)
{
	u64 room[16] = { sizeof room / 8 };
	_cleanup_close_ int fd = open(p->name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return neg_errno();
	int r = ioctl(fd, (unsigned long)p->arg[0], p->arg[1] ? NULL : room);
	if (r >= 0 && p->arg[1])
		close(r);
	return r >= 0 || errno == EPERM ? PROBE_YES : neg_errno(); /* EPERM: what it asks for is out of sight */
}

/* A network namespace is not made to see whether one may: it is costly; entering our own asks for the same right. */
static int make_one(int flag)
{
	if (flag != CLONE_NEWNET)
		return unshare(flag) < 0 ? neg_errno() : 0;
	_cleanup_close_ int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	return own < 0 || setns(own, CLONE_NEWNET) < 0 ? neg_errno() : 0;
}

static int make_direct(void *flag) { return make_one((int)(long)flag); }

static int make_in_user(void *flag)
{
	if (unshare(CLONE_NEWUSER) < 0)
		return neg_errno();
	return unshare((int)(long)flag) < 0 ? neg_errno() : 0;
}

int probe_namespace(struct host *host _unused_, const struct probe *p, char *note)
{
	int r = child_try(make_direct, (void *)p->arg[0]);
	if (r == 0)
		return PROBE_YES;
	if (r != -EPERM || child_try(make_in_user, (void *)p->arg[0]) < 0)
		return r;
	snprintf(note, NOTE_BYTES, "only inside a user namespace of its own");
	return PROBE_YES;
}

/* Ubuntu's AppArmor lets the namespace be made, but with no rights in it: make something in it too. */
int probe_user_namespace(struct host *host _unused_, const struct probe *p _unused_, char *note)
{
	int r = child_try(make_direct, (void *)(long)CLONE_NEWUSER);
	if (r == -ENOSPC)
		snprintf(note, NOTE_BYTES, "user.max_user_namespaces is reached");
	if (r < 0)
		return r;
	r = child_try(make_in_user, (void *)(long)CLONE_NEWUTS);
	if (r < 0)
		snprintf(note, NOTE_BYTES,
			 "it can be made, but gives no rights (kernel.apparmor_restrict_unprivileged_userns)");
	return r < 0 ? r : PROBE_YES;
}
