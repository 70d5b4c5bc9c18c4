// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns BPF maps (bpf(2)) that a process has open. A map lives on in whoever else has it: a program in the kernel, a pin in bpffs, another
 * process. So one that is still there at a restore is opened again and left as it is; one that is gone is made again with what
 * was in it. */
#include "base/bpf.h"
#include "base/file.h"
#include "base/memlock.h"
#include "bpfmap.pb-c.h"
#include "collect/collect.h"
#include "resource/file_scope.h"
#include "resource/same_inode.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdlib.h>
#include <sys/resource.h>

#define CONTENTS_MOST (64u << 20) /* bytes that a map may hold */
#define KEY_MOST 4096u            /* bytes of a key (MAX_BPF_STACK is 512), far from overflows */

static const struct kind kind_bpfmap = { .name = "bpfmap", .desc = &ckpt__bpfmap__descriptor };

/* A mapped map is no descriptor: nothing leads from a mapping to its map. */
static bool bpfmap_claims(const struct record_file *file, const char *link)
{
	return file->fd != UINT32_MAX && !strcmp(link, "anon_inode:bpf-map");
}

/* How the entries of a type are taken and given. */
struct form {
	u32 type;
	bool per_cpu, array; /* arrays have all their entries from the beginning */
	bool batch;          /* BPF_MAP_UPDATE_BATCH, which hash tables and arrays have had since Linux 5.6 */
	bool queue;          /* without keys: only what comes first can be looked at */
};

static const struct form *form_of(u32 type)
{
	static const struct form forms[] = {
		{ .type = BPF_MAP_TYPE_HASH, .batch = true },
		{ .type = BPF_MAP_TYPE_LRU_HASH, .batch = true },
		{ .type = BPF_MAP_TYPE_PERCPU_HASH, .per_cpu = true, .batch = true },
		{ .type = BPF_MAP_TYPE_LRU_PERCPU_HASH, .per_cpu = true, .batch = true },
		{ .type = BPF_MAP_TYPE_ARRAY, .array = true, .batch = true },
		{ .type = BPF_MAP_TYPE_PERCPU_ARRAY, .per_cpu = true, .array = true },
		{ .type = BPF_MAP_TYPE_LPM_TRIE },
		{ .type = BPF_MAP_TYPE_QUEUE, .queue = true },
		{ .type = BPF_MAP_TYPE_STACK, .queue = true },
	};
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
		if (forms[i].type == type)
			return &forms[i];
	return NULL;
}

/* Bytes of one value as the system call passes it. */
static size_t value_bytes(const Ckpt__Bpfmap *m)
{
	return m->has_cpus ? ALIGN_UP((size_t)m->value_size, 8) * m->cpus : m->value_size;
}

static size_t entry_bytes(const Ckpt__Bpfmap *m) { return m->key_size + value_bytes(m); }

/* --- collect --- */

static bool is_zero(const u8 *bytes, size_t len) { return !bytes[0] && !memcmp(bytes, bytes + 1, len - 1); }

static int by_bytes(const void *a, const void *b, void *size) { return memcmp(a, b, *(const size_t *)size); }

/* Goes through the entries; key, next and value are buffers of their sizes. Others who have the map may change it meanwhile, so the
 * walk ends after twice as many as it can have. */
static int read_entries(int fd, const Ckpt__Bpfmap *m, bool sparse, u8 *key, u8 *next, u8 *value, struct text *ret)
{
	for (u64 n = 0; n < 2ull * m->max_entries; n++) {
		if (bpf_map_get_next_key(fd, n ? key : NULL, next) < 0)
			return errno == ENOENT ? 0 : neg_errno();
		memcpy(key, next, m->key_size);
		if (bpf_map_lookup_elem(fd, key, value) < 0) {
			if (errno != ENOENT)
				return neg_errno();
			continue;
		}
		if (sparse && is_zero(value, value_bytes(m)))
			continue;
		if (ret->len + entry_bytes(m) > CONTENTS_MOST)
			return -EFBIG;
		text_add(ret, (const char *)key, m->key_size);
		text_add(ret, (const char *)value, value_bytes(m));
	}
	return text_failed(ret) ? -ENOMEM : 0;
}

