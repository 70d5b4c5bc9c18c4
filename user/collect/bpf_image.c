// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the embedded BPF objects and their names. */
#include "collect/bpf_internal.h"
#include "base/file.h"
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include "aio.skel.h"
#include "file.skel.h"
#include "mini.skel.h"
#include "task.skel.h"
#include "timer.skel.h"
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
		[BPF_FILE] = { "file", "task_file", file_bpf__elf_bytes, file_bpf__hash },
	};
	struct bpf_image image = { .name = rows[id].name, .iterator = rows[id].iterator, .hash = rows[id].hash };
	image.elf = rows[id].elf(&image.len);
	return image;
}

/* The NT_GNU_BUILD_ID of the running kernel in hexadecimal. */
static int kernel_build_id(char *hex, size_t room)
{
	_cleanup_text_ struct text notes = { 0 };
	int r = file_read_once(AT_FDCWD, "/sys/kernel/notes", &notes);
	if (r < 0)
		return r;
	for (size_t at = 0; at + sizeof(Elf64_Nhdr) <= notes.len;) {
		Elf64_Nhdr note;
		memcpy(&note, notes.data + at, sizeof(note));
		size_t name = at + sizeof(note), desc = name + ALIGN_UP((size_t)note.n_namesz, 4);
		if (desc + note.n_descsz > notes.len)
			break;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && !memcmp(notes.data + name, "GNU", 4)) {
			if (note.n_descsz * 2 + 1 > room)
				return -ENAMETOOLONG;
			for (u32 i = 0; i < note.n_descsz; i++)
				snprintf(hex + 2 * i, 3, "%02x", (unsigned char)notes.data[desc + i]);
			return 0;
		}
		at = desc + ALIGN_UP((size_t)note.n_descsz, 4);
	}
	return -ENOENT;
}

int bpf_key(enum bpf_object_id id, char key[BPF_KEY_MAX])
{
	struct bpf_image image = bpf_image(id);
	char build_id[65];

	int r = kernel_build_id(build_id, sizeof(build_id));
	if (r < 0)
		return r;
	snprintf(key, BPF_KEY_MAX, "%s-%s-%016llx-%d", image.name, build_id, (unsigned long long)image.hash,
		 RECORD_WIRE_VERSION);
	return 0;
}

void bpf_pin_key(enum bpf_object_id id, char key[BPF_KEY_MAX])
{
	struct bpf_image image = bpf_image(id);

	snprintf(key, BPF_KEY_MAX, "%s-%016llx-%d", image.name, (unsigned long long)image.hash, RECORD_WIRE_VERSION);
}
