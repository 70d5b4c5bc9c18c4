// SPDX-License-Identifier: LGPL-2.1-or-later
/* arm64: memory with tags (PROT_MTE), read-only, shared, of zeros, with a child that has changed some of them; or, "bti": code that
 * branches may enter at its landing pads only, with a thread that waits there. The program itself sees every tag and every fault. */
#include "judge.h"
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__aarch64__)

#define PAGE 4096ul
#define PAGES 8ul
#define GRANULE 16ul
#define BTI 0x10            /* PROT_BTI */
#define MTE 0x20            /* PROT_MTE */
#define HAS_BTI (1ul << 17) /* of AT_HWCAP2 */
#define HAS_MTE (1ul << 18)
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#define TAG_FAULT 9                              /* SEGV_MTESERR */
#define CONTROL (1ul | 1ul << 1 | 0xfffeul << 3) /* PR_TAGGED_ADDR_ENABLE, PR_MTE_TCF_SYNC, all tags but 0 */

static sigjmp_buf back;
static volatile int code;

static void fault(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	code = info->si_code;
	siglongjmp(back, 1);
}

static void set_tag(char *at, unsigned tag)
{
	uint64_t tagged = (uint64_t)(uintptr_t)at | (uint64_t)tag << 56;
	__asm__ volatile(".arch armv8.5-a+memtag\nstg %0, [%0]" ::"r"(tagged) : "memory");
}

static unsigned tag_of(const char *at)
{
	uint64_t tagged = (uint64_t)(uintptr_t)at;
	__asm__ volatile(".arch armv8.5-a+memtag\nldg %0, [%1]" : "+r"(tagged) : "r"(at) : "memory");
	return tagged >> 56 & 15;
}

static volatile char *pointer(char *at, unsigned tag) { return (volatile char *)((uintptr_t)at | (uintptr_t)tag << 56); }

/* QEMU before 8.0 has no more than two for each page of a machine (allocation_tag_mem()), and finds none for accesses of more bytes. */
static void set_page(char *page, unsigned even, unsigned odd)
{
	for (size_t i = 0; i < PAGE / GRANULE; i++)
		set_tag(page + i * GRANULE, i % 2 ? odd : even);
}

static void must_fault(char *at, unsigned tag)
{
	code = 0;
	if (!sigsetjmp(back, 1)) {
		(void)*pointer(at, tag);
		judge_fail("an access by a wrong tag went well");
	}
	MUST_EQ(code, TAG_FAULT);
}

static void fill(char *page, unsigned tag, char value)
{
	for (size_t i = 0; i < PAGE; i++)
		*pointer(page + i, tag) = value;
}

static char *own, *shared, *again;

struct seen {
	unsigned char tags[(PAGES + 4) * PAGE / GRANULE];
	unsigned long sum;
};

static void look(struct seen *ret)
{
	size_t n = 0;
	memset(ret, 0, sizeof *ret);
	for (size_t page = 0; page < PAGES; page++) {
		if (page == 3) /* nobody has ever been there */
			continue;
		for (size_t i = 0; i < PAGE; i += GRANULE) {
			char *at = own + page * PAGE + i;
			unsigned tag = tag_of(at);
			ret->tags[n++] = (unsigned char)tag;
			ret->sum = ret->sum * 31 + (unsigned char)*pointer(at, tag);
		}
	}
	for (size_t i = 0; i < 2 * PAGE; i += GRANULE)
		ret->tags[n++] = (unsigned char)tag_of(shared + i);
	for (size_t i = 0; again && i < 2 * PAGE; i += GRANULE)
		ret->tags[n++] = (unsigned char)tag_of(again + i);
}

static void must_stay(const struct seen *before)
{
	struct seen now;
	look(&now);
	MUST_EQ(memcmp(before->tags, now.tags, sizeof now.tags), 0);
	MUST_EQ(now.sum, before->sum);
	MUST_EQ(prctl(PR_GET_TAGGED_ADDR_CTRL, 0, 0, 0, 0), CONTROL);
	must_fault(own + PAGE, 6);
	must_fault(own + 4 * PAGE, 8);
	must_fault(shared, 4);
}

