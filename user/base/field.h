/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading of "Name:   value" lines, as in /proc/PID/status and fdinfo. */
#pragma once
#include "base/base.h"

/* The value after "name:" and white space at the beginning of a line; NULL when there is no such line. It ends at the
 * line's end, not at a NUL. */
const char *field_find(const char *lines, const char *name);
/* The value as a number; base as strtoull. False when it is absent or no number. */
bool field_u64(const char *lines, const char *name, int base, u64 *ret);
