// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the list of resources. */
#include "resource/registry.h"

const struct resource *const registry[] = {
#define RESOURCE(name) &resource_##name,
#include "resource/registry.def"
#undef RESOURCE
	NULL,
};

const struct resource *registry_of_file(const struct graph *graph, u32 file)
{
	const Ckpt__File *f = graph_data(graph, &kind_file, file);
	for (const struct resource *const *r = registry; f && f->kind && *r; r++)
		if ((*r)->scope == SCOPE_FILE && !strcmp((*r)->name, f->kind))
			return *r;
	return NULL;
}

void registry_kinds(const struct kind *ret[REGISTRY_KINDS])
{
	size_t n = 0;
	for (const struct kind *const *k = spine_kinds; *k && n < REGISTRY_KINDS - REGISTRY_COUNT - 1; k++)
		ret[n++] = *k;
	for (const struct resource *const *r = registry; *r; r++)
		ret[n++] = (*r)->kind;
	ret[n] = NULL;
}

const struct resource *registry_of_kind(const struct kind *kind)
{
	for (const struct resource *const *r = registry; *r; r++)
		if ((*r)->kind == kind)
			return *r;
	return NULL;
}

u64 registry_map_room(const struct graph *graph)
{
	u64 bytes = 0;
	for (const struct resource *const *r = registry; *r; r++)
		bytes = MAX(bytes, (*r)->map_room ? (*r)->map_room(graph) : 0);
	return bytes;
}
