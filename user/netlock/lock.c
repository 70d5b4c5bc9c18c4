// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the choice between the methods of locking, and the life of a lock. */
#include "base/clock.h"
#include "diag/diag.h"
#include "netlock/backend.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

/* The best first. Links of eBPF to netfilter are in every kernel from 6.4 on that has both (CONFIG_NETFILTER_BPF_LINK has no prompt), so
 * tcx (6.6), which sees single devices, would serve only where there is no netfilter at all. */
static const struct netlock_backend *const backends[] = { &netlock_link, &netlock_nftables };

#define MAPPED "::ffff:"

static const char *unmapped(const char *address)
{
	bool mapped = !strncmp(address, MAPPED, strlen(MAPPED)) && strchr(address, '.');
	return mapped ? address + strlen(MAPPED) : address;
}

bool flow_make(struct flow *ret, const char *local, u32 local_port, const char *remote, u32 remote_port)
{
	local = unmapped(local);
	int family = strchr(local, ':') ? AF_INET6 : AF_INET;
	*ret = (struct flow){ .local_port = htons((u16)local_port),
			      .remote_port = htons((u16)remote_port),
			      .family = (u32)family };
	return inet_pton(family, local, ret->local) == 1 && (!remote || inet_pton(family, unmapped(remote), ret->remote) == 1);
}

bool netlock_parse(const char *name, enum netlock_method *ret)
{
	static const char *const names[] = { "auto", "link", "nftables", "none" };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(name, names[i])) {
			*ret = (enum netlock_method)i;
			return true;
		}
	return false;
}

static bool may_serve(const struct netlock *lock, const struct netlock_backend *backend)
{
	bool wanted = lock->method == NETLOCK_ANY || lock->method == backend->method;
	return wanted && (backend->needs == CAN_NOTHING || !caps_lacks(lock->caps, backend->needs));
}

static int begin(struct netlock *lock)
{
	u64 number;
	int r = -EOPNOTSUPP;
	lock->until = clock_ns(CLOCK_BOOTTIME) + (lock->timeout ?: NETLOCK_TIMEOUT);
	if (getrandom(&number, sizeof number, 0) != sizeof number)
		return fail(SYSCALL, neg_errno(), "getrandom");
	snprintf(lock->id, sizeof lock->id, "%016llx", (unsigned long long)number);
	for (size_t i = 0; r < 0 && i < ARRAY_SIZE(backends); i++) {
		if (!may_serve(lock, backends[i]))
			continue;
		r = backends[i]->begin(lock);
		if (r == 0)
			lock->backend = backends[i];
	}
	return r < 0 ? fail(NETLOCK, r, "making the lock") : 0;
}

int netlock_add(struct netlock *lock, const struct flow *flow)
{
	int r = lock->backend || lock->method == NETLOCK_NONE ? 0 : begin(lock);
	if (r < 0 || lock->method == NETLOCK_NONE)
		return r;
	r = lock->backend->add(lock, flow);
	return r < 0 ? fail(NETLOCK, r, "adding a connection") : 0;
}

/* They hold nothing back any more, but look at each packet: an image that was restored elsewhere never takes its lock over. */
static void tidy(void)
{
	struct netlock_entry e;
	u64 now = clock_ns(CLOCK_BOOTTIME);
	for (size_t i = 0; netlock_entry(i, &e) == 0;)
		if (!e.until || e.until > now || netlock_release(e.id) < 0)
			i++;
}

int netlock_keep(struct netlock *lock, const char *dir, pid_t root)
{
	if (!lock->backend)
		return 0;
	tidy();
	_cleanup_free_ char *path = realpath(dir, NULL);
	lock->guard = netlock_guard(lock->id, root, 0);
	int r = lock->guard < 0 ? (int)lock->guard : lock->backend->keep(lock, path ?: dir);
	if (r == 0)
		return 0;
	lock->backend->release(lock->id);
	return fail(NETLOCK, r, "handing it on to the image");
}

void netlock_kept(struct netlock *lock)
{
	netlock_unguard(lock->guard);
	lock->guard = 0;
}

void netlock_free(struct netlock *lock)
{
	netlock_kept(lock);
	if (lock->backend)
		lock->backend->end(lock);
	lock->backend = NULL;
}

/* Ids come from images. */
static bool is_id(const char *id) { return strlen(id) == NETLOCK_ID - 1 && strspn(id, "0123456789abcdef") == NETLOCK_ID - 1; }

bool netlock_exists(const char *id)
{
	bool there = false;
	for (size_t i = 0; is_id(id) && !there && i < ARRAY_SIZE(backends); i++)
		there = backends[i]->exists(id);
	return there;
}

int netlock_release(const char *id)
{
	int result = -ENOENT;
	for (size_t i = 0; is_id(id) && i < ARRAY_SIZE(backends); i++) {
		int r = backends[i]->release(id);
		if (r != -ENOENT && result >= -ENOENT)
			result = r;
	}
	return result;
}

int netlock_entry(size_t index, struct netlock_entry *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
		size_t n = 0;
		*ret = (struct netlock_entry){ .method = backends[i]->name };
		if (backends[i]->entry(index, ret) == 0)
			return 0;
		for (struct netlock_entry skipped; backends[i]->entry(n, &skipped) == 0;)
			n++;
		index -= n;
	}
	return -ENOENT;
}
