// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns which nodes memory comes from: policies of threads (set_mempolicy(2)) and of mappings (mbind(2)). The kernel shows both in one
 * list: a mapping without a policy of its own is shown with that of the thread whose list it is. */
#include "base/file.h"
#include "base/ranges.h"
#include "collect/collect.h"
#include "diag/diag.h"
#include "model/kinds.h"
#include "model/shape.h"
#include "numa.pb-c.h"
#include "plan/plan.h"
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <sys/auxv.h>
#include <sys/syscall.h>

#ifndef MPOL_PREFERRED_MANY
#define MPOL_PREFERRED_MANY 5 /* Linux 5.15 */
#endif
#ifndef MPOL_F_NUMA_BALANCING
#define MPOL_F_NUMA_BALANCING (1 << 13) /* Linux 5.12 */
#endif
#define MPOL_WEIGHTED_INTERLEAVE_6_9 6
#define NODES 1024           /* no kernel has more: CONFIG_NODES_SHIFT */
#define MAX_NODE (NODES + 1) /* as the calls count: they take one off */
#define ONLINE "/sys/devices/system/node/online"
#define NO_POLICY "default"

static const struct kind kind_numa = { .name = "numa", .desc = &ckpt__numa__descriptor };

/* --- policies as text: mpol_to_str() of mm/mempolicy.c --- */

struct policy {
	int mode; /* MPOL_*, with its flags */
	u64 nodes[NODES / 64];
};

/* Longer names first. */
static const struct {
	const char *name;
	int mode;
} modes[] = {
	{ "default", MPOL_DEFAULT },       { "prefer (many)", MPOL_PREFERRED_MANY },
	{ "prefer", MPOL_PREFERRED },      { "bind", MPOL_BIND },
	{ "interleave", MPOL_INTERLEAVE }, { "weighted interleave", MPOL_WEIGHTED_INTERLEAVE_6_9 },
	{ "local", MPOL_LOCAL },
};
static const struct {
	const char *name;
	int flag;
} flags[] = {
	{ "static", MPOL_F_STATIC_NODES },
	{ "relative", MPOL_F_RELATIVE_NODES },
	{ "balancing", MPOL_F_NUMA_BALANCING },
};

static const char *skip_word(const char *at, const char *word)
{
	size_t len = strlen(word);
	return strncmp(at, word, len) ? NULL : at + len;
}

/* "=static|balancing"; nothing behind the sign: a flag that this kernel does not name, which is the newest. */
static const char *parse_flags(const char *at, int *ret)
{
	if (*at != '=')
		return at;
	at++;
	if (*at == ':')
		*ret |= MPOL_F_NUMA_BALANCING;
	for (const char *end = at; *at && *at != ':'; at = *end == '|' ? end + 1 : end) {
		end = NULL;
		for (size_t i = 0; i < ARRAY_SIZE(flags) && !end; i++)
			if ((end = skip_word(at, flags[i].name)))
				*ret |= flags[i].flag;
		if (!end)
			return NULL;
	}
	return at;
}

/* ":0-1,3" */
static const char *parse_nodes(const char *at, u64 *nodes) { return *at == ':' ? ranges_parse(at + 1, nodes, NODES) : at; }

/* What stands behind the policy; NULL: it is none. */
static const char *parse_policy(const char *text, struct policy *ret)
{
	const char *at = NULL;
	*ret = (struct policy){ 0 };
	for (size_t i = 0; i < ARRAY_SIZE(modes) && !at; i++)
		if ((at = skip_word(text, modes[i].name)))
			ret->mode = modes[i].mode;
	at = at ? parse_flags(at, &ret->mode) : NULL;
	return at ? parse_nodes(at, ret->nodes) : NULL;
}

static bool is_policy(const char *text, struct policy *ret)
{
	const char *end = text ? parse_policy(text, ret) : NULL;
	return end && !*end;
}

/* --- collect --- */

/* One line: "7f52c8000000 bind:0 anon=3 ...". Gives the policy's text, and moves behind the line. */
static const char *next_line(const char **at, u64 *ret_start, size_t *ret_len)
{
	char *name;
	struct policy unused;
	*ret_start = strtoull(*at, &name, 16);
	name += *name == ' ';
	const char *end = parse_policy(name, &unused), *line = strchr(name, '\n');
	*ret_len = end ? (size_t)(end - name) : 0;
	*at = line ? line + 1 : name + strlen(name);
	return end ? name : NULL;
}

static const struct vma *mapping_at(const struct object *vmas, u64 start)
{
	const struct vma *v = vmas ? vmas->data : NULL;
	for (u32 i = 0; vmas && i < vmas->count; i++)
		if (v[i].start <= start && start < v[i].end)
			return &v[i];
	return NULL;
}

