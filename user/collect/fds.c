// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns descriptor tables and the identity of open file descriptions. */
#include "base/file.h"
#include "collect/collect_internal.h"
#include "collect/proc_text.h"
#include "collect/socket.h"
#include "diag/diag.h"
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define KCMP_FILE 0
#define KCMP_EPOLL_TFD 7
#define PIDFD_OF_THREAD O_EXCL /* PIDFD_THREAD, Linux 6.9 */

static u64 key_of(const struct record_file *f) { return inode_key(f->dev_major, f->dev_minor, f->ino); }

/* A thread that has the descriptor table; 0: ckpt's. */
static pid_t holder(const struct collector *c, u32 table)
{
	const struct tree_process *p = table ? tree_find(c->tree, (pid_t)table) : NULL;
	return p ? tree_first(p) : table ? (pid_t)table : getpid();
}

/* How the known file lies to the one that the table has at fd: 0: the same, 1: before it, 2: behind it, or -errno. In a running tree
 * either may be gone: then any order is as good. */
static int order(const struct collector *c, const struct known_file *k, u32 table, int fd)
{
	bool lacks = caps_lacks(c->config->caps, CAN_KCMP);
	long r = lacks ? -1 : syscall(SYS_kcmp, holder(c, k->table), holder(c, table), KCMP_FILE, k->fd, fd);
	if (r < 0 && !c->config->live)
		return fail(SHARING_UNKNOWN, lacks ? -ENOSYS : neg_errno(), "kcmp with fd %d", k->fd);
	return r == 0 || r == 2 ? (int)r : 1;
}

/* Where a file without a known identity belongs in the tree of its inode: of the entry `above`, on that side. */
struct spot {
	u32 above, side;
};

static int find_in_order(struct collector *c, u64 key, u32 table, int fd, struct spot *ret_spot, u32 *ret_id)
{
	*ret_spot = (struct spot){ 0 };
	for (u32 i = map_get(&c->by_order, key); i;) {
		const struct known_file *k = &c->known_files.v[i - 1];
		int r = order(c, k, table, fd);
		if (r < 0)
			return r;
		if (r == 0) {
			*ret_id = k->id;
			return 0;
		}
		*ret_spot = (struct spot){ i, r == 1 };
		i = k->next[ret_spot->side];
	}
	return 0;
}

/* The file's id, 0 when it is new: then spot says where to remember it. */
static int find_known(struct collector *c, const struct record_file *f, u32 table, int fd, struct spot *ret_spot, u32 *ret_id)
{
	*ret_id = f->file_id ? map_get(&c->by_identity, f->file_id) : 0;
	if (*ret_id)
		return 0;
	int r = find_in_order(c, key_of(f), table, fd, ret_spot, ret_id); /* it may have been met in flight */
	u32 first = f->file_id ? 0 : map_get(&c->by_inode, key_of(f));
	for (u32 i = first; r == 0 && !*ret_id && i; i = c->known_files.v[i - 1].next[0]) {
		r = order(c, &c->known_files.v[i - 1], table, fd);
		if (r == 0)
			*ret_id = c->known_files.v[i - 1].id;
		r = MIN(r, 0);
	}
	return r;
}

static int remember(struct collector *c, const struct record_file *f, u32 table, int fd, struct spot spot, u32 id)
{
	u64 key = key_of(f);
	struct known_file *k = vector_add(&c->known_files);
	if (!k)
		return -ENOMEM;
	*k = (struct known_file){ .table = table, .fd = fd, .id = id, .mode = f->mode, .locks = f->locks };
	u32 index = (u32)c->known_files.n;
	if (f->file_id) {
		k->next[0] = map_get(&c->by_inode, key);
		int r = map_set(&c->by_inode, key, index);
		return r == 0 ? map_set(&c->by_identity, f->file_id, id) : r;
	}
	if (!spot.above)
		return map_set(&c->by_order, key, index);
	c->known_files.v[spot.above - 1].next[spot.side] = index;
	return 0;
}

static const struct resource *claimant(struct collector *c, const struct record_file *f, const char *link)
{
	for (const struct resource *const *r = c->config->resources; *r; r++)
		if ((*r)->scope == SCOPE_FILE && (*r)->claims(f, link))
			return *r;
	return NULL;
}

