// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the order of a collection: facts from the best source, then the objects of the spine, then the resources. */
#include "collect/collect_internal.h"
#include "collect/ahead.h"
#include "arch/arch.h"
#include "base/heap.h"
#include "diag/diag.h"
#include "infect/ask.h"
#include <sys/utsname.h>

static int collect_host(struct collector *c)
{
	struct object *o = graph_add(c->graph, &kind_host, 1);
	if (!o)
		return fail_memory();
	Ckpt__Host *host = o->data;
	struct utsname uts;
	uname(&uts);
	SET(host, realtime, (u64)collector_clock(c, CLOCK_REALTIME));
	SET(host, monotonic, (u64)collector_clock(c, CLOCK_MONOTONIC));
	SET(host, monotonic_raw, (u64)collector_clock(c, CLOCK_MONOTONIC_RAW));
	SET(host, monotonic_coarse, (u64)collector_clock(c, CLOCK_MONOTONIC_COARSE));
	SET(host, boottime, (u64)collector_clock(c, CLOCK_BOOTTIME));
	SET(host, page_size, PAGE_BYTES);
	if (c->config->live)
		SET(host, live, true);
	SET(host, root_pid, (u32)c->tree->processes.v[0].pid);
	bool done = message_set_string(&host->arch, arch_name()) && message_set_string(&host->kernel, uts.release) &&
		    message_set_string(&host->ckpt, CKPT_VERSION);
	return done ? 0 : fail_memory();
}

static void drop_bpf(struct collector *c)
{
	if (c->bpf != c->config->bpf)
		bpf_close(c->bpf);
	c->bpf = NULL;
}

/* What eBPF did not tell to its end is asked elsewhere. */
static int ask_bpf(struct collector *c, enum bpf_effort effort)
{
	int err = 0, r = 0;
	drop_bpf(c);
	if (c->config->bpf && effort == c->config->effort)
		c->bpf = bpf_await(c->config->bpf) < 0 ? NULL : c->config->bpf;
	else if (!c->config->no_bpf)
		c->bpf = bpf_open(c->config->caps, effort, &err);
	if (c->bpf)
		r = bpf_tasks(c->bpf, &c->facts, c->tree);
	if (r < 0) {
		drop_bpf(c);
		c->facts.have_sighands = c->facts.have_timers = false;
		c->facts.sighands.n = c->facts.timers.n = 0;
	}
	return r == -ENOMEM ? fail_memory() : 0;
}

/* Does a fact of a thread need more than /proc and ptrace? */
static bool is_missing(const struct collector *c, u64 groups)
{
	for (size_t i = 0; i < c->facts.tasks.n; i++)
		if (c->facts.tasks.v[i].state != 'Z' && (c->facts.tasks.v[i].known & groups) != groups)
			return true;
	return !c->facts.have_sighands || !c->facts.have_timers;
}

/* May code be run in the processes of the tree? Where the kernel leaves no room for it, they are not even looked at. */
static bool may_hijack(const struct collector *c)
{
	const struct cap_state *room = &c->config->caps->state[CAN_VDSO_ROOM];
	if (c->config->live || c->config->no_hijack)
		return false;
	if (room->answer == CAP_NO)
		(void)warn(HIJACK_REFUSED, 0, "%s: %s", caps_row(CAN_VDSO_ROOM)->interface, room->note);
	return room->answer != CAP_NO;
}

/* Runs code in the processes of a tree where eBPF does not answer. What a process refuses stays unknown, and is judged. */
static int ask_tree(struct collector *c)
{
	size_t at = 0;
	bool want_timers = !c->facts.have_timers, want_actions = !c->facts.have_sighands;
	c->homes.n = 0; /* they come home anew */
	for (size_t i = 0; i < c->tree->processes.n; i++) {
		struct tree_process *p = &c->tree->processes.v[i];
		struct record_task *tasks = &c->facts.tasks.v[at];
		at += p->threads.n;
		if (p->state == 'Z')
			continue;
		struct record_sighand *sighand = want_actions ? vector_add(&c->facts.sighands) : NULL;
		struct ask ask = { .process = p, .tasks = tasks, .sighand = sighand, .want_timers = want_timers };
		if (want_actions && !sighand)
			return fail_memory();
		int r = ask_process(&ask);
		for (size_t k = 0; r == 0 && k < ask.timer_count; k++) {
			struct record_timer *timer = vector_add(&c->facts.timers);
			if (timer)
				*timer = ask.timers[k];
			r = timer ? 0 : fail_memory();
		}
		free(ask.timers);
		if (r == -ENOMEM)
			return r;
		if (r == 0)
			continue;
		if (want_actions)
			c->facts.sighands.n--;
		want_timers = false;
	}
	c->facts.have_sighands = true;
	c->facts.have_timers |= want_timers;
	return 0;
}

