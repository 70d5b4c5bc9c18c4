// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what an image asks of the rights of ckpt: ids, groups, capabilities and scheduling that only some may give. */
#include "base/file.h"
#include "creds.pb-c.h"
#include "diag/diag.h"
#include "model/reflect.h"
#include "model/shape.h"
#include "resource/registry.h"
#include "restore/restore.h"
#include "sched.pb-c.h"
#include "userns.pb-c.h"
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/resource.h>

struct rights {
	const struct graph *graph;
	const struct caps *caps;
	const Ckpt__Creds *own; /* of ckpt, here */
	s32 nice;               /* of ckpt */
	struct needed {
		const char *path;
		struct text text;
		bool read;
		int err;
	} uid_map, gid_map, setgroups; /* read where ids are others than those of ckpt */
};

static void rights_free(struct rights *r)
{
	text_free(&r->uid_map.text);
	text_free(&r->gid_map.text);
	text_free(&r->setgroups.text);
}

static const char *need(struct needed *file)
{
	if (!file->read)
		file->err = file_read(AT_FDCWD, file->path, &file->text);
	file->read = true;
	return file->err < 0 || !file->text.data ? "" : file->text.data;
}

static int rights_begin(struct rights *r, const struct graph *g, const struct survey *s)
{
	const struct object *own = graph_next(&s->self, resource_creds.kind, NULL);
	if (!own)
		return fail(SYSCALL, -ENOENT, "the credentials of ckpt");
	r->uid_map.path = "/proc/self/uid_map";
	r->gid_map.path = "/proc/self/gid_map";
	r->setgroups.path = "/proc/self/setgroups";
	r->graph = g;
	r->caps = s->caps;
	r->own = own->data;
	r->nice = getpriority(PRIO_PROCESS, 0);
	return 0;
}

/* user_namespaces(7): lines of the first id inside, the first outside, and how many. */
static bool is_mapped(struct needed *map, u32 id)
{
	unsigned inside, outside, count;
	for (const char *at = need(map); at && sscanf(at, "%u %u %u", &inside, &outside, &count) == 3;) {
		if (id - inside < count)
			return true;
		at = strchr(at, '\n');
		at = at ? at + 1 : NULL;
	}
	return false;
}

/* Is the id one of ckpt's three, or may any be taken that its user namespace has? */
static bool may_have(const struct rights *r, struct needed *map, u32 id, const u32 own[3])
{
	if (id == own[0] || id == own[1] || id == own[2])
		return true;
	return r->caps->state[CAN_SETUID].answer != CAP_NO && is_mapped(map, id);
}

static int judge_ids(struct rights *r, const Ckpt__Creds *m)
{
	const u32 uid[] = { m->uid, m->euid, m->suid, m->fsuid }, own_uid[] = { r->own->uid, r->own->euid, r->own->suid };
	const u32 gid[] = { m->gid, m->egid, m->sgid, m->fsgid }, own_gid[] = { r->own->gid, r->own->egid, r->own->sgid };
	for (size_t i = 0; i < ARRAY_SIZE(uid); i++) {
		if (!may_have(r, &r->uid_map, uid[i], own_uid))
			return fail(CREDS_IDS, 0, "user %u, ckpt is %u", uid[i], r->own->euid);
		if (!may_have(r, &r->gid_map, gid[i], own_gid))
			return fail(CREDS_IDS, 0, "group %u, ckpt is in %u", gid[i], r->own->egid);
	}
	return 0;
}

static bool same_groups(const Ckpt__Creds *a, const Ckpt__Creds *b)
{
	return a->n_group == b->n_group && (!a->n_group || !memcmp(a->group, b->group, a->n_group * sizeof *a->group));
}

static void list_groups(char *to, size_t room, const Ckpt__Creds *m)
{
	size_t used = (size_t)snprintf(to, room, "%s", m->n_group ? "" : "none");
	for (size_t i = 0; i < m->n_group && used < room; i++)
		used += (size_t)snprintf(to + used, room - used, "%s%u", i ? " " : "", m->group[i]);
}

static int judge_groups(struct rights *r, const Ckpt__Creds *m)
{
	char wanted[80], own[80];
	if (same_groups(m, r->own))
		return 0;
	bool may = r->caps->state[CAN_SETUID].answer != CAP_NO && !strncmp(need(&r->setgroups), "allow", 5);
	for (size_t i = 0; may && i < m->n_group; i++)
		may = is_mapped(&r->gid_map, m->group[i]);
	if (may)
		return 0;
	list_groups(wanted, sizeof wanted, m);
	list_groups(own, sizeof own, r->own);
	return fail(CREDS_GROUPS, 0, "it had %s, ckpt has %s", wanted, own);
}

