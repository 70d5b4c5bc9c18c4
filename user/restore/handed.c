// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what takes the place of external files: ckpt's own standard input, output and error, or descriptors that it was
 * started with. */
#include "restore/handed.h"
#include "diag/diag.h"
#include "resource/registry.h"
#include "unix.pb-c.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* The descriptor from 0 to 2 that the root has it at; -1: none of them. */
static int standard_number(const struct graph *g, u32 file)
{
	const Ckpt__Host *host = graph_data(g, &kind_host, 1);
	const Ckpt__Task *root = host ? graph_data(g, &kind_task, host->root_pid) : NULL;
	const struct object *table = root ? graph_find(g, &kind_fds, root->fds) : NULL;
	const struct fd_entry *e = table ? table->data : NULL;
	for (u32 i = 0; e && i < table->count; i++)
		if (e[i].file == file && e[i].fd <= 2)
			return (int)e[i].fd;
	return -1;
}

/* N of "LINK=fd:N"; -1: it speaks of another file or is not of this form. */
static int inherited_number(const char *text, const char *link)
{
	size_t len = strlen(link);
	char *end;
	if (strncmp(text, link, len) || strncmp(text + len, "=fd:", 4))
		return -1;
	long number = strtol(text + len + 4, &end, 10);
	return *end || end == text + len + 4 || number < 0 || number > INT32_MAX ? -1 : (int)number;
}

/* By what its /proc link named, or file:[MOUNT:INODE] in hexadecimal. */
static int meant_number(const char *text, const Ckpt__File *f)
{
	char key[48];
	snprintf(key, sizeof key, "file:[%x:%llx]", f->mount, (unsigned long long)f->inode);
	int number = f->link && *f->link ? inherited_number(text, f->link) : -1;
	return number < 0 && f->has_mount ? inherited_number(text, key) : number;
}

static int given_number(const struct restore_config *config, const Ckpt__File *f)
{
	int number = -1;
	for (size_t i = 0; number < 0 && i < config->inherit.n; i++)
		number = meant_number(config->inherit.v[i], f);
	return number;
}

static int find_source(const struct restore_config *config, const struct graph *g, u32 file, const Ckpt__File *f)
{
	int number = given_number(config, f);
	return number < 0 && config->stdio ? standard_number(g, file) : number;
}

static bool has_path(const Ckpt__File *f) { return f->kind && !strcmp(f->kind, "reg") && !(f->flags & O_PATH); }

/* What would be opened by its path is external too when another file is given for it. */
static void mark_replaced(const struct restore_config *config, const struct graph *g)
{
	for (struct object *o = NULL; config->inherit.n && (o = graph_next(g, &kind_file, o));) {
		Ckpt__File *f = o->data;
		if (has_path(f) && given_number(config, f) >= 0)
			SET(f, external, true);
	}
}

/* May the program do with it what it did? A socket goes both ways, but rarely both are used. */
static bool is_open_for(int fd, u32 flags)
{
	int have = fcntl(fd, F_GETFL), want = (int)(flags & O_ACCMODE);
	return have >= 0 && !(have & O_PATH) && (want == O_RDWR || (have & O_ACCMODE) == O_RDWR || (have & O_ACCMODE) == want);
}

/* Flags are of an open file description, which ckpt's own would share with whoever called it: so pipes and terminals are opened
 * again. A file keeps its position by being shared, as among the programs of a script. dry: nothing is opened or set. */
static int open_own(int fd, u32 flags, bool dry)
{
	struct stat st;
	char path[32];
	int have = fcntl(fd, F_GETFL), own = -1;
	if (fstat(fd, &st) < 0)
		return neg_errno();
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (!dry && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))) {
		int access = (flags & O_ACCMODE) == O_RDWR ? have & O_ACCMODE : (int)(flags & O_ACCMODE);
		own = open(path, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	}
	if (own < 0) {
		own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		return own < 0 ? neg_errno() : own;
	}
	if (!dry && fcntl(own, F_SETFL, flags & (O_NONBLOCK | (S_ISFIFO(st.st_mode) ? O_DIRECT : 0))) < 0) {
		int r = neg_errno();
		close(own);
		return r;
	}
	return own;
}

static bool can_be_external(const struct graph *g, const struct object *o)
{
	const struct resource *resource = registry_of_file(g, o->id);
	return resource && (resource->external || has_path(o->data)) && graph_find(g, resource->kind, o->id);
}

