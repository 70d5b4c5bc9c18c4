// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the list of resources. */
#include "resource/registry.h"

const struct resource *const registry[] = {
#define RESOURCE(name) &resource_##name,
#include "resource/registry.def"
#undef RESOURCE
	NULL,
};

void registry_kinds(const struct kind *ret[REGISTRY_KINDS])
{
	size_t n = 0;
	for (const struct kind *const *k = spine_kinds; *k && n < REGISTRY_KINDS - REGISTRY_COUNT - 1; k++)
		ret[n++] = *k;
	for (const struct resource *const *r = registry; *r; r++)
		ret[n++] = (*r)->kind;
	ret[n] = NULL;
}
