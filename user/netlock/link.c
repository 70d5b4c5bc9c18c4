// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns locks by links of eBPF to netfilter (Linux 6.4): they end with their last descriptor, or with the pins that keep them. */
#include "base/bpf.h"
#include "base/file.h"
#include "host/store.h"
#include "netlock/backend.h"
#include "netlock.skel.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define BPFFS "/sys/fs/bpf"
#define LOCKS BPFFS "/ckpt-netlock"
#define PATH_ROOM 128

enum { FLOWS, LINKS }; /* fds: the map, then the links */
enum { PROGRAM_NETFILTER = 32, ATTACH_NETFILTER = 45, LOCAL_IN = 1, LOCAL_OUT = 3 };
enum { FIRST = -400, END = -300 }; /* priorities: behind NF_IP_PRI_RAW_BEFORE_DEFRAG, before NF_IP_PRI_RAW */

static const struct place {
	const char *name;
	u32 family, hook;
} places[] = {
	{ "in4", AF_INET, LOCAL_IN },
	{ "in6", AF_INET6, LOCAL_IN },
	{ "out4", AF_INET, LOCAL_OUT },
	{ "out6", AF_INET6, LOCAL_OUT },
};

/* BPF_LINK_CREATE as netfilter has it. */
static int attach(int program, const struct place *place, s32 priority)
{
	struct {
		u32 program, target, type, flags;
		u32 family, hook;
		s32 priority;
		u32 netfilter_flags;
	} attr = { .program = (u32)program,
		   .type = ATTACH_NETFILTER,
		   .family = place->family,
		   .hook = place->hook,
		   .priority = priority };
	return bpf_call(BPF_LINK_CREATE, &attr, sizeof attr);
}

/* --- the program: from instructions that libbpf has fitted to this kernel before, else by libbpf, which reads all of its types --- */

static void object_closep(struct bpf_object **object) { bpf_object__close(*object); }

/* What libbpf made of the program, with references to its map by number 0. */
static void store(const char *key, const struct bpf_program *program)
{
	size_t n = bpf_program__insn_cnt(program);
	_cleanup_free_ struct bpf_insn *insns = malloc(n * sizeof *insns);
	if (!insns)
		return;
	memcpy(insns, bpf_program__insns(program), n * sizeof *insns);
	for (size_t i = 0; i < n; i++)
		if (bpf_refers_to_map(&insns[i]))
			insns[i].imm = 0;
	store_write(key, insns, n * sizeof *insns);
}

/* The program; *ret_map: its map. */
static int load_cold(const char *key, int *ret_map)
{
	size_t len;
	const void *elf = netlock_bpf__elf_bytes(&len);
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "netlock");
	libbpf_set_print(NULL);
	_cleanup_(object_closep) struct bpf_object *object = bpf_object__open_mem(elf, len, &opts);
	if (!object)
		return neg_errno();
	struct bpf_program *program = bpf_object__next_program(object, NULL);
	bpf_program__set_type(program, (enum bpf_prog_type)PROGRAM_NETFILTER);
	bpf_program__set_expected_attach_type(program, (enum bpf_attach_type)ATTACH_NETFILTER);
	int r = bpf_object__load(object);
	if (r < 0)
		return r;
	if (*key)
		store(key, program);
	*ret_map = fcntl(bpf_map__fd(bpf_object__next_map(object, NULL)), F_DUPFD_CLOEXEC, 0);
	int fd = *ret_map < 0 ? -1 : fcntl(bpf_program__fd(program), F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? neg_errno() : fd;
}

static int make_map(void)
{
	const union bpf_attr attr = { .map_type = BPF_MAP_TYPE_HASH,
				      .key_size = sizeof(struct flow),
				      .value_size = sizeof(u64),
				      .max_entries = FLOWS_MAX,
				      .map_flags = BPF_F_NO_PREALLOC };
	return bpf_call(BPF_MAP_CREATE, &attr, sizeof attr);
}

static int load_stored(const char *key, int *ret_map)
{
	_cleanup_text_ struct text code = { 0 };
	int r = *key ? store_read(key, &code) : -ENOENT;
	if (r < 0)
		return r;
	*ret_map = make_map();
	if (*ret_map < 0)
		return *ret_map;
	struct bpf_insn *insns = (struct bpf_insn *)code.data;
	u32 n = (u32)(code.len / sizeof *insns);
	for (u32 i = 0; i < n; i++)
		if (bpf_refers_to_map(&insns[i]))
			insns[i].imm = *ret_map;
	const union bpf_attr attr = { .prog_type = PROGRAM_NETFILTER,
				      .insn_cnt = n,
				      .insns = (u64)(uintptr_t)insns,
				      .license = (u64)(uintptr_t) "Dual BSD/GPL",
				      .expected_attach_type = ATTACH_NETFILTER };
	return bpf_call(BPF_PROG_LOAD, &attr, sizeof attr);
}

static int load(int *ret_map)
{
	char key[STORE_KEY_MAX];
	if (store_key(key, "netlock", netlock_bpf__hash, 0) < 0)
		*key = 0;
	int fd = load_stored(key, ret_map);
	if (fd >= 0)
		return fd;
	closep(ret_map);
	*ret_map = -1;
	return load_cold(key, ret_map);
}

