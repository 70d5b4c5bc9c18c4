// SPDX-License-Identifier: LGPL-2.1-or-later
/* sysvparts DIR [huge]: segments of System V shared memory that are mapped in part: with holes that other mappings fill, cut, moved,
 * longer than the segment, in another order, by two processes. huge: of huge pages, with a hole. */
#include "judge.h"
#include <sys/ipc.h>
#include <sys/shm.h>

#define PAGE 4096l
#define PAGES 8
#define SLOT (4 * PAGES * PAGE) /* bytes between mappings: all have addresses, that nothing else comes into a hole */
#define HUGE (2l << 20)
#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages"

/* Of each segment: its page i begins with 'a' + i when it was filled. */
enum segment { HOLES, CUT, GONE, MOVED, LONG, ORDER, SEGMENTS };

static int id[SEGMENTS];
static unsigned long attached[SEGMENTS];
static char *at[SEGMENTS], *elsewhere, *twice, *beyond, *filler, *inner;

static unsigned long attached_now(int segment)
{
	struct shmid_ds ds;
	MUST_EQ(shmctl(segment, IPC_STAT, &ds), 0);
	return ds.shm_nattch;
}

static char *attach(int segment)
{
	char *where = shmat(segment, NULL, 0);
	MUST(where != (char *)-1);
	return where;
}

static void unmap(char *base, int first, int count) { MUST_EQ(munmap(base + first * PAGE, (size_t)(count * PAGE)), 0); }

static void protect(char *base, int page, int prot) { MUST_EQ(mprotect(base + page * PAGE, PAGE, prot), 0); }

