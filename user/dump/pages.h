/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory contents of a dump: which pages, from where. */
#pragma once
#include "collect/collect.h"
#include "image/image.h"

/* Adds the page objects to the graph and stores their contents in the image; *ret_bytes: stored. */
int dump_pages(struct image_writer *, const struct caps *, struct tree *, struct graph *, const struct memory_sources *,
	       u64 *ret_bytes);
/* The page runs alone: for predictions. */
int dump_scan_pages(const struct caps *, struct tree *, struct graph *);
