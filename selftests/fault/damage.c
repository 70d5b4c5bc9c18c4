// SPDX-License-Identifier: LGPL-2.1-or-later
/* Every kind of damage to every file of an image, at places of fixed seeds: each is refused, with the file and the place. */
#include "harness/test.h"
#include "base/file.h"
#include "diag/diag.h"
#include "image/image.h"
#include "model/kinds.h"
#include "model/reflect.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define SEEDS 12
#define PAGES_SIZE (9u * IMAGE_CHUNK + 4096)

enum damage { TRUNCATED, FLIPPED, SWAPPED, MISSING, DAMAGES };

static const char *const file_names[] = { "manifest", "facts", "pages", "pipe-7" };

struct place {
	char dir[64], image[80];
};

static struct place make_place(void)
{
	struct place p = { "/tmp/ckpt-damage-XXXXXX" };
	CHECK(mkdtemp(p.dir));
	snprintf(p.image, sizeof p.image, "%s/img", p.dir);
	return p;
}

static void remove_place(struct place *p)
{
	char command[128];
	snprintf(command, sizeof command, "rm -rf %s", p->dir);
	CHECK_EQ(system(command), 0);
}
#define PLACE(p) _cleanup_(remove_place) struct place p = make_place()

static u32 next(u32 *seed) { return (*seed = *seed * 1664525 + 1013904223) >> 16; }

static u8 *noise(size_t len, u32 seed)
{
	u8 *data = malloc(len);
	CHECK(data);
	for (size_t i = 0; i < len; i++)
		data[i] = (u8)next(&seed);
	return data;
}

static void write_facts(struct image_writer *w)
{
	_cleanup_graph_ struct graph g = { 0 };
	_cleanup_text_ struct text t = { 0 };
	struct object *vmas = graph_add(&g, &kind_vmas, 1), *pages = graph_add(&g, &kind_pages, 1);
	CHECK(vmas && pages && graph_add(&g, &kind_task, 4242));
	for (u64 i = 1; i < 200; i++) {
		struct vma *v = object_append(vmas);
		v->start = i << 20;
		v->end = v->start + 4096;
		struct page_run *run = object_append(pages);
		run->start = i << 20;
		run->len = 4096;
		run->offset = i << 12;
	}
	graph_pack(&t, &g, spine_kinds);
	CHECK_OK(image_write(w, "facts", t.data, t.len));
}

static void make_image(const char *path)
{
	_cleanup_image_writer_ struct image_writer *w = NULL;
	_cleanup_free_ u8 *pages = noise(PAGES_SIZE, 1), *data = noise(5000, 2);
	CHECK_OK(image_create(&w, path));
	write_facts(w);
	CHECK_OK(image_write(w, "pages", pages, PAGES_SIZE));
	CHECK_OK(image_write(w, "pipe-7", data, 5000));
	CHECK_OK(image_commit(w, false));
}

/* False when the two are alike: then nothing would be damaged. */
static bool swap_blocks(int fd, off_t a, off_t b, size_t len)
{
	_cleanup_free_ u8 *first = malloc(len), *second = malloc(len);
	CHECK_OK(file_pread_full(fd, first, len, a));
	CHECK_OK(file_pread_full(fd, second, len, b));
	CHECK_OK(file_pwrite_full(fd, second, len, a));
	CHECK_OK(file_pwrite_full(fd, first, len, b));
	return memcmp(first, second, len);
}

/* Swaps two whole chunks, or two blocks of a file that has only one. The lower place. */
static u64 swap(int fd, u64 size, u32 *seed)
{
	size_t block = size > 2 * IMAGE_CHUNK ? IMAGE_CHUNK : 16;
	u64 n = size / block, a, b;
	do {
		a = next(seed) % n;
		b = (a + 1 + next(seed) % (n - 1)) % n;
	} while (!swap_blocks(fd, (off_t)(a * block), (off_t)(b * block), block));
	return MIN(a, b) * block;
}

/* Where the damage begins. */
static u64 do_damage(const char *path, enum damage damage, u32 *seed)
{
	struct stat st;
	u8 byte;
	_cleanup_close_ int fd = (int)CHECK_OK(open(path, O_RDWR | O_CLOEXEC));
	CHECK_OK(fstat(fd, &st));
	u64 size = (u64)st.st_size, at = next(seed) % size;
	switch (damage) {
	case TRUNCATED:
		CHECK_OK(ftruncate(fd, (off_t)at));
		return at;
	case FLIPPED:
		CHECK_OK(file_pread_full(fd, &byte, 1, (off_t)at));
		byte ^= (u8)(1 << next(seed) % 8);
		CHECK_OK(file_pwrite_full(fd, &byte, 1, (off_t)at));
		return at;
	case SWAPPED:
		return swap(fd, size, seed);
	default:
		CHECK_OK(unlink(path));
		return 0;
	}
}

