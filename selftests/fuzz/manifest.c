// SPDX-License-Identifier: LGPL-2.1-or-later
/* Fuzzes the reading of manifests. The checksum would stop nearly every input at the door, so a second manifest is made
 * with the input as its message and a header that fits; what is accepted must survive packing. */
#include "image/manifest.h"

static void check_round_trip(Ckpt__Manifest *m)
{
	_cleanup_text_ struct text packed = { 0 };
	Ckpt__Manifest *again;
	for (size_t i = 0; i < m->n_file; i++)
		if (!manifest_name_ok(m->file[i]->name) || m->file[i]->chunk.len / 16 != image_chunks(m->file[i]->size))
			abort();
	if (manifest_pack(&packed, m->file, m->n_file) < 0)
		return;
	if (manifest_unpack(&again, packed.data, packed.len) < 0)
		abort();
	if (again->n_file != m->n_file)
		abort();
	ckpt__manifest__free_unpacked(again, NULL);
}

static void unpack(const void *data, size_t len)
{
	Ckpt__Manifest *m;
	if (manifest_unpack(&m, data, len) < 0)
		return;
	check_round_trip(m);
	ckpt__manifest__free_unpacked(m, NULL);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t len);
int LLVMFuzzerTestOneInput(const u8 *data, size_t len)
{
	struct manifest_header header = { .version = IMAGE_FORMAT, .length = len };
	unpack(data, len);
	u8 *whole = malloc(sizeof header + len);
	if (!whole)
		return 0;
	memcpy(header.magic, MANIFEST_MAGIC, sizeof header.magic);
	header.hash = image_hash(data, len);
	memcpy(whole, &header, sizeof header);
	if (len)
		memcpy(whole + sizeof header, data, len);
	unpack(whole, sizeof header + len);
	free(whole);
	return 0;
}
