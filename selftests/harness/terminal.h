/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A pseudoterminal whose master the test holds, and conversations with the program on it. */
#pragma once
#include "harness/target.h"

struct terminal_test {
	int master;
	char path[32]; /* of the slave */
	char seen[1 << 16];
	size_t n;
};

/* A new pair of 33 rows and 111 columns. */
void terminal_make(struct terminal_test *);
/* Starts the command on it, as the leader of a session that it controls. */
void terminal_start(struct terminal_test *, struct target *, const char *const *argv);
void terminal_say(struct terminal_test *, const char *text);
/* Reads what it shows until it holds the text; what follows stays for the next call. */
void terminal_expect(struct terminal_test *, const char *text);
