// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the list of resources. */
#include "resource/registry.h"

const struct resource *const registry[] = {
#define RESOURCE(name) &resource_##name,
#include "resource/registry.def"
#undef RESOURCE
	NULL,
};
