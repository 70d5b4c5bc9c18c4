// SPDX-License-Identifier: LGPL-2.1-or-later
/* The image of a real program, cut off at every edge that it has, and damaged at places of fixed seeds: `ckpt restore` and
 * `ckpt verify` name the file and the place, and nothing is made. Cut facts with right checksums are refused by their contents. */
#include "diag/diag.h"
#include "harness/left.h"
#include "image/manifest.h"
#include "model/pack.h"
#include "model/reflect.h"
#include "resource/registry.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define SEEDS 5
#define EDGES_MAX 4096

static const char *const file_names[] = { "manifest", "facts", "pages" };

struct bytes {
	u8 *data;
	size_t len;
};

struct damaged {
	struct target t;
	struct bytes file[ARRAY_SIZE(file_names)];
	char *before;
	int refused;
};

/* Where something ends and something else begins. */
struct edges {
	u64 at[EDGES_MAX];
	size_t n;
};

static void edge(struct edges *e, u64 at)
{
	CHECK(e->n < EDGES_MAX);
	e->at[e->n++] = at;
}

static void path_of(const struct damaged *d, const char *name, char path[128])
{
	snprintf(path, 128, "%s/%s", d->t.image, name);
}

static struct bytes read_file(const char *path)
{
	FILE *f = fopen(path, "re");
	CHECK(f && fseek(f, 0, SEEK_END) == 0);
	struct bytes b = { .len = (size_t)ftell(f) };
	b.data = malloc(b.len + 1);
	rewind(f);
	CHECK_EQ(fread(b.data, 1, b.len, f), b.len);
	fclose(f);
	return b;
}

static void write_file(const struct damaged *d, const char *name, const void *data, size_t len)
{
	char path[128];
	path_of(d, name, path);
	FILE *f = fopen(path, "we");
	CHECK(f && fwrite(data, 1, len, f) == len && fclose(f) == 0);
	CHECK_OK(chmod(path, 0600));
}

static void begin(struct damaged *d, const char *const *argv)
{
	char path[128];
	*d = (struct damaged){ 0 };
	target_startv(&d->t, argv);
	target_dump(&d->t, false);
	for (size_t i = 0; i < ARRAY_SIZE(file_names); i++) {
		path_of(d, file_names[i], path);
		d->file[i] = read_file(path);
	}
	d->before = left_look_alone();
}

/* The whole image is as good as it ever was. */
static void end(struct damaged *d)
{
	printf("%d damaged images refused\n", d->refused);
	CHECK(d->refused > 10);
	left_check(d->before, "all refused");
	target_restore(&d->t, 0);
	target_judge(&d->t);
	for (size_t i = 0; i < ARRAY_SIZE(file_names); i++)
		free(d->file[i].data);
	free(d->before);
}

static int run_quietly(const struct damaged *d, const char *command, const char *option, struct text *output)
{
	char line[512], bytes[4096];
	snprintf(line, sizeof line, "%s %s %s %s 2>&1", ckpt_path(), command, d->t.image, option);
	FILE *pipe = popen(line, "re");
	CHECK(pipe != NULL);
	for (size_t n; (n = fread(bytes, 1, sizeof bytes, pipe)) > 0;)
		text_add(output, bytes, n);
	int status = pclose(pipe);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Neither command takes it; both say which file, and what follows in place (NULL: any). */
static void refuse(struct damaged *d, const char *file, const char *what, u64 at, const char *place)
{
	static const char *const commands[][2] = { { "restore", "-d" }, { "verify", "" } };
	char name[64];
	snprintf(name, sizeof name, "file %s of image", file);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		_cleanup_text_ struct text output = { 0 };
		int status = run_quietly(d, commands[i][0], commands[i][1], &output);
		const char *said = output.data ?: "";
		if (status != EXIT_IMAGE || !strstr(said, name) || (place && !strstr(said, place)))
			FAIL("%s at %llu of %s: %s gave status %d, and not \"%s\": %s", what, (unsigned long long)at, file,
			     commands[i][0], status, place ?: name, said);
	}
	d->refused++;
}

/* --- edges --- */

static void facts_edges(const struct bytes *facts, struct edges *e)
{
	struct pack_header header;
	struct pack_kind kind[256];
	const u8 *at = facts->data;
	memcpy(&header, at, sizeof header);
	CHECK(header.kinds < ARRAY_SIZE(kind));
	edge(e, 0);
	edge(e, (u64)((at += sizeof header) - facts->data));
	for (u32 i = 0; i < header.kinds; i++) {
		memcpy(&kind[i], at, sizeof *kind);
		edge(e, (u64)((at += sizeof *kind) - facts->data));
	}
	for (u32 i = 0; i < header.messages; i++)
		edge(e, (u64)((at += sizeof(struct pack_message)) - facts->data));
	for (u32 i = 0; i < header.objects; i++) {
		struct pack_object object;
		memcpy(&object, at, sizeof object);
		at += sizeof object;
		edge(e, (u64)(at - facts->data));
		for (u32 k = 1; kind[object.kind].record_size && k < object.count; k++)
			edge(e, (u64)(at - facts->data) + k * kind[object.kind].record_size);
		edge(e, (u64)((at += object.len) - facts->data));
	}
	CHECK_EQ(at - facts->data, facts->len);
	e->n--; /* the last one is the end */
}

