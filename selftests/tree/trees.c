// SPDX-License-Identifier: LGPL-2.1-or-later
/* Whole trees, and the three that the design of restore is measured by: a shell with job control, sockets inside of sockets,
 * nested user namespaces. */
#include "tree/program.h"

PROGRAM(tree, PLAIN, "tree")
PROGRAM(cow, PLAIN, "cow")
PROGRAM(prefork, NET, "prefork")
PROGRAM(pty, PLAIN, "pty")
PROGRAM(pty_ahead, NEEDS(BPF_TASK_LINK), "pty", "ahead")
PROGRAM(pty_watched, QUIET, "pty", "watched")
PROGRAM(sockets, QUIET, "sockets")
PROGRAM(userns, PLAIN, "userns")
PROGRAM(python, PLAIN, "/usr/bin/python3", "python.py")
PROGRAM(loop, PLAIN, "/usr/bin/python3", "loop.py")