static char *map(int fd, int prot, size_t pages)
{
	char *at = mmap(NULL, pages * PAGE, prot, fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
	MUST(at != MAP_FAILED);
	return at;
}

static void make(void)
{
	int fd = memfd_create("tags", MFD_CLOEXEC);
	MUST(fd >= 0 && ftruncate(fd, 2 * PAGE) == 0);
	own = map(-1, PROT_READ | PROT_WRITE | MTE, PAGES);
	shared = map(fd, PROT_READ | PROT_WRITE | MTE, 2);
	if (madvise(own, PAGE, MADV_POPULATE_READ) == 0) /* Linux 5.14: else ckpt cannot make its pages present */
		again = map(fd, PROT_READ | MTE, 2);
	set_page(own, 3, 14);
	for (size_t i = 0; i < PAGE; i += GRANULE)
		*pointer(own + i, i / GRANULE % 2 ? 14 : 3) = (char)(i / GRANULE);
	set_page(own + PAGE, 5, 5);        /* of zeros */
	memset(own + 2 * PAGE, 'c', PAGE); /* without tags */
	set_page(own + 4 * PAGE, 9, 9);
	set_page(own + 5 * PAGE, 1, 3);
	fill(own + 4 * PAGE, 9, 'd');
	MUST_EQ(mprotect(own + 4 * PAGE, 2 * PAGE, PROT_READ | MTE), 0);
	set_page(own + 6 * PAGE, 0, 5);
	set_page(own + 7 * PAGE, 12, 12);
	set_page(shared, 3, 3);
	fill(shared, 3, 's');
}

/* It has tags of its own on what it has written since its birth. */
static void be_child(void)
{
	struct seen before;
	set_page(own, 0, 0);
	set_page(own + 2 * PAGE, 7, 8);
	MUST_EQ(madvise(own + 7 * PAGE, PAGE, MADV_DONTNEED), 0);
	(void)*(volatile char *)(own + 7 * PAGE);
	look(&before);
	judge_write("child", "");
	while (!judge_asked())
		judge_nap(10);
	must_stay(&before);
	_exit(0);
}

static int tags(void)
{
	struct seen before;
	int status;
	MUST_EQ(prctl(PR_SET_TAGGED_ADDR_CTRL, CONTROL, 0, 0, 0), 0);
	MUST_EQ(sigaction(SIGSEGV, &(struct sigaction){ .sa_sigaction = fault, .sa_flags = SA_SIGINFO }, NULL), 0);
	make();
	pid_t child = fork();
	MUST(child >= 0);
	if (!child)
		be_child();
	while (access(judge_path("child"), F_OK) < 0)
		judge_nap(1);
	look(&before);
	must_stay(&before);
	judge_wait();
	must_stay(&before);
	MUST_EQ(waitpid(child, &status, 0), child);
	MUST_EQ(status, 0);
	return judge_pass();
}

/* --- landing pads --- */

static char *text;
static int channel[2];

typedef long call(int fd, void *to, size_t len);

static void *reader(void *arg)
{
	char byte = 0;
	(void)arg;
	MUST_EQ(((call *)(void *)text)(channel[0], &byte, 1), 1);
	MUST_EQ(byte, 'x');
	return NULL;
}

static void must_land(void)
{
	code = 0;
	if (!sigsetjmp(back, 1)) {
		((void (*)(void))(void *)(text + 64))();
		judge_fail("a branch went where there is no landing pad");
	}
	MUST(code != 0);
}

static int landing_pads(void)
{
	static const uint32_t read_there[] = { 0xd503245f /* bti c */, 0xd28007e8 /* mov x8, #63 */, 0xd4000001 /* svc #0 */,
					       0xd65f03c0 /* ret */ };
	static const uint32_t bare = 0xd65f03c0;
	pthread_t thread;
	MUST_EQ(sigaction(SIGILL, &(struct sigaction){ .sa_sigaction = fault, .sa_flags = SA_SIGINFO }, NULL), 0);
	text = map(-1, PROT_READ | PROT_WRITE, 1);
	memcpy(text, read_there, sizeof read_there);
	memcpy(text + 64, &bare, sizeof bare);
	MUST_EQ(mprotect(text, PAGE, PROT_READ | PROT_EXEC | BTI), 0);
	__builtin___clear_cache(text, text + PAGE);
	MUST_EQ(pipe(channel), 0);
	MUST_EQ(pthread_create(&thread, NULL, reader, NULL), 0);
	must_land();
	judge_wait();
	must_land();
	MUST_EQ(write(channel[1], "x", 1), 1);
	MUST_EQ(pthread_join(thread, NULL), 0);
	return judge_pass();
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	bool bti = argc > 2 && !strcmp(argv[2], "bti");
	if (!(getauxval(AT_HWCAP2) & (bti ? HAS_BTI : HAS_MTE)))
		judge_fail(bti ? "skip: this processor knows no landing pads" : "skip: this processor does not tag memory");
	return bti ? landing_pads() : tags();
}
#else
int main(int argc, char **argv)
{
	judge_start(argc, argv);
	judge_fail("skip: only arm64 tags memory");
}
#endif
