/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Refusals: by name, with a way out, and with the world as it was. */
#pragma once
#include "harness/target.h"

/* A dump that is refused with this exit class and code; leaves the target and the place of the image as they were. */
void refused_at(const struct target *, const char *image, int exit_class, const char *code);
/* A restore that is. */
void restore_refused(const char *image, int exit_class, const char *code);
/* Starts selftests/programs/holds with this; the test is skipped where it says that it cannot be had. */
void start_holding(struct target *, const char *what);
