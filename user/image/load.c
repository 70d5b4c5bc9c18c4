// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the step from the bytes of an image to the model. */
#include "base/heap.h"
#include "diag/diag.h"
#include "image/reader.h"
#include "model/reflect.h"

#define FACTS_FILE "facts"

/* What the facts may become in memory: many small fields grow most. */
static size_t unpacked_limit(size_t len) { return len * 24 + (16u << 20); }

/* Who loads an image has its model soon, and often a second one to compare it with, or a plan. */
#define HEAP_PER_BYTE 16

int image_load(struct image *image, const struct kind *const *kinds, struct graph *ret)
{
	_cleanup_free_ void *facts = NULL;
	size_t len, offset = 0;
	int r = image_read(image, FACTS_FILE, &facts, &len);
	if (r < 0)
		return r;
	heap_expect(HEAP_PER_BYTE * len);
	WORKING_ON_IMAGE_FILE(image, FACTS_FILE);
	_cleanup_text_ struct text unknown = { 0 }, maker = { 0 };
	r = graph_unpack(ret, facts, len, kinds, unpacked_limit(len), &offset, &unknown);
	if (r == -EPROTONOSUPPORT || r == -EPROTO)
		text_add_shown(&maker, image->manifest->ckpt ? image->manifest->ckpt : "");
	if (text_failed(&unknown) || text_failed(&maker))
		return fail_memory();
	if (r == -EPROTONOSUPPORT)
		return fail(IMAGE_NEWER, r, "ckpt %s made it, with what ckpt " CKPT_VERSION " does not know: %s", maker.data,
			    unknown.data);
	if (r == -EPROTO)
		return fail(IMAGE_FORMAT, r, "ckpt %s made it, with records of %s in another layout", maker.data, unknown.data);
	if (r == -EBADMSG)
		return fail(IMAGE_DAMAGED, r, "what begins at offset %zu is no object of the model", offset);
	if (r < 0)
		return fail(OUT_OF_MEMORY, r, "%zu bytes of facts", len);
	return 0;
}
