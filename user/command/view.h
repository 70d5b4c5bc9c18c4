/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a whole graph is shown: the tree first, then every process with what belongs to it, then open files. */
#pragma once
#include "host/caps.h"
#include "model/reflect.h"

enum { VIEW_LIST = 33 };

struct view_options {
	bool json;
	const char *sections[VIEW_LIST]; /* kinds to see, or "tree"; none: all */
	const char *ignore[VIEW_LIST];   /* "kind" or "kind.field" */
	int argc;                        /* operands */
	char **argv;
};
/* Reads --json and --section LIST, or --ignore LIST where that is the command's; want operands must be left. Refuses by
 * USAGE. */
int view_parse(struct view_options *ret, int argc, char **argv, bool ignores, int want, const char *usage);
/* Adds a name to options->ignore. */
int view_ignore(struct view_options *, const char *name);
/* What this kernel can do, without what CKPT_DISABLE names. */
int view_caps(struct caps *ret);
/* Passes r on; with --json a failure is told on standard output too. */
int view_result(const struct view_options *, int r);
/* Writes the graph to standard output as text or JSON. */
int view_graph(const struct graph *, const struct view_options *);
/* The objects of a graph in the order of a view; borrows them: free only ret->objects. */
int view_order(const struct graph *, struct graph *ret);
/* The process tree as lines. */
void view_tree(struct text *, const struct graph *);