/* One that lives in a user namespace of the tree has there what it had. */
static bool has_own_namespace(const struct rights *r, u32 tid)
{
	const Ckpt__Thread *thread = graph_data(r->graph, &kind_thread, tid);
	const Ckpt__Userns *m = thread ? graph_data(r->graph, resource_userns.kind, thread->pid) : NULL;
	return m && m->number;
}

/* Those that this kernel knows; a bounding set holds the future ones too. */
#define KNOWN_CAPS ((2ull << CAP_LAST_CAP) - 1)

static int judge_caps(const struct rights *r, const Ckpt__Creds *m)
{
	u64 permitted = m->permitted & ~r->own->permitted & KNOWN_CAPS, bounding = m->bounding & ~r->own->bounding & KNOWN_CAPS;
	if (permitted)
		return fail(CREDS_CAPS, 0, "0x%llx are permitted to it and not to ckpt", (unsigned long long)permitted);
	if (bounding)
		return fail(CREDS_CAPS, 0, "0x%llx are in its bounding set and not in that of ckpt",
			    (unsigned long long)bounding);
	return 0;
}

static u64 own_limit(int which)
{
	struct rlimit limit = { 0 };
	getrlimit((__rlimit_resource_t)which, &limit);
	return limit.rlim_cur;
}

/* sched(7), getrlimit(2): RLIMIT_NICE is 20 - nice, RLIMIT_RTPRIO the highest real-time priority. */
static int judge_scheduling(const struct rights *r, const Ckpt__Sched *m)
{
	bool realtime = m->policy && (!strcmp(m->policy, "fifo") || !strcmp(m->policy, "rr"));
	if (r->caps->state[CAN_SYS_NICE].answer != CAP_NO || !m->policy)
		return 0;
	if (!strcmp(m->policy, "deadline"))
		return fail(SCHED_RIGHT, 0, "policy deadline");
	if (realtime && m->priority > own_limit(RLIMIT_RTPRIO))
		return fail(SCHED_RIGHT, 0, "policy %s of priority %u", m->policy, m->priority);
	if (m->nice < r->nice && (u64)(20 - m->nice) > own_limit(RLIMIT_NICE))
		return fail(SCHED_RIGHT, 0, "nice %d, that of ckpt is %d", m->nice, r->nice);
	return 0;
}

int judge_rights(const struct graph *g, const struct survey *s)
{
	_cleanup_(rights_free) struct rights r = { 0 };
	int err = rights_begin(&r, g, s), bad = 0;
	for (struct object *o = NULL; err == 0 && (o = graph_next(g, resource_creds.kind, o));) {
		const Ckpt__Creds *m = o->data;
		WORKING_ON_THREAD(o->id);
		bad |= judge_ids(&r, m) < 0;
		bad |= judge_groups(&r, m) < 0;
		bad |= !has_own_namespace(&r, o->id) && judge_caps(&r, m) < 0;
	}
	for (struct object *o = NULL; err == 0 && (o = graph_next(g, resource_sched.kind, o));) {
		WORKING_ON_THREAD(o->id);
		bad |= judge_scheduling(&r, o->data) < 0;
	}
	int unread = MIN(MIN(r.uid_map.err, r.gid_map.err), r.setgroups.err);
	if (unread < 0)
		err = fail(SYSCALL, unread, "/proc/self/{uid_map,gid_map,setgroups}");
	return err < 0 ? err : bad ? -EINVAL : 0;
}

static int take_groups(Ckpt__Creds *m, const Ckpt__Creds *own)
{
	uint32_t *groups = calloc(MAX(own->n_group, (size_t)1), sizeof *groups);
	if (!groups)
		return fail_memory();
	if (own->n_group)
		memcpy(groups, own->group, own->n_group * sizeof *groups);
	free(m->group);
	m->group = groups;
	m->n_group = own->n_group;
	return 0;
}

int adapt_groups(struct graph *g, const struct survey *s)
{
	const struct object *own = graph_next(&s->self, resource_creds.kind, NULL);
	for (struct object *o = NULL; own && (o = graph_next(g, resource_creds.kind, o));) {
		char had[80];
		const Ckpt__Thread *thread = graph_data(g, &kind_thread, o->id);
		if (same_groups(o->data, own->data))
			continue;
		list_groups(had, sizeof had, o->data);
		WORKING_ON_THREAD(o->id);
		if (thread && shape_first(g, thread->pid) == thread->tid)
			note(GROUPS_OWN, "it had %s", had);
		if (take_groups(o->data, own->data) < 0)
			return -ENOMEM;
	}
	return 0;
}
