/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the resources of userfaultfd(2) share: how the one finds the files of the other. Inline, since resources do not use each other. */
#pragma once
#include "base/map.h"

/* By which collector_remember() knows the file object of a userfaultfd; identity: that of eBPF. */
static inline u64 userfault_key(u64 identity) { return map_mix(identity, 0x75666664); }
