/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whole-file reading and exact transfers; every function returns 0 or more, or a negative errno. */
#pragma once
#include "base/base.h"
#include "base/text.h"
#include <dirent.h>
#include <sys/types.h>

/* Lets this process open as many files as its hard limit allows (setrlimit(2), RLIMIT_NOFILE). */
void file_limit_raise(void);
/* Reads all of a file into text (appends). */
int file_read(int dirfd, const char *path, struct text *);
/* The id of this boot (random(4)), and a newline. */
int file_boot_id(struct text *);
/* Like file_read, for a file that the kernel prints at once, as most of /proc: what is read short is its end. Not for
 * lists that are printed piece by piece: maps, children, mounts. */
int file_read_once(int dirfd, const char *path, struct text *);
/* Like file_read, of at most `limit` bytes: -EFBIG when there are more; what was read by then is in text. */
int file_read_within(int dirfd, const char *path, struct text *, size_t limit);
/* The decimal number that a file of one number begins with, as those of /proc/sys; otherwise when it cannot be read. */
u64 file_number(const char *path, u64 otherwise);
/* Like file_read, with a formatted path below dirfd (AT_FDCWD for absolute paths). */
int file_readf(struct text *, int dirfd, const char *format, ...) _printf_(3, 4);
/* The next entry of a directory. NULL behind the last, or with *ret_err (else untouched) when it cannot be read. */
struct dirent *file_next(DIR *, int *ret_err);
/* The target of a symbolic link, NUL-terminated; -ENAMETOOLONG when it does not fit. */
int file_readlink(int dirfd, const char *path, char *target, size_t room);
/* Opens what a process (0: the caller) has at a place below /proc/PID ("fd/3"), to read it, as no access of the program's where its owner alone may have it
 * so (open(2), O_NOATIME). A descriptor of the caller's, or -errno. */
int file_open_unnoticed(pid_t, const char *place);
/* Transfers exactly len bytes or fails; a read that meets the end of the file gives -ENODATA. */
int file_pread_full(int fd, void *data, size_t len, off_t offset);
int file_pwrite_full(int fd, const void *data, size_t len, off_t offset);
int file_write_full(int fd, const void *data, size_t len);
