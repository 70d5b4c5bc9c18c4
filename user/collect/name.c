// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the search for another name of a file whose first one is gone: a hard link in the same directory. */
#include "collect/collect_internal.h"
#include "diag/diag.h"
#include <dirent.h>
#include <stdio.h>

#define DELETED " (deleted)"
#define ENTRIES_MAX 100000 /* that are looked at */

static bool leads_to(const char *path, const struct stat *st)
{
	struct stat there;
	if (lstat(path, &there) < 0) {
		if (errno != ENOENT && errno != ENOTDIR && errno != EACCES && errno != ESRCH)
			fail(SYSCALL, neg_errno(), "lstat(%s)", path);
		return false;
	}
	return there.st_ino == st->st_ino && there.st_dev == st->st_dev;
}

void collect_find_name(const struct stat *st, char *link, size_t room)
{
	size_t len = strlen(link), suffix = sizeof DELETED - 1;
	if (!st->st_nlink || S_ISDIR(st->st_mode) || link[0] != '/' || len <= suffix || strcmp(link + len - suffix, DELETED) ||
	    leads_to(link, st))
		return;
	_cleanup_free_ char *dir = strdup(link);
	if (!dir)
		return;
	*(strrchr(dir, '/') + 1) = 0;
	DIR *entries = opendir(dir);
	if (!entries && errno != ENOENT && errno != ENOTDIR && errno != EACCES)
		fail(SYSCALL, neg_errno(), "opendir(%s)", dir);
	char path[4200];
	int left = ENTRIES_MAX;
	struct dirent *e = NULL;
	while (entries && left-- > 0 && (errno = 0, e = readdir(entries)))
		if (e->d_ino == st->st_ino &&
		    (size_t)snprintf(path, sizeof path, "%s%s", dir, e->d_name) < MIN(sizeof path, room) &&
		    leads_to(path, st)) {
			strcpy(link, path);
			break;
		}
	if (entries && !e && errno && errno != ENOENT)
		fail(SYSCALL, neg_errno(), "readdir(%s)", dir);
	if (entries)
		closedir(entries);
}
