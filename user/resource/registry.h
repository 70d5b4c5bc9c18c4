/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The list of all resources. */
#pragma once
#include "model/kinds.h"
#include "model/resource.h"

#define RESOURCE(name) extern const struct resource resource_##name;
#include "resource/registry.def"
#undef RESOURCE

enum {
#define RESOURCE(name) REGISTRY_INDEX_##name,
#include "resource/registry.def"
#undef RESOURCE
	REGISTRY_COUNT,
	REGISTRY_KINDS = REGISTRY_COUNT + 17, /* and those of the spine, and NULL */
};

/* All resources; NULL-terminated. */
extern const struct resource *const registry[];
/* The resource that has a file object; NULL: none. */
const struct resource *registry_of_file(const struct graph *, u32 file);
/* The resource whose objects are of this kind; NULL: it is of the spine. */
const struct resource *registry_of_kind(const struct kind *);
/* All kinds that an image may hold, of the spine and of resources; NULL-terminated. */
void registry_kinds(const struct kind *ret[REGISTRY_KINDS]);
/* Bytes of address space that are free in each process while its mappings are made, as resources want them; 0: none. */
u64 registry_map_room(const struct graph *);
