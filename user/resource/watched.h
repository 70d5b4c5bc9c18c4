/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What inotify and fanotify share: fdinfo tells inodes, whose names are looked for. Inline, since resources do not use each other. */
#pragma once
#include "collect/collect.h"
#include "resource/file_scope.h"

/* What the search for names is about; one for each watch or mark. */
struct targets {
	VECTOR(struct inode_name) list;
};

static inline void targets_free(struct targets *t)
{
	for (size_t i = 0; i < t->list.n; i++)
		free(t->list.v[i].path);
	vector_free(&t->list);
}

/* " fhandle-bytes:8 fhandle-type:1 f_handle:0f64a7004ace4b80": the end of a line of fdinfo, empty where the file system has no
 * handles. */
static inline void parse_handle(const char *text, struct inode_name *n)
{
	int at = 0;
	unsigned byte;
	bool has = sscanf(text, " fhandle-bytes:%x fhandle-type:%x f_handle:%n", &n->handle_bytes, &n->handle_type, &at) == 2;
	if (!has || !at || n->handle_bytes > sizeof n->handle)
		n->handle_bytes = 0;
	for (u32 i = 0; i < n->handle_bytes; i++)
		n->handle[i] = sscanf(text + at + 2 * i, "%2x", &byte) == 1 ? (u8)byte : 0;
}

/* Why a target has no name. */
static inline const char *lost_by(const struct collector *c, const struct inode_name *n)
{
	if (n->deleted)
		return "deleted";
	return caps_lacks(collector_caps(c), CAN_FILE_HANDLES) ? "no name is known without open_by_handle_at (FILE_HANDLES)"
							       : "no name is known";
}

/* At restore: is what was watched there, and is it a directory as it was? */
static inline int judge_watched(const char *path, bool directory)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		return fail(FILE_MISSING, neg_errno(), "%s, watched", path);
	if (S_ISDIR(st.st_mode) != directory)
		return fail(FILE_CHANGED, 0, "%s is %s directory now, was%s", path, directory ? "no" : "a",
			    directory ? "" : " none");
	return 0;
}