static char *move(char *from, long old, long len, char *to)
{
	MUST(mremap(from, (size_t)old, (size_t)len, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	return to;
}

/* Can it be read? Its first byte, or -1. */
static int peek(const char *where)
{
	char c;
	int ends[2];
	MUST_EQ(pipe(ends), 0);
	ssize_t n = write(ends[1], where, 1);
	MUST(n == 1 || errno == EFAULT);
	int got = n == 1 && read(ends[0], &c, 1) == 1 ? c : -1;
	close(ends[0]);
	close(ends[1]);
	return got;
}

static bool may_write(char *where)
{
	int ends[2];
	MUST_EQ(pipe(ends), 0);
	MUST_EQ(write(ends[1], where, 1), 1);
	bool written = read(ends[0], where, 1) == 1;
	close(ends[0]);
	close(ends[1]);
	return written;
}

static void make(void)
{
	char *slots = mmap(NULL, (SEGMENTS + 6) * SLOT, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	MUST(slots != MAP_FAILED);
	for (int s = 0; s < SEGMENTS; s++, slots += SLOT) {
		id[s] = shmget(IPC_PRIVATE, PAGES * PAGE - 100, IPC_CREAT | 0600);
		MUST(id[s] >= 0);
		at[s] = shmat(id[s], slots, SHM_REMAP);
		MUST(at[s] == slots);
		for (int i = 0; i < PAGES; i++)
			at[s][i * PAGE] = (char)('a' + i);
	}
	/* the first page is gone, the third is another mapping's, the fourth is a part of the segment of an attachment of its own */
	unmap(at[HOLES], 0, 1);
	filler = mmap(at[HOLES] + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	MUST(filler == at[HOLES] + 2 * PAGE);
	filler[0] = 'f';
	inner = shmat(id[HOLES], slots, SHM_RDONLY | SHM_REMAP);
	MUST(inner == slots);
	unmap(inner, 0, 6);
	move(inner + 6 * PAGE, PAGE, PAGE, at[HOLES] + 3 * PAGE);
	/* two protections, no access, and cut where they are the same */
	protect(at[CUT], 1, PROT_READ);
	protect(at[CUT], 2, PROT_NONE);
	protect(at[CUT], 4, PROT_NONE);
	protect(at[CUT], 4, PROT_READ | PROT_WRITE);
	protect(at[CUT], 6, PROT_READ | PROT_EXEC);
	/* all but one page */
	unmap(at[GONE], 0, 5);
	unmap(at[GONE], 6, 2);
	MUST_EQ(shmctl(id[GONE], IPC_RMID, NULL), 0);
	/* a page elsewhere, and three more once more */
	elsewhere = move(at[MOVED] + 2 * PAGE, PAGE, PAGE, slots + SLOT);
	twice = move(at[MOVED] + 4 * PAGE, 0, 3 * PAGE, slots + 2 * SLOT);
	/* longer than the segment; then but its end and what is behind it */
	beyond = move(at[LONG], PAGES * PAGE, 3 * PAGES * PAGE, slots + 3 * SLOT);
	unmap(beyond, 0, PAGES - 1);
	unmap(beyond, PAGES, PAGES);
	at[LONG] = shmat(id[LONG], slots + 4 * SLOT, SHM_RDONLY | SHM_REMAP);
	/* the first page and the fourth at each other's place (remap_file_pages(2)), read-only from then on */
	MUST_EQ(syscall(SYS_remap_file_pages, at[ORDER], PAGE, 0, 3, 0), 0);
	MUST_EQ(syscall(SYS_remap_file_pages, at[ORDER] + 3 * PAGE, PAGE, 0, 0, 0), 0);
	protect(at[ORDER], 0, PROT_READ);
}

static void judge_contents(void)
{
	for (int i = 0; i < PAGES; i++) {
		MUST_EQ(peek(at[HOLES] + i * PAGE), i == 0 ? -1 : i == 2 ? 'f' : i == 3 ? 'g' : 'a' + i);
		MUST_EQ(peek(at[CUT] + i * PAGE), i == 2 ? -1 : 'a' + i);
		MUST_EQ(peek(at[GONE] + i * PAGE), i == 5 ? 'a' + i : -1);
		MUST_EQ(peek(at[MOVED] + i * PAGE), i == 2 ? -1 : 'a' + i);
		MUST_EQ(peek(at[LONG] + i * PAGE), 'a' + i);
		MUST_EQ(peek(at[ORDER] + i * PAGE), i == 0 ? 'd' : i == 3 ? 'a' : 'a' + i);
	}
	MUST_EQ(peek(elsewhere), 'c');
	for (int i = 0; i < 3; i++)
		MUST_EQ(peek(twice + i * PAGE), 'e' + i);
	MUST_EQ(peek(beyond + (PAGES - 1) * PAGE), 'a' + PAGES - 1);
	for (int i = 0; i < 3 * PAGES; i++)
		MUST(i == PAGES - 1 || peek(beyond + i * PAGE) == -1);
}

static void judge_protections(void)
{
	MUST(may_write(at[HOLES] + PAGE) && !may_write(at[HOLES] + 3 * PAGE));
	MUST_EQ(mprotect(at[HOLES] + 3 * PAGE, PAGE, PROT_READ | PROT_WRITE), -1); /* attached for reading */
	for (int i = 0; i < PAGES; i++)
		MUST(i == 2 || may_write(at[CUT] + i * PAGE) == (i != 1 && i != 6));
	protect(at[CUT], 2, PROT_READ);
	MUST_EQ(at[CUT][2 * PAGE], 'c');
	protect(at[CUT], 2, PROT_NONE);
	MUST(may_write(at[GONE] + 5 * PAGE) && may_write(elsewhere) && may_write(twice));
	MUST(!may_write(at[LONG]) && !may_write(at[ORDER]) && may_write(at[ORDER] + 3 * PAGE));
}

/* What is written by one way is read by another. */
static void judge_sharing(void)
{
	char *whole[SEGMENTS];
	for (int s = 0; s < SEGMENTS; s++)
		whole[s] = attach(id[s]);
	at[HOLES][6 * PAGE + 1] = 1;
	whole[HOLES][7 * PAGE + 1] = 2;
	MUST(whole[HOLES][6 * PAGE + 1] == 1 && at[HOLES][3 * PAGE + 1] == 1 && at[HOLES][7 * PAGE + 1] == 2);
	whole[GONE][5 * PAGE + 1] = 3;
	MUST_EQ(at[GONE][5 * PAGE + 1], 3);
	elsewhere[1] = 4;
	twice[1] = 5;
	MUST(whole[MOVED][2 * PAGE + 1] == 4 && whole[MOVED][4 * PAGE + 1] == 5 && at[MOVED][4 * PAGE + 1] == 5);
	beyond[(PAGES - 1) * PAGE + 1] = 6;
	MUST(at[LONG][(PAGES - 1) * PAGE + 1] == 6);
	at[ORDER][3 * PAGE + 1] = 7;
	MUST_EQ(whole[ORDER][1], 7);
	whole[ORDER][3 * PAGE + 1] = 8;
	MUST_EQ(at[ORDER][1], 8);
	for (int s = 0; s < SEGMENTS; s++)
		MUST_EQ(shmdt(whole[s]), 0);
}

/* The child has a hole more. */
static void be_child(int asked, int answers)
{
	char c = 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	unmap(at[HOLES], 5, 1);
	MUST_EQ(write(answers, &c, 1), 1);
	MUST_EQ(read(asked, &c, 1), 1);
	MUST(peek(at[HOLES] + 5 * PAGE) == -1 && peek(at[HOLES] + 7 * PAGE) == 'h' && peek(elsewhere) == 'c');
	MUST_EQ(at[HOLES][4 * PAGE + 1], 'p');
	elsewhere[2] = 'c';
	MUST_EQ(write(answers, &c, 1), 1);
	_exit(0);
}

static void judge_child(pid_t child, int ask, int answer)
{
	int status;
	char c = 0;
	at[HOLES][4 * PAGE + 1] = 'p';
	MUST_EQ(write(ask, &c, 1), 1);
	MUST_EQ(read(answer, &c, 1), 1);
	MUST_EQ(elsewhere[2], 'c');
	MUST_EQ(waitpid(child, &status, 0), child);
	MUST_EQ(status, 0);
}

/* shmdt(2) finds all parts at their distances. */
static void judge_detaching(void)
{
	struct shmid_ds ds;
	MUST_EQ(attached_now(id[HOLES]), 4);
	MUST_EQ(shmdt(at[HOLES]), 0);
	MUST_EQ(attached_now(id[HOLES]), 2);
	MUST(peek(at[HOLES] + 3 * PAGE) == 'g' && peek(filler) == 'f' && peek(at[HOLES] + 4 * PAGE) == -1);
	MUST(shmdt(at[HOLES] - 3 * PAGE) == 0 && shmdt(inner) == 0);
	MUST(shmdt(at[CUT]) == 0 && shmdt(at[GONE]) == 0 && shmdt(at[MOVED]) == 0 && shmdt(at[LONG]) == 0);
	MUST(shmdt(elsewhere - 2 * PAGE) == 0 && shmdt(twice - 4 * PAGE) == 0);
	MUST(shmdt(beyond) == 0 && shmdt(beyond) == 0); /* it looks no further than the segment is long */
	MUST(shmdt(at[ORDER]) == 0 && shmdt(at[ORDER] - 3 * PAGE) == 0 && shmdt(at[ORDER] + 3 * PAGE) == 0);
	for (int s = 0; s < SEGMENTS; s++) {
		if (s == GONE) {
			MUST_EQ(shmctl(id[s], IPC_STAT, &ds), -1);
			continue;
		}
		MUST_EQ(attached_now(id[s]), 0);
		MUST_EQ(shmctl(id[s], IPC_RMID, NULL), 0);
	}
}

static int hold_huge(void)
{
	char text[16] = "";
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_HUGETLB | 21 << 26;
	char *room = mmap(NULL, 2 * HUGE, PROT_NONE, flags, -1, 0);
	if (room == MAP_FAILED || mremap(room, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + HUGE) != room + HUGE)
		judge_fail("skip: this kernel moves no huge pages");
	unmap(room, 0, 2 * HUGE / PAGE);
	int fd = open(POOL, O_RDWR | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof text - 1) <= 0 || (atoi(text) < 256 && pwrite(fd, "256", 3, 0) != 3))
		judge_fail("skip: %s: %s", POOL, strerror(errno));
	int segment = shmget(IPC_PRIVATE, 4 * HUGE, IPC_CREAT | SHM_HUGETLB | 21 << 26 | 0600);
	if (segment < 0)
		judge_fail("skip: no memory for huge pages");
	char *base = attach(segment), *cut = attach(segment);
	for (int i = 0; i < 4; i++)
		base[i * HUGE] = (char)('a' + i);
	MUST_EQ(munmap(base + HUGE, HUGE), 0);
	MUST_EQ(mprotect(base + 3 * HUGE, HUGE, PROT_READ), 0);
	MUST_EQ(mprotect(cut + HUGE, HUGE, PROT_READ), 0);
	MUST_EQ(attached_now(segment), 6);
	judge_wait();
	MUST_EQ(attached_now(segment), 6);
	for (int i = 0; i < 4; i++)
		MUST(peek(base + i * HUGE) == (i == 1 ? -1 : 'a' + i) && peek(cut + i * HUGE) == 'a' + i);
	MUST(may_write(base) && !may_write(base + 3 * HUGE) && may_write(cut) && !may_write(cut + HUGE));
	MUST(shmdt(base) == 0 && shmdt(cut) == 0);
	MUST_EQ(attached_now(segment), 0);
	MUST_EQ(shmctl(segment, IPC_RMID, NULL), 0);
	return judge_pass();
}

int main(int argc, char **argv)
{
	int asked[2], answered[2];
	char c;
	judge_start(argc, argv);
	if (argc > 2)
		return hold_huge();
	make();
	MUST(pipe(asked) == 0 && pipe(answered) == 0);
	pid_t child = fork();
	MUST(child >= 0);
	if (!child)
		be_child(asked[0], answered[1]);
	MUST_EQ(read(answered[0], &c, 1), 1);
	MUST_EQ(attached_now(id[HOLES]), 9);
	MUST_EQ(attached_now(id[CUT]), 16);
	MUST_EQ(attached_now(id[GONE]), 2);
	for (int s = 0; s < SEGMENTS; s++)
		attached[s] = attached_now(id[s]);
	judge_wait();
	for (int s = 0; s < SEGMENTS; s++)
		MUST_EQ(attached_now(id[s]), attached[s]);
	judge_contents();
	judge_protections();
	judge_child(child, asked[1], answered[0]);
	judge_sharing();
	judge_detaching();
	return judge_pass();
}
