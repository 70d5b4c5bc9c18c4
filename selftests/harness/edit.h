/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images with other facts, every checksum right. */
#pragma once
#include "harness/target.h"
#include "model/model.h"

/* Copies an image to a new directory, with its facts changed. */
void edit_image(const char *from, const char *to, void (*change)(struct graph *, const void *), const void *with);
/* The same with facts of any bytes, made from those of the image. */
void edit_facts(const char *from, const char *to, void (*make)(struct text *facts, const struct graph *));
/* The facts of an image. */
void edit_load(const char *dir, struct graph *ret);
/* Dumps the target, and restores it: as it is (change: NULL), or with the facts of its image changed. leg: a number for the images. */
void edit_leg(struct target *, int leg, void (*change)(struct graph *, const void *));
/* A change: no process has CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE, which ckpt shall lack. */
void edit_out_rights(struct graph *, const void *with);
