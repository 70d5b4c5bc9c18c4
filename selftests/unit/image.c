// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tests of images: what is written is read, nothing unfinished stays, nothing damaged or foreign is believed. */
#include "harness/test.h"
#include "base/file.h"
#include "diag/diag.h"
#include "image/manifest.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#define BIG (5u * IMAGE_CHUNK + 777)

/* A directory of the test's own, and the path of an image in it. */
struct place {
	char dir[64], image[80];
};

static struct place make_place(void)
{
	struct place p = { "/tmp/ckpt-image-XXXXXX" };
	CHECK(mkdtemp(p.dir));
	snprintf(p.image, sizeof p.image, "%s/img", p.dir);
	CHECK_OK(diag_begin("test", "an image"));
	return p;
}

static void remove_place(struct place *p)
{
	char command[128];
	snprintf(command, sizeof command, "rm -rf %s", p->dir);
	CHECK_EQ(system(command), 0);
}
#define PLACE(p) _cleanup_(remove_place) struct place p = make_place()

static u8 *pattern(size_t len, unsigned seed)
{
	u8 *data = malloc(len);
	for (size_t i = 0; i < len; i++)
		data[i] = (u8)((seed = seed * 1103515245 + 12345) >> 16);
	return data;
}

/* An image with a small file, an empty one, and one of six chunks. */
static void make_image(const char *path, bool durable)
{
	_cleanup_image_writer_ struct image_writer *w = NULL;
	_cleanup_free_ u8 *big = pattern(BIG, 1);
	int fd;
	CHECK_OK(image_create(&w, path));
	CHECK_OK(image_write(w, "facts", "some facts", 10));
	CHECK_OK(image_write(w, "empty", "", 0));
	CHECK_OK(image_file(w, "pages", BIG, &fd));
	for (u64 c = image_chunks(BIG); c-- > 0;) {
		CHECK_OK(file_pwrite_full(fd, big + c * IMAGE_CHUNK, image_chunk_len(BIG, c), (off_t)(c * IMAGE_CHUNK)));
		image_set_chunk(w, "pages", c, image_hash(big + c * IMAGE_CHUNK, image_chunk_len(BIG, c)));
	}
	CHECK_OK(image_commit(w, durable));
}

static void check_image(const char *path)
{
	_cleanup_image_ struct image *image = NULL;
	_cleanup_free_ u8 *big = pattern(BIG, 1);
	_cleanup_free_ void *facts = NULL, *empty = NULL, *pages = NULL;
	size_t len;
	CHECK_OK(image_open(&image, path, false));
	CHECK_OK(image_read(image, "facts", &facts, &len));
	CHECK_EQ(len, 10);
	CHECK_MEM(facts, "some facts", 10);
	CHECK_OK(image_read(image, "empty", &empty, &len));
	CHECK_EQ(len, 0);
	CHECK_OK(image_read(image, "pages", &pages, &len));
	CHECK_EQ(len, BIG);
	CHECK_MEM(pages, big, BIG);
	CHECK_OK(image_verify(image));
	CHECK_OK(image_verify_chunks(image, "pages", 0, UINT64_MAX / IMAGE_CHUNK));
	CHECK(image_bytes(image) > BIG + 10);
}

static void expect_diag(const char *part)
{
	_cleanup_text_ struct text t = { 0 };
	diag_print_json(&t);
	CHECK_CONTAINS(t.data, part);
}

static int try_open(const char *path, bool trust)
{
	_cleanup_image_ struct image *image = NULL;
	int r = image_open(&image, path, trust);
	CHECK_EQ(r < 0, image == NULL);
	return r;
}

static int try_create(const char *path)
{
	_cleanup_image_writer_ struct image_writer *w = NULL;
	int r = image_create(&w, path);
	CHECK_EQ(r < 0, w == NULL);
	return r;
}

TEST(is_read_as_written)
{
	PLACE(p);
	make_image(p.image, false);
	check_image(p.image);
}

TEST(durable_into_an_empty_directory_with_slashes)
{
	PLACE(p);
	CHECK_OK(mkdir(p.image, 0775));
	strcat(p.image, "///");
	make_image(p.image, true);
	check_image(p.image);
	struct stat st;
	CHECK_OK(stat(p.image, &st));
	CHECK_EQ(st.st_mode & 07777, 0700);
}

