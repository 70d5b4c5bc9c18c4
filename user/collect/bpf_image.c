// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the embedded BPF objects and their names. */
#include "collect/bpf_internal.h"
#include <stdio.h>
#include "aio.skel.h"
#include "file.skel.h"
#include "mini.skel.h"
#include "packet.skel.h"
#include "task.skel.h"
#include "timer.skel.h"
#include "undo.skel.h"
#include "tty.skel.h"
#include "uring.skel.h"
#include "uring_table.skel.h"
#include "vma.skel.h"
#include "vma_list.skel.h"

struct bpf_image bpf_image(enum bpf_object_id id)
{
	static const struct {
		const char *name, *iterator;
		const void *(*elf)(size_t *);
		u64 hash;
	} rows[] = {
		[BPF_TASK] = { "task", "task", task_bpf__elf_bytes, task_bpf__hash },
		[BPF_TIMER] = { "timer", "task", timer_bpf__elf_bytes, timer_bpf__hash },
		[BPF_VMA] = { "vma", "task_vma", vma_bpf__elf_bytes, vma_bpf__hash },
		[BPF_VMA_LIST] = { "vma_list", "task", vma_list_bpf__elf_bytes, vma_list_bpf__hash },
		[BPF_MINI] = { "mini", "task", mini_bpf__elf_bytes, mini_bpf__hash },
		[BPF_AIO] = { "aio", "task", aio_bpf__elf_bytes, aio_bpf__hash },
		[BPF_UNDO] = { "undo", "task", undo_bpf__elf_bytes, undo_bpf__hash },
		[BPF_URING] = { "uring", "task_file", uring_bpf__elf_bytes, uring_bpf__hash },
		[BPF_URING_TABLE] = { "uring_table", "task_file", uring_table_bpf__elf_bytes, uring_table_bpf__hash },
		[BPF_TTY] = { "tty", "task_file", tty_bpf__elf_bytes, tty_bpf__hash },
		[BPF_PACKET] = { "packet", "task_file", packet_bpf__elf_bytes, packet_bpf__hash },
		[BPF_FILE] = { "file", "task_file", file_bpf__elf_bytes, file_bpf__hash },
	};
	struct bpf_image image = { .name = rows[id].name, .iterator = rows[id].iterator, .hash = rows[id].hash };
	image.elf = rows[id].elf(&image.len);
	return image;
}

void bpf_pin_key(enum bpf_object_id id, char key[STORE_KEY_MAX])
{
	struct bpf_image image = bpf_image(id);

	snprintf(key, STORE_KEY_MAX, "%s-%016llx-%d", image.name, (unsigned long long)image.hash, RECORD_WIRE_VERSION);
}
