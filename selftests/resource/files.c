// SPDX-License-Identifier: LGPL-2.1-or-later
/* Files of every kind, through a whole dump and restore. */
#include "tree/program.h"

PROGRAM(shared_memory, PLAIN, "shared")
PROGRAM(fifos, QUIET, "fifos")
PROGRAM(ghosts, QUIET, "ghosts")
PROGRAM(replaced, QUIET, "replaced")
PROGRAM(replaced_memfd, QUIET, "replaced", "memfd")
PROGRAM(memfds, QUIET, "memfds")
PROGRAM(nodes, QUIET, "nodes")
PROGRAM(queues, QUIET, "queues")
