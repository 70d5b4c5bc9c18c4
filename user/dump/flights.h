/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sockets in flight, which outlive their tree. Private to dump/. */
#pragma once
#include "model/model.h"

/* Waits, two seconds at most, until the sockets are gone that lay in queues of the tree, which has been ended. */
void dump_await_flights(const struct graph *);
