// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns reading where the kernel stands in the rings of a socket of packet(7). */
#include "collect/bpf_internal.h"

int bpf_packet(struct bpf_source *source, u32 tgid, u32 fd, struct record_packet *ret)
{
	struct bpf_walker *w;
	int r = bpf_source_lock(source, BPF_PACKET, &w);
	if (r < 0)
		return r;
	r = bpf_read_record(w, tgid, fd, RECORD_PACKET, ret, sizeof *ret);
	bpf_unlock(w);
	return r;
}