TEST(modes_are_private)
{
	PLACE(p);
	make_image(p.image, false);
	static const char *const files[] = { "manifest", "facts", "pages" };
	struct stat st;
	CHECK_OK(stat(p.image, &st));
	CHECK_EQ(st.st_mode & 07777, 0700);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		int dir = CHECK_OK(open(p.image, O_PATH));
		CHECK_OK(fstatat(dir, files[i], &st, 0));
		CHECK_EQ(st.st_mode & 07777, 0600);
		close(dir);
	}
}

TEST(relative_paths_and_the_current_directory)
{
	PLACE(p);
	CHECK_OK(chdir(p.dir));
	make_image("img", false);
	check_image("img");
	check_image("./img/../img/");
	CHECK_OK(mkdir("second", 0700));
	CHECK_OK(chdir("second"));
	make_image(".", false);
	check_image(".");
	CHECK_OK(chdir("/"));
}

TEST(uncommitted_leaves_nothing)
{
	PLACE(p);
	for (int made = 0; made < 2; made++) {
		struct image_writer *w = NULL;
		int fd;
		CHECK_OK(image_create(&w, p.image));
		CHECK_OK(image_write(w, "facts", "x", 1));
		CHECK_OK(image_file(w, "pages", 1 << 20, &fd));
		CHECK_EQ(try_open(p.image, false), -ENOENT);
		image_writer_free(w);
		CHECK_EQ(rmdir(p.image), made ? 0 : -1);
		CHECK_OK(mkdir(p.image, 0755));
	}
}

TEST(a_chunk_without_hash_is_not_committed)
{
	PLACE(p);
	_cleanup_image_writer_ struct image_writer *w = NULL;
	int fd;
	CHECK_OK(image_create(&w, p.image));
	CHECK_OK(image_file(w, "pages", BIG, &fd));
	CHECK_EQ(image_commit(w, false), -EINVAL);
}

TEST(refuses_directories)
{
	PLACE(p);
	char path[128];
	make_image(p.image, false);
	CHECK_EQ(try_create(p.image), -EEXIST);
	expect_diag("IMAGE_EXISTS");
	CHECK_EQ(try_create(p.dir), -ENOTEMPTY);
	expect_diag("it holds \\\"img\\\"");
	snprintf(path, sizeof path, "%s/no/img", p.dir);
	CHECK_EQ(try_create(path), -ENOENT);
	snprintf(path, sizeof path, "%s/link", p.dir);
	CHECK_OK(symlink(p.image, path));
	CHECK(try_create(path) < 0);
	snprintf(path, sizeof path, "%s/facts", p.image);
	CHECK_EQ(try_create(path), -ENOTDIR);
	check_image(p.image);
}

TEST(refuses_an_unfinished_image)
{
	PLACE(p);
	_cleanup_image_writer_ struct image_writer *w = NULL;
	CHECK_OK(image_create(&w, p.image));
	CHECK_EQ(try_create(p.image), -EEXIST);
	expect_diag("interrupted");
	CHECK_EQ(try_open(p.image, false), -ENOENT);
	expect_diag("IMAGE_MISSING");
}

TEST(a_full_disk_is_named, .root = true)
{
	PLACE(p);
	CHECK_OK(mkdir(p.image, 0700));
	char command[160];
	snprintf(command, sizeof command, "mount -t tmpfs -o size=64k,mode=0700 none %s", p.image);
	CHECK_EQ(system(command), 0);
	struct image_writer *w = NULL;
	_cleanup_free_ u8 *data = pattern(1 << 20, 3);
	CHECK_OK(image_create(&w, p.image));
	CHECK_EQ(image_write(w, "facts", data, 1 << 20), -ENOSPC);
	expect_diag("IMAGE_WRITE");
	image_writer_free(w);
	CHECK_OK(try_create(p.image));
	snprintf(command, sizeof command, "umount %s", p.image);
	CHECK_EQ(system(command), 0);
}

static void in_image(struct place *p, const char *name, char path[160]) { snprintf(path, 160, "%s/%s", p->image, name); }

TEST(distrusts_what_others_may_write)
{
	PLACE(p);
	char path[160];
	make_image(p.image, false);
	CHECK_OK(chmod(p.dir, 0777));
	CHECK_EQ(try_open(p.image, false), -EPERM);
	expect_diag("IMAGE_UNTRUSTED");
	CHECK_OK(try_open(p.image, true));
	CHECK_OK(chmod(p.dir, 01777));
	CHECK_OK(try_open(p.image, false));
	CHECK_OK(chmod(p.image, 01777));
	CHECK_EQ(try_open(p.image, false), -EPERM);
	CHECK_OK(chmod(p.image, 0770));
	CHECK_EQ(try_open(p.image, false), -EPERM);
	CHECK_OK(chmod(p.image, 0700));
	in_image(&p, "pages", path);
	CHECK_OK(chmod(path, 0620));
	CHECK_EQ(try_open(p.image, false), -EPERM);
	CHECK_OK(try_open(p.image, true));
	CHECK_OK(chmod(path, 0644));
	check_image(p.image);
}

