// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what the second program of the task object does: it takes a task's fields out of the structures that the first has copied. */
#include "collect/bpf_internal.h"

_Static_assert(offsetof(struct record_task_map, copies) ==
		       offsetof(struct record_task_map, raw) + sizeof(struct record_task_raw),
	       "the copies follow the record, as in the stream");

int bpf_task_fields(const struct bpf_walker *w, const struct bpf_reader *record, struct record_task_map *scratch)
{
	const struct record_code *code = w->fields;
	size_t longest = code ? sizeof(scratch->raw) + sizeof(scratch->copies) : sizeof(scratch->raw);

	if (record->len < sizeof(scratch->raw) || record->len > longest)
		return -EBADMSG;
	memcpy(&scratch->raw, record->data, MIN((size_t)record->len, sizeof(scratch->raw)));
	memcpy(scratch->copies, (const char *)record->data + sizeof(scratch->raw), record->len - sizeof(scratch->raw));
	if (!code)
		return 0;
	return code->count > RECORD_CODE_MAX
		       ? -EBADMSG
		       : bpf_interpret((const struct bpf_insn *)code->insns, code->count, scratch, sizeof(*scratch));
}