/* Who gets the file's signals: what eBPF has not told fcntl(2) tells of a duplicate. */
static int set_owner(struct collector *c, Ckpt__File *m, const struct record_file *f)
{
	struct f_owner_ex owner = { .pid = (pid_t)f->owner_pid, .type = (int)f->owner_type };
	int signal = (int)f->owner_signum;
	if (!f->owner_known) {
		int fd = f->flags & O_PATH || f->fd == UINT32_MAX ? -EBADF : collector_fd(c);
		if (fd < 0)
			return 0;
		if (fcntl(fd, F_GETOWN_EX, &owner) < 0)
			owner.pid = 0;
		signal = fcntl(fd, F_GETSIG);
	}
	if (owner.pid) {
		SET(m, owner, owner.pid);
		SET(m, owner_type, (u32)owner.type);
	}
	if (signal > 0)
		SET(m, owner_signal, (u32)signal);
	return 0;
}

/* Sockets of all families look alike in /proc: only a duplicate tells. */
static u32 family_of(struct collector *c, const struct record_file *f, const char *link)
{
	int fd = f->family || f->flags & O_PATH || strncmp(link, "socket:[", 8) ? -EBADF : collector_fd(c);
	int family = fd < 0 ? 0 : socket_family(fd);
	return family > 0 ? (u32)family : f->family;
}

static int fill_file(struct collector *c, const struct record_file *f, const char *link, struct object *o)
{
	Ckpt__File *m = o->data;
	const struct resource *resource = claimant(c, f, link);
	SET(m, flags, f->flags & ~ARCH_O_LARGEFILE);
	SET(m, pos, f->pos);
	SET(m, inode, f->ino);
	SET(m, device, (u32)makedev(f->dev_major, f->dev_minor));
	SET(m, mount, f->mnt_id);
	if (!message_set_string(&m->kind, resource ? resource->name : "") || !message_set_string(&m->link, link))
		return fail_memory();
	int r = set_owner(c, m, f);
	if (r < 0 || !resource)
		return r;
	struct object *kind = graph_add(c->graph, resource->kind, o->id);
	return kind ? resource->collect(c, &(struct subject){ .file = f, .link = link }, kind) : fail_memory();
}

/* A new file object and, when a resource claims it, the object of its kind. */
static int new_file(struct collector *c, const struct record_file *f, const char *link, const char *magic_link, int own,
		    u32 *ret_id)
{
	u32 id = ++c->files;
	struct object *o = graph_add(c->graph, &kind_file, id);
	if (!o)
		return fail_memory();
	*ret_id = id;
	struct record_file record = *f;
	struct current *outer = c->current, current = { .record = &record, .magic_link = magic_link, .own = own, .fd = -1 };
	c->current = &current;
	record.family = family_of(c, f, link);
	int r = fill_file(c, &record, link, o);
	if (r == 0)
		r = current.lost;
	c->current = outer;
	closep(&current.fd);
	text_free(&current.fdinfo);
	return r;
}

/* The number ckpt's own descriptor has, or negative errno. */
static int duplicate(struct collector *c, u32 table, u32 fd)
{
	struct tree_process *p = tree_find(c->tree, (pid_t)table);
	bool of_thread = !p || p->leader_ended;
	if (caps_lacks(c->config->caps, CAN_PIDFD_GETFD))
		return -ENOSYS;
	_cleanup_close_ int thread = of_thread ? (int)syscall(SYS_pidfd_open, holder(c, table), PIDFD_OF_THREAD) : -1;
	if (of_thread && thread < 0)
		return neg_errno();
	int own = (int)syscall(SYS_pidfd_getfd, of_thread ? thread : p->pidfd, fd, 0);
	return own < 0 ? neg_errno() : own;
}

int collector_fd(struct collector *c)
{
	struct current *current = c->current;
	if (current->own >= 0)
		return current->own;
	if (current->fd >= 0)
		return current->fd;
	if (!current->magic_link)
		return current->fd = duplicate(c, current->record->table, current->record->fd);
	struct tree_process *p = tree_find(c->tree, (pid_t)current->record->tgid);
	current->fd = p ? openat(p->proc, current->magic_link, O_PATH | O_CLOEXEC) : -1;
	return current->fd >= 0 ? current->fd : p ? neg_errno() : -ESRCH;
}

int collector_open(struct collector *c, u32 file)
{
	struct file_seen seen;
	if (!collector_first_seen(c, file, &seen))
		return -EBADF;
	if (seen.table)
		return duplicate(c, seen.table, seen.fd);
	int own = fcntl((int)seen.fd, F_DUPFD_CLOEXEC, 3);
	return own < 0 ? neg_errno() : own;
}

