// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the pinned programs: a directory of a BPF file system that only root can enter. */
#include "collect/bpf_internal.h"
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <dirent.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define PIN_DIR "/sys/fs/bpf/ckpt"

static int open_dir(int *ret)
{
	struct statfs fs;
	struct stat st;
	_cleanup_close_ int dir = open(PIN_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir < 0)
		return neg_errno();
	if (fstatfs(dir, &fs) < 0 || fstat(dir, &st) < 0)
		return neg_errno();
	if (fs.f_type != BPF_FS_MAGIC)
		return -ENOENT;
	if (st.st_uid != 0 || st.st_mode & 077)
		return -EACCES;
	*ret = take_fd(&dir);
	return 0;
}

static void pin_paths(const char *key, char program[256], char map[256])
{
	snprintf(program, 256, PIN_DIR "/%s", key);
	snprintf(map, 256, PIN_DIR "/%s-state", key);
}

int bpf_load_pinned(enum bpf_object_id id, struct bpf_walker *ret)
{
	char key[STORE_KEY_MAX], program[256], map[256];
	_cleanup_close_ int dir = -1;

	int r = open_dir(&dir);
	if (r < 0)
		return r;
	bpf_pin_key(id, key);
	pin_paths(key, program, map);
	_cleanup_close_ int fd = bpf_obj_get(program);
	if (fd < 0)
		return fd;
	_cleanup_close_ int map_fd = bpf_obj_get(map);
	if (map_fd < 0)
		return map_fd;
	r = bpf_walker_open(ret, id, take_fd(&fd), take_fd(&map_fd));
	if (r == 0)
		ret->lock = take_fd(&dir);
	return r;
}

/* A pin of the same name is kept: it is the same program. */
static int pin(int fd, const char *path)
{
	int r = bpf_obj_pin(fd, path);
	return r == -EEXIST ? 0 : r;
}

static int pin_one(enum bpf_object_id id)
{
	_cleanup_bpf_walker_ struct bpf_walker w = BPF_WALKER_NONE;
	char key[STORE_KEY_MAX], program[256], map[256];

	bpf_pin_key(id, key);
	int r = bpf_load_cached(id, &w);
	if (r < 0)
		r = bpf_load_cold(id, &w);
	if (r < 0)
		return r;
	pin_paths(key, program, map);
	r = pin(w.map, map);
	return r < 0 ? r : pin(w.fd, program);
}

/* The parent directory as a BPF file system: systemd mounts it, an initramfs does not. */
static int prepare_dir(void)
{
	struct statfs fs;

	if (statfs("/sys/fs/bpf", &fs) < 0)
		return neg_errno();
	if (fs.f_type != BPF_FS_MAGIC && mount("bpf", "/sys/fs/bpf", "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
		return neg_errno();
	if (mkdir(PIN_DIR, 0700) < 0 && errno != EEXIST)
		return neg_errno();
	return 0;
}

/* An object whose iterator or structure this kernel does not have is left out. */
static bool not_here(int r) { return r == -ESRCH || r == -EOPNOTSUPP || r == -ENOENT || r == -EINVAL; }

int bpf_pin(const struct caps *caps)
{
	_cleanup_close_ int dir = -1;

	if (caps->state[CAN_BPF].answer == CAP_NO)
		return -EPERM;
	int r = prepare_dir();
	if (r == 0)
		r = open_dir(&dir);
	bool vmas = false; /* the list walker is for kernels without the iterator; mini for where nothing else loads */
	for (int id = 0; r == 0 && id < BPF_OBJECTS; id++) {
		if ((id == BPF_VMA_LIST && vmas) || id == BPF_MINI)
			continue;
		r = pin_one((enum bpf_object_id)id);
		vmas |= id == BPF_VMA && r == 0;
		if (r < 0 && id != BPF_TASK && not_here(r))
			r = 0;
	}
	return r;
}

static void dir_closep(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

int bpf_unpin(void)
{
	int fd = -1, r = open_dir(&fd);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	_cleanup_(dir_closep) DIR *dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	for (const struct dirent *entry; (entry = readdir(dir));)
		if (entry->d_name[0] != '.' && unlinkat(fd, entry->d_name, 0) < 0)
			return neg_errno();
	return rmdir(PIN_DIR) < 0 ? neg_errno() : 0;
}

static enum bpf_stored stored(enum bpf_object_id id)
{
	char key[STORE_KEY_MAX], program[256], map[256];
	_cleanup_bpf_code_ struct bpf_code code = { 0 };
	_cleanup_close_ int dir = -1;

	bpf_pin_key(id, key);
	pin_paths(key, program, map);
	if (open_dir(&dir) == 0 && access(program, F_OK) == 0)
		return BPF_STORED_PINNED;
	return bpf_cache_read(id, &code) == 0 ? BPF_STORED_CACHED : BPF_STORED_NOT;
}

int bpf_status(size_t i, const char **ret_name, enum bpf_stored *ret_stored)
{
	if (i >= BPF_OBJECTS)
		return -ENOENT;
	*ret_name = bpf_image((enum bpf_object_id)i).name;
	*ret_stored = stored((enum bpf_object_id)i);
	return 0;
}
