/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is registered with an io_uring(7): files, buffers, and the eventfd(2) that completions are told to. It is registered again when the
 * ring stands where it stood: nothing of that is told. Of uring.c alone. */
#pragma once
#include "collect/collect.h"
#include "eventfd.pb-c.h"
#include "resource/uring_history.h"

#define SLOTS_MOST 16384u /* numbers in a table */

/* --- collect --- */

static int add_file_slot(struct collector *c, Ckpt__Uring *u, u32 number, const struct record_uring_slot *slot)
{
	const struct record_file *seen = collector_descriptor_of(c, slot->file);
	Ckpt__UringFile *f = MESSAGE_NEW(Ckpt__UringFile, ckpt__uring_file);
	if (!f || !MESSAGE_APPEND(&u->n_file, &u->file, f)) {
		free(f);
		return fail_memory();
	}
	SET(f, number, number);
	SET(f, tag, slot->file_tag);
	if (seen) {
		SET(f, table, seen->table);
		SET(f, fd, seen->fd);
	}
	return 0;
}

static int add_buffer_slot(Ckpt__Uring *u, u32 number, const struct record_uring_slot *slot)
{
	Ckpt__UringBuffer *b = MESSAGE_NEW(Ckpt__UringBuffer, ckpt__uring_buffer);
	if (!b || !MESSAGE_APPEND(&u->n_buffer, &u->buffer, b)) {
		free(b);
		return fail_memory();
	}
	SET(b, number, number);
	SET(b, address, slot->address);
	SET(b, length, slot->length);
	SET(b, tag, slot->buffer_tag);
	SET(b, of_kernel, slot->of_kernel != 0);
	return 0;
}

static int add_slots(struct collector *c, Ckpt__Uring *u, u32 first, const struct record_uring_slots *part)
{
	int r = 0;
	for (u32 i = 0; r == 0 && i < URING_SLOTS_PER_READ; i++) {
		if (part->slot[i].file)
			r = add_file_slot(c, u, first + i, &part->slot[i]);
		if (r == 0 && part->slot[i].length)
			r = add_buffer_slot(u, first + i, &part->slot[i]);
	}
	return r;
}

/* Where nothing tells it is judged by that there is something. */
static int collect_tables(struct collector *c, Ckpt__Uring *u)
{
	struct record_uring_slots part = { 0 };
	u32 first = 0;
	do {
		if (collector_uring_slots(c, first, &part) <= 0)
			return 0;
		int r = add_slots(c, u, first, &part);
		if (r < 0)
			return r;
		first += URING_SLOTS_PER_READ;
	} while (first < MAX(part.files, part.buffers) && first < SLOTS_MOST);
	SET(u, files, part.files);
	SET(u, buffers, part.buffers);
	SET(u, alloc_start, part.alloc_start);
	SET(u, alloc_end, part.alloc_end);
	return 0;
}

static int collect_registered(struct collector *c, const struct record_uring *record, Ckpt__Uring *u)
{
	if (record->eventfd_id) {
		u->eventfd = MESSAGE_NEW(Ckpt__UringEventfd, ckpt__uring_eventfd);
		if (!u->eventfd)
			return fail_memory();
		SET(u->eventfd, id, (s32)(record->eventfd_id - 1));
		SET(u->eventfd, async, record->eventfd_async != 0);
	}
	bool told = !caps_lacks(collector_caps(c), CAN_IO_URING_TABLES);
	return told && u->has & (URING_FILES | URING_BUFFERS) ? collect_tables(c, u) : 0;
}

/* --- when all files are known --- */

static void settle_registered(const struct graph *graph, Ckpt__Uring *u)
{
	const struct kind *eventfds = u->eventfd ? graph_kind(graph, "eventfd") : NULL;
	for (const struct object *o = NULL; eventfds && (o = graph_next(graph, eventfds, o));)
		if (((const Ckpt__Eventfd *)o->data)->has_id && ((const Ckpt__Eventfd *)o->data)->id == u->eventfd->id)
			SET(u->eventfd, file, o->id);
	for (size_t i = 0; i < u->n_file; i++) {
		const struct object *fds = u->file[i]->has_table ? graph_find(graph, &kind_fds, u->file[i]->table) : NULL;
		for (u32 k = 0; fds && k < fds->count; k++)
			if (((const struct fd_entry *)fds->data)[k].fd == u->file[i]->fd)
				SET(u->file[i], file, ((const struct fd_entry *)fds->data)[k].file);
	}
}

/* --- judge --- */

/* Is all of it memory that can be written to, as it was when it was registered? */
static bool is_writable(const struct object *vmas, u64 start, u64 end)
{
	for (u32 i = 0; vmas && i < vmas->count && start < end; i++) {
		const struct vma *v = &((const struct vma *)vmas->data)[i];
		if (v->start <= start && start < v->end && v->prot & PROT_WRITE)
			start = v->end;
	}
	return start >= end;
}

static int judge_buffers(const struct graph *graph, const Ckpt__Uring *u, const struct issuer *issuer)
{
	const struct object *vmas = graph_find(graph, &kind_vmas, issuer->pid);
	u32 next = 0;
	for (size_t i = 0; i < u->n_buffer; next = u->buffer[i++]->number + 1) {
		const Ckpt__UringBuffer *b = u->buffer[i];
		if (b->number < next || b->number >= u->buffers)
			return fail(IMAGE_VALUE, 0, "buffer %u of %u", b->number, u->buffers);
		if (b->of_kernel)
			return fail(URING_REGISTERED, 0, "buffer %u is a driver's", b->number);
		if (b->address + b->length < b->address || !is_writable(vmas, b->address, b->address + b->length))
			return fail(URING_REGISTERED, 0,
				    "buffer %u at %llx is not in the memory of process %u any more, or read-only", b->number,
				    (unsigned long long)b->address, issuer->pid);
	}
	return 0;
}

