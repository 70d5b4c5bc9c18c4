// SPDX-License-Identifier: LGPL-2.1-or-later
/* numa DIR: threads and mappings whose memory comes from certain nodes, and a child that has taken that back for what it inherited. */
#include "judge.h"
#include <linux/mempolicy.h>

#define PAGE 65536ul
#define NODES 1024

struct policy {
	int mode;
	unsigned long nodes[NODES / 64];
};
static unsigned char *preferred, *interleaved, *plain;
static pthread_barrier_t set, wake;

static void take(int mode)
{
	unsigned long node = 1;
	MUST_EQ(syscall(SYS_set_mempolicy, mode, mode == MPOL_DEFAULT ? NULL : &node, mode == MPOL_DEFAULT ? 0 : 64), 0);
}

static void bind_to(unsigned char *page, int mode)
{
	unsigned long node = 1;
	MUST_EQ(syscall(SYS_mbind, page, PAGE, mode, mode == MPOL_DEFAULT ? NULL : &node, mode == MPOL_DEFAULT ? 0 : 64, 0), 0);
}

static struct policy look(void *at)
{
	struct policy p = { 0 };
	MUST_EQ(syscall(SYS_get_mempolicy, &p.mode, p.nodes, NODES, at, at ? MPOL_F_ADDR : 0), 0);
	return p;
}

static void check(const char *what, void *at, const struct policy *was)
{
	struct policy is = look(at);
	if (is.mode != was->mode || memcmp(is.nodes, was->nodes, sizeof is.nodes) != 0)
		judge_fail("%s: mode %#x, nodes %#lx became %#x, %#lx", what, was->mode, was->nodes[0], is.mode, is.nodes[0]);
}

/* What a thread of this mode has, before and after. */
static void live(int mode, const char *what)
{
	take(mode);
	struct policy own = look(NULL), first = look(preferred), second = look(interleaved), third = look(plain);
	MUST_EQ(own.mode, mode);
	pthread_barrier_wait(&set);
	pthread_barrier_wait(&wake);
	check(what, NULL, &own);
	check("the first mapping", preferred, &first);
	check("the second mapping", interleaved, &second);
	check("the third mapping", plain, &third);
}

static void *of_default(void *arg)
{
	live(MPOL_DEFAULT, "a thread of default policy");
	return arg;
}
static void *of_interleave(void *arg)
{
	live(MPOL_INTERLEAVE | MPOL_F_RELATIVE_NODES, "a thread that interleaves");
	return arg;
}

/* It has kept the mappings of its parent, and not all of their policies. */
static int be_child(void)
{
	bind_to(preferred, MPOL_DEFAULT);
	take(MPOL_PREFERRED);
	struct policy own = look(NULL), first = look(preferred), second = look(interleaved);
	MUST(first.mode == MPOL_DEFAULT && second.mode == MPOL_INTERLEAVE);
	judge_write("child", "");
	while (!judge_asked())
		judge_nap(20);
	check("the child", NULL, &own);
	check("the first mapping of the child", preferred, &first);
	check("the second mapping of the child", interleaved, &second);
	return 0;
}

static unsigned char *map_page(void)
{
	/* Of other protection than its neighbours: nothing merges. */
	MUST(mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
	unsigned char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(page != MAP_FAILED);
	return page;
}

int main(int argc, char **argv)
{
	pthread_t threads[2];
	int status;
	judge_start(argc, argv);
	if (syscall(SYS_get_mempolicy, &status, NULL, 0, NULL, 0) < 0)
		judge_fail("skip: get_mempolicy: %s", strerror(errno));
	preferred = map_page(), interleaved = map_page(), plain = map_page();
	bind_to(preferred, MPOL_PREFERRED);
	bind_to(interleaved, MPOL_INTERLEAVE);
	memset(preferred, 1, PAGE);
	memset(plain, 3, PAGE);
	pid_t child = fork();
	if (child == 0)
		_exit(be_child());
	while (access(judge_path("child"), F_OK) < 0)
		judge_nap(2);
	pthread_barrier_init(&set, NULL, 3);
	pthread_barrier_init(&wake, NULL, 3);
	pthread_create(&threads[0], NULL, of_default, NULL);
	pthread_create(&threads[1], NULL, of_interleave, NULL);
	take(MPOL_BIND | MPOL_F_STATIC_NODES);
	struct policy own = look(NULL), first = look(preferred), third = look(plain);
	pthread_barrier_wait(&set);
	judge_wait();
	pthread_barrier_wait(&wake);
	check("the main thread", NULL, &own);
	check("the first mapping", preferred, &first);
	check("the third mapping", plain, &third);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	MUST(waitpid(child, &status, 0) == child && status == 0);
	return judge_pass();
}