int collector_note_connection(struct collector *c, u32 file)
{
	const struct record_file *record = c->current->record;
	pid_t has = c->current->own >= 0 ? 0 : holder(c, record->table);
	return connections_add(collector_connections(c), file, collector_fd(c), has, (int)record->fd);
}

struct connections *collector_connections(struct collector *c) { return c->config->connections ?: &c->connections; }

static void name_place(const struct current *current, char place[64])
{
	if (current->magic_link)
		snprintf(place, 64, "%s", current->magic_link);
	else
		snprintf(place, 64, "fd/%u", current->record->fd);
}

int collector_keep_memory(struct collector *c, u32 file)
{
	struct memory_sources *all = c->config->memory;
	struct memory_source *place = all ? vector_add(&all->list) : NULL;
	const struct record_file *record = c->current->record;
	if (!all)
		return 0;
	if (!place)
		return fail_memory();
	*place = (struct memory_source){ .file = file, .fd = -1 };
	if (all->list.n > MEMORY_SOURCES_OPEN && c->current->own < 0 && (record->table || c->current->magic_link)) {
		place->holder = holder(c, c->current->magic_link ? record->tgid : record->table);
		name_place(c->current, place->place);
		return 0;
	}
	int fd = collector_fd(c);
	if (fd < 0)
		return fail(FD_DUPLICATE, fd, "to read its contents");
	snprintf(place->place, sizeof place->place, "fd/%d", fd);
	place->fd = file_open_unnoticed(0, place->place);
	return place->fd < 0 ? fail(MEMORY_READ, place->fd, "open of what its descriptor leads to") : 0;
}

void memory_sources_free(struct memory_sources *all)
{
	for (size_t i = 0; i < all->list.n; i++)
		closep(&all->list.v[i].fd);
	vector_free(&all->list);
}

const char *collector_fdinfo(struct collector *c, const char *name)
{
	struct current *current = c->current;
	if (!current->have_fdinfo) {
		int proc = collector_proc(c, current->record->table);
		int r = 0;
		if (current->own >= 0)
			r = file_readf(&current->fdinfo, AT_FDCWD, "/proc/self/fdinfo/%d", current->own);
		else if (proc >= 0 && current->record->fd != UINT32_MAX)
			r = file_readf(&current->fdinfo, proc, "fdinfo/%u", current->record->fd);
		current->have_fdinfo = true;
		if (r < 0 && !collector_live(c)) /* who runs may have closed it */
			current->lost = fail(PROC_READ, r, "fdinfo/%u", current->record->fd);
	}
	return current->fdinfo.data ? status_field(current->fdinfo.data, name) : NULL;
}

/* Once for all of a sort: a program that is not there yet is loaded. *have: it was asked already. What does not answer leaves
 * nothing. */
static void ask_kernel(struct collector *c, bool *have, int (*ask)(struct bpf_source *, struct facts *, struct tree *))
{
	int err = 0;
	if (*have)
		return;
	*have = true;
	_cleanup_bpf_ struct bpf_source *bpf = c->config->no_bpf ? NULL : bpf_open(c->config->caps, BPF_COLD, &err);
	int r = !bpf ? err : c->asked.tasks.n ? 0 : facts_begin(&c->asked, c->tree);
	if (bpf && r == 0)
		r = bpf_tasks(bpf, &c->asked, c->tree);
	if (bpf && r == 0)
		ask(bpf, &c->asked, c->tree);
}

static u64 userfault_of(const struct facts *facts, u32 pid, u64 start)
{
	for (size_t i = 0; i < facts->vmas.n; i++)
		if (facts->vmas.v[i].tgid == pid && facts->vmas.v[i].start == start)
			return facts->vmas.v[i].uffd_id;
	return 0;
}

u64 collector_userfault(struct collector *c, u32 pid, u64 start)
{
	u64 known = userfault_of(&c->facts, pid, start);
	if (known)
		return known;
	ask_kernel(c, &c->have_asked_vmas, bpf_vmas);
	return userfault_of(&c->asked, pid, start);
}