static void expect(struct text *report, const char *format, ...)
{
	va_list args;
	_cleanup_text_ struct text part = { 0 };
	va_start(args, format);
	text_addv(&part, format, args);
	va_end(args);
	CHECK_CONTAINS(report->data, part.data);
}

/* What the report must say: the file, and where in it. The header of a manifest is judged as a whole. */
static void judge_report(const char *file, enum damage damage, u64 at)
{
	_cleanup_text_ struct text report = { 0 };
	diag_print_json(&report);
	expect(&report, "\"exit_class\":%d", EXIT_IMAGE);
	expect(&report, "file %s of image", file);
	if (!strcmp(file, "manifest"))
		expect(&report, damage == MISSING ? "IMAGE_MISSING" : "manifest");
	else if (damage == TRUNCATED || damage == MISSING)
		expect(&report, "offset %llu", (unsigned long long)at);
	else if (expect(&report, "IMAGE_DAMAGED"), true)
		expect(&report, "bytes %llu-", (unsigned long long)at / IMAGE_CHUNK * IMAGE_CHUNK);
}

/* As a restore goes through an image: opened, loaded, the rest checked beside it. */
static int use(const char *path)
{
	_cleanup_image_ struct image *image = NULL;
	_cleanup_graph_ struct graph g = { 0 };
	struct image_verification *v;
	int r = image_open(&image, path, false);
	if (r == 0)
		r = image_load(image, spine_kinds, &g);
	if (r == 0)
		r = image_verify_start(&v, image, "pages");
	if (r == 0)
		r = image_verify_join(v);
	void *data = NULL;
	size_t len;
	if (r == 0)
		r = image_read(image, "pipe-7", &data, &len);
	free(data);
	return r;
}

static int verify(const char *path)
{
	_cleanup_image_ struct image *image = NULL;
	int r = image_open_to_verify(&image, path);
	return r < 0 ? r : image_verify(image);
}

/* In a process of its own, so that its report is its own. */
static void check_refused(int (*reader)(const char *), const char *path, const char *file, enum damage damage, u64 at)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		CHECK_OK(diag_begin("use", "a damaged image"));
		CHECK(reader(path) < 0);
		judge_report(file, damage, at);
		exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

static void check_file(const char *file, enum damage damage)
{
	for (u32 seed = 1; seed <= (damage == MISSING ? 1 : SEEDS); seed++) {
		PLACE(p);
		char path[160];
		u32 state = seed * 7919;
		make_image(p.image);
		snprintf(path, sizeof path, "%s/%s", p.image, file);
		u64 at = do_damage(path, damage, &state);
		check_refused(use, p.image, file, damage, at);
		check_refused(verify, p.image, file, damage, at);
	}
}

static void check_damage(enum damage damage)
{
	for (size_t i = 0; i < ARRAY_SIZE(file_names); i++)
		check_file(file_names[i], damage);
}

TEST(whole)
{
	PLACE(p);
	make_image(p.image);
	CHECK_OK(use(p.image));
	CHECK_OK(verify(p.image));
}
TEST(truncated) { check_damage(TRUNCATED); }
TEST(flipped) { check_damage(FLIPPED); }
TEST(swapped) { check_damage(SWAPPED); }
TEST(missing) { check_damage(MISSING); }

/* All that is wrong is told at once, and by the command too. */
TEST(every_damage_is_listed)
{
	PLACE(p);
	char command[512], line[4096];
	_cleanup_text_ struct text report = { 0 };
	make_image(p.image);
	snprintf(command, sizeof command,
		 "rm %s/pipe-7; printf X | dd of=%s/facts bs=1 seek=99 conv=notrunc status=none; %s/ckpt verify --json %s",
		 p.image, p.image, test_build_dir(), p.image);
	FILE *pipe = popen(command, "r");
	while (fgets(line, sizeof line, pipe))
		text_adds(&report, line);
	CHECK_EQ(WEXITSTATUS(pclose(pipe)), EXIT_IMAGE);
	expect(&report, "\"whole\":false");
	expect(&report, "file pipe-7 of image");
	expect(&report, "file facts of image");
}