TEST(distrusts_other_owners, .root = true)
{
	PLACE(p);
	char path[160];
	make_image(p.image, false);
	in_image(&p, "facts", path);
	CHECK_OK(chown(path, 1234, 0));
	CHECK_EQ(try_open(p.image, false), -EPERM);
	expect_diag("belongs to user 1234");
	CHECK_OK(chown(path, 0, 0));
	CHECK_OK(chown(p.dir, 1234, 0));
	CHECK_EQ(try_open(p.image, false), -EPERM);
	CHECK_OK(chmod(p.dir, 01777));
	CHECK_EQ(try_open(p.image, false), -EPERM);
	CHECK_OK(chown(p.dir, 0, 0));
	snprintf(path, sizeof path, "%s/link", p.dir);
	CHECK_OK(symlink("img", path));
	check_image(path);
	CHECK_OK(lchown(path, 1234, 0));
	CHECK_EQ(try_open(path, false), -EPERM);
	expect_diag("the link");
	CHECK_OK(try_open(path, true));
}

TEST(follows_no_link_inside, .seconds = 5)
{
	PLACE(p);
	char path[160], other[160];
	make_image(p.image, false);
	in_image(&p, "facts", path);
	snprintf(other, sizeof other, "%s/elsewhere", p.dir);
	CHECK_OK(rename(path, other));
	CHECK_OK(symlink(other, path));
	CHECK_EQ(try_open(p.image, true), -EBADMSG);
	expect_diag("symbolic link");
	CHECK_OK(unlink(path));
	CHECK_OK(mkfifo(path, 0600));
	CHECK_EQ(try_open(p.image, true), -EBADMSG);
	expect_diag("not a regular file");
	CHECK_OK(unlink(path));
	CHECK_OK(symlink("loop", path));
	snprintf(other, sizeof other, "%s/loop", p.dir);
	CHECK_OK(symlink("loop", other));
	CHECK_EQ(try_open(other, false), -ELOOP);
}

static void patch(const char *path, off_t at, u8 flip)
{
	u8 byte;
	int fd = CHECK_OK(open(path, O_RDWR));
	CHECK_OK(file_pread_full(fd, &byte, 1, at));
	byte ^= flip;
	CHECK_OK(file_pwrite_full(fd, &byte, 1, at));
	close(fd);
}

TEST(damage_is_placed)
{
	PLACE(p);
	char path[160];
	make_image(p.image, false);
	in_image(&p, "pages", path);
	patch(path, 3 * IMAGE_CHUNK + 5, 1);
	_cleanup_image_ struct image *image = NULL;
	CHECK_OK(image_open(&image, p.image, false));
	CHECK_EQ(image_verify(image), -EBADMSG);
	expect_diag("file pages of image");
	expect_diag("bytes 786432-1048576 do not match");
	CHECK_OK(image_verify_chunks(image, "pages", 0, 3));
	CHECK_OK(image_verify_chunks(image, "pages", 4, 9));
	CHECK_EQ(image_verify_chunks(image, "pages", 3, 1), -EBADMSG);
	_cleanup_free_ void *pages = NULL;
	size_t len;
	CHECK_EQ(image_read(image, "pages", &pages, &len), -EBADMSG);
	CHECK_EQ(image_read(image, "nothing", &pages, &len), -EBADMSG);
	expect_diag("no such file");
}

TEST(verifies_in_the_background)
{
	PLACE(p);
	char path[160];
	make_image(p.image, false);
	_cleanup_image_ struct image *image = NULL;
	struct image_verification *v;
	CHECK_OK(image_open(&image, p.image, false));
	CHECK_OK(image_verify_start(&v, image, "pages"));
	CHECK_OK(image_verify_join(v));
	in_image(&p, "pages", path);
	patch(path, BIG - 1, 0x80);
	CHECK_OK(image_verify_start(&v, image, "pages"));
	CHECK_EQ(image_verify_join(v), -EBADMSG);
	expect_diag("bytes 1310720-1311497 do not match");
}

