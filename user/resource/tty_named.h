/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a path leads to of terminals. Those of the machine itself (virtual consoles, serial lines, /dev/console) are there at every
 * restore, under the same name, so they are opened again, unless one controls a process of the tree: then the tree goes on in the
 * terminal that is handed over. */
#pragma once
#include "ctty.pb-c.h"
#include "model/model.h"
#include "tty.pb-c.h"
#include <stdio.h>
#include <string.h>

static inline bool tty_controls(const struct graph *graph, u32 device)
{
	for (size_t i = 0; i < graph->objects.n; i++) {
		const struct object *o = graph->objects.v[i];
		if (o->kind->desc == &ckpt__ctty__descriptor && ((const Ckpt__Ctty *)o->data)->device == device)
			return true;
	}
	return false;
}

static inline bool tty_is_named(const struct graph *graph, const Ckpt__Tty *t)
{
	return t->side && !strcmp(t->side, "slave") && !t->dead && t->has_device && !t->has_number && !t->has_index &&
	       t->name && !strncmp(t->name, "/dev/", 5) && !tty_controls(graph, t->device);
}

/* Will a restore make the pseudoterminal whose slave has this path? */
static inline bool tty_makes(const struct graph *graph, const char *path)
{
	char slave[32];
	for (struct object *o = NULL; !strncmp(path, "/dev/pts/", 9) && (o = graph_next(graph, graph_kind(graph, "tty"), o));) {
		const Ckpt__Tty *t = o->data;
		snprintf(slave, sizeof slave, "/dev/pts/%u", t->index);
		if (t->has_index && t->side && !strcmp(t->side, "master") && !strcmp(path, slave))
			return true;
	}
	return false;
}
