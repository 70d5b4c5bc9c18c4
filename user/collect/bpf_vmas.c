// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns turning the mapping and descriptor programs' streams into facts. */
#include "collect/bpf_internal.h"

int bpf_vmas(struct bpf_source *source, struct facts *facts, struct tree *tree)
{
	(void)source, (void)facts, (void)tree;
	return -EOPNOTSUPP;
}

int bpf_files(struct bpf_source *source, struct facts *facts, struct tree *tree)
{
	(void)source, (void)facts, (void)tree;
	return -EOPNOTSUPP;
}
