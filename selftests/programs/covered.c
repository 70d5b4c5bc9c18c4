/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* covered DIR: files, directories, a mapping and the working directory below another mount: their paths lead elsewhere, or nowhere, and
 * the program goes on with what it has opened. */
#include "judge.h"
#include <sys/mount.h>

static char links[5][PATH_MAX];

/* What /proc calls it; NULL: the working directory. */
static void link_of(const int *fd, char *ret)
{
	char name[32] = "/proc/self/cwd";
	if (fd)
		snprintf(name, sizeof name, "/proc/self/fd/%d", *fd);
	ssize_t n = readlink(name, ret, PATH_MAX - 1);
	MUST(n > 0);
	ret[n] = 0;
}

int main(int argc, char **argv)
{
	struct stat st, other;
	char text[PATH_MAX];
	judge_start(argc, argv);
	MUST(mkdir(judge_path("below"), 0700) == 0 && mkdir(judge_path("below/in"), 0700) == 0);
	judge_write("below/data", "mapped");
	judge_write("below/in/deep", "deep");
	int file = open(judge_path("below/file"), O_RDWR | O_CREAT | O_APPEND, 0600);
	MUST(write(file, "0123456789", 10) == 10 && lseek(file, 4, SEEK_SET) == 4);
	int dir = open(judge_path("below"), O_RDONLY | O_DIRECTORY), path = open(judge_path("below/file"), O_PATH);
	int data = open(judge_path("below/data"), O_RDONLY);
	char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, data, 0);
	MUST(dir >= 0 && path >= 0 && map != MAP_FAILED && close(data) == 0 && chdir(judge_path("below/in")) == 0);
	MUST_EQ(mount("cover", judge_path("below"), "tmpfs", 0, NULL), 0);
	judge_write("below/file", "another");
	const int *const held[] = { &file, &dir, &path, NULL };
	for (int i = 0; i < 4; i++)
		link_of(held[i], links[i]);
	judge_wait();
	for (int i = 0; i < 4; i++) {
		link_of(held[i], text);
		MUST(!strcmp(text, links[i]));
	}
	MUST(read(file, text, 16) == 6 && !memcmp(text, "456789", 6) && write(file, "!", 1) == 1);
	MUST(fstat(file, &st) == 0 && fstat(path, &other) == 0 && st.st_ino == other.st_ino && st.st_size == 11);
	MUST(judge_flags(file) == (O_RDWR | O_APPEND) && !memcmp(map, "mapped", 6));
	MUST(stat("deep", &other) == 0 && other.st_size == 4 && stat(judge_path("below/in"), &other) < 0);
	MUST(fstatat(dir, "file", &other, 0) == 0 && other.st_ino == st.st_ino);
	MUST(stat(judge_path("below/file"), &other) == 0 && other.st_size == 7);
	MUST_EQ(umount2(judge_path("below"), MNT_DETACH), 0);
	MUST(stat(judge_path("below/file"), &other) == 0 && other.st_ino == st.st_ino && other.st_dev == st.st_dev);
	return judge_pass();
}
