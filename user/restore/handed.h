/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files that a restore hands over for pipes and sockets whose other side lay outside of the dumped tree. Private to restore/. */
#pragma once
#include "restore/restore.h"

/* Finds the external files of the image and opens what the command line gives for each. All refusals are reported. */
int handed_open(struct handed_files *ret, const struct restore_config *, const struct graph *);
void handed_free(struct handed_files *);
