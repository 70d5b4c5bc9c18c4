/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What any socket tells of itself by a duplicate of its descriptor. */
#pragma once
#include "base/base.h"

/* AF_*, or negative errno. */
int socket_family(int fd);
/* Is it a socket of ckpt's own network namespace? 1, 0, or negative errno when the kernel does not tell. */
int socket_is_near(int fd);