/* Of so many /proc takes longer than a program takes to load from the cache, and than it takes to load at all: a mapping is
 * five microseconds of /proc, a descriptor ten, and either is less than one of eBPF. */
#define MANY 500
#define VERY_MANY 5000

static size_t leaders_sum(const struct collector *c, u64 known, size_t field)
{
	size_t sum = 0;
	for (size_t i = 0; i < c->facts.tasks.n; i++) {
		const struct record_task *t = &c->facts.tasks.v[i];
		if (facts_leads(&c->facts, i) && t->known & known)
			sum += *(const u32 *)((const char *)t + field);
	}
	return sum;
}

/* The kernel's iterators take each thread that does not share the leader's table for one with a table of its own
 * (task_seq_get_next()): where the leader has ended these are all. */
static bool has_ended_leader(const struct tree *tree)
{
	for (size_t i = 0; i < tree->processes.n; i++)
		if (tree->processes.v[i].leader_ended)
			return true;
	return false;
}

/* What does not answer is asked from /proc. */
static bool ask_many(struct collector *c, size_t count, int (*ask)(struct bpf_source *, struct facts *, struct tree *))
{
	int err;
	if (!c->bpf || count < MANY || has_ended_leader(c->tree))
		return false;
	if (ask(c->bpf, &c->facts, c->tree) == 0)
		return true;
	if (count < VERY_MANY || c->config->effort == BPF_COLD)
		return false;
	_cleanup_bpf_ struct bpf_source *cold = bpf_open(c->config->caps, BPF_COLD, &err);
	return cold && ask(cold, &c->facts, c->tree) == 0;
}

static size_t count_vmas(const struct collector *c)
{
	return leaders_sum(c, KNOWN_MM_EXTRA, offsetof(struct record_task, map_count));
}

static size_t count_files(const struct collector *c)
{
	return leaders_sum(c, KNOWN_IDENTITY, offsetof(struct record_task, max_fds));
}

/* Bytes of the heap for one of them: as the source tells it, as a record, in the model. */
#define HEAP_PER_TASK 8192
#define HEAP_PER_VMA 1024
#define HEAP_PER_FILE 1536

static void expect_heap(const struct collector *c)
{
	heap_expect(c->facts.tasks.n * HEAP_PER_TASK + count_vmas(c) * HEAP_PER_VMA + count_files(c) * HEAP_PER_FILE);
}

static int ask_vmas(struct collector *c)
{
	size_t count = count_vmas(c);
	if (c->bpf && bpf_is_pinned(c->bpf))
		count = MAX(count, (size_t)MANY); /* a program that is there already is faster in any case */
	return ask_many(c, count, bpf_vmas) ? 0 : proc_vmas(&c->facts, c->tree, c->smaps);
}

static int ask_files(struct collector *c)
{
	return ask_many(c, count_files(c), bpf_files) ? 0 : proc_files(&c->facts, c->tree);
}

#define NEEDED (KNOWN_ALTSTACK | KNOWN_CLEAR_TID | KNOWN_MM_BRK | KNOWN_ITIMERS | KNOWN_PRCTL | KNOWN_RSEQ)

/* Threads do not tell what they share: without kcmp(2) only eBPF does. */
static bool has_told(const struct collector *c)
{
	return c->config->told && c->config->told->tasks.n == c->facts.tasks.n && !caps_lacks(c->config->caps, CAN_KCMP);
}

static int take_told(struct collector *c)
{
	const struct told *told = c->config->told;
	int r = 0;
	for (size_t i = 0; r == 0 && i < told->tasks.n; i++)
		r = facts_merge_task(&c->facts, &told->tasks.v[i]);
	for (size_t i = 0; r == 0 && i < told->sighands.n; i++) {
		struct record_sighand *place = vector_add(&c->facts.sighands);
		if (place)
			*place = told->sighands.v[i];
		r = place ? 0 : -ENOMEM;
	}
	c->facts.have_sighands = c->facts.have_timers = true;
	return r < 0 ? fail_memory() : 0;
}

