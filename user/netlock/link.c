// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns locks by links of eBPF to netfilter (Linux 6.4): they end with their last descriptor, or with the pins that keep them. */
#include "netlock/backend.h"
#include "netlock.skel.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#define BPFFS "/sys/fs/bpf"
#define LOCKS BPFFS "/ckpt-netlock"
#define PATH_ROOM 128

enum { FLOWS, LINKS }; /* fds: the map, then the links */
enum { PROGRAM_NETFILTER = 32, ATTACH_NETFILTER = 45, LOCAL_IN = 1, LOCAL_OUT = 3, FIRST = -400 }; /* younger than headers */

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
static int attach(int program, const struct place *place)
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
		   .priority = FIRST };
	long fd = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof attr);
	return fd < 0 ? neg_errno() : (int)fd;
}

static void object_closep(struct bpf_object **object) { bpf_object__close(*object); }

static int load(struct bpf_object *object, int *ret_map)
{
	struct bpf_program *program = bpf_object__next_program(object, NULL);
	bpf_program__set_type(program, (enum bpf_prog_type)PROGRAM_NETFILTER);
	bpf_program__set_expected_attach_type(program, (enum bpf_attach_type)ATTACH_NETFILTER);
	int r = bpf_object__load(object);
	if (r < 0)
		return r;
	*ret_map = fcntl(bpf_map__fd(bpf_object__next_map(object, NULL)), F_DUPFD_CLOEXEC, 0);
	return *ret_map < 0 ? neg_errno() : bpf_program__fd(program);
}

static void end(struct netlock *lock)
{
	for (size_t i = 0; i < LINKS + ARRAY_SIZE(places); i++)
		closep(&lock->fds[i]);
}

static int begin(struct netlock *lock)
{
	size_t len;
	const void *elf = netlock_bpf__elf_bytes(&len);
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "netlock");
	libbpf_set_print(NULL);
	_cleanup_(object_closep) struct bpf_object *object = bpf_object__open_mem(elf, len, &opts);
	for (size_t i = 0; i < ARRAY_SIZE(lock->fds); i++)
		lock->fds[i] = -1;
	int program = object ? load(object, &lock->fds[FLOWS]) : neg_errno();
	for (size_t i = 0; program >= 0 && i < ARRAY_SIZE(places); i++) {
		lock->fds[LINKS + i] = attach(program, &places[i]);
		if (lock->fds[LINKS + i] < 0)
			program = lock->fds[LINKS + i];
	}
	if (program < 0)
		end(lock);
	return MIN(program, 0);
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
	char path[PATH_ROOM];
	int r = prepare();
	if (r < 0)
		return r;
	path_of(path, lock->id, "");
	if (mkdir(path, 0700) < 0 && (errno != ENOENT || prepare() < 0 || mkdir(path, 0700) < 0)) /* another one tidied up */
		return neg_errno();
	path_of(path, lock->id, "image");
	if (symlink(dir, path) < 0)
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
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		path_of(path, id, places[i].name);
		if (unlink(path) < 0 && errno != ENOENT)
			return neg_errno();
	}
	path_of(path, id, "image");
	if (unlink(path) < 0 && errno != ENOENT)
		return neg_errno();
	path_of(path, id, "");
	if (rmdir(path) < 0 && errno != ENOENT)
		return neg_errno();
	rmdir(LOCKS); /* when it was the last */
	return 0;
}

static void read_entry(const char *id, struct netlock_entry *ret)
{
	char path[PATH_ROOM];
	struct stat st;
	path_of(path, id, "image");
	ssize_t len = readlink(path, ret->dir, sizeof ret->dir - 1);
	ret->dir[MAX(len, 0)] = 0;
	path_of(path, id, "");
	ret->since = lstat(path, &st) == 0 ? (u64)st.st_mtim.tv_sec : 0;
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
	.begin = begin,
	.add = add,
	.keep = keep,
	.end = end,
	.exists = exists,
	.release = release,
	.entry = entry,
};
