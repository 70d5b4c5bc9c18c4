// SPDX-License-Identifier: LGPL-2.1-or-later
/* clock.c, linked another way. */
#include "clock.c"
