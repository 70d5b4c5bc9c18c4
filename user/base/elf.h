/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading of ELF images that nobody vouches for. */
#pragma once
#include "base/base.h"

#define VDSO_BYTES_MAX (64ul << 10) /* no vDSO is longer */

/* The length of an ELF image of 64 bits up to the end of its table of sections, in bytes; 0 when it is none, or is longer than
 * len. */
u64 elf_image_bytes(const void *image, size_t len);
/* The GNU build-id among the first bytes of an image; points into them. False when there is none. */
bool elf_build_id(const void *image, size_t len, const u8 **ret, size_t *ret_len);
