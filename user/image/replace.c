// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the exchange of an image for a newer one. At any instant one whole image has the name, except on file systems without
 * RENAME_EXCHANGE (renameat2(2)), where there is none for the moment between two renames. */
#include "image/replace.h"
#include "base/file.h"
#include "image/manifest.h"
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static int open_below(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? neg_errno() : fd;
}

bool replace_wanted(int parent, const char *name)
{
	_cleanup_close_ int dir = open_below(parent, name);
	struct stat st;
	return dir >= 0 && (fstatat(dir, MANIFEST_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 ||
			    fstatat(dir, MANIFEST_UNFINISHED, &st, AT_SYMLINK_NOFOLLOW) == 0);
}

/* An image has no directories in it. The manifest goes first: at no time may it name a file that is gone. */
static void empty(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;
	DIR *entries = fd < 0 ? NULL : fdopendir(fd);
	if (!entries) {
		closep(&fd);
		return;
	}
	unlinkat(dir, MANIFEST_NAME, 0);
	for (struct dirent *e; (e = file_next(entries, &err));)
		if (e->d_type != DT_DIR)
			unlinkat(dir, e->d_name, 0);
	closedir(entries);
}

static void remove_dir(int parent, const char *name)
{
	_cleanup_close_ int dir = open_below(parent, name);
	if (dir >= 0)
		empty(dir);
	unlinkat(parent, name, AT_REMOVEDIR);
}

int replace_begin(int parent, const char *name, char *beside, size_t room)
{
	if ((size_t)snprintf(beside, room, ".%s.new", name) >= room)
		return -ENAMETOOLONG;
	if (mkdirat(parent, beside, 0700) < 0 && errno != EEXIST)
		return neg_errno();
	_cleanup_close_ int dir = open_below(parent, beside);
	if (dir < 0)
		return dir;
	if (flock(dir, LOCK_EX | LOCK_NB) < 0)
		return neg_errno();
	empty(dir); /* what an interrupted dump has left */
	return take_fd(&dir);
}

int replace_finish(int parent, const char *beside, const char *name)
{
	char old[300];
	if (syscall(SYS_renameat2, parent, beside, parent, name, RENAME_EXCHANGE) == 0) {
		remove_dir(parent, beside);
		return 0;
	}
	if (errno != EINVAL && errno != ENOSYS)
		return neg_errno();
	snprintf(old, sizeof old, ".%s.old", name);
	if (renameat(parent, name, parent, old) < 0)
		return neg_errno();
	if (renameat(parent, beside, parent, name) < 0) {
		int r = neg_errno();
		renameat(parent, old, parent, name);
		return r;
	}
	remove_dir(parent, old);
	return 0;
}
