// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns whole-file reading and exact transfers. */
#include "base/file.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/resource.h>

static int read_text(int dirfd, const char *path, struct text *text, bool once, size_t limit)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return neg_errno();
	char chunk[4096]; /* most files of /proc give no more at once */
	for (;;) {
		ssize_t n = read(fd, chunk, sizeof chunk);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return neg_errno();
		if (n == 0)
			break;
		if ((size_t)n > limit)
			return -EFBIG;
		limit -= (size_t)n;
		text_add(text, chunk, (size_t)n);
		if (once && (size_t)n < sizeof chunk)
			break;
	}
	text_add(text, "", 0);
	return text_failed(text) ? -ENOMEM : 0;
}

void file_limit_raise(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int file_read(int dirfd, const char *path, struct text *text) { return read_text(dirfd, path, text, false, SIZE_MAX); }
int file_read_once(int dirfd, const char *path, struct text *text) { return read_text(dirfd, path, text, true, SIZE_MAX); }
int file_boot_id(struct text *text) { return file_read_once(AT_FDCWD, "/proc/sys/kernel/random/boot_id", text); }
int file_read_within(int dirfd, const char *path, struct text *text, size_t limit)
{
	return read_text(dirfd, path, text, false, limit);
}

u64 file_number(const char *path, u64 otherwise)
{
	_cleanup_text_ struct text text = { 0 };
	return file_read_once(AT_FDCWD, path, &text) == 0 && text.data ? strtoull(text.data, NULL, 10) : otherwise;
}

int file_readf(struct text *text, int dirfd, const char *format, ...)
{
	char path[PATH_MAX];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(path, sizeof path, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof path)
		return -ENAMETOOLONG;
	return file_read(dirfd, path, text);
}

int file_readlink(int dirfd, const char *path, char *target, size_t room)
{
	ssize_t n = readlinkat(dirfd, path, target, room);
	if (n < 0)
		return neg_errno();
	if ((size_t)n >= room)
		return -ENAMETOOLONG;
	target[n] = 0;
	return (int)n;
}

int file_open_unnoticed(pid_t pid, const char *place)
{
	char path[96];
	if (pid)
		snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, place);
	else
		snprintf(path, sizeof path, "/proc/self/%s", place);
	int own = open(path, O_RDONLY | O_NOATIME | O_CLOEXEC);
	if (own < 0 && errno == EPERM)
		own = open(path, O_RDONLY | O_CLOEXEC);
	return own < 0 ? neg_errno() : own;
}

int file_pread_full(int fd, void *data, size_t len, off_t offset)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(fd, (char *)data + done, len - done, offset + (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return neg_errno();
		if (n == 0)
			return -ENODATA;
		done += (size_t)n;
	}
	return 0;
}

int file_pwrite_full(int fd, const void *data, size_t len, off_t offset)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(fd, (const char *)data + done, len - done, offset + (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return neg_errno();
		done += (size_t)n;
	}
	return 0;
}

int file_write_full(int fd, const void *data, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, (const char *)data + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return neg_errno();
		done += (size_t)n;
	}
	return 0;
}

struct dirent *file_next(DIR *dir, int *ret_err)
{
	errno = 0;
	struct dirent *entry = readdir(dir);
	if (!entry && errno)
		*ret_err = neg_errno();
	return entry;
}
