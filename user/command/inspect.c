// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns `ckpt inspect`: the model of a live tree, seen without stopping it. */
#include "collect/collect.h"
#include "command/command.h"
#include "command/view.h"
#include "resource/registry.h"
#include <stdio.h>

static int inspect(const struct view_options *options, int pid)
{
	struct caps caps;
	_cleanup_tree_ struct tree tree = { 0 };
	_cleanup_graph_ struct graph g = { 0 };
	struct collect_config config = {
		.caps = &caps, .resources = registry, .effort = BPF_COLD, .no_hijack = true, .live = true
	};
	int r = view_caps(&caps);
	if (r == 0)
		r = tree_scan(&tree, pid);
	if (r == 0)
		r = collect(&g, &tree, &config);
	return r < 0 ? r : view_graph(&g, options);
}

int command_inspect(int argc, char **argv)
{
	diag_begin("inspect", "what is given");
	struct view_options options;
	int pid = 0, r = view_parse(&options, argc, argv, false, 1, "ckpt inspect [--json] [--section KIND,...] PID");
	if (r == 0)
		r = command_pid(options.argv[0], &pid);
	if (r < 0)
		return r;
	char object[32];
	snprintf(object, sizeof object, "process %d", pid);
	diag_begin("inspect", object);
	r = command_stand(&pid);
	return r < 0 ? r : view_result(&options, inspect(&options, pid));
}
