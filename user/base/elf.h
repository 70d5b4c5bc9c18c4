/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading of ELF images that nobody vouches for. */
#pragma once
#include "base/base.h"

/* The GNU build-id among the first bytes of an image; points into them. False when there is none. */
bool elf_build_id(const void *image, size_t len, const u8 **ret, size_t *ret_len);
