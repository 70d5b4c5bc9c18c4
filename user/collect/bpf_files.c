// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns turning the descriptor program's stream into facts. */
#include "collect/bpf_internal.h"
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>

#ifndef PID_FS_MAGIC
#define PID_FS_MAGIC 0x50494446 /* since 6.9 */
#endif

/* What readlink(/proc/PID/fd/N) says of files that have no path. Empty: it has one. */
static void decode_link(const struct record_file_raw *raw, struct record_file *f)
{
	unsigned long long ino = f->ino;
	char name[sizeof(f->link)];

	memcpy(name, f->link, sizeof(name));
	memset(f->link, 0, sizeof(f->link));
	switch (f->magic) {
	case PIPEFS_MAGIC:
		snprintf(f->link, sizeof(f->link), "pipe:[%llu]", ino);
		break;
	case SOCKFS_MAGIC:
		snprintf(f->link, sizeof(f->link), "socket:[%llu]", ino);
		break;
	case ANON_INODE_FS_MAGIC:
		snprintf(f->link, sizeof(f->link), "anon_inode:%.*s", (int)sizeof(f->link) - 12, name);
		break;
	case PID_FS_MAGIC:
		snprintf(f->link, sizeof(f->link), "anon_inode:[pidfd]");
		break;
	case NSFS_MAGIC:
		snprintf(f->link, sizeof(f->link), "%.*s:[%u]", 20, name, raw->ns_inum);
		break;
	default:
		break;
	}
}

/* The process whose memory this is; 0: none of the tree. */
static u32 process_with(const struct facts *facts, u64 mm_id)
{
	for (size_t i = 0; mm_id && i < facts->tasks.n; i++)
		if (facts->tasks.v[i].mm_id == mm_id)
			return facts->tasks.v[i].tgid;
	return 0;
}

/* Its first thread that has this descriptor table. */
static u32 table_of(const struct facts *facts, const struct record_file_raw *raw, u32 tgid)
{
	for (size_t i = 0; i < facts->tasks.n; i++) {
		const struct record_task *t = &facts->tasks.v[i];
		if (t->tgid == tgid && t->files_id == raw->files_id && t->known & KNOWN_IDENTITY)
			return facts_leads(facts, i) ? tgid : t->tid;
	}
	return tgid;
}

static void decode(const struct record_file_raw *raw, u32 tgid, u32 table, struct record_file *f)
{
	*f = raw->file;
	f->tgid = tgid;
	f->table = table;
	f->cloexec = (u32)(raw->close_on_exec >> (f->fd & 63)) & 1;
	f->flags &= ~(u32)O_CLOEXEC;
	f->dev_major = raw->dev >> 20;
	f->dev_minor = raw->dev & 0xfffff;
	f->rdev_major = raw->rdev >> 20;
	f->rdev_minor = raw->rdev & 0xfffff;
	f->owner_pid = bpf_pid_seen(&raw->reader, &raw->owner);
	if (!f->owner_pid)
		f->owner_type = 0;
	decode_link(raw, f);
}

static int add_files(struct facts *facts, const struct text *stream)
{
	struct bpf_reader reader = { .at = stream->data, .end = stream->data + stream->len };
	struct record_file_raw raw;
	u64 signal_id = 0, files_id = 0;
	u32 tgid = 0, table = 0;
	int r;

	while ((r = bpf_next(&reader)) > 0) {
		if (reader.tag != RECORD_FILE || reader.len != sizeof(raw))
			return -EBADMSG;
		memcpy(&raw, reader.data, sizeof(raw));
		if (raw.signal_id != signal_id)
			tgid = bpf_process_of(facts, raw.signal_id);
		if (raw.signal_id != signal_id || raw.files_id != files_id)
			table = table_of(facts, &raw, tgid);
		signal_id = raw.signal_id;
		files_id = raw.files_id;
		if (!tgid)
			continue;
		struct record_file *new = vector_add(&facts->files);
		if (!new)
			return -ENOMEM;
		decode(&raw, tgid, table, new);
		new->userfault_process = process_with(facts, raw.userfault_mm);
	}
	return r;
}

static int by_table_and_fd(const void *left, const void *right)
{
	const struct record_file *a = left, *b = right;
	if (a->table != b->table)
		return a->table < b->table ? -1 : 1;
	return a->fd < b->fd ? -1 : a->fd > b->fd;
}

/* The kernel's iterator shows the table of a thread again with each thread that shares it, but for that of the leader. */
static void drop_repeated(struct facts *facts)
{
	size_t n = 0;
	for (size_t i = 0; i < facts->files.n; i++)
		if (!n || by_table_and_fd(&facts->files.v[n - 1], &facts->files.v[i]))
			facts->files.v[n++] = facts->files.v[i];
	facts->files.n = n;
}

/* Processes are walked in order, or one after the other: mostly there is nothing to do. */
static void sort_files(struct facts *facts)
{
	for (size_t i = 1; i < facts->files.n; i++) {
		if (by_table_and_fd(&facts->files.v[i - 1], &facts->files.v[i]) < 0)
			continue;
		qsort(facts->files.v, facts->files.n, sizeof(*facts->files.v), by_table_and_fd);
		drop_repeated(facts);
		return;
	}
}

int bpf_files(struct bpf_source *source, struct facts *facts, struct tree *tree)
{
	_cleanup_text_ struct text stream = { 0 };
	size_t before = facts->files.n;
	struct bpf_walker *w;

	int r = bpf_source_walker(source, BPF_FILE, &w);
	if (r == 0)
		r = bpf_run_tree(w, tree, &stream);
	if (r == 0)
		r = add_files(facts, &stream);
	if (r < 0) {
		facts->files.n = before;
		return r;
	}
	sort_files(facts);
	facts->have_files = true;
	return 0;
}