/* A lookup shows the first value, and the next one when that was taken out. */
static int collect_queue(Ckpt__Bpfmap *m, int fd)
{
	_cleanup_free_ u8 *value = malloc(m->value_size);
	if (!value)
		return fail_memory();
	if (bpf_map_lookup_elem(fd, NULL, value) < 0)
		return errno == ENOENT ? 0 : fail(BPF_MAP, neg_errno(), "bpf(BPF_MAP_LOOKUP_ELEM) of a queue or stack");
	return message_set_string(&m->lost, "what is in a queue or stack can only be told by taking it out") ? 0
													     : fail_memory();
}

static int collect_contents(Ckpt__Bpfmap *m, int fd, const struct form *form)
{
	if (form->queue)
		return collect_queue(m, fd);
	_cleanup_text_ struct text entries = { 0 };
	size_t size = entry_bytes(m);
	_cleanup_free_ u8 *room = calloc(1, 2 * m->key_size + value_bytes(m));
	if (!room)
		return fail_memory();
	int r = read_entries(fd, m, form->array, room, room + m->key_size, room + 2 * m->key_size, &entries);
	if (r == -EFBIG)
		return message_set_string(&m->lost, "it holds more than 64 MiB") ? 0 : fail_memory();
	if (r < 0)
		return r == -ENOMEM                                                  ? fail_memory()
		       : message_set_string(&m->lost, "its contents cannot be read") ? 0
										     : fail_memory();
	if (!entries.len)
		return 0;
	qsort_r(entries.data, entries.len / size, size, by_bytes, &size);
	m->has_contents = message_set_bytes(&m->contents, entries.data, entries.len);
	return m->has_contents ? 0 : fail_memory();
}

/* Why a map of this kind cannot be made again; NULL: it can. */
static const char *kind_lost(const struct bpf_map_info *info, const struct form *form)
{
	if (!form)
		return "it is of a type whose contents are not plain values (of maps, programs, sockets, a ring)";
	if (info->btf_id || info->btf_vmlinux_value_type_id)
		return "its values have types (BTF)";
	if (info->ifindex)
		return "it lies in a network device";
	return NULL;
}

static int collect_shape(Ckpt__Bpfmap *m, const struct bpf_map_info *info, const char *frozen)
{
	SET(m, type, info->type);
	SET(m, key_size, info->key_size);
	SET(m, value_size, info->value_size);
	SET(m, max_entries, info->max_entries);
	SET(m, flags, info->map_flags);
	if (info->map_extra)
		SET(m, extra, info->map_extra);
	if (frozen && atoi(frozen))
		SET(m, frozen, true);
	return message_set_string(&m->name, info->name) ? 0 : fail_memory();
}

static int read_boot(char *ret, size_t room)
{
	_cleanup_text_ struct text boot = { 0 };
	int r = file_boot_id(&boot);
	if (r < 0)
		return fail(SYSCALL, r, "/proc/sys/kernel/random/boot_id");
	snprintf(ret, room, "%.*s", (int)strcspn(boot.data ?: "", "\n"), boot.data ?: "");
	return 0;
}

