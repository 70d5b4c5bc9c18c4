/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What any socket tells of itself by a duplicate of its descriptor. */
#pragma once
#include "base/base.h"
#include <protobuf-c/protobuf-c.h>

/* AF_*, or negative errno. */
int socket_family(int fd);
/* Is it a socket of ckpt's own network namespace? 1, 0, or negative errno when the kernel does not tell. */
int socket_is_near(int fd);
/* The program of SO_ATTACH_FILTER, owned by the message it is in: 1, 0 when there is none, -EACCES when it is of eBPF, which
 * cannot be read, -ENOMEM. */
int socket_filter(int fd, ProtobufCBinaryData *ret);
