// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns `ckpt docs`: the documents that are made from tables. */
#include "command/command.h"
#include "model/reflect.h"
#include "resource/registry.h"

static void images_markdown(struct text *t)
{
	const struct kind *kinds[REGISTRY_KINDS];
	registry_kinds(kinds);
	kinds_markdown(t, kinds);
}

static const struct {
	const char *name;
	void (*write)(struct text *);
} documents[] = {
	{ "errors", diag_catalog_markdown },
	{ "capabilities", caps_markdown },
	{ "images", images_markdown },
};

int command_docs(int argc, char **argv)
{
	diag_begin("write", "a document");
	for (size_t i = 0; argc == 2 && i < ARRAY_SIZE(documents); i++) {
		if (strcmp(argv[1], documents[i].name))
			continue;
		struct text t = { 0 };
		documents[i].write(&t);
		return command_output(&t);
	}
	return fail(USAGE, 0, "ckpt docs errors|capabilities|images");
}
