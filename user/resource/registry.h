/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The list of all resources. */
#pragma once
#include "model/kinds.h"
#include "model/resource.h"

#define RESOURCE(name) extern const struct resource resource_##name;
#include "resource/registry.def"
#undef RESOURCE

/* All resources, and all kinds that an image may hold (spine and resources); NULL-terminated. */
extern const struct resource *const registry[];
extern const struct kind *const registry_kinds[];
