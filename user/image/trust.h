/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who else could change what we are about to believe. */
#pragma once
#include "base/base.h"
#include <sys/stat.h>

/* May only root and the caller write it? Else why holds the reason. */
bool trust_stat(const struct stat *, char *why, size_t room);
/* Opens a directory, O_RDONLY. Every directory and symbolic link on the way, from the root, must pass trust_stat or be
 * sticky (unless trust); symbolic links are followed. Reports failures. */
int trust_open_dir(const char *path, bool trust);