/* Nobody gives policies to what the kernel has mapped. ckpt, which has no list of its mappings, knows where its vDSO is. */
static bool shows_thread(const struct object *vmas, u64 start)
{
	const struct vma *v = mapping_at(vmas, start);
	return vmas ? v && v->flags & VMA_SPECIAL : start == getauxval(AT_SYSINFO_EHDR);
}

static bool is_same(const char *text, size_t len, const char *policy) { return !strncmp(text, policy, len) && !policy[len]; }

/* Of a process that has unmapped all that the kernel has mapped the first mapping must do. */
static int take_policy(Ckpt__Numa *m, const struct object *vmas, const char *list)
{
	const char *policy = NULL;
	size_t len = 0, other_len;
	u64 start = 0;
	for (bool found = false; *list && !found;) {
		const char *other = next_line(&list, &start, &other_len);
		found = other && shows_thread(vmas, start);
		if (found || !policy)
			policy = other, len = other_len;
	}
	_cleanup_free_ char *text = policy ? strndup(policy, len) : NULL;
	return !policy || (text && message_set_string(&m->policy, text)) ? 0 : fail_memory();
}

static int add_range(Ckpt__Numa *m, const struct vma *v, const char *policy, size_t len)
{
	Ckpt__NumaRange *range = MESSAGE_NEW(Ckpt__NumaRange, ckpt__numa_range);
	_cleanup_free_ char *text = strndup(policy, len);
	if (!range || !MESSAGE_APPEND(&m->n_range, &m->range, range))
		return free(range), fail_memory();
	SET(range, start, v->start);
	SET(range, end, v->end);
	return text && message_set_string(&range->policy, text) ? 0 : fail_memory();
}

static int take_ranges(Ckpt__Numa *m, const struct object *vmas, const char *list)
{
	size_t len;
	u64 start;
	while (*list) {
		const char *policy = next_line(&list, &start, &len);
		const struct vma *v = policy ? mapping_at(vmas, start) : NULL;
		if (!v || v->start != start || is_same(policy, len, m->policy))
			continue;
		int err = add_range(m, v, policy, len);
		if (err < 0)
			return err;
	}
	return 0;
}

/* Where all memory is of one node a policy of a mapping means nothing: it is looked for when its thread has one. */
static bool has_many_nodes(void)
{
	_cleanup_text_ struct text online = { 0 };
	return file_read_once(AT_FDCWD, ONLINE, &online) == 0 && online.data && strpbrk(online.data, "-,");
}

static bool is_looked_for(struct collector *c, const struct record_task *t, const struct object *vmas)
{
	enum { ONE = 1, MANY };
	u64 key = map_mix(map_mix(0, 'n'), 'u');
	u32 nodes = collector_recall(c, key);
	if (t->has_mempolicy)
		return true;
	if (!vmas && t->known & KNOWN_NUMA) /* ckpt itself, which has no list of its mappings */
		return false;
	if (!nodes) {
		nodes = has_many_nodes() ? MANY : ONE;
		collector_remember(c, key, nodes);
	}
	return nodes == MANY && t->tid == shape_first(collector_graph(c), t->tgid);
}

static int numa_collect(struct collector *c, const struct subject *subject, struct object *object)
{
	const struct record_task *t = subject->task;
	Ckpt__Numa *m = object->data;
	const Ckpt__Task *task = graph_data(collector_graph(c), &kind_task, t->tgid);
	const struct object *vmas = task ? graph_find(collector_graph(c), &kind_vmas, task->mm) : NULL;
	_cleanup_text_ struct text list = { 0 };
	if (t->known & KNOWN_NUMA && !t->has_mempolicy && !message_set_string(&m->policy, NO_POLICY))
		return fail_memory();
	if (!is_looked_for(c, t, vmas))
		return 0;
	int proc = collector_proc(c, t->tgid);
	int err = proc < 0 ? proc : file_readf(&list, proc, "task/%u/numa_maps", t->tid);
	if (err < 0 || !list.data) /* no CONFIG_NUMA */
		return err == -ENOENT ? 0 : fail(PROC_READ, err, "/proc/%u/task/%u/numa_maps", t->tgid, t->tid);
	if (!m->policy)
		err = take_policy(m, vmas, list.data);
	bool owns = task && task->mm == t->tgid && t->tid == task->tid[0];
	return err < 0 || !owns || !m->policy ? err : take_ranges(m, vmas, list.data);
}

/* --- judge --- */

/* get_mempolicy(2): the nodes that ckpt may use. */
#define MEMS_ALLOWED (1 << 2)