const struct record_file *collector_kernel_file(struct collector *c)
{
	const struct record_file *record = c->current->record;
	if (record->file_id) /* it has told this record too */
		return record;
	ask_kernel(c, &c->have_asked_files, bpf_files);
	for (size_t i = 0; i < c->asked.files.n; i++)
		if (c->asked.files.v[i].table == record->table && c->asked.files.v[i].fd == record->fd)
			return &c->asked.files.v[i];
	return NULL;
}

static const struct record_file *find_descriptor(const struct facts *facts, u64 identity)
{
	for (size_t i = 0; i < facts->files.n; i++)
		if (facts->files.v[i].file_id == identity)
			return &facts->files.v[i];
	return NULL;
}

const struct record_file *collector_descriptor_of(struct collector *c, u64 identity)
{
	const struct record_file *f = find_descriptor(&c->facts, identity);
	if (f)
		return f;
	ask_kernel(c, &c->have_asked_files, bpf_files);
	return find_descriptor(&c->asked, identity);
}

/* --- descriptors of the tree --- */

static u64 dentry_key(const struct record_file *f) { return f->dentry_id ? map_mix(f->dentry_id, f->mnt_id) : 0; }

int collector_stat(struct collector *c, const struct record_file *f, const char *path, struct stat *ret)
{
	u64 key = dentry_key(f);
	u32 known = key ? map_get(&c->stat_of, key) : 0;
	if (c->looked_at && !strcmp(c->looked_at, path)) {
		*ret = c->looked_at_stat;
		return 0;
	}
	if (known) {
		*ret = c->stats.v[known - 1];
		return 0;
	}
	if (fstatat(AT_FDCWD, path, ret, AT_SYMLINK_NOFOLLOW) < 0)
		return neg_errno();
	struct stat *place = key ? vector_add(&c->stats) : NULL;
	if (place)
		*place = *ret;
	return place ? map_set(&c->stat_of, key, (u32)c->stats.n) : 0;
}

/* What /proc says of a descriptor. Files of one dentry and mount have one path: it is asked for once. */
static int read_link(struct collector *c, const struct record_file *f, char *link, size_t room)
{
	u64 key = dentry_key(f);
	u32 known = key ? map_get(&c->by_dentry, key) : 0;
	if (*f->link || known) {
		const char *text = known ? c->links.data + known - 1 : f->link;
		size_t len = strnlen(text, room - 1);
		memcpy(link, text, len);
		link[len] = 0;
		return 0;
	}
	int proc = collector_proc(c, f->table);
	char path[32];
	snprintf(path, sizeof path, "fd/%u", f->fd);
	int r = proc < 0 ? proc : file_readlink(proc, path, link, room);
	if (r < 0 || !key)
		return MIN(r, 0);
	u32 at = (u32)c->links.len + 1;
	text_add(&c->links, link, strlen(link) + 1);
	return text_failed(&c->links) ? -ENOMEM : map_set(&c->by_dentry, key, at);
}

/* Looked at only when the link says that its name is gone. */
static void find_name(struct collector *c, const struct record_file *f, char *link, size_t room)
{
	int proc = collector_proc(c, f->table);
	char path[32];
	struct stat st;
	snprintf(path, sizeof path, "fd/%u", f->fd);
	if (link[0] == '/' && strstr(link, " (deleted)") && proc >= 0 && fstatat(proc, path, &st, 0) == 0)
		collect_find_name(&st, link, room);
}

/* A frozen program closes nothing, but what it has asked an io_uring(7) for is done all the same. */
static int fail_to_read(struct collector *c, const struct record_file *f, int r)
{
	const struct tree_process *p = tree_find(c->tree, (pid_t)f->table);
	return p && p->workers ? fail(URING_BUSY, r, "/proc/%u/fd/%u was closed meanwhile", f->table, f->fd)
			       : fail(PROC_READ, r, "/proc/%u/fd/%u", f->table, f->fd);
}

/* The file object of a descriptor of the tree; collects it when it is new. A live tree may have closed it: 0. */
static int file_of(struct collector *c, const struct record_file *f, u32 *ret_id)
{
	char link[4200];
	int r = read_link(c, f, link, sizeof link);
	*ret_id = 0;
	if (r < 0)
		return c->config->live ? 0 : fail_to_read(c, f, r);
	WORKING_ON_FD(f->fd, link);
	struct spot spot = { 0 };
	r = find_known(c, f, f->table, (int)f->fd, &spot, ret_id);
	if (r < 0 || *ret_id)
		return r;
	find_name(c, f, link, sizeof link);
	/* known before it is collected: a socket may be in flight inside of itself */
	if (remember(c, f, f->table, (int)f->fd, spot, c->files + 1) < 0)
		return fail_memory();
	size_t mark = diag_mark();
	return collect_survive(c, mark, new_file(c, f, link, NULL, -1, ret_id));
}

