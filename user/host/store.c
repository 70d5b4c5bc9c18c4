// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the files that are kept from one run to the next. */
#include "host/store.h"
#include "base/file.h"
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define STORE_DIR "/var/cache/ckpt"
#define STORE_MAGIC 0x3165726f74736b63ull
#define STORE_BYTES_MAX (16u << 20)

struct store_header {
	u64 magic;
	XXH128_hash_t hash; /* of all that follows */
};

/* The NT_GNU_BUILD_ID of the running kernel in hexadecimal. */
static int kernel_build_id(char *hex, size_t room)
{
	_cleanup_text_ struct text notes = { 0 };
	int r = file_read_once(AT_FDCWD, "/sys/kernel/notes", &notes);
	if (r < 0)
		return r;
	for (size_t at = 0; at + sizeof(Elf64_Nhdr) <= notes.len;) {
		Elf64_Nhdr note;
		memcpy(&note, notes.data + at, sizeof note);
		size_t name = at + sizeof note, desc = name + ALIGN_UP((size_t)note.n_namesz, 4);
		if (desc + note.n_descsz > notes.len)
			break;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && !memcmp(notes.data + name, "GNU", 4)) {
			if (note.n_descsz * 2 + 1 > room)
				return -ENAMETOOLONG;
			for (u32 i = 0; i < note.n_descsz; i++)
				snprintf(hex + 2 * i, 3, "%02x", (unsigned char)notes.data[desc + i]);
			return 0;
		}
		at = desc + ALIGN_UP((size_t)note.n_descsz, 4);
	}
	return -ENOENT;
}

int store_key(char key[STORE_KEY_MAX], const char *name, u64 hash, u32 version)
{
	char build_id[65];
	int r = kernel_build_id(build_id, sizeof build_id);
	if (r < 0)
		return r;
	snprintf(key, STORE_KEY_MAX, "%s-%s-%016llx-%u", name, build_id, (unsigned long long)hash, version);
	return 0;
}

static bool is_ours(int fd, mode_t type, mode_t forbidden, struct stat *st)
{
	return fstat(fd, st) == 0 && (st->st_mode & S_IFMT) == type && st->st_uid == geteuid() && !(st->st_mode & forbidden);
}

static int open_dir(bool create)
{
	struct stat st;
	if (create && mkdir(STORE_DIR, 0755) < 0 && errno != EEXIST)
		return neg_errno();
	_cleanup_close_ int dir = open(STORE_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return neg_errno();
	return is_ours(dir, S_IFDIR, 022, &st) ? take_fd(&dir) : -EACCES;
}

static int read_checked(int fd, size_t len, struct text *ret)
{
	struct store_header header;
	int r = file_pread_full(fd, &header, sizeof header, 0);
	if (r < 0)
		return r;
	_cleanup_free_ void *bytes = malloc(len + 1);
	if (!bytes)
		return -ENOMEM;
	r = file_pread_full(fd, bytes, len, sizeof header);
	if (r < 0)
		return r;
	if (header.magic != STORE_MAGIC || !XXH128_isEqual(XXH3_128bits(bytes, len), header.hash))
		return -EBADMSG;
	text_add(ret, bytes, len);
	return text_failed(ret) ? -ENOMEM : 0;
}

int store_read(const char *key, struct text *ret)
{
	struct stat st;
	_cleanup_close_ int dir = open_dir(false);
	if (dir < 0)
		return dir;
	_cleanup_close_ int fd = openat(dir, key, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return neg_errno();
	if (!is_ours(fd, S_IFREG, 077, &st))
		return -EACCES;
	if (st.st_size < (off_t)sizeof(struct store_header) || st.st_size > (off_t)STORE_BYTES_MAX)
		return -EBADMSG;
	return read_checked(fd, (size_t)st.st_size - sizeof(struct store_header), ret);
}

int store_write(const char *key, const void *data, size_t len)
{
	char temporary[STORE_KEY_MAX + 16];
	const struct store_header header = { STORE_MAGIC, XXH3_128bits(data, len) };
	_cleanup_close_ int dir = open_dir(true);
	if (dir < 0)
		return dir;
	snprintf(temporary, sizeof temporary, ".%s.%d", key, getpid());
	_cleanup_close_ int fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return neg_errno();
	int r = file_write_full(fd, &header, sizeof header);
	if (r == 0)
		r = file_write_full(fd, data, len);
	if (r == 0 && renameat(dir, temporary, dir, key) < 0)
		r = neg_errno();
	if (r < 0)
		unlinkat(dir, temporary, 0);
	return r;
}
