// SPDX-License-Identifier: LGPL-2.1-or-later
#include "harness/edit.h"
#include "creds.pb-c.h"
#include "harness/test.h"
#include "image/image.h"
#include "model/reflect.h"
#include "resource/registry.h"
#include <linux/capability.h>
#include <stdio.h>

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

/* The other files of the image, with these facts. */
static void write_image(struct image *image, const char *to, const struct text *facts)
{
	_cleanup_image_writer_ struct image_writer *writer = NULL;
	const char *name;
	u64 size;
	CHECK(!text_failed(facts));
	CHECK_OK(image_create(&writer, to));
	for (size_t i = 0; (name = image_file_at(image, i, &size)); i++)
		if (strcmp(name, "facts"))
			copy_file(image, writer, name);
	CHECK_OK(image_write(writer, "facts", facts->data, facts->len));
	CHECK_OK(image_commit(writer, false));
}

void edit_image(const char *from, const char *to, void (*change)(struct graph *, const void *), const void *with)
{
	_cleanup_image_ struct image *image = NULL;
	_cleanup_graph_ struct graph graph = { 0 };
	_cleanup_text_ struct text facts = { 0 };
	const struct kind *kinds[REGISTRY_KINDS];
	open_and_load(&image, from, &graph);
	change(&graph, with);
	registry_kinds(kinds);
	graph_pack(&facts, &graph, kinds);
	write_image(image, to, &facts);
}

void edit_facts(const char *from, const char *to, void (*make)(struct text *, const struct graph *))
{
	_cleanup_image_ struct image *image = NULL;
	_cleanup_graph_ struct graph graph = { 0 };
	_cleanup_text_ struct text facts = { 0 };
	open_and_load(&image, from, &graph);
	make(&facts, &graph);
	write_image(image, to, &facts);
}

void edit_leg(struct target *t, int leg, void (*change)(struct graph *, const void *))
{
	snprintf(t->image, sizeof t->image, WORK "/leg%d", leg);
	target_dump(t, false);
	if (change) {
		char plain[sizeof t->image];
		memcpy(plain, t->image, sizeof plain);
		snprintf(t->image, sizeof t->image, WORK "/leg%d.changed", leg);
		edit_image(plain, t->image, change, NULL);
	}
	target_restore(t, 0);
	nap_ms(20);
}

#define CHECKPOINT_RESTORE 40 /* CAP_CHECKPOINT_RESTORE, Linux 5.9 */

void edit_out_rights(struct graph *g, const void *with _unused_)
{
	const u64 rights = 1ull << CAP_SYS_ADMIN | 1ull << CHECKPOINT_RESTORE;
	for (struct object *o = NULL; (o = graph_next(g, resource_creds.kind, o));) {
		Ckpt__Creds *m = o->data;
		m->permitted &= ~rights;
		m->effective &= ~rights;
		m->bounding &= ~rights;
		m->inheritable &= ~rights;
	}
}