/* A pipe whose other side was closed: its reader has come to the end, its writer gets EPIPE. */
static int cut_pipe(u32 flags)
{
	int ends[2];
	bool reads = (flags & O_ACCMODE) == O_RDONLY;
	if (pipe2(ends, (int)(flags & (O_NONBLOCK | O_DIRECT)) | O_CLOEXEC) < 0)
		return neg_errno();
	close(ends[reads ? 1 : 0]);
	return ends[reads ? 0 : 1];
}

static int cut_socket(const Ckpt__Unix *u, u32 flags)
{
	int ends[2], type = u->type && !strcmp(u->type, "seqpacket") ? SOCK_SEQPACKET : SOCK_STREAM;
	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC | (flags & O_NONBLOCK ? SOCK_NONBLOCK : 0), 0, ends) < 0)
		return neg_errno();
	close(ends[1]);
	return ends[0];
}

/* What takes the place of an external file when nothing was handed over for it; it is told. */
static int cut(const struct graph *g, const struct object *o)
{
	const Ckpt__File *f = o->data;
	const Ckpt__Unix *u = NULL;
	for (const struct resource *const *r = registry; *r && !u; r++)
		if ((*r)->kind->desc == &ckpt__unix__descriptor)
			u = graph_data(g, (*r)->kind, o->id);
	int fd = u ? cut_socket(u, f->flags) : cut_pipe(f->flags);
	if (fd < 0)
		return fail(FILE_HANDED, fd, "%s, whose other side is to be closed", f->link);
	(void)note(FILE_CUT, "%s", f->link);
	return fd;
}

static int take(struct handed_files *h, u32 file, int fd)
{
	struct handed *place = vector_add(&h->list);
	if (!place) {
		close(fd);
		return fail_memory();
	}
	*place = (struct handed){ file, fd };
	return 0;
}

static int hand_over(struct handed_files *h, const struct restore_config *config, const struct graph *g, const struct object *o)
{
	const Ckpt__File *f = o->data;
	if (!can_be_external(g, o) || !f->link || !*f->link)
		return fail(IMAGE_INCONSISTENT, 0, "file %u is external", o->id);
	int source = find_source(config, g, o->id, f), number = standard_number(g, o->id), fd;
	if (source < 0 && config->cut) {
		fd = cut(g, o);
		return fd < 0 ? fd : take(h, o->id, fd);
	}
	if (source < 0 && number >= 0)
		return fail(FILE_NOT_GIVEN, 0, "%s, descriptor %d of the root", f->link, number);
	if (source < 0)
		return fail(FILE_NOT_GIVEN, 0, "%s", f->link);
	if (!is_open_for(source, f->flags))
		return fail(FILE_HANDED, 0, "descriptor %d is not open for %s, as %s was", source,
			    (f->flags & O_ACCMODE) == O_RDONLY ? "reading" : "writing", f->link);
	fd = open_own(source, f->flags, config->plan_only || config->check_only);
	return fd < 0 ? fail(FILE_HANDED, fd, "descriptor %d", source) : take(h, o->id, fd);
}

/* One that names no external file would be a mistake that shows too late. */
static int judge_inherit(const char *text, const struct graph *g)
{
	for (struct object *o = NULL; (o = graph_next(g, &kind_file, o));) {
		const Ckpt__File *f = o->data;
		if (f->external && meant_number(text, f) >= 0)
			return 0;
	}
	return fail(FILE_HANDED, 0, "no file of the image that another one could take the place of is meant by %s", text);
}

int handed_open(struct handed_files *h, const struct restore_config *config, const struct graph *g)
{
	int r = 0;
	mark_replaced(config, g);
	for (size_t i = 0; i < config->inherit.n && !config->spare_inherit; i++)
		r = judge_inherit(config->inherit.v[i], g) < 0 ? -EINVAL : r;
	for (struct object *o = NULL; (o = graph_next(g, &kind_file, o));)
		if (((const Ckpt__File *)o->data)->external && hand_over(h, config, g, o) < 0)
			r = -EINVAL;
	return r;
}

void handed_free(struct handed_files *h)
{
	for (size_t i = 0; i < h->list.n; i++)
		close(h->list.v[i].fd);
	vector_free(&h->list);
}