/* Before Linux 6.3 a process cannot tell what it is registered for at membarrier(2), nor before 6.4 anybody its dispatch of system
 * calls: both are missed together. */
static bool told_all(const struct collector *c)
{
	for (size_t i = 0; i < c->facts.tasks.n; i++) {
		const struct record_task *t = &c->facts.tasks.v[i];
		if (facts_leads(&c->facts, i) && t->state != 'Z' && !(t->known & KNOWN_MEMBARRIER))
			return false;
	}
	return true;
}

static int collect_facts(struct collector *c)
{
	if (facts_begin(&c->facts, c->tree) < 0)
		return fail_memory();
	bool maps_at_hand = c->config->live || (c->config->bpf && bpf_is_pinned(c->config->bpf));
	if (!maps_at_hand && !c->config->alone)
		c->smaps = smaps_ahead(c->tree);
	int r = c->config->live ? 0 : collect_homes(c);
	if (r == 0 && has_told(c))
		r = take_told(c);
	if (r == 0 && (!has_told(c) || !told_all(c)))
		r = ask_bpf(c, c->config->effort);
	if (r == 0)
		r = proc_tasks(&c->facts, c->tree);
	if (r == 0 && !c->config->live)
		r = collect_ptrace(c);
	/* the price of a cold load is paid for facts that nothing else can tell */
	if (r == 0 && c->config->effort != BPF_COLD && is_missing(c, NEEDED))
		r = ask_bpf(c, BPF_COLD);
	if (r == 0)
		collect_hand_rseq(c);
	if (r == 0 && is_missing(c, NEEDED) && may_hijack(c)) {
		smaps_ahead_await(c->smaps); /* who runs code in a process maps some memory there for a moment */
		r = ask_tree(c);
	}
	if (r == 0 && !c->config->live)
		collect_tunables(c);
	if (r == 0)
		expect_heap(c);
	return r == 0 ? ask_files(c) : r;
}

/* As late as can be: their text is on its way since the begin. */
static int collect_mappings(struct collector *c)
{
	int r = ask_vmas(c);
	if (r == 0 && c->config->live)
		collect_anons(c);
	return r == 0 ? collect_memory(c) : r;
}

static const struct record_task *leader_of(struct collector *c, const struct tree_process *p, size_t *at)
{
	const struct record_task *t = &c->facts.tasks.v[*at];
	*at += p->threads.n;
	return t;
}

int collect_survive(struct collector *c, size_t mark, int r)
{
	if (r >= 0 || r == -ENOMEM || !c->config->live)
		return r;
	diag_survived(mark);
	return 0;
}

static int collect_object(struct collector *c, const struct resource *resource, const struct record_task *t, u32 id)
{
	struct object *o = graph_add(c->graph, resource->kind, id);
	if (!o)
		return fail_memory();
	size_t mark = diag_mark();
	return collect_survive(c, mark, resource->collect(c, &(struct subject){ .task = t }, o));
}

int collect_resources(struct collector *c, enum scope scope)
{
	for (const struct resource *const *r = c->config->resources; *r; r++) {
		size_t at = 0;
		for (size_t i = 0; (*r)->scope == scope && i < c->tree->processes.n; i++) {
			const struct tree_process *p = &c->tree->processes.v[i];
			const struct record_task *t = leader_of(c, p, &at);
			if (p->state == 'Z')
				continue;
			WORKING_ON_TASK(p->pid);
			int err = scope == SCOPE_TASK ? collect_object(c, *r, t, t->tgid) : 0;
			for (size_t k = 0; err == 0 && scope == SCOPE_THREAD && k < p->threads.n; k++) {
				WORKING_ON_THREAD(t[k].tid);
				err = collect_object(c, *r, &t[k], t[k].tid);
			}
			if (err < 0)
				return err;
		}
	}
	return 0;
}

static int settle(struct collector *c)
{
	int r = 0;
	for (const struct resource *const *resource = c->config->resources; *resource; resource++)
		for (struct object *o = NULL;
		     (*resource)->settle && r == 0 && (o = graph_next(c->graph, (*resource)->kind, o));) {
			size_t mark = diag_mark();
			r = collect_survive(c, mark, (*resource)->settle(c, o));
		}
	return r;
}