/* Of a descriptor that is for writing only nothing can be read: another is opened. */
static int readable(const struct subject *subject, int fd, u32 id)
{
	return (subject->file->flags & O_ACCMODE) == O_WRONLY ? bpf_map_get_fd_by_id(id) : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static int bpfmap_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	Ckpt__Bpfmap *m = o->data;
	struct bpf_map_info info = { 0 };
	u32 len = sizeof info;
	char boot[40];
	int fd = collector_fd(c);
	if (fd < 0)
		return fail(FD_DUPLICATE, fd, "%s", subject->link);
	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return fail(BPF_MAP, neg_errno(), "bpf(BPF_OBJ_GET_INFO_BY_FD)");
	const struct form *form = form_of(info.type);
	const char *lost = kind_lost(&info, form);
	SET(m, id, info.id);
	if (same_inode_first(collector_graph(c), &kind_bpfmap, 0, info.id, o->id, &m->memory) < 0)
		return fail_memory();
	m->has_memory = true;
	int r = collect_shape(m, &info, collector_fdinfo(c, "frozen"));
	if (r == 0)
		r = read_boot(boot, sizeof boot);
	if (r < 0 || m->memory != o->id)
		return r;
	if (!message_set_string(&m->boot, boot) || (lost && !message_set_string(&m->lost, lost)))
		return fail_memory();
	if (lost)
		return 0;
	if (form->per_cpu)
		SET(m, cpus, (u32)libbpf_num_possible_cpus());
	_cleanup_close_ int own = readable(subject, fd, info.id);
	return own < 0 ? fail(BPF_MAP, neg_errno(), "bpf(BPF_MAP_GET_FD_BY_ID)") : collect_contents(m, own, form);
}

/* --- judge --- */

/* Key of graph_remember(): the map is still there. */
static u64 map_is_here(u32 file) { return map_mix(0x4250464d4150, file); }

static bool shape_is_sane(const Ckpt__Bpfmap *m)
{
	const struct form *form = form_of(m->type);
	bool keys = form && (form->queue ? !m->key_size && !m->contents.len : m->key_size - 1 < KEY_MOST);
	return keys && m->name && strlen(m->name) < BPF_OBJ_NAME_LEN && m->boot && m->value_size &&
	       m->value_size <= CONTENTS_MOST && m->contents.len <= CONTENTS_MOST && form->per_cpu == m->has_cpus &&
	       m->cpus <= 1u << 16 && m->contents.len % entry_bytes(m) == 0 &&
	       m->contents.len / entry_bytes(m) <= m->max_entries;
}

/* 1: the very map is there, 0: it is not. An id is not given out again before all others have been, but other kernels have it too. */
static int is_here(const Ckpt__Bpfmap *m)
{
	struct bpf_map_info info = { 0 };
	u32 len = sizeof info;
	char boot[40];
	int r = read_boot(boot, sizeof boot);
	if (r < 0 || strcmp(boot, m->boot) != 0)
		return r;
	_cleanup_close_ int fd = bpf_map_get_fd_by_id(m->id);
	if (fd < 0)
		return errno == ENOENT ? 0 : fail(BPF_MAP, neg_errno(), "bpf(BPF_MAP_GET_FD_BY_ID)");
	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return fail(BPF_MAP, neg_errno(), "bpf(BPF_OBJ_GET_INFO_BY_FD)");
	return info.type == m->type && info.key_size == m->key_size && info.value_size == m->value_size &&
	       info.max_entries == m->max_entries && !strcmp(info.name, m->name);
}

/* What a map is made with. */
static union bpf_attr creation(const Ckpt__Bpfmap *m)
{
	union bpf_attr attr = { .map_type = m->type,
				.key_size = m->key_size,
				.value_size = m->value_size,
				.max_entries = m->max_entries,
				.map_flags = m->flags,
				.map_extra = m->extra };
	snprintf(attr.map_name, sizeof attr.map_name, "%s", m->name);
	return attr;
}

/* A trial of rights and kinds, not of memory. */
static int try_creation(void *attr)
{
	_cleanup_close_ int fd = bpf_call(BPF_MAP_CREATE, attr, sizeof(union bpf_attr));
	return MIN(fd, 0);
}