static void chunk_edges(const struct bytes *pages, struct edges *e)
{
	for (u64 at = 0; at < pages->len; at += IMAGE_CHUNK)
		edge(e, at);
}

/* Behind the header, behind each entry, and before and behind the checksums of one. */
static void manifest_edges(const struct bytes *manifest, struct edges *e)
{
	edge(e, 0);
	for (u64 at = 8; at <= 40; at += 8)
		edge(e, at);
	for (size_t i = 1; i < ARRAY_SIZE(file_names); i++) {
		const u8 *name = memmem(manifest->data, manifest->len, file_names[i], strlen(file_names[i]));
		CHECK(name != NULL);
		for (int k = -4; k < 12; k++)
			edge(e, (u64)(name - manifest->data) + (u64)k);
	}
	for (u64 at = 48; at < manifest->len; at += 16)
		edge(e, at);
}

static void cut_at(struct damaged *d, size_t i, const struct edges *e, size_t step)
{
	char place[64];
	for (size_t k = 0; k < e->n; k += step) {
		u64 at = e->at[k];
		snprintf(place, sizeof place, "offset %llu", (unsigned long long)at);
		write_file(d, file_names[i], d->file[i].data, at);
		refuse(d, file_names[i], "cut", at, i ? place : at < 40 ? "within its header" : "where its header says");
	}
	write_file(d, file_names[i], d->file[i].data, d->file[i].len);
}

static void cut_every_file(const char *const *argv)
{
	struct damaged d;
	static struct edges edges;
	static void (*const find[])(const struct bytes *, struct edges *) = { manifest_edges, facts_edges, chunk_edges };
	begin(&d, argv);
	for (size_t i = 0; i < ARRAY_SIZE(file_names); i++) {
		edges.n = 0;
		find[i](&d.file[i], &edges);
		printf("%zu edges of %s\n", edges.n, file_names[i]);
		cut_at(&d, i, &edges, edges.n / 200 + 1); /* processes; the other test takes all edges of facts */
	}
	end(&d);
}

/* Facts that end early, although every checksum is right: the object that is not whole is named by its offset. */
static void cut_facts(const char *const *argv)
{
	struct damaged d;
	static struct edges edges;
	const struct kind *kinds[REGISTRY_KINDS];
	registry_kinds(kinds);
	begin(&d, argv);
	facts_edges(&d.file[1], &edges);
	for (size_t k = 0; k < edges.n; k++)
		for (int more = -1; more <= 1; more++) {
			u64 len = edges.at[k] + (u64)more, from = 0;
			size_t offset = 0;
			if (len >= d.file[1].len)
				continue;
			_cleanup_graph_ struct graph g = { 0 };
			_cleanup_text_ struct text unknown = { 0 };
			_cleanup_free_ u8 *exact = malloc(len + 1); /* so that a sanitizer sees what is read behind it */
			memcpy(exact, d.file[1].data, len);
			CHECK_EQ(graph_unpack(&g, exact, len, kinds, 64u << 20, &offset, &unknown), -EBADMSG);
			for (size_t n = 0; n < edges.n && edges.at[n] <= len; n++)
				from = edges.at[n];
			CHECK(offset <= len && (offset <= from || from == 0));
			CHECK_EQ(g.objects.n, 0);
			d.refused++;
		}
	end(&d);
}

/* --- an image that was written anew without its end: every checksum is right --- */

static void write_anew(const struct damaged *d, const char *dir, size_t which, u64 len)
{
	_cleanup_image_writer_ struct image_writer *w = NULL;
	CHECK_OK(image_create(&w, dir));
	for (size_t i = 1; i < ARRAY_SIZE(file_names); i++)
		CHECK_OK(image_write(w, file_names[i], d->file[i].data, i == which ? len : d->file[i].len));
	CHECK_OK(image_commit(w, false));
}

static void refuse_anew(struct damaged *d, size_t which, u64 len)
{
	char dir[96], command[512];
	_cleanup_text_ struct text output = { 0 };
	snprintf(dir, sizeof dir, "%s.anew", d->t.image);
	write_anew(d, dir, which, len);
	const char *argv[] = { "ckpt", "restore", dir, "-d", NULL };
	int status = ckptv(&output, argv);
	if (status != EXIT_IMAGE || !output.data || !strstr(output.data, "result: not restored; nothing was made"))
		FAIL("%s of %llu bytes: status %d: %s", file_names[which], (unsigned long long)len, status, output.data ?: "");
	snprintf(command, sizeof command, "rm -rf %s", dir);
	CHECK_EQ(system(command), 0);
	left_check(d->before, command);
	d->refused++;
}

