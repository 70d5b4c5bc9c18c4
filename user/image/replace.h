/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The way of a new image into the place of an old one: it is written beside it, and changes places with it when it is whole. */
#pragma once
#include "base/base.h"

/* Does the directory (below parent) hold an image, or what an interrupted dump has left of one? */
bool replace_wanted(int parent, const char *name);
/* Makes the directory beside it, empty and locked as long as it is open, and says its name. The descriptor, or a negative errno:
 * -EWOULDBLOCK when another dump is writing there. */
int replace_begin(int parent, const char *name, char *ret_beside, size_t room);
/* Gives it the name, and removes what had it. A negative errno: the old image is still there. */
int replace_finish(int parent, const char *beside, const char *name);