static int add_fd(struct collector *c, struct object *table, const struct record_file *f)
{
	u32 id;
	int r = file_of(c, f, &id);
	if (r < 0 || !id)
		return r;
	struct fd_entry *entry = object_append(table);
	if (!entry)
		return fail_memory();
	*entry = (struct fd_entry){ .fd = f->fd, .cloexec = f->cloexec, .file = id };
	return 0;
}

static int add_table(struct collector *c, const struct map *pieces, u32 id)
{
	struct object *table = graph_add(c->graph, &kind_fds, id);
	u32 first = map_get(pieces, id);
	int r = table ? 0 : fail_memory();
	for (size_t at = first - 1; r == 0 && first && at < c->facts.files.n && c->facts.files.v[at].table == id; at++)
		r = add_fd(c, table, &c->facts.files.v[at]);
	return r;
}

/* What the source of all descriptors has not told of the table of a thread, /proc tells. */
static int read_own_table(struct collector *c, const struct map *pieces, u32 pid, u32 tid)
{
	char path[32];
	snprintf(path, sizeof path, "/proc/%u", tid);
	struct own_table table = { tid, open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) };
	struct own_table *place = table.proc < 0 ? NULL : vector_add(&c->own_tables);
	if (!place && table.proc >= 0)
		return close(table.proc), fail_memory();
	if (place)
		*place = table;
	int r = table.proc < 0         ? neg_errno()
		: map_get(pieces, tid) ? 0
				       : proc_table(&c->facts, pid, tid, table.proc, c->tree->frozen_at);
	return r < 0 && !c->config->live ? fail(PROC_READ, r, "/proc/%u/fd", tid) : 0;
}

static int map_pieces(const struct collector *c, struct map *ret)
{
	const struct facts *f = &c->facts;
	return facts_pieces(ret, f->files.v, f->files.n, sizeof *f->files.v, offsetof(struct record_file, table)) < 0
		       ? fail_memory()
		       : 0;
}

/* Threads whose descriptor table is not that of their process. */
static int find_own_tables(struct collector *c, struct map *pieces)
{
	int r = 0;
	for (struct object *o = NULL; r == 0 && (o = graph_next(c->graph, &kind_thread, o));) {
		const Ckpt__Thread *t = o->data;
		if (t->fds == o->id)
			r = read_own_table(c, pieces, t->pid, o->id);
	}
	if (r < 0 || !c->own_tables.n)
		return r;
	map_free(pieces);
	*pieces = (struct map){ 0 };
	return map_pieces(c, pieces);
}

int collect_files(struct collector *c)
{
	_cleanup_(map_free) struct map pieces = { 0 };
	int r = map_pieces(c, &pieces);
	if (r == 0)
		r = find_own_tables(c, &pieces);
	for (size_t i = 0; r == 0 && i < c->tree->processes.n; i++) {
		const struct tree_process *p = &c->tree->processes.v[i];
		const Ckpt__Task *task = graph_data(c->graph, &kind_task, (u32)p->pid);
		WORKING_ON_TASK(p->pid);
		if (p->state != 'Z' && task->fds == task->pid)
			r = add_table(c, &pieces, task->pid);
	}
	for (size_t i = 0; r == 0 && i < c->own_tables.n; i++) {
		WORKING_ON_THREAD(c->own_tables.v[i].tid);
		r = add_table(c, &pieces, c->own_tables.v[i].tid);
	}
	return r;
}

/* --- files that an epoll instance watches --- */

/* 1: this descriptor is what the entry watches, 0: it is not. */
static int is_watched(const struct collector *c, const struct record_file *f, int epoll, u32 tfd, u32 nth)
{
	const struct {
		u32 epoll, tfd, nth;
	} entry = { (u32)epoll, tfd, nth };
	if (caps_lacks(c->config->caps, CAN_KCMP_EPOLL))
		return -ENOSYS;
	long r = syscall(SYS_kcmp, holder(c, f->table), getpid(), KCMP_EPOLL_TFD, f->fd, &entry);
	return r < 0 ? neg_errno() : r == 0;
}