static void cut_and_signed(const char *const *argv)
{
	struct damaged d;
	static struct edges facts, pages;
	begin(&d, argv);
	facts_edges(&d.file[1], &facts);
	chunk_edges(&d.file[2], &pages);
	for (size_t k = 0; k < facts.n; k += facts.n / 40 + 1)
		refuse_anew(&d, 1, facts.at[k]);
	for (size_t k = 0; k < pages.n; k += pages.n / 20 + 1)
		refuse_anew(&d, 2, pages.at[k]);
	refuse_anew(&d, 2, d.file[2].len - 4096);
	end(&d);
}

/* --- four kinds at places of fixed seeds --- */

static u32 next(u32 *seed) { return (*seed = *seed * 1664525 + 1013904223) >> 8; }

static void truncate_one(struct damaged *d, size_t i, u32 seed)
{
	struct edges e = { .at = { next(&seed) % d->file[i].len }, .n = 1 };
	cut_at(d, i, &e, 1);
}

static void refuse_changed(struct damaged *d, size_t i, const char *what, u64 at)
{
	char place[64];
	snprintf(place, sizeof place, "bytes %llu-", (unsigned long long)at / IMAGE_CHUNK * IMAGE_CHUNK);
	refuse(d, file_names[i], what, at, i ? place : "manifest");
	write_file(d, file_names[i], d->file[i].data, d->file[i].len);
}

static void flip_one(struct damaged *d, size_t i, u32 seed)
{
	struct bytes *b = &d->file[i];
	u64 at = next(&seed) % b->len;
	u8 bit = (u8)(1 << next(&seed) % 8);
	b->data[at] ^= bit;
	write_file(d, file_names[i], b->data, b->len);
	b->data[at] ^= bit;
	refuse_changed(d, i, "flipped", at);
}

/* Two blocks that differ. */
static void swap_one(struct damaged *d, size_t i, u32 seed)
{
	struct bytes *b = &d->file[i];
	size_t block = b->len > 2 * IMAGE_CHUNK ? 4096 : 16;
	u64 from, to;
	_cleanup_free_ u8 *changed = malloc(b->len);
	memcpy(changed, b->data, b->len);
	do {
		from = next(&seed) % (b->len / block) * block;
		to = next(&seed) % (b->len / block) * block;
	} while (!memcmp(b->data + from, b->data + to, block));
	memcpy(changed + from, b->data + to, block);
	memcpy(changed + to, b->data + from, block);
	write_file(d, file_names[i], changed, b->len);
	refuse_changed(d, i, "swapped", MIN(from, to));
}

static void miss_one(struct damaged *d, size_t i, u32 seed _unused_)
{
	char path[128];
	path_of(d, file_names[i], path);
	CHECK_OK(unlink(path));
	refuse(d, file_names[i], "missing", 0, i ? "offset 0" : "[IMAGE_MISSING]");
	write_file(d, file_names[i], d->file[i].data, d->file[i].len);
}

static void damage(const char *const *argv)
{
	static void (*const kinds[])(struct damaged *, size_t, u32) = { truncate_one, flip_one, swap_one, miss_one };
	struct damaged d;
	begin(&d, argv);
	for (size_t i = 0; i < ARRAY_SIZE(file_names); i++)
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
			for (u32 seed = 1; seed <= SEEDS; seed++)
				kinds[k](&d, i, seed * 104729);
	end(&d);
}

#define ARGV(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define PYTHON ARGV("/usr/bin/python3", "python.py")

TEST(cut_tree, .root = true, .seconds = 120) { cut_every_file(ARGV("tree")); }
TEST(cut_python, .root = true, .seconds = 120) { cut_every_file(PYTHON); }
TEST(facts_of_tree, .root = true, .seconds = 60) { cut_facts(ARGV("tree")); }
TEST(facts_of_ghosts, .root = true, .seconds = 60) { cut_facts(ARGV("ghosts")); }
TEST(facts_of_shell, .root = true, .seconds = 60) { cut_facts(ARGV("pty")); }
TEST(signed_tree, .root = true, .seconds = 60) { cut_and_signed(ARGV("tree")); }
TEST(signed_python, .root = true, .seconds = 60) { cut_and_signed(PYTHON); }
TEST(kinds_tree, .root = true, .seconds = 60) { damage(ARGV("tree")); }
TEST(kinds_python, .root = true, .seconds = 60) { damage(PYTHON); }
