// SPDX-License-Identifier: LGPL-2.1-or-later
#include "harness/edit.h"
#include "harness/test.h"
#include "image/image.h"
#include "model/reflect.h"
#include "resource/registry.h"

static void open_and_load(struct image **image, const char *dir, struct graph *ret)
{
	const struct kind *kinds[REGISTRY_KINDS];
	registry_kinds(kinds);
	CHECK_OK(image_open(image, dir, false));
	CHECK_OK(image_load(*image, kinds, ret));
}

void edit_load(const char *dir, struct graph *ret)
{
	_cleanup_image_ struct image *image = NULL;
	open_and_load(&image, dir, ret);
}

static void copy_file(struct image *from, struct image_writer *to, const char *name)
{
	_cleanup_free_ void *data = NULL;
	size_t len = 0;
	CHECK_OK(image_read(from, name, &data, &len));
	CHECK_OK(image_write(to, name, data, len));
}

void edit_image(const char *from, const char *to, void (*change)(struct graph *, const void *), const void *with)
{
	_cleanup_image_ struct image *image = NULL;
	_cleanup_image_writer_ struct image_writer *writer = NULL;
	_cleanup_graph_ struct graph graph = { 0 };
	_cleanup_text_ struct text facts = { 0 };
	const char *name;
	u64 size;
	open_and_load(&image, from, &graph);
	change(&graph, with);
	graph_pack(&facts, &graph);
	CHECK_OK(image_create(&writer, to));
	for (size_t i = 0; (name = image_file_at(image, i, &size)); i++)
		if (strcmp(name, "facts"))
			copy_file(image, writer, name);
	CHECK_OK(image_write(writer, "facts", facts.data, facts.len));
	CHECK_OK(image_commit(writer, false));
}