void collector_free(struct collector *c)
{
	smaps_ahead_end(c->smaps);
	for (size_t i = 0; i < c->own_fds.n; i++)
		close(c->own_fds.v[i]);
	vector_free(&c->own_fds);
	for (size_t i = 0; i < c->own_tables.n; i++)
		close(c->own_tables.v[i].proc);
	vector_free(&c->own_tables);
	vector_free(&c->homes);
	connections_free(&c->connections);
	vector_free(&c->known_files);
	map_free(&c->by_identity);
	map_free(&c->by_inode);
	map_free(&c->by_order);
	map_free(&c->by_link);
	map_free(&c->by_dentry);
	text_free(&c->links);
	map_free(&c->stat_of);
	vector_free(&c->stats);
	map_free(&c->remembered);
	netlink_unix_free(&c->unix_sockets);
	map_free(&c->by_mapped);
	drop_bpf(c);
	map_free(&c->anons);
	map_free(&c->vdsos);
	map_free(&c->outside);
	map_free(&c->sighand_of);
	text_free(&c->maps);
	vector_free(&c->locks);
	text_free(&c->mounts);
	facts_free(&c->facts);
	facts_free(&c->asked);
}

int collect(struct graph *ret, struct tree *tree, const struct collect_config *config)
{
	_cleanup_(collector_free) struct collector c = { .config = config, .tree = tree, .graph = ret };
	int r = collect_rings(&c);
	if (r == 0)
		r = collect_facts(&c);
	if (r == 0)
		r = collect_clocks(&c);
	if (r == 0)
		r = collect_host(&c);
	if (r == 0)
		r = collect_tasks(&c);
	if (r == 0)
		r = collect_sharing(&c);
	if (r == 0)
		r = collect_files(&c);
	if (r == 0)
		r = collect_mappings(&c);
	if (r == 0)
		r = collect_resources(&c, SCOPE_TASK);
	if (r == 0)
		r = collect_resources(&c, SCOPE_THREAD);
	if (r == 0)
		r = settle(&c);
	if (r == 0)
		graph_sort(ret);
	return r;
}

const struct caps *collector_caps(const struct collector *c) { return c->config->caps; }
struct graph *collector_graph(struct collector *c) { return c->graph; }
u32 collector_recall(const struct collector *c, u64 key) { return map_get(&c->remembered, key); }
int collector_remember(struct collector *c, u64 key, u32 number) { return map_set(&c->remembered, key, number); }
bool collector_once(struct collector *c, u64 key, bool (*ask)(const void *arg), const void *arg)
{
	enum { NOT_ASKED, YES, NO };
	u32 answer = collector_recall(c, key);
	if (answer == NOT_ASKED) {
		answer = ask(arg) ? YES : NO;
		(void)collector_remember(c, key, answer); /* else it is asked again */
	}
	return answer == YES;
}

bool collector_live(const struct collector *c) { return c->config->live; }
bool collector_storing(const struct collector *c) { return c->config->memory; }
int collector_unix(struct collector *c, u64 inode, struct unix_diag *ret)
{
	if (caps_lacks(c->config->caps, CAN_UNIX_DIAG) || caps_lacks(c->config->caps, CAN_SOCK_DIAG))
		return -EOPNOTSUPP;
	return netlink_unix_ask(&c->unix_sockets, inode, ret);
}

struct netlock *collector_netlock(const struct collector *c) { return c->config->lock; }

enum policy_choice collector_policy(const struct collector *c, enum policy_id id)
{
	static const struct policies defaults;
	return policy_of(c->config->policies ?: &defaults, id);
}

const struct cgroup_roots *collector_cgroup_roots(const struct collector *c) { return c->config->cgroup_roots; }
bool collector_external(const struct collector *c) { return c->config->external; }
u64 collector_ghost_limit(const struct collector *c) { return c->config->ghost_limit ?: GHOST_LIMIT; }

int collector_proc(struct collector *c, u32 pid)
{
	struct tree_process *p = tree_find(c->tree, (pid_t)pid);
	for (size_t i = 0; !p && i < c->own_tables.n; i++)
		if (c->own_tables.v[i].tid == pid)
			return c->own_tables.v[i].proc;
	return p ? p->proc : -ESRCH;
}

int collector_run(struct collector *c, u32 pid, struct hijack_call *calls, size_t count, void *data, size_t room)
{
	struct tree_process *p = tree_find(c->tree, (pid_t)pid);
	return p && may_hijack(c) ? hijack_run(p, 0, calls, count, data, room) : -EPERM;
}

/* The source of the collection has not answered (r): a new one, which is loaded whatever that takes. NULL: r says why not. */
static struct bpf_source *ask_cold(struct collector *c, int *r)
{
	return c->config->no_bpf ? NULL : bpf_open(c->config->caps, BPF_COLD, r);
}

