// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the encoding of manifests and their first check. */
#include "image/manifest.h"
#include "arch/arch.h"
#include "diag/diag.h"
#include "model/reflect.h"
#include <xxhash.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "images are little-endian");

/* What unpacking may allocate: a small hostile message can describe a large one. */
struct budget {
	size_t left;
};

struct image_hash image_hash(const void *data, size_t len)
{
	u64 fast[2];
	if (arch_hash(data, len, fast))
		return (struct image_hash){ fast[0], fast[1] };
	XXH128_hash_t h = XXH3_128bits(data, len);
	return (struct image_hash){ h.low64, h.high64 };
}

bool manifest_name_ok(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
	return len > 0 && len <= IMAGE_NAME_MAX && !name[len] && *name != '.' && strcmp(name, MANIFEST_NAME) &&
	       strcmp(name, MANIFEST_UNFINISHED);
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(Ckpt__ManifestFile *const *)a)->name, (*(Ckpt__ManifestFile *const *)b)->name);
}

int manifest_pack(struct text *out, Ckpt__ManifestFile **files, size_t count)
{
	if (count)
		qsort(files, count, sizeof *files, by_name);
	Ckpt__Manifest message = CKPT__MANIFEST__INIT;
	SET(&message, format, IMAGE_FORMAT);
	message.ckpt = (char *)CKPT_VERSION;
	message.n_file = count;
	message.file = files;
	size_t len = ckpt__manifest__get_packed_size(&message);
	_cleanup_free_ u8 *packed = malloc(len);
	if (!packed)
		return -ENOMEM;
	ckpt__manifest__pack(&message, packed);
	struct manifest_header header = { .version = IMAGE_FORMAT, .length = len, .hash = image_hash(packed, len) };
	memcpy(header.magic, MANIFEST_MAGIC, sizeof header.magic);
	text_add(out, &header, sizeof header);
	text_add(out, packed, len);
	return text_failed(out) ? -ENOMEM : 0;
}

static void *budget_alloc(void *data, size_t size)
{
	struct budget *budget = data;
	if (size > budget->left)
		return NULL;
	budget->left -= size;
	return malloc(size ? size : 1);
}

static void budget_free(_unused_ void *data, void *p) { free(p); }

static int check_header(const struct manifest_header *h, const void *bytes, size_t len)
{
	if (len < sizeof *h)
		return fail(IMAGE_DAMAGED, -EBADMSG, "the manifest ends at byte %zu, within its header", len);
	if (memcmp(h->magic, MANIFEST_MAGIC, sizeof h->magic))
		return fail(IMAGE_FORMAT, -EPROTONOSUPPORT, "the manifest does not begin with \"" MANIFEST_MAGIC "\"");
	if (h->version > IMAGE_FORMAT)
		return fail(IMAGE_NEWER, -EPROTONOSUPPORT,
			    "the image has format %u, this is ckpt " CKPT_VERSION ", which reads formats %u to %u", h->version,
			    IMAGE_FORMAT_OLDEST, IMAGE_FORMAT);
	if (h->version < IMAGE_FORMAT_OLDEST)
		return fail(IMAGE_FORMAT, -EPROTONOSUPPORT, "there is no format %u", h->version);
	if (h->reserved || h->length != len - sizeof *h)
		return fail(IMAGE_DAMAGED, -EBADMSG, "the manifest has %zu bytes where its header says %llu", len,
			    (unsigned long long)h->length + sizeof *h);
	struct image_hash found = image_hash((const u8 *)bytes + sizeof *h, len - sizeof *h);
	if (memcmp(&found, &h->hash, sizeof found))
		return fail(IMAGE_DAMAGED, -EBADMSG, "bytes %zu-%zu of the manifest do not match their checksum", sizeof *h,
			    len);
	return 0;
}

/* What a newer ckpt means by a field here, nobody knows; numbers from 100 on tell what may be passed over. */
static int check_unknown(const ProtobufCMessage *message)
{
	for (unsigned i = 0; i < message->n_unknown_fields; i++)
		if (message->unknown_fields[i].tag < FIRST_HOST_FIELD)
			return fail(IMAGE_NEWER, -EPROTONOSUPPORT, "field %u of %s is unknown to ckpt " CKPT_VERSION,
				    message->unknown_fields[i].tag, message->descriptor->short_name);
	return 0;
}

static int check_entry(const Ckpt__Manifest *m, size_t i)
{
	const Ckpt__ManifestFile *file = m->file[i];
	if (!file->name || !manifest_name_ok(file->name))
		return fail(IMAGE_DAMAGED, -EBADMSG, "entry %zu of the manifest does not name a file of an image", i);
	if (i && strcmp(m->file[i - 1]->name, file->name) >= 0)
		return fail(IMAGE_DAMAGED, -EBADMSG, "entry %zu of the manifest (%s) is not in order", i, file->name);
	u64 size = file->has_size ? file->size : 0;
	size_t len = file->has_chunk ? file->chunk.len : 0;
	if (!file->has_size || size > INT64_MAX || len != image_chunks(size) * sizeof(struct image_hash))
		return fail(IMAGE_DAMAGED, -EBADMSG, "entry %zu of the manifest (%s) has %zu bytes of checksums for %llu bytes",
			    i, file->name, len, (unsigned long long)size);
	return check_unknown(&file->base);
}

static int check_message(const Ckpt__Manifest *m, u32 format)
{
	if (!m->has_format || m->format != format)
		return fail(IMAGE_FORMAT, -EPROTONOSUPPORT, "the manifest's message has another format than its header");
	int r = check_unknown(&m->base);
	for (size_t i = 0; r == 0 && i < m->n_file; i++)
		r = check_entry(m, i);
	return r;
}

int manifest_unpack(Ckpt__Manifest **ret, const void *bytes, size_t len)
{
	struct manifest_header header = { 0 };
	memcpy(&header, bytes, MIN(len, sizeof header));
	int r = check_header(&header, bytes, len);
	if (r < 0)
		return r;
	struct budget budget = { header.length * 8 + (1u << 20) };
	ProtobufCAllocator allocator = { budget_alloc, budget_free, &budget };
	Ckpt__Manifest *m = ckpt__manifest__unpack(&allocator, header.length, (const u8 *)bytes + sizeof header);
	if (!m)
		return fail(IMAGE_DAMAGED, -EBADMSG, "the manifest's %llu bytes after byte %zu are no message of it",
			    (unsigned long long)header.length, sizeof header);
	r = check_message(m, header.version);
	if (r < 0) {
		ckpt__manifest__free_unpacked(m, NULL);
		return r;
	}
	*ret = m;
	return 0;
}
