// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the file of cached answers: /run/ckpt (root) or $XDG_RUNTIME_DIR/ckpt, one file per key. */
#include "host/cache.h"
#include "base/file.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <xxhash.h>

#define CACHE_MAGIC 0x31737061636b7063ull /* "cpkcaps1" */

struct cache_file {
	u64 magic;
	struct cache_key key;
	u64 sum; /* of what follows */
	struct known known[CAN_COUNT];
};

struct cache_key cache_key_of(const struct text *text)
{
	XXH128_hash_t hash = XXH3_128bits(text->data, text->len);
	return (struct cache_key){ hash.low64, hash.high64 };
}

int cache_key(struct cache_key *ret, const struct host *host)
{
	_cleanup_text_ struct text t = { 0 };
	struct utsname name;
	int r = file_boot_id(&t);
	if (r < 0)
		return r;
	if (uname(&name) < 0)
		return neg_errno();
	text_addf(&t, "%s\n%s\n%s\n%u %llx %llu %d %s\n", name.release, name.version, name.machine, host->euid,
		  (unsigned long long)host->effective, (unsigned long long)host->userns, host->seccomp, CKPT_VERSION);
	text_addf(&t, "%s %d\n", caps_btf(), faccessat(AT_FDCWD, caps_btf(), R_OK, AT_EACCESS));
	file_read(AT_FDCWD, "/proc/self/attr/current", &t); /* no LSM: an error, and nothing added */
	for (int i = 0; i < CAN_COUNT; i++) {
		const char *id = caps_row((enum cap_id)i)->id, *built = probes[i].built ?: "";
		text_add(&t, id, strlen(id) + 1);
		text_add(&t, (const char *)&probes[i].flags, sizeof probes[i].flags);
		text_add(&t, built, strlen(built) + 1);
	}
	if (text_failed(&t))
		return -ENOMEM;
	*ret = cache_key_of(&t);
	return 0;
}

static int cache_dir(bool make)
{
	char path[256] = "/run/ckpt";
	if (geteuid() != 0) {
		const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
		if (!runtime || *runtime != '/' || strlen(runtime) > 200)
			return -ENOENT;
		snprintf(path, sizeof path, "%s/ckpt", runtime);
	}
	if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
		return neg_errno();
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? neg_errno() : fd;
}

/* Only what nobody else can have written counts. */
static bool cache_trusted(int fd, mode_t type)
{
	struct stat st;
	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type && st.st_uid == geteuid() && !(st.st_mode & 022);
}

static void cache_name(char name[48], const struct cache_key *key)
{
	snprintf(name, 48, "caps-%016llx%016llx", (unsigned long long)key->high, (unsigned long long)key->low);
}

int cache_read_at(int dir, const struct cache_key *key, struct known known[CAN_COUNT])
{
	char name[48];
	struct cache_file file;
	cache_name(name, key);
	if (!cache_trusted(dir, S_IFDIR))
		return -EPERM;
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return neg_errno();
	if (!cache_trusted(fd, S_IFREG))
		return -EPERM;
	if (read(fd, &file, sizeof file) != sizeof file)
		return -EINVAL;
	if (file.magic != CACHE_MAGIC || memcmp(&file.key, key, sizeof *key) ||
	    file.sum != XXH3_64bits(file.known, sizeof file.known))
		return -EINVAL;
	for (size_t i = 0; i < CAN_COUNT; i++)
		if (file.known[i].answer > CAP_YES || file.known[i].built > CAP_YES)
			return -EINVAL;
	memcpy(known, file.known, sizeof file.known);
	return 0;
}

int cache_write_at(int dir, const struct cache_key *key, const struct known known[CAN_COUNT])
{
	char name[48], temporary[64];
	struct cache_file file;
	memset(&file, 0, sizeof file);
	file.magic = CACHE_MAGIC;
	file.key = *key;
	memcpy(file.known, known, sizeof file.known);
	file.sum = XXH3_64bits(file.known, sizeof file.known);
	if (!cache_trusted(dir, S_IFDIR))
		return -EPERM;
	cache_name(name, key);
	snprintf(temporary, sizeof temporary, ".new-%d", (int)getpid());
	_cleanup_close_ int fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return neg_errno();
	int r = file_write_full(fd, &file, sizeof file);
	if (r == 0 && renameat(dir, temporary, dir, name) < 0)
		r = neg_errno();
	if (r < 0)
		unlinkat(dir, temporary, 0);
	return r;
}

int cache_read(const struct cache_key *key, struct known known[CAN_COUNT])
{
	_cleanup_close_ int dir = cache_dir(false);
	return dir < 0 ? dir : cache_read_at(dir, key, known);
}

int cache_write(const struct cache_key *key, const struct known known[CAN_COUNT])
{
	_cleanup_close_ int dir = cache_dir(true);
	return dir < 0 ? dir : cache_write_at(dir, key, known);
}