static void end(struct netlock *lock)
{
	for (size_t i = 0; i < LINKS + ARRAY_SIZE(places); i++)
		closep(&lock->fds[i]);
}

static int attach_all(struct netlock *lock, int program, s32 priority)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(places); i++) {
		lock->fds[LINKS + i] = attach(program, &places[i], priority);
		r = MIN(lock->fds[LINKS + i], 0);
	}
	for (size_t i = 0; r < 0 && i < ARRAY_SIZE(places); i++) {
		closep(&lock->fds[LINKS + i]);
		lock->fds[LINKS + i] = -1;
	}
	return r;
}

/* No two programs of a hook have one priority (net/netfilter/core.c, nf_hook_entries_grow(): EBUSY): other locks have theirs. */
static int begin(struct netlock *lock)
{
	for (size_t i = 0; i < ARRAY_SIZE(lock->fds); i++)
		lock->fds[i] = -1;
	_cleanup_close_ int program = load(&lock->fds[FLOWS]);
	int r = program < 0 ? program : -EBUSY;
	for (s32 priority = FIRST; r == -EBUSY && priority < END; priority++)
		r = attach_all(lock, program, priority);
	if (r < 0)
		end(lock);
	return r;
}

static int add(struct netlock *lock, const struct flow *flow)
{
	return bpf_map_update_elem(lock->fds[FLOWS], flow, &lock->until, BPF_ANY) < 0 ? neg_errno() : 0;
}

/* --- handed on: pins in a directory of a BPF file system that only root can enter --- */

static void path_of(char path[PATH_ROOM], const char *id, const char *name)
{
	snprintf(path, PATH_ROOM, LOCKS "/%s%s%s", id, *name ? "/" : "", name);
}

static int prepare(void)
{
	struct statfs fs;
	struct stat st;
	if (statfs(BPFFS, &fs) < 0)
		return neg_errno();
	if (fs.f_type != BPF_FS_MAGIC && mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
		return neg_errno();
	if (mkdir(LOCKS, 0700) < 0 && errno != EEXIST)
		return neg_errno();
	if (lstat(LOCKS, &st) < 0)
		return neg_errno();
	return S_ISDIR(st.st_mode) && !st.st_uid && !(st.st_mode & 077) ? 0 : -EACCES;
}

static int keep(struct netlock *lock, const char *dir)
{
	char path[PATH_ROOM], until[24];
	int r = prepare();
	if (r < 0)
		return r;
	path_of(path, lock->id, "");
	if (mkdir(path, 0700) < 0 && (errno != ENOENT || prepare() < 0 || mkdir(path, 0700) < 0)) /* another one tidied up */
		return neg_errno();
	path_of(path, lock->id, "image");
	if (symlink(dir, path) < 0)
		return neg_errno();
	snprintf(until, sizeof until, "%llu", (unsigned long long)lock->until);
	path_of(path, lock->id, "until");
	if (symlink(until, path) < 0)
		return neg_errno();
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		path_of(path, lock->id, places[i].name);
		if (bpf_obj_pin(lock->fds[LINKS + i], path) < 0)
			return neg_errno();
	}
	return 0;
}

static bool exists(const char *id)
{
	char path[PATH_ROOM];
	struct stat st;
	path_of(path, id, "");
	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* What is left out by a death in between is taken away by the next call. */
static int release(const char *id)
{
	char path[PATH_ROOM];
	if (!exists(id))
		return -ENOENT;
	const char *names[] = { places[0].name, places[1].name, places[2].name, places[3].name, "image", "until" };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		path_of(path, id, names[i]);
		if (unlink(path) < 0 && errno != ENOENT)
			return neg_errno();
	}
	path_of(path, id, "");
	if (rmdir(path) < 0 && errno != ENOENT)
		return neg_errno();
	rmdir(LOCKS); /* when it was the last */
	return 0;
}

static void read_entry(const char *id, struct netlock_entry *ret)
{
	char path[PATH_ROOM], until[24];
	path_of(path, id, "image");
	if (file_readlink(AT_FDCWD, path, ret->dir, sizeof ret->dir) < 0)
		*ret->dir = 0;
	path_of(path, id, "until");
	ret->until = file_readlink(AT_FDCWD, path, until, sizeof until) < 0 ? 0 : strtoull(until, NULL, 10);
}

static int entry(size_t index, struct netlock_entry *ret)
{
	DIR *locks = opendir(LOCKS);
	int r = -ENOENT;
	for (const struct dirent *e; locks && r < 0 && (e = readdir(locks));) {
		if (strlen(e->d_name) != NETLOCK_ID - 1 || index--)
			continue;
		memcpy(ret->id, e->d_name, NETLOCK_ID);
		read_entry(ret->id, ret);
		r = 0;
	}
	if (locks)
		closedir(locks);
	return r;
}

const struct netlock_backend netlock_link = {
	.name = "link",
	.method = NETLOCK_LINK,
	.needs = CAN_BPF_NETFILTER,
	.begin = begin,
	.add = add,
	.keep = keep,
	.end = end,
	.exists = exists,
	.release = release,
	.entry = entry,
};
