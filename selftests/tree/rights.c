// SPDX-License-Identifier: LGPL-2.1-or-later
/* Programs with rights and restrictions of their own. */
#include "tree/program.h"

PROGRAM(seccomp_shared, PLAIN, "rights", "shared")
PROGRAM(rights_of_threads, PLAIN, "rights", "own")
PROGRAM(seccomp_tight, PLAIN, "rights", "tight")
PROGRAM(seccomp_strict, PLAIN, "rights", "strict")
PROGRAM(other_root, PLAIN, "rights", "chroot")
PROGRAM(user_with_rights, PLAIN, "rights", "user")
PROGRAM(settings, PLAIN, "rights", "settings")
PROGRAM(scheduling_of_threads, PLAIN, "rights", "scheduled")