static int judge_policy(const char *text)
{
	struct policy p, allowed = { 0 };
	if (!is_policy(text, &p))
		return fail(IMAGE_VALUE, 0, "memory policy '%s'", text ?: "");
	if (p.mode == MPOL_DEFAULT)
		return 0;
	if (syscall(SYS_get_mempolicy, NULL, allowed.nodes, (unsigned long)NODES, NULL, (unsigned long)MEMS_ALLOWED) < 0)
		return fail(NUMA_NODES, neg_errno(), "'%s'", text);
	for (size_t i = 0; i < ARRAY_SIZE(p.nodes); i++)
		if (p.nodes[i] & ~allowed.nodes[i])
			return fail(NUMA_NODES, 0, "'%s'", text);
	return 0;
}

static int numa_judge(const struct graph *graph _unused_, const struct object *object, enum direction direction)
{
	const Ckpt__Numa *m = object->data;
	int err = 0;
	WORKING_ON_THREAD(object->id);
	if (direction == DIRECTION_DUMP)
		return 0;
	if (m->policy)
		err = judge_policy(m->policy);
	for (size_t i = 0; i < m->n_range; i++) {
		const Ckpt__NumaRange *r = m->range[i];
		if (r->start >= r->end || (r->start | r->end) & (PAGE_BYTES - 1))
			err = fail(IMAGE_VALUE, 0, "a memory policy of %llx-%llx", (unsigned long long)r->start,
				   (unsigned long long)r->end);
		if (judge_policy(r->policy) < 0)
			err = -EINVAL;
	}
	return err;
}

static int numa_choose(const struct graph *graph _unused_, struct object *object, const struct policies *policies)
{
	Ckpt__Numa *m = object->data;
	if (policy_of(policies, POLICY_NUMA) != POLICY_DROP)
		return 0;
	for (size_t i = 0; i < m->n_range; i++)
		ckpt__numa_range__free_unpacked(m->range[i], NULL);
	m->n_range = 0;
	return !m->policy || message_set_string(&m->policy, NO_POLICY) ? 0 : fail_memory();
}

/* --- plan --- */

static struct arg nodes_of(struct plan *plan, const struct policy *p)
{
	return p->mode == MPOL_DEFAULT ? ARG(0) : ARG_OF_DATA(plan_data(plan, p->nodes, sizeof p->nodes, 8));
}

static void plan_range(struct plan *plan, u32 pid, const Ckpt__NumaRange *r, const char *policy)
{
	struct policy p;
	if (is_policy(policy, &p))
		plan_call(plan, AT(pid, STAGE_MAP), SYS_mbind, ARG(r->start), ARG(r->end - r->start), ARG(p.mode),
			  nodes_of(plan, &p), ARG(p.mode == MPOL_DEFAULT ? 0 : MAX_NODE), ARG(0));
}

/* A child begins with its parent's mappings, and what of them it has kept has their policies. */
static void plan_ranges(struct plan *plan, const struct graph *graph, const Ckpt__Task *task, const Ckpt__Numa *m)
{
	const Ckpt__Numa *parent = graph_data(graph, &kind_numa, task->ppid);
	const struct object *vmas = graph_find(graph, &kind_vmas, task->mm);
	for (size_t i = 0; parent && i < parent->n_range; i++)
		if (mapping_at(vmas, parent->range[i]->start))
			step_any(plan_call(plan, AT(task->pid, STAGE_MAP), SYS_mbind, ARG(parent->range[i]->start),
					   ARG(parent->range[i]->end - parent->range[i]->start), ARG(MPOL_DEFAULT)));
	for (size_t i = 0; i < m->n_range; i++)
		plan_range(plan, task->pid, m->range[i], m->range[i]->policy);
}

/* Pages are there before: they stay where they are, as after set_mempolicy(2) itself. */
static int numa_plan(struct plan *plan, const struct graph *graph, const struct object *object)
{
	const Ckpt__Numa *m = object->data;
	const Ckpt__Task *task = graph_data(graph, &kind_task, object->id);
	struct policy p;
	plan_for(plan, "memory policies of thread %u", object->id);
	if (task && task->mm == task->pid)
		plan_ranges(plan, graph, task, m);
	if (!m->policy || !is_policy(m->policy, &p))
		return 0;
	struct plan_step *step = plan_call(plan, AT(object->id, STAGE_THREAD), SYS_set_mempolicy, ARG(p.mode),
					   nodes_of(plan, &p), ARG(p.mode == MPOL_DEFAULT ? 0 : MAX_NODE));
	if (p.mode == MPOL_DEFAULT) /* a kernel without CONFIG_NUMA has no other */
		step_any(step);
	return 0;
}

const struct resource resource_numa = {
	.name = "numa",
	.scope = SCOPE_THREAD,
	.kind = &kind_numa,
	.collect = numa_collect,
	.judge = numa_judge,
	.choose = numa_choose,
	.plan = numa_plan,
};