static int judge_restore(const struct graph *graph, const struct object *o, const Ckpt__Bpfmap *m)
{
	if (!shape_is_sane(m))
		return fail(IMAGE_VALUE, 0, "a BPF map of type %u", m->type);
	int here = is_here(m);
	if (here)
		return here < 0 || graph_remember(graph, map_is_here(o->id), 1) == 0 ? MIN(here, 0) : fail_memory();
	if (m->has_cpus && (int)m->cpus != libbpf_num_possible_cpus())
		return fail(BPF_MAP, 0, "\"%s\" has values for %u processors, here are %d", m->name, m->cpus,
			    libbpf_num_possible_cpus());
	union bpf_attr attr = creation(m);
	attr.max_entries = 1;
	int r = with_memlock(false, try_creation, &attr);
	return r < 0 ? fail(BPF_MAP, r, "bpf(BPF_MAP_CREATE) of \"%s\", type %u", m->name, m->type) : 0;
}

static int bpfmap_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	const Ckpt__Bpfmap *m = o->data, *first = graph_data(graph, &kind_bpfmap, m->memory);
	if (!first || first->memory != m->memory)
		return fail(IMAGE_INCONSISTENT, 0, "BPF map %u", m->memory);
	if (m->memory != o->id)
		return 0;
	if (direction == DIRECTION_RESTORE)
		return judge_restore(graph, o, m);
	return m->lost ? fail(FD_BPF, 0, "a BPF map, \"%s\": %s", m->name, m->lost) : 0;
}

/* --- plan --- */

#define CREATE AT(PLAN_WORLD, STAGE_CREATE)

/* A call of bpf(2) whose attributes lie at this data offset. */
static struct plan_step *plan_bpf(struct plan *plan, int command, u32 attr)
{
	return plan_call(plan, CREATE, SYS_bpf, ARG(command), ARG_OF_DATA(attr), ARG(sizeof(union bpf_attr)));
}

static u32 attributes(struct plan *plan, const union bpf_attr *attr) { return plan_data(plan, attr, sizeof *attr, 8); }

/* Entries, count of them, by one call. */
static void plan_batch(struct plan *plan, const Ckpt__Bpfmap *m, u32 fd, size_t count)
{
	const size_t size = entry_bytes(m), value = value_bytes(m);
	u32 keys = plan_data(plan, NULL, count * m->key_size, 8), values = plan_data(plan, NULL, count * value, 8);
	u8 *key = plan_bytes(plan, keys), *to = plan_bytes(plan, values);
	for (size_t i = 0; key && to && i < count; i++) {
		memcpy(key + i * m->key_size, m->contents.data + i * size, m->key_size);
		memcpy(to + i * value, m->contents.data + i * size + m->key_size, value);
	}
	u32 attr = attributes(plan, &(union bpf_attr){ .batch = { .map_fd = fd, .count = (u32)count } });
	plan_pointer(plan, attr + offsetof(union bpf_attr, batch.keys), keys);
	plan_pointer(plan, attr + offsetof(union bpf_attr, batch.values), values);
	step_expect(plan_bpf(plan, BPF_MAP_UPDATE_BATCH, attr), 0);
}

static void plan_entry(struct plan *plan, const Ckpt__Bpfmap *m, u32 fd, const u8 *entry)
{
	u32 attr = attributes(plan, &(union bpf_attr){ .map_fd = fd });
	plan_pointer(plan, attr + offsetof(union bpf_attr, key), plan_data(plan, entry, m->key_size, 8));
	plan_pointer(plan, attr + offsetof(union bpf_attr, value), plan_data(plan, entry + m->key_size, value_bytes(m), 8));
	step_expect(plan_bpf(plan, BPF_MAP_UPDATE_ELEM, attr), 0);
}

static void plan_memlock(struct plan *plan, u32 set, u32 get)
{
	step_any(plan_call(plan, CREATE, SYS_prlimit64, ARG(0), ARG(RLIMIT_MEMLOCK), set ? ARG_OF_DATA(set) : ARG(0),
			   get ? ARG_OF_DATA(get) : ARG(0)));
}

/* Before Linux 5.11 a map must fit into the limit of who makes it (kernel/bpf/syscall.c, bpf_map_charge_init()), for which ckpt's own
 * is raised as far as it may: its processes have theirs later. */
