// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the raw cache: relocated instructions in a directory that only root can change, keyed by kernel and object. */
#include "collect/bpf_internal.h"
#include "base/file.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define CACHE_DIR "/var/cache/ckpt"
#define CACHE_MAGIC 0x3268636163667062ull
#define INSNS_MAX (1u << 20)

struct cache_header {
	u64 magic;
	XXH128_hash_t hash; /* of all that follows */
	u32 attach_btf_id, map_size, count, fields_count;
	struct record_config config;
};
#define HASHED_FROM offsetof(struct cache_header, attach_btf_id)

/* What another user could have changed is never loaded into the kernel. */
static bool is_ours(int fd, mode_t type, mode_t forbidden)
{
	struct stat st;
	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type && st.st_uid == geteuid() && !(st.st_mode & forbidden);
}

static int open_dir(bool create, int *ret)
{
	if (create && mkdir(CACHE_DIR, 0755) < 0 && errno != EEXIST)
		return neg_errno();
	_cleanup_close_ int dir = open(CACHE_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return neg_errno();
	if (!is_ours(dir, S_IFDIR, 022))
		return -EACCES;
	*ret = take_fd(&dir);
	return 0;
}

static int read_checked(int fd, struct bpf_code *ret)
{
	struct cache_header header;
	struct stat st;

	int r = file_pread_full(fd, &header, sizeof(header), 0);
	if (r < 0)
		return r;
	if (header.magic != CACHE_MAGIC || !header.count || header.count > INSNS_MAX || header.fields_count > RECORD_CODE_MAX ||
	    fstat(fd, &st) < 0)
		return -EBADMSG;
	size_t len = ((size_t)header.count + header.fields_count) * sizeof(struct bpf_insn);
	if ((size_t)st.st_size != sizeof(header) + len)
		return -EBADMSG;
	ret->insns = malloc(len);
	if (!ret->insns)
		return -ENOMEM;
	r = file_pread_full(fd, ret->insns, len, sizeof(header));
	if (r < 0)
		return r;
	XXH3_state_t state;
	XXH3_128bits_reset(&state);
	XXH3_128bits_update(&state, (char *)&header + HASHED_FROM, sizeof(header) - HASHED_FROM);
	XXH3_128bits_update(&state, ret->insns, len);
	if (!XXH128_isEqual(XXH3_128bits_digest(&state), header.hash))
		return -EBADMSG;
	ret->attach_btf_id = header.attach_btf_id;
	ret->map_size = header.map_size;
	ret->count = header.count;
	ret->fields_count = header.fields_count;
	ret->config = header.config;
	return 0;
}

int bpf_cache_read(enum bpf_object_id id, struct bpf_code *ret)
{
	_cleanup_close_ int dir = -1;
	char key[BPF_KEY_MAX];

	int r = open_dir(false, &dir);
	if (r == 0)
		r = bpf_key(id, key);
	if (r < 0)
		return r;
	_cleanup_close_ int fd = openat(dir, key, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return neg_errno();
	return is_ours(fd, S_IFREG, 077) ? read_checked(fd, ret) : -EACCES;
}

static int write_all(int fd, const struct bpf_code *code)
{
	struct cache_header header = { .magic = CACHE_MAGIC,
				       .attach_btf_id = code->attach_btf_id,
				       .map_size = code->map_size,
				       .count = code->count,
				       .fields_count = code->fields_count,
				       .config = code->config };
	size_t len = ((size_t)code->count + code->fields_count) * sizeof(struct bpf_insn);
	XXH3_state_t state;

	XXH3_128bits_reset(&state);
	XXH3_128bits_update(&state, (char *)&header + HASHED_FROM, sizeof(header) - HASHED_FROM);
	XXH3_128bits_update(&state, code->insns, len);
	header.hash = XXH3_128bits_digest(&state);
	int r = file_write_full(fd, &header, sizeof(header));
	return r < 0 ? r : file_write_full(fd, code->insns, len);
}

int bpf_cache_write(enum bpf_object_id id, const struct bpf_code *code)
{
	_cleanup_close_ int dir = -1;
	char key[BPF_KEY_MAX], temporary[BPF_KEY_MAX + 16];

	int r = bpf_key(id, key);
	if (r == 0)
		r = open_dir(true, &dir);
	if (r < 0)
		return r;
	snprintf(temporary, sizeof(temporary), ".%s.%d", key, getpid());
	_cleanup_close_ int fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return neg_errno();
	r = write_all(fd, code);
	if (r == 0 && renameat(dir, temporary, dir, key) < 0)
		r = neg_errno();
	if (r < 0)
		unlinkat(dir, temporary, 0);
	return r;
}