static int judge_files(const struct graph *graph, const Ckpt__Uring *u)
{
	u32 next = 0;
	for (size_t i = 0; i < u->n_file; next = u->file[i++]->number + 1) {
		const Ckpt__UringFile *f = u->file[i];
		if (f->number < next || f->number >= u->files)
			return fail(IMAGE_VALUE, 0, "file %u of %u", f->number, u->files);
		if (!f->file)
			return fail(URING_REGISTERED, 0, "no descriptor leads to file %u of its table", f->number);
		if (!graph_find(graph, &kind_file, f->file) || graph_find(graph, &kind_uring, f->file))
			return fail(IMAGE_INCONSISTENT, 0, "file %u of its table", f->number);
	}
	return 0;
}

/* Of the bits of what it has, those that are carried as they are. */
static u32 carried(const Ckpt__Uring *u)
{
	return (u->has_files ? URING_FILES | URING_BUFFERS : 0) | (u->eventfd ? URING_EVENTFD : 0);
}

static int judge_registered(const struct graph *graph, const Ckpt__Uring *u, const struct issuer *issuer)
{
	if (u->files > SLOTS_MOST || u->buffers > SLOTS_MOST)
		return fail(URING_REGISTERED, 0, "tables for %u files and %u buffers", u->files, u->buffers);
	if (u->alloc_end < u->alloc_start || u->alloc_end > u->files)
		return fail(IMAGE_VALUE, 0, "numbers from %u to %u of %u files", u->alloc_start, u->alloc_end, u->files);
	int r = judge_files(graph, u), buffers = judge_buffers(graph, u, issuer);
	if (u->eventfd && !graph_data(graph, graph_kind(graph, "eventfd"), u->eventfd->file))
		return fail(URING_REGISTERED, 0, "no descriptor leads to its eventfd(2)");
	return r < 0 ? r : buffers;
}

/* --- plan --- */

static void plan_table(struct plan *plan, struct place at, struct arg ring, u32 call, u32 number, u32 data, u32 tags)
{
	struct io_uring_rsrc_register table = { .nr = number };
	u32 to = plan_data(plan, &table, sizeof table, 8);
	plan_pointer(plan, to + offsetof(struct io_uring_rsrc_register, data), data);
	plan_pointer(plan, to + offsetof(struct io_uring_rsrc_register, tags), tags);
	plan_call(plan, at, SYS_io_uring_register, ring, ARG(call), ARG_OF_DATA(to), ARG(sizeof table));
}

static void plan_files(struct plan *plan, struct place at, struct arg ring, const Ckpt__Uring *u)
{
	u32 fds = plan_data(plan, NULL, u->files * sizeof(s32), 8), tags = plan_data(plan, NULL, u->files * sizeof(u64), 8);
	for (u32 i = 0; plan_bytes(plan, fds) && i < u->files; i++)
		((s32 *)plan_bytes(plan, fds))[i] = -1;
	for (size_t i = 0; plan_bytes(plan, tags) && i < u->n_file; i++) {
		((s32 *)plan_bytes(plan, fds))[u->file[i]->number] = plan_fd(plan, u->file[i]->file);
		((u64 *)plan_bytes(plan, tags))[u->file[i]->number] = u->file[i]->tag;
	}
	plan_table(plan, at, ring, IORING_REGISTER_FILES2, u->files, fds, tags);
	if (!u->alloc_start && u->alloc_end == u->files)
		return;
	struct io_uring_file_index_range range = { .off = u->alloc_start, .len = u->alloc_end - u->alloc_start };
	plan_call(plan, at, SYS_io_uring_register, ring, ARG(IORING_REGISTER_FILE_ALLOC_RANGE),
		  ARG_OF_DATA(plan_data(plan, &range, sizeof range, 8)), ARG(0));
}

static void plan_buffers(struct plan *plan, struct place at, struct arg ring, const Ckpt__Uring *u)
{
	u32 parts = plan_data(plan, NULL, u->buffers * sizeof(struct iovec), 8);
	u32 tags = plan_data(plan, NULL, u->buffers * sizeof(u64), 8);
	for (size_t i = 0; plan_bytes(plan, tags) && i < u->n_buffer; i++) {
		const Ckpt__UringBuffer *b = u->buffer[i];
		((struct iovec *)plan_bytes(plan, parts))[b->number] =
			(struct iovec){ (void *)(uintptr_t)b->address, b->length };
		((u64 *)plan_bytes(plan, tags))[b->number] = b->tag;
	}
	plan_table(plan, at, ring, IORING_REGISTER_BUFFERS2, u->buffers, parts, tags);
}

static void plan_registered(struct plan *plan, struct place at, struct arg ring, const Ckpt__Uring *u)
{
	if (u->files)
		plan_files(plan, at, ring, u);
	if (u->buffers)
		plan_buffers(plan, at, ring, u);
	if (!u->eventfd)
		return;
	u32 call = u->eventfd->async ? IORING_REGISTER_EVENTFD_ASYNC : IORING_REGISTER_EVENTFD;
	s32 fd = plan_fd(plan, u->eventfd->file);
	plan_call(plan, at, SYS_io_uring_register, ring, ARG(call), ARG_OF_DATA(plan_data(plan, &fd, sizeof fd, 4)), ARG(1));
}
