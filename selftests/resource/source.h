/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* eBPF as a source of facts, for tests that want nothing else. */
#pragma once
#include "collect/bpf_internal.h"
#include "harness/target.h"

static struct caps no_caps; /* nothing is known to be impossible */

static struct bpf_source *source(void)
{
	int err = 0;
	struct bpf_source *bpf = bpf_open(&no_caps, BPF_COLD, &err);
	if (!bpf)
		SKIP("eBPF is not to be had: %s", strerror(-err));
	return bpf;
}
