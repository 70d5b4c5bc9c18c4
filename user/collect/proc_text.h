/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Parsers of /proc texts: pure, so that they can be fuzzed. Each returns 0 or -EBADMSG and never reads past the NUL. */
#pragma once
#include "base/base.h"
#include "record.h"

/* proc(5): /proc/PID/task/TID/status and stat into the groups IDS, CREDS, SECCOMP, MM (but brk), and pending sets. */
int parse_status(const char *text, struct record_task *);
int parse_stat(const char *text, struct record_task *);
/* The value after "name" at the start of a line, NULL when there is none. */
const char *status_field(const char *text, const char *name);

/* One mapping of maps or smaps. *at moves behind it. 1: a mapping, 0: the end, -EBADMSG. path points into the text and
 * is path_len bytes long; smaps: flags come from VmFlags. */
int parse_mapping(const char **at, struct record_vma *, const char **path, size_t *path_len);
/* timens_offsets: ns by which a namespace's clocks are ahead of the kernel's. */
int parse_clock_offsets(const char *text, s64 *ret_monotonic, s64 *ret_boottime);
/* fdinfo: pos, flags, mnt_id, ino. */
int parse_fdinfo(const char *text, struct record_file *);
