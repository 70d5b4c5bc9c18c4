// SPDX-License-Identifier: LGPL-2.1-or-later
/* replaced DIR [memfd]: its program file and a library of it were replaced on the disk while it ran (an upgrade), or it was
 * executed from a memfd: the old ones go on to be what it runs, and the new ones stay as they are. */
#include "judge.h"
#include <dlfcn.h>
#include <math.h>

static void copy(int from, int to)
{
	char bytes[65536];
	for (ssize_t n; (n = read(from, bytes, sizeof bytes)) > 0;)
		MUST_EQ(write(to, bytes, (size_t)n), n);
	close(from);
}

static int make(const char *name)
{
	int fd = open(judge_path(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	MUST(fd >= 0);
	return fd;
}

static void replace(const char *name)
{
	char new[PATH_MAX];
	int fd = make("new");
	MUST_EQ(write(fd, "another one", 11), 11);
	close(fd);
	strcpy(new, judge_path("new"));
	MUST_EQ(rename(new, judge_path(name)), 0);
}

static uint64_t hash_of(const char *path)
{
	unsigned char bytes[65536];
	uint64_t hash = 14695981039346656037u;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0);
	for (ssize_t n; (n = read(fd, bytes, sizeof bytes)) > 0;)
		for (ssize_t i = 0; i < n; i++)
			hash = (hash ^ bytes[i]) * 1099511628211u;
	close(fd);
	return hash;
}

/* The first stage: executes a copy of itself. */
static void begin(char **argv, bool memfd)
{
	int own = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int to = memfd ? memfd_create("program", MFD_CLOEXEC) : make("program");
	MUST(own >= 0 && to >= 0);
	copy(own, to);
	argv[0] = "second";
	if (memfd)
		fexecve(to, argv, environ);
	close(to);
	execv(judge_path("program"), argv);
	judge_fail("exec: %s", strerror(errno));
}

static void check_replaced(const char *name)
{
	char text[32] = "";
	int fd = open(judge_path(name), O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0 && read(fd, text, sizeof text - 1) == 11 && !strcmp(text, "another one"));
	close(fd);
}

int main(int argc, char **argv)
{
	char link[PATH_MAX] = "", now[PATH_MAX] = "";
	Dl_info info;
	bool memfd = argc > 2;
	judge_start(argc, argv);
	if (strcmp(argv[0], "second"))
		begin(argv, memfd);
	double (*volatile plain)(double) = cbrt;
	MUST(dladdr((void *)plain, &info));
	copy(open(info.dli_fname, O_RDONLY | O_CLOEXEC), make("library"));
	void *library = dlopen(judge_path("library"), RTLD_NOW);
	double (*cube_root)(double) = library ? (double (*)(double))dlsym(library, "cbrt") : NULL;
	double (*arc)(double) = library ? (double (*)(double))dlsym(library, "asinh") : NULL;
	if (!arc || !cube_root)
		judge_fail("%s: %s", info.dli_fname, dlerror());
	MUST(cube_root != plain && fabs(cube_root(27) - 3) < 1e-9);
	uint64_t hash = hash_of("/proc/self/exe");
	replace("library");
	if (!memfd)
		replace("program");
	MUST(readlink("/proc/self/exe", link, sizeof link) > 0 && strstr(link, " (deleted)"));
	judge_wait();
	MUST(readlink("/proc/self/exe", now, sizeof now) > 0);
	/* the old name is in use */
	if (memfd ? strcmp(link, now) : !strstr(now, "/program#ckpt (deleted)") && strcmp(link, now))
		judge_fail("the program was %s and is %s", link, now);
	MUST_EQ(hash_of("/proc/self/exe"), hash);
	MUST(fabs(cube_root(27) - 3) < 1e-9 && arc(0) == 0 && arc(1) > 0.88);
	check_replaced("library");
	if (!memfd)
		check_replaced("program");
	MUST(access(judge_path("program#ckpt"), F_OK) < 0 && access(judge_path("library#ckpt"), F_OK) < 0);
	return judge_pass();
}
