// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the question how many names a file has, by the program that tells of descriptors. */
#include "collect/bpf_internal.h"

int bpf_links(struct bpf_source *source, u32 tgid, u32 fd, u32 *ret)
{
	_cleanup_text_ struct text stream = { 0 };
	struct bpf_walker *w;
	int r = bpf_source_lock(source, BPF_FILE, &w);
	if (r < 0)
		return r;
	r = bpf_run(w, tgid, &stream);
	bpf_unlock(w);
	struct bpf_reader reader = { .at = stream.data, .end = stream.data + stream.len };
	struct record_file_raw raw;
	while (r >= 0 && (r = bpf_next(&reader)) > 0) {
		if (reader.tag != RECORD_FILE || reader.len != sizeof raw)
			return -EBADMSG;
		memcpy(&raw, reader.data, sizeof raw);
		if (raw.file.fd != fd)
			continue;
		*ret = raw.links;
		return 1;
	}
	return r;
}
