/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What running and finishing a plan share. Private to restore/. */
#pragma once
#include "model/kinds.h"
#include "restore/restore.h"

struct arena *execution_arena(struct execution *);