/* The manifest of one file, packed from parts that need not fit. */
static int judge_entry(const char *name, u64 size, size_t chunk_bytes)
{
	_cleanup_text_ struct text t = { 0 };
	_cleanup_free_ u8 *hashes = calloc(1, chunk_bytes + 1);
	Ckpt__ManifestFile file = CKPT__MANIFEST_FILE__INIT, *files[] = { &file };
	file.name = (char *)name;
	SET(&file, size, size);
	file.has_chunk = 1;
	file.chunk = (ProtobufCBinaryData){ chunk_bytes, hashes };
	CHECK_OK(manifest_pack(&t, files, 1));
	Ckpt__Manifest *m = NULL;
	int r = manifest_unpack(&m, t.data, t.len);
	if (m)
		ckpt__manifest__free_unpacked(m, NULL);
	return r;
}

TEST(a_hostile_manifest_is_refused)
{
	CHECK_OK(diag_begin("test", "a manifest"));
	CHECK_OK(judge_entry("pages", 1, 16));
	CHECK_OK(judge_entry("pages", IMAGE_CHUNK + 1, 32));
	static const char *const names[] = { "",      ".",        "..",           "../x",      "a/b",     "/etc/passwd",
					     ".hide", "manifest", "manifest.new", "new\nline", "\033[2J", "\xc3\xa4" };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		CHECK_EQ(judge_entry(names[i], 1, 16), -EBADMSG);
	CHECK_EQ(judge_entry("pages", 1, 0), -EBADMSG);
	CHECK_EQ(judge_entry("pages", 1, 15), -EBADMSG);
	CHECK_EQ(judge_entry("pages", 0, 16), -EBADMSG);
	CHECK_EQ(judge_entry("pages", UINT64_MAX, 0), -EBADMSG);
	CHECK_EQ(judge_entry("pages", UINT64_MAX - 5, 16), -EBADMSG);
	CHECK_EQ(judge_entry("pages", IMAGE_CHUNK, 32), -EBADMSG);
}

TEST(a_name_twice_is_refused)
{
	_cleanup_text_ struct text t = { 0 };
	Ckpt__ManifestFile file = CKPT__MANIFEST_FILE__INIT, *files[] = { &file, &file };
	file.name = (char *)"pages";
	SET(&file, size, 0);
	CHECK_OK(manifest_pack(&t, files, 2));
	Ckpt__Manifest *m;
	CHECK_EQ(manifest_unpack(&m, t.data, t.len), -EBADMSG);
}

TEST(every_flipped_bit_of_a_manifest_is_seen)
{
	_cleanup_text_ struct text t = { 0 };
	Ckpt__ManifestFile file = CKPT__MANIFEST_FILE__INIT, *files[] = { &file };
	file.name = (char *)"pages";
	SET(&file, size, 0);
	CHECK_OK(manifest_pack(&t, files, 1));
	Ckpt__Manifest *m;
	for (size_t bit = 0; bit < t.len * 8; bit++) {
		t.data[bit / 8] ^= (char)(1 << bit % 8);
		CHECK(manifest_unpack(&m, t.data, t.len) < 0);
		t.data[bit / 8] ^= (char)(1 << bit % 8);
	}
	for (size_t len = 0; len < t.len; len++)
		CHECK(manifest_unpack(&m, t.data, len) < 0);
	CHECK_OK(manifest_unpack(&m, t.data, t.len));
	ckpt__manifest__free_unpacked(m, NULL);
}

static double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* What a small image costs: run by name. */
TEST(cost, .manual = true)
{
	PLACE(p);
	_cleanup_free_ u8 *pages = pattern(300 << 10, 2), *facts = pattern(40 << 10, 3);
	double write = 1e9, read = 1e9;
	for (int i = 0; i < 20; i++) {
		char path[160];
		snprintf(path, sizeof path, "%s%d", p.image, i);
		double t0 = now_us();
		struct image_writer *w = NULL;
		CHECK_OK(image_create(&w, path));
		CHECK_OK(image_write(w, "facts", facts, 40 << 10));
		CHECK_OK(image_write(w, "pages", pages, 300 << 10));
		CHECK_OK(image_commit(w, false));
		image_writer_free(w);
		double t1 = now_us();
		struct image *image;
		void *data;
		size_t len;
		CHECK_OK(image_open(&image, path, false));
		CHECK_OK(image_read(image, "facts", &data, &len));
		free(data);
		CHECK_OK(image_verify_chunks(image, "pages", 0, 9));
		image_free(image);
		write = MIN(write, t1 - t0);
		read = MIN(read, now_us() - t1);
	}
	FAIL("write %.0f us, read %.0f us", write, read);
}
