// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns running an iterator program and cutting what it writes into records. */
#include "collect/bpf_internal.h"
#include <bpf/bpf.h>
#include <sys/file.h>
#include <time.h>

int bpf_lock(const struct bpf_walker *w)
{
	const struct timespec millisecond = { .tv_nsec = 1000000 };

	if (w->lock < 0)
		return 0;
	for (int i = 0; i < 100; i++) {
		if (flock(w->lock, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK)
			return neg_errno();
		nanosleep(&millisecond, NULL);
	}
	return -EBUSY; /* its holder may be stopped: another way is faster */
}

void bpf_unlock(const struct bpf_walker *w)
{
	if (w->lock >= 0)
		flock(w->lock, LOCK_UN);
}

static int attach(int program, u32 tgid)
{
	union bpf_iter_link_info info = { .task.pid = tgid };
	LIBBPF_OPTS(bpf_link_create_opts, opts, .iter_info = &info, .iter_info_len = sizeof(info));
	int link = bpf_link_create(program, 0, BPF_TRACE_ITER, tgid ? &opts : NULL);

	return tgid && (link == -E2BIG || link == -EINVAL) ? -EOPNOTSUPP : link;
}

static int read_all(int iterator, struct text *out)
{
	char buf[32768];
	ssize_t n;

	while ((n = read(iterator, buf, sizeof(buf))) != 0) {
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return neg_errno();
		text_add(out, buf, (size_t)n);
	}
	return text_failed(out) ? -ENOMEM : 0;
}

int bpf_run(const struct bpf_walker *w, u32 tgid, struct text *out)
{
	_cleanup_close_ int link = attach(w->fd, tgid);
	if (link < 0)
		return link;
	_cleanup_close_ int iterator = bpf_iter_create(link);
	if (iterator < 0)
		return iterator;
	return read_all(iterator, out);
}

int bpf_run_process(const struct bpf_walker *w, u32 tgid, struct text *out)
{
	int r = bpf_run(w, tgid, out);
	return r == -EOPNOTSUPP ? bpf_run(w, 0, out) : r;
}

int bpf_next(struct bpf_reader *reader)
{
	struct record_header header;
	size_t room = (size_t)(reader->end - reader->at);

	if (!room)
		return 0;
	if (room < sizeof(header))
		return -EBADMSG;
	memcpy(&header, reader->at, sizeof(header));
	reader->at += sizeof(header);
	room -= sizeof(header);
	reader->data = reader->at;
	reader->tag = header.tag;
	reader->len = header.len;
	if (header.len == 0) {
		const char *newline = memchr(reader->at, '\n', room);
		if (!newline)
			return -EBADMSG;
		reader->len = (u32)(newline - reader->at);
		reader->at = newline + 1;
		return 1;
	}
	if (header.len > room)
		return -EBADMSG;
	reader->at += header.len;
	return 1;
}

int bpf_first_record(const struct text *stream, u32 tag, void *ret, size_t len)
{
	struct bpf_reader reader = { .at = stream->data, .end = stream->data + stream->len };
	int r = bpf_next(&reader);
	if (r <= 0)
		return r;
	if (!reader.data || reader.tag != tag || reader.len != len)
		return -EBADMSG;
	memcpy(ret, reader.data, len);
	return 1;
}

int bpf_read_record(struct bpf_walker *w, u32 tgid, u64 cursor, u32 tag, void *ret, size_t len)
{
	_cleanup_text_ struct text stream = { 0 };
	w->config->cursor = cursor;
	int r = bpf_run(w, tgid, &stream);
	return r < 0 ? r : bpf_first_record(&stream, tag, ret, len);
}
