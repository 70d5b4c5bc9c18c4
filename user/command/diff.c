// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns `ckpt diff`: what differs between two images, or between an image and a live tree. */
#include "collect/collect.h"
#include "command/command.h"
#include "command/view.h"
#include "image/image.h"
#include "resource/registry.h"
#include <stdio.h>

/* The tree is frozen while its facts are read, and let go at once. stand: its ids are those of its own pid namespace. */
static int collect_live(struct graph *ret, const char *name, bool stand)
{
	struct caps caps;
	int pid, r = command_pid(name, &pid);
	if (r == 0 && stand)
		r = command_stand(&pid);
	if (r == 0)
		r = view_caps(&caps);
	if (r < 0)
		return r;
	_cleanup_tree_ struct tree tree = { 0 };
	struct freeze_options freeze = { .timeout = 5000000000 };
	struct collect_config config = { .caps = &caps, .resources = registry, .effort = BPF_COLD, .no_hijack = true };
	r = tree_freeze(&tree, pid, &freeze);
	if (r == 0)
		r = collect(ret, &tree, &config);
	tree_thaw(&tree);
	return r;
}

static int load_image(struct graph *ret, const char *dir)
{
	_cleanup_image_ struct image *image = NULL;
	const struct kind *kinds[REGISTRY_KINDS];
	registry_kinds(kinds);
	int r = image_open(&image, dir, true);
	return r < 0 ? r : image_load(image, kinds, ret);
}

static bool is_pid(const char *name) { return *name && !name[strspn(name, "0123456789")]; }

/* Images first: a live tree may be looked at from among its own mounts. */
static int load_sides(struct graph sides[2], char *const *names)
{
	bool live[] = { is_pid(names[0]), is_pid(names[1]) };
	int r = 0;
	for (int i = 0; r == 0 && i < 2; i++)
		r = live[i] ? 0 : load_image(&sides[i], names[i]);
	for (int i = 0; r == 0 && i < 2; i++)
		r = live[i] ? collect_live(&sides[i], names[i], !live[!i]) : 0;
	return r;
}

/* The lines as {"equal":..,"differences":[..]}. */
static void lines_json(struct text *t, char *lines)
{
	text_addf(t, "{\"equal\":%s,\"differences\":[", lines && *lines ? "false" : "true");
	const char *separator = "\n";
	for (char *line; lines && (line = strsep(&lines, "\n"));) {
		if (!*line)
			continue;
		text_adds(t, separator);
		text_add_json(t, line);
		separator = ",\n";
	}
	text_adds(t, "]}\n");
}

static int compare(const struct view_options *options, const struct graph *a, const struct graph *b)
{
	_cleanup_text_ struct text lines = { 0 };
	struct text json = { 0 };
	size_t count = graph_compare(&lines, a, b, options->ignore);
	if (text_failed(&lines))
		return fail_memory();
	if (options->json)
		lines_json(&json, lines.data);
	int r = command_output(options->json ? &json : &lines);
	return r < 0 ? r : count ? 1 : 0;
}

static void sides_free(struct graph (*sides)[2])
{
	graph_free(&(*sides)[0]);
	graph_free(&(*sides)[1]);
}

int command_diff(int argc, char **argv)
{
	diag_begin("compare", "what is given");
	struct view_options options;
	_cleanup_(sides_free) struct graph sides[2] = { 0 };
	int r = view_parse(&options, argc, argv, true, 2, "ckpt diff [--json] [--ignore KIND[.FIELD],...] DIR|PID DIR|PID");
	if (r < 0)
		return r;
	char object[96];
	snprintf(object, sizeof object, "%.40s with %.40s", options.argv[0], options.argv[1]);
	diag_begin("compare", object);
	r = load_sides(sides, options.argv);
	/* A live side has no pages: its memory is not read. */
	if (r == 0 && (is_pid(options.argv[0]) || is_pid(options.argv[1])))
		r = view_ignore(&options, "pages");
	return view_result(&options, r < 0 ? r : compare(&options, &sides[0], &sides[1]));
}
