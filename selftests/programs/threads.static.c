// SPDX-License-Identifier: LGPL-2.1-or-later
/* threads.c, linked another way. */
#include "threads.c"
