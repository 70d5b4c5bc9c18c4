// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the walk along the path of an image: each component is opened first and judged then, so nothing can be exchanged
 * in between. */
#include "image/trust.h"
#include "diag/diag.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#define LINKS_MAX 40

/* Where the walk stands and what it still has to go. */
struct walk {
	int dir; /* O_PATH */
	unsigned links;
	char left[2 * PATH_MAX];
};

bool trust_stat(const struct stat *st, char *why, size_t room)
{
	if (st->st_uid != 0 && st->st_uid != geteuid()) {
		snprintf(why, room, "belongs to user %u", st->st_uid);
		return false;
	}
	if (!S_ISLNK(st->st_mode) && (st->st_mode & (S_IWGRP | S_IWOTH))) {
		snprintf(why, room, "may be written by %s (mode %04o)", st->st_mode & S_IWOTH ? "everyone" : "its group",
			 st->st_mode & 07777);
		return false;
	}
	return true;
}

static int judge(const struct stat *st, const char *name, bool last)
{
	char why[80];
	bool owned = st->st_uid == 0 || st->st_uid == geteuid();
	if (trust_stat(st, why, sizeof why) || (owned && !last && S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX)))
		return 0;
	return fail(IMAGE_UNTRUSTED, -EPERM, "%s \"%s\" on its path %s", S_ISLNK(st->st_mode) ? "the link" : "the directory",
		    name, why);
}

/* Cuts the first component off; false when none is left. */
static bool next_component(struct walk *w, char name[NAME_MAX + 1])
{
	size_t skip = strspn(w->left, "/"), len = strcspn(w->left + skip, "/");
	if (len == 0)
		return false;
	snprintf(name, NAME_MAX + 1, "%.*s", (int)MIN(len, (size_t)NAME_MAX), w->left + skip);
	memmove(w->left, w->left + skip + len, strlen(w->left + skip + len) + 1);
	return true;
}

static bool is_last(const struct walk *w) { return w->left[strspn(w->left, "/")] == 0; }

/* Puts the link's target before what is left. */
static int follow(struct walk *w, int link, const char *name)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(link, "", target, sizeof target - 1);
	if (n < 0)
		return fail(IMAGE_READ, neg_errno(), "readlink of \"%s\"", name);
	size_t rest = strlen(w->left);
	if (++w->links > LINKS_MAX || (size_t)n + 1 + rest >= sizeof w->left)
		return fail(IMAGE_MISSING, -ELOOP, "too many symbolic links at \"%s\"", name);
	memmove(w->left + n + 1, w->left, rest + 1);
	memcpy(w->left, target, (size_t)n);
	w->left[n] = '/';
	if (*w->left != '/')
		return 0;
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return fail(IMAGE_READ, neg_errno(), "open of \"/\"");
	close(w->dir);
	w->dir = root;
	return 0;
}

static int step(struct walk *w, const char *name, bool trust)
{
	_cleanup_close_ int fd = openat(w->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(IMAGE_MISSING, neg_errno(), "\"%s\" on its path cannot be opened", name);
	if (!S_ISLNK(st.st_mode) && !S_ISDIR(st.st_mode))
		return fail(IMAGE_MISSING, -ENOTDIR, "\"%s\" is not a directory", name);
	int r = trust ? 0 : judge(&st, name, is_last(w));
	if (r < 0)
		return r;
	if (S_ISLNK(st.st_mode))
		return follow(w, fd, name);
	close(w->dir);
	w->dir = take_fd(&fd);
	return 0;
}

/* The whole way from the root, also of a relative path: whoever can rename a directory above can exchange the image. */
static int start(struct walk *w, const char *path, bool trust)
{
	char here[PATH_MAX] = "";
	if (*path != '/' && !getcwd(here, sizeof here))
		return fail(IMAGE_READ, neg_errno(), "getcwd");
	if ((size_t)snprintf(w->left, sizeof w->left, "%s/%s", here, path) >= sizeof w->left)
		return fail(IMAGE_MISSING, -ENAMETOOLONG, "its path is too long");
	w->dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	if (w->dir < 0 || fstat(w->dir, &st) < 0)
		return fail(IMAGE_READ, neg_errno(), "open of \"/\"");
	return trust ? 0 : judge(&st, "/", is_last(w));
}

static int walk(struct walk *w, const char *path, bool trust)
{
	char name[NAME_MAX + 1];
	int r = start(w, path, trust);
	while (r == 0 && next_component(w, name))
		r = step(w, name, trust);
	if (r < 0)
		return r;
	int fd = openat(w->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? fail(IMAGE_READ, neg_errno(), "open of the directory") : fd;
}

int trust_open_dir(const char *path, bool trust)
{
	struct walk w = { .dir = -1 };
	int fd = walk(&w, path, trust);
	closep(&w.dir);
	return fd;
}
