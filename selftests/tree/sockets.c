// SPDX-License-Identifier: LGPL-2.1-or-later
/* Programs that talk: sockets of the internet, each test in a network namespace of its own. */
#include "tree/program.h"

PROGRAM(inet, QUIET | NET, "inet")
PROGRAM(tcp, QUIET | NET, "tcp")
