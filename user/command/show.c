// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns `ckpt show`: the model of an image, as text or JSON. */
#include "command/command.h"
#include "command/view.h"
#include "image/image.h"
#include "resource/registry.h"

int command_show(int argc, char **argv)
{
	diag_begin("show", "what is given");
	struct view_options options;
	int r = view_parse(&options, argc, argv, false, 1, "ckpt show [--json] [--section KIND,...] DIR");
	if (r < 0)
		return r;
	diag_begin("show", options.argv[0]);
	_cleanup_image_ struct image *image = NULL;
	_cleanup_graph_ struct graph g = { 0 };
	const struct kind *kinds[REGISTRY_KINDS];
	registry_kinds(kinds);
	r = image_open(&image, options.argv[0], true); /* whoever made it: it is only looked at */
	if (r == 0)
		r = image_load(image, kinds, &g);
	return view_result(&options, r < 0 ? r : view_graph(&g, &options));
}
