/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images with other facts, every checksum right. */
#pragma once
#include "model/model.h"

/* Copies an image to a new directory, with its facts changed. */
void edit_image(const char *from, const char *to, void (*change)(struct graph *, const void *), const void *with);
/* The facts of an image. */
void edit_load(const char *dir, struct graph *ret);