static u32 poll_now(struct collector *c, const struct record_file *f)
{
	_cleanup_close_ int fd = duplicate(c, f->table, f->fd);
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN | POLLPRI | POLLOUT | POLLRDHUP };
	return fd >= 0 && poll(&poll_fd, 1, 0) == 1 ? (u32)poll_fd.revents : 0;
}

static u64 number_key(u64 table, u32 fd) { return map_mix(map_mix(0x4e554d42, table), fd); }

/* What the table has at this number; NULL: nothing, or it is not known. */
static const struct record_file *file_at(struct collector *c, u32 table, u32 fd)
{
	u64 known = number_key(~0ull, 0); /* how many of them */
	bool fresh = collector_recall(c, known) != c->facts.files.n;
	int r = 0;
	for (size_t i = 0; fresh && r == 0 && i < c->facts.files.n; i++)
		r = collector_remember(c, number_key(c->facts.files.v[i].table, c->facts.files.v[i].fd), (u32)i + 1);
	if (fresh && r == 0)
		r = collector_remember(c, known, (u32)c->facts.files.n);
	u32 place = r == 0 ? collector_recall(c, number_key(table, fd)) : 0;
	const struct record_file *f = place && place <= c->facts.files.n ? &c->facts.files.v[place - 1] : NULL;
	return f && f->table == table && f->fd == fd ? f : NULL;
}

/* The number is the one that the file had when it was added: most files have it still, and in the table that has the instance, so that
 * is tried first: the kernel goes through all entries for each question. Then its inode, which some file systems number otherwise than
 * stat(2). */
int collector_add_watched(struct collector *c, int epoll, u32 tfd, u32 nth, u64 inode, u32 *ret_file, u32 *ret_ready)
{
	const struct record_file *likely = file_at(c, c->current->record->table, tfd);
	*ret_file = 0;
	if (likely && is_watched(c, likely, epoll, tfd, nth) == 1) {
		if (ret_ready)
			*ret_ready = poll_now(c, likely);
		return file_of(c, likely, ret_file);
	}
	for (int rank = 0; rank < 3; rank++)
		for (size_t i = 0; i < c->facts.files.n; i++) {
			const struct record_file *f = &c->facts.files.v[i];
			if ((f->fd == tfd ? 0 : f->ino == inode ? 1 : 2) != rank)
				continue;
			int r = is_watched(c, f, epoll, tfd, nth);
			if (r < 0 && !(c->config->live && (r == -ESRCH || r == -EBADF || r == -ENOENT)))
				return fail(EPOLL_KCMP, r, "kcmp(KCMP_EPOLL_TFD)");
			if (r > 0 && ret_ready)
				*ret_ready = poll_now(c, f);
			if (r > 0)
				return file_of(c, f, ret_file);
		}
	return 0;
}

u32 collector_watched_in_flight(struct collector *c, int epoll, u32 tfd, u32 nth, u64 inode, u32 *ret_ready)
{
	for (size_t i = 0; i < c->known_files.n; i++) {
		const struct known_file *k = &c->known_files.v[i];
		const Ckpt__File *file = k->table ? NULL : graph_data(c->graph, &kind_file, k->id);
		struct record_file f = { .fd = (u32)k->fd };
		struct pollfd poll_fd = { .fd = k->fd, .events = POLLIN | POLLPRI | POLLOUT | POLLRDHUP };
		if (!file || file->inode != inode || is_watched(c, &f, epoll, tfd, nth) <= 0)
			continue;
		*ret_ready = poll(&poll_fd, 1, 0) == 1 ? (u32)poll_fd.revents : 0;
		return k->id;
	}
	return 0;
}

/* --- files that no descriptor of the tree names --- */

static void record_of_stat(struct record_file *f, const struct stat *st)
{
	f->ino = st->st_ino;
	f->mode = st->st_mode;
	f->dev_major = major(st->st_dev), f->dev_minor = minor(st->st_dev);
	f->rdev_major = major(st->st_rdev), f->rdev_minor = minor(st->st_rdev);
}

