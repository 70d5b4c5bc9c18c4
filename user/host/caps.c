// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the capability table and its answers. */
#include "host/cache.h"
#include "host/probe.h"
#include <linux/capability.h>
#include <stdio.h>

static const struct cap_row rows[CAN_COUNT] = {
#define CAN(id, group, interface, since, config, privilege, lost, todo)                                                        \
	[CAN_##id] = { #id, group, interface, since, config, privilege, lost, todo },
#include "host/caps.def"
#undef CAN
};

const char *caps_btf(void) { return secure_getenv("CKPT_BTF") ?: KERNEL_BTF; }

const struct cap_row *caps_row(enum cap_id id) { return &rows[id]; }

enum cap_id caps_find(const char *id, size_t len)
{
	for (int i = 0; i < CAN_COUNT; i++)
		if (strlen(rows[i].id) == len && !memcmp(rows[i].id, id, len))
			return (enum cap_id)i;
	return CAN_NOTHING;
}

bool caps_disable_valid(const char *disable, char *ret_unknown, size_t room)
{
	for (const char *at = disable; at && *at;) {
		size_t len = strcspn(at, ", ");
		if (len && caps_find(at, len) == CAN_NOTHING) {
			snprintf(ret_unknown, room, "%.*s", (int)len, at);
			return false;
		}
		at += len;
		at += strspn(at, ", ");
	}
	return true;
}

static void disable_rows(struct caps *caps, const char *disable)
{
	for (const char *at = disable; at && *at;) {
		size_t len = strcspn(at, ", ");
		enum cap_id id = len ? caps_find(at, len) : CAN_NOTHING;
		if (id != CAN_NOTHING)
			caps->state[id] = (struct cap_state){ .answer = CAP_NO, .note = "disabled by CKPT_DISABLE" };
		at += len;
		at += strspn(at, ", ");
	}
}

static enum cap_tier tier_of(const struct host *host)
{
	bool admin = host_capable(host, CAP_SYS_ADMIN);
	if (admin && host_capable(host, CAP_SYS_PTRACE))
		return host->init_userns ? CAP_TIER_ROOT : CAP_TIER_NESTED;
	if ((admin || host_capable(host, CAP_CHECKPOINT_RESTORE)) && host_capable(host, CAP_SYS_PTRACE))
		return CAP_TIER_CHECKPOINT;
	return CAP_TIER_USER;
}

int caps_probe_all(struct caps *ret, const char *disable)
{
	char unknown[2];
	*ret = (struct caps){ 0 };
	if (!caps_disable_valid(disable, unknown, sizeof unknown))
		return -EINVAL;
	struct host host;
	host_open(&host);
	ret->tier = tier_of(&host);
	for (int i = 0; i < CAN_COUNT; i++)
		ret->state[i] = host_judge(&host, (enum cap_id)i);
	host_close(&host);
	disable_rows(ret, disable);
	return 0;
}

struct host *caps_host_new(void)
{
	struct host *host = malloc(sizeof *host);
	if (host)
		host_open(host);
	return host;
}

void caps_host_free(struct host *host)
{
	if (host)
		host_close(host);
	free(host);
}

struct cap_state caps_ask(struct host *shared, enum cap_id id)
{
	struct host own;
	if (shared)
		return host_judge(shared, id);
	host_open(&own);
	struct cap_state state = host_judge(&own, id);
	host_close(&own);
	return state;
}

int caps_load(struct caps *ret, const char *disable)
{
	char unknown[2];
	*ret = (struct caps){ 0 };
	if (!caps_disable_valid(disable, unknown, sizeof unknown))
		return -EINVAL;
	struct host host;
	struct cache_key key;
	host_open(&host);
	ret->tier = tier_of(&host);
	bool keyed = cache_key(&key, &host) == 0;
	if (keyed)
		cache_read(&key, host.known);
	for (int i = 0; i < CAN_COUNT; i++)
		if (probes[i].flags & LOAD)
			ret->state[i] = host_judge(&host, (enum cap_id)i);
	if (keyed && host.learned)
		cache_write(&key, host.known);
	host_close(&host);
	disable_rows(ret, disable);
	return 0;
}

void caps_again(struct caps *caps, const char *disable)
{
	struct host host;
	host_open(&host);
	caps->tier = tier_of(&host);
	for (int i = 0; i < CAN_COUNT; i++)
		if (caps->state[i].answer == CAP_NO && (caps->state[i].err == EPERM || caps->state[i].err == EACCES))
			caps->state[i] = host_judge(&host, (enum cap_id)i);
	host_close(&host);
	disable_rows(caps, disable);
}

bool caps_serves(const struct caps *caps, enum cap_id id)
{
	enum cap_id instead = probes[id].instead;
	return caps_has(caps, id) || (instead != CAN_NOTHING && caps_has(caps, instead));
}

bool caps_needed(enum cap_id id, enum cap_need need)
{
	return probes[id].flags & (need == CAP_FOR_DUMP ? NEED_DUMP : NEED_RESTORE);
}

enum cap_id caps_instead(enum cap_id id) { return probes[id].instead; }

const char *caps_tier_text(enum cap_tier tier)
{
	static const char *const texts[] = {
		[CAP_TIER_USER] = "ordinary user",
		[CAP_TIER_CHECKPOINT] = "CAP_CHECKPOINT_RESTORE and CAP_SYS_PTRACE",
		[CAP_TIER_NESTED] = "root of a user namespace",
		[CAP_TIER_ROOT] = "root",
	};
	return texts[tier];
}
