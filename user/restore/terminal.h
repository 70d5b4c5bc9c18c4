/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The terminal that a restore hands over for one whose other side lay outside of the dumped tree. Private to restore/. */
#pragma once
#include "restore/restore.h"

/* Finds out whether the image needs one, and opens what config->terminal names. All refusals are reported. */
int terminal_open(struct terminal *ret, const struct restore_config *, const struct graph *);
/* The tree was let go: a terminal that is larger or smaller than the old one says so. */
void terminal_released(struct terminal *);
/* There is no tree: the terminal is as it was. */
void terminal_undo(struct terminal *);
void terminal_free(struct terminal *);
/* A relay runs: what waits in one of these is copied to the other side; false when the tree's side is closed. */
void relay_begin(struct terminal *);
bool relay_input(struct terminal *);
bool relay_output(struct terminal *);
void relay_resize(struct terminal *);
void relay_end(struct terminal *);
