// SPDX-License-Identifier: LGPL-2.1-or-later
/* Feeds graph_unpack with what an image may hold; whatever it accepts must print, compare and pack. */
#include "model/kinds.h"
#include "model/reflect.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	_cleanup_graph_ struct graph g = { 0 }, again = { 0 };
	_cleanup_text_ struct text t = { 0 }, packed = { 0 }, unknown = { 0 };
	size_t offset = 0;
	int r = graph_unpack(&g, data, size, spine_kinds, 64u << 20, &offset, &unknown);
	if (r < 0) {
		if (offset > size || g.objects.n)
			abort();
		return 0;
	}
	graph_print(&t, &g, FIELD_ALL, NULL);
	graph_json(&t, &g, FIELD_ALL, NULL);
	graph_pack(&packed, &g, spine_kinds);
	if (graph_unpack(&again, packed.data, packed.len, spine_kinds, 256u << 20, &offset, &unknown) < 0)
		abort();
	graph_compare(&t, &g, &again, NULL);
	graph_sort(&g);
	return 0;
}
