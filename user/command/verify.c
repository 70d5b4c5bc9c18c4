// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns `ckpt verify`: every checksum of an image, and whether its facts can be read. */
#include "command/command.h"
#include "image/image.h"
#include "resource/registry.h"
#include <getopt.h>

static int parse(int argc, char **argv, bool *ret_json, const char **ret_dir)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' }, { NULL, 0, NULL, 0 } };
	*ret_json = false;
	opterr = 0;
	optind = 1;
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (c != 'j')
			return fail(USAGE, 0, "\"%s\" is no option: ckpt verify [--json] DIR", argv[optind - 1]);
		*ret_json = true;
	}
	if (argc - optind != 1)
		return fail(USAGE, 0, "ckpt verify [--json] DIR");
	*ret_dir = argv[optind];
	return 0;
}

/* Checksums say that the bytes are those that were written; only reading says that this ckpt understands them. */
static int verify(struct image *image)
{
	_cleanup_graph_ struct graph g = { 0 };
	const struct kind *kinds[REGISTRY_KINDS];
	registry_kinds(kinds);
	int r = image_verify(image);
	return r < 0 ? r : image_load(image, kinds, &g);
}

static size_t add_files(struct text *t, const struct image *image)
{
	size_t n = 0;
	u64 size;
	for (const char *name; image && (name = image_file_at(image, n, &size)); n++) {
		text_adds(t, n ? ",{\"name\":" : "{\"name\":");
		text_add_json(t, name);
		text_addf(t, ",\"size\":%llu}", (unsigned long long)size);
	}
	return n;
}

static int print(const char *dir, const struct image *image, int result, bool json)
{
	_cleanup_text_ struct text files = { 0 };
	struct text t = { 0 };
	size_t n = add_files(&files, image);
	u64 bytes = image ? image_bytes(image) : 0;
	if (json) {
		text_adds(&t, "{\"image\":");
		text_add_json(&t, dir);
		text_addf(&t, ",\"whole\":%s,\"bytes\":%llu,\"files\":[%s],\"report\":", result < 0 ? "false" : "true",
			  (unsigned long long)bytes, files.len ? files.data : "");
		diag_print_json(&t);
		text_adds(&t, "}\n");
	} else if (result == 0) {
		text_addf(&t, "%s is whole: %zu files and the manifest, %llu bytes, every checksum matches\n", dir, n,
			  (unsigned long long)bytes);
	}
	return command_output(&t);
}

int command_verify(int argc, char **argv)
{
	diag_begin("verify", argc > 1 ? argv[argc - 1] : "an image");
	bool json;
	const char *dir = NULL;
	int r = parse(argc, argv, &json, &dir);
	if (r < 0)
		return r;
	_cleanup_image_ struct image *image = NULL;
	r = image_open_to_verify(&image, dir);
	if (r == 0)
		r = verify(image);
	if (r < 0)
		diag_result("do not restore from this image; nothing was changed");
	int printed = print(dir, image, r, json);
	return r < 0 ? r : printed;
}