int collector_aio(struct collector *c, u32 pid, u64 address, struct record_aio *ret)
{
	int r = c->bpf ? bpf_aio(c->bpf, pid, address, ret) : -EOPNOTSUPP;
	_cleanup_bpf_ struct bpf_source *cold = r >= 0 ? NULL : ask_cold(c, &r);
	return cold ? bpf_aio(cold, pid, address, ret) : r;
}

int collector_undo(struct collector *c, u32 pid, u64 list, u32 number, u32 first, struct record_undo *ret)
{
	int r = c->bpf ? bpf_undo(c->bpf, pid, list, number, first, ret) : -EOPNOTSUPP;
	_cleanup_bpf_ struct bpf_source *cold = r >= 0 ? NULL : ask_cold(c, &r);
	return cold ? bpf_undo(cold, pid, list, number, first, ret) : r;
}

int collector_uring(struct collector *c, struct record_uring *ret)
{
	const struct record_file *f = c->current->record;
	if (f->table != f->tgid) /* the program looks it up in the leader's table */
		return -EOPNOTSUPP;
	int r = c->bpf ? bpf_uring(c->bpf, f->tgid, f->fd, ret) : -EOPNOTSUPP;
	_cleanup_bpf_ struct bpf_source *cold = r >= 0 ? NULL : ask_cold(c, &r);
	return cold ? bpf_uring(cold, f->tgid, f->fd, ret) : r;
}

int collector_uring_slots(struct collector *c, u32 first, struct record_uring_slots *ret)
{
	const struct record_file *f = c->current->record;
	int r = c->bpf ? bpf_uring_slots(c->bpf, f->tgid, f->fd, first, ret) : -EOPNOTSUPP;
	_cleanup_bpf_ struct bpf_source *cold = r >= 0 ? NULL : ask_cold(c, &r);
	return cold ? bpf_uring_slots(cold, f->tgid, f->fd, first, ret) : r;
}

int collector_tty(struct collector *c, int master, struct terminal_queues *ret)
{
	u32 self = (u32)getpid(), fd = (u32)master;
	int r = c->bpf ? bpf_tty(c->bpf, self, fd, ret) : -EOPNOTSUPP;
	_cleanup_bpf_ struct bpf_source *cold = r >= 0 || r == -EAGAIN ? NULL : ask_cold(c, &r);
	return cold ? bpf_tty(cold, self, fd, ret) : r;
}

int collector_links(struct collector *c, u32 *ret)
{
	u32 self = (u32)getpid();
	int fd = collector_fd(c);
	if (fd < 0)
		return fd;
	int r = c->bpf ? bpf_links(c->bpf, self, (u32)fd, ret) : -EOPNOTSUPP;
	_cleanup_bpf_ struct bpf_source *cold = r >= 0 ? NULL : ask_cold(c, &r);
	return cold ? bpf_links(cold, self, (u32)fd, ret) : r;
}

int collector_packet(struct collector *c, struct record_packet *ret)
{
	const struct record_file *f = c->current->record;
	if (f->table != f->tgid) /* the program looks it up in the leader's table */
		return -EOPNOTSUPP;
	int r = c->bpf ? bpf_packet(c->bpf, f->tgid, f->fd, ret) : -EOPNOTSUPP;
	_cleanup_bpf_ struct bpf_source *cold = r >= 0 ? NULL : ask_cold(c, &r);
	return cold ? bpf_packet(cold, f->tgid, f->fd, ret) : r;
}

const struct record_sighand *collector_sighand(struct collector *c, u32 tgid)
{
	for (u32 i = c->sighand_of.n; i < c->facts.sighands.n; i++)
		if (map_set(&c->sighand_of, c->facts.sighands.v[i].tgid, i + 1) < 0)
			return NULL;
	u32 at = map_get(&c->sighand_of, tgid);
	return at ? &c->facts.sighands.v[at - 1] : NULL;
}

const struct record_timer *collector_timers(struct collector *c, u32 tgid, size_t *ret_count)
{
	size_t first = 0, n = 0;
	while (first < c->facts.timers.n && c->facts.timers.v[first].tgid != tgid)
		first++;
	while (first + n < c->facts.timers.n && c->facts.timers.v[first + n].tgid == tgid)
		n++;
	static const struct record_timer none;
	*ret_count = n;
	return !c->facts.have_timers ? NULL : n ? c->facts.timers.v + first : &none;
}
