// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the opening of an eBPF source beside other work: the verifier takes about a millisecond. */
#include "base/parallel.h"
#include "collect/source.h"

static void *open_source(void *arg)
{
	struct bpf_early *early = arg;
	int err;
	early->source = bpf_open(early->caps, BPF_CACHED, &err);
	return NULL;
}

void bpf_early_start(struct bpf_early *early, const struct caps *caps)
{
	*early = (struct bpf_early){ .caps = caps };
	early->running = parallel_thread(&early->thread, open_source, early) == 0;
}

struct bpf_source *bpf_early_take(struct bpf_early *early)
{
	if (early->running)
		pthread_join(early->thread, NULL);
	early->running = false;
	return take_ptr(early->source);
}
