// SPDX-License-Identifier: LGPL-2.1-or-later
/* sleeper.c, linked another way. */
#include "sleeper.c"