int collector_add_file(struct collector *c, int fd, u32 *ret_file)
{
	struct record_file f = { .tgid = (u32)getpid(), .table = (u32)getpid(), .fd = (u32)fd };
	_cleanup_text_ struct text text = { 0 };
	char path[64], link[4200];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	struct stat st;
	int r = file_readf(&text, AT_FDCWD, "/proc/self/fdinfo/%d", fd);
	if (r == 0)
		r = parse_fdinfo(text.data, &f);
	if (r == 0)
		r = file_readlink(AT_FDCWD, path, link, sizeof link);
	if (r < 0 || fstat(fd, &st) < 0)
		return fail(PROC_READ, r < 0 ? r : neg_errno(), "%s", path);
	record_of_stat(&f, &st);
	collect_find_name(&st, link, sizeof link);
	WORKING_ON("file in flight (%s)", link);
	struct spot spot = { 0 };
	r = find_known(c, &f, 0, fd, &spot, ret_file);
	if (r < 0 || *ret_file)
		return r;
	int kept = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	int *place = kept < 0 ? NULL : vector_add(&c->own_fds);
	if (!place) {
		closep(&kept);
		return fail_memory();
	}
	*place = kept;
	/* known before it is collected: a socket may be in flight inside of itself */
	if (remember(c, &f, 0, kept, spot, c->files + 1) < 0)
		return fail_memory();
	return new_file(c, &f, link, NULL, kept, ret_file);
}

/* The file object of a file that no descriptor has, by what identifies it; collects it when it is new. */
static int add_linked(struct collector *c, const struct record_file *f, const char *link, const char *magic_link, u32 *ret_file)
{
	u64 key = map_mix(key_of(f), f->flags);
	for (const char *s = link; *s; s++) /* hard links: the path counts too */
		key = map_mix(key, (u8)*s);
	*ret_file = map_get(&c->by_link, key);
	if (*ret_file)
		return 0;
	WORKING_ON("%s (%s)", magic_link, link);
	int r = new_file(c, f, link, magic_link, -1, ret_file);
	return r == 0 && map_set(&c->by_link, key, *ret_file) < 0 ? fail_memory() : r;
}

int collector_add_link_as(struct collector *c, u32 pid, const char *magic_link, u32 flags, u32 *ret_file)
{
	struct tree_process *p = tree_find(c->tree, (pid_t)pid);
	struct stat st;
	char link[4200];
	int r = p ? file_readlink(p->proc, magic_link, link, sizeof link) : -ESRCH;
	if (r >= 0 && fstatat(p->proc, magic_link, &st, 0) < 0)
		r = neg_errno();
	if (!strncmp(magic_link, "map_files/", 10) && (r == -EPERM || caps_lacks(c->config->caps, CAN_MAP_FILES)))
		return fail(MAPPED_HIDDEN, -EPERM, "/proc/%u/%s", pid, magic_link);
	if (r < 0)
		return fail(PROC_READ, r, "/proc/%u/%s", pid, magic_link);
	collect_find_name(&st, link, sizeof link);
	struct record_file f = { .tgid = pid, .table = pid, .fd = UINT32_MAX, .flags = flags };
	record_of_stat(&f, &st);
	return add_linked(c, &f, link, magic_link, ret_file);
}

int collect_mapped(struct collector *c, const struct record_vma *v, u32 flags, u32 *ret_file)
{
	const char *path = facts_path(&c->facts, v);
	u64 key = v->file_id ? map_mix(v->file_id, flags) : 0; /* mappings that were cut out of one have one struct file */
	struct stat st;
	int r;
	*ret_file = key ? map_get(&c->by_mapped, key) : 0;
	if (*ret_file)
		return 0;
	char magic_link[64];
	snprintf(magic_link, sizeof magic_link, "map_files/%llx-%llx", (unsigned long long)v->start,
		 (unsigned long long)v->end);
	if (!path || fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_ino != v->ino ||
	    major(st.st_dev) != v->dev_major || minor(st.st_dev) != v->dev_minor)
		r = collector_add_link_as(c, v->tgid, magic_link, flags, ret_file);
	else {
		struct record_file f = { .tgid = v->tgid, .table = v->tgid, .fd = UINT32_MAX, .flags = flags };
		record_of_stat(&f, &st);
		c->looked_at = path;
		c->looked_at_stat = st;
		r = add_linked(c, &f, path, magic_link, ret_file);
		c->looked_at = NULL;
	}
	return r == 0 && key && map_set(&c->by_mapped, key, *ret_file) < 0 ? fail_memory() : r;
}

int collector_add_link(struct collector *c, u32 pid, const char *magic_link, u32 *ret_file)
{
	return collector_add_link_as(c, pid, magic_link, O_PATH | O_DIRECTORY, ret_file);
}
