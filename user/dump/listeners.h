/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
#include "collect/repair.h"
#include "model/model.h"
#include "model/policy.h"
#include "netlock/lock.h"

/* Locks the addresses where TCP sockets of the tree listen, for who wants to connect: the first packet of a connection is dropped,
 * and sent again when the tree is back. Not those where a process outside listens too (SO_REUSEPORT), who accepts meanwhile.
 * Without the means it warns. Reports its failures: TASK_RACED when a connection came since the socket was looked at. */
int dump_lock_listeners(const struct graph *, const struct policies *, struct netlock *, struct connections *);