static void plan_creation(struct plan *plan, const union bpf_attr *attr, u32 file)
{
	const struct rlimit64 all = { RLIM64_INFINITY, RLIM64_INFINITY };
	u32 own = plan_data(plan, NULL, sizeof all, 8);
	plan_memlock(plan, 0, own);
	plan_memlock(plan, plan_data(plan, &all, sizeof all, 8), 0);
	plan_place_fd(plan, step_result(plan, plan_bpf(plan, BPF_MAP_CREATE, attributes(plan, attr))), file);
	plan_memlock(plan, own, 0);
}

/* Made with a descriptor for all, at the service place of the first file. */
static void plan_map(struct plan *plan, const struct object *o, const Ckpt__Bpfmap *m)
{
	const union bpf_attr attr = creation(m);
	u32 fd = (u32)plan_fd(plan, o->id);
	size_t size = entry_bytes(m), count = m->contents.len / size;
	plan_creation(plan, &attr, o->id);
	if (form_of(m->type)->batch && count)
		plan_batch(plan, m, fd, count);
	else
		for (size_t i = 0; i < count; i++)
			plan_entry(plan, m, fd, m->contents.data + i * size);
	if (m->frozen)
		plan_bpf(plan, BPF_MAP_FREEZE, attributes(plan, &(union bpf_attr){ .map_fd = fd }));
}

/* The id that the kernel gave to the map. */
static struct arg plan_id(struct plan *plan, const struct object *o)
{
	u32 info = plan_data(plan, NULL, sizeof(struct bpf_map_info), 8);
	u32 attr = attributes(plan, &(union bpf_attr){ .info = { .bpf_fd = (u32)plan_fd(plan, o->id),
								 .info_len = sizeof(struct bpf_map_info) } });
	plan_pointer(plan, attr + offsetof(union bpf_attr, info.info), info);
	plan_bpf(plan, BPF_OBJ_GET_INFO_BY_FD, attr);
	struct arg at = ARG(info + offsetof(struct bpf_map_info, id));
	return ARG_OF_SLOT(step_result(plan, plan_op(plan, CREATE, OP_LOAD, 0, (struct arg[6]){ at })));
}

static u32 open_flags(const struct graph *graph, u32 file)
{
	u32 mode = file_flags(graph, file) & O_ACCMODE;
	return mode == O_RDONLY ? BPF_F_RDONLY : mode == O_WRONLY ? BPF_F_WRONLY : 0;
}

static void plan_open(struct plan *plan, const struct graph *graph, u32 file, struct arg id)
{
	u32 attr = attributes(plan, &(union bpf_attr){ .open_flags = open_flags(graph, file) });
	plan_op(plan, CREATE, OP_STORE, 0, (struct arg[6]){ ARG(attr + offsetof(union bpf_attr, map_id)), id });
	plan_place_fd(plan, step_result(plan, plan_bpf(plan, BPF_MAP_GET_FD_BY_ID, attr)), file);
}

static int bpfmap_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Bpfmap *m = o->data;
	bool here = graph_recall(graph, map_is_here(o->id)), known = here;
	struct arg id = ARG(m->id);
	if (m->memory != o->id)
		return 0;
	if (!here)
		plan_map(plan, o, m);
	for (const struct object *other = NULL; (other = graph_next(graph, &kind_bpfmap, other));) {
		const Ckpt__Bpfmap *file = other->data;
		bool made = other == o && !here && !open_flags(graph, other->id);
		if (file->memory != o->id || made)
			continue;
		if (!known)
			id = plan_id(plan, o);
		known = true;
		plan_open(plan, graph, other->id, id);
	}
	return 0;
}

const struct resource resource_bpfmap = {
	.name = "bpfmap",
	.scope = SCOPE_FILE,
	.kind = &kind_bpfmap,
	.claims = bpfmap_claims,
	.collect = bpfmap_collect,
	.judge = bpfmap_judge,
	.plan = bpfmap_plan,
};
