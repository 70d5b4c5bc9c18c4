// SPDX-License-Identifier: LGPL-2.1-or-later
/* hugepages DIR [room]: memory of hugetlbfs: private and shared with a child, a memfd, segments of System V shared
 * memory, a file with a name. room: much
 * that it has not reserved and never touched. */
#include "judge.h"
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/shm.h>

#define PAGE ((size_t)2 << 20)
#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages"
#define MOST 256        /* pages: for all who run this at once */
#define BITS (21 << 26) /* MAP_HUGE_2MB, MFD_HUGE_2MB, SHM_HUGE_2MB */
#define KEY 0x434b5055  /* the IPC namespace is the test's */

/* What parent and child say to each other, in the last bytes of the shared mapping. */
struct board {
	char asked, answered;
};

static char *private, *constant, *shared, *file, *segment, *named, *copied;
static struct board *board;
static int memfd, keyed, dying;
static struct stat before;

/* The pool may grow by as many pages as all need. */
static void widen_pool(void)
{
	char text[16] = "";
	int fd = open(POOL, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		judge_fail("skip: %s: %s", POOL, strerror(errno));
	MUST(read(fd, text, sizeof text - 1) > 0);
	if (atoi(text) < MOST && pwrite(fd, "256", 3, 0) != 3)
		judge_fail("skip: writing %s: %s", POOL, strerror(errno));
	close(fd);
}

static void *map(size_t pages, int flags)
{
	char *at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_HUGETLB | BITS | flags, -1, 0);
	if (at == MAP_FAILED && errno == ENOMEM)
		judge_fail("skip: no memory for huge pages");
	MUST(at != MAP_FAILED);
	return at;
}

static int get_segment(key_t key, size_t size)
{
	int id = shmget(key, size, IPC_CREAT | IPC_EXCL | SHM_HUGETLB | BITS | 0600);
	if (id < 0 && errno == ENOMEM)
		judge_fail("skip: no memory for huge pages");
	MUST(id >= 0);
	return id;
}

/* The size of the pages of the mapping at an address, in KiB, as smaps tells. */
static int page_size(const void *address)
{
	char line[512];
	unsigned long start, end;
	int size = 0;
	bool here = false;
	FILE *f = fopen("/proc/self/smaps", "re");
	MUST(f);
	while (!size && fgets(line, sizeof line, f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = (unsigned long)address >= start && (unsigned long)address < end;
		if (here)
			sscanf(line, "KernelPageSize: %d kB", &size);
	}
	fclose(f);
	return size;
}

static void ask(char c)
{
	__atomic_store_n(&board->asked, c, __ATOMIC_SEQ_CST);
	for (int tries = 0; __atomic_load_n(&board->answered, __ATOMIC_SEQ_CST) != c; tries++) {
		MUST(tries < JUDGE_PATIENCE_MS);
		judge_nap(1);
	}
}

/* Has one page of the private memory for itself; 'c': are all as they shall be? */
static void be_child(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	strcpy(private + PAGE, "the child's");
	for (char last = 0; last != 'q'; judge_nap(1)) {
		char asked = __atomic_load_n(&board->asked, __ATOMIC_SEQ_CST);
		if (asked == last)
			continue;
		if (asked == 'c')
			MUST(!strcmp(private, "both have it") && !strcmp(private + PAGE, "the child's") &&
			     !strcmp(segment, "segment"));
		last = asked;
		__atomic_store_n(&board->answered, asked, __ATOMIC_SEQ_CST);
	}
	_exit(0);
}

/* Mapped for all, and privately with a page of its own. */
static void map_named(void)
{
	MUST_EQ(mkdir(judge_path("huge"), 0700), 0);
	MUST_EQ(mount("huge", judge_path("huge"), "hugetlbfs", 0, "pagesize=2M"), 0);
	int fd = open(judge_path("huge/file"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST(fd >= 0);
	MUST_EQ(ftruncate(fd, PAGE), 0);
	named = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	copied = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	MUST(named != MAP_FAILED && copied != MAP_FAILED);
	close(fd);
	strcpy(named, "named");
	strcpy(copied + 100, "copied");
}

static void make(void)
{
	private = map(3, MAP_PRIVATE);
	strcpy(private, "both have it");
	strcpy(private + PAGE, "the parent's");
	constant = map(1, MAP_PRIVATE);
	strcpy(constant + 4096, "constant");
	MUST_EQ(mprotect(constant, PAGE, PROT_READ), 0);
	shared = map(2, MAP_SHARED);
	board = (struct board *)(shared + 2 * PAGE - sizeof *board);
	memfd = memfd_create("hugepages", MFD_HUGETLB | BITS | MFD_ALLOW_SEALING);
	MUST(memfd >= 0);
	MUST_EQ(ftruncate(memfd, (off_t)(4 * PAGE)), 0);
	file = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, (off_t)(2 * PAGE));
	MUST(file != MAP_FAILED);
	strcpy(file + PAGE - 16, "a file's");
	MUST_EQ(fcntl(memfd, F_ADD_SEALS, F_SEAL_GROW), 0);
	dying = get_segment(IPC_PRIVATE, PAGE / 2);
	keyed = get_segment(KEY, PAGE);
	segment = shmat(dying, NULL, 0);
	MUST(segment != (char *)-1);
	MUST_EQ(shmctl(dying, IPC_RMID, NULL), 0);
	strcpy(segment, "segment");
	map_named();
	MUST_EQ(fstat(memfd, &before), 0);
}

static void judge_memory(const char *key)
{
	struct stat now;
	struct shmid_ds ds;
	MUST(!strcmp(private, "both have it") && !strcmp(private + PAGE, "the parent's") && !private[2 * PAGE]);
	MUST(!strcmp(constant + 4096, "constant") && !strcmp(file + PAGE - 16, "a file's"));
	MUST(!strcmp(segment, "segment") && !strcmp(key, "keyed"));
	MUST(!strcmp(named, "named") && !strcmp(copied, "named") && !strcmp(copied + 100, "copied") && !named[100]);
	const char *all[] = { private, constant, shared, file, segment, key, named, copied };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		MUST_EQ(page_size(all[i]), PAGE >> 10);
	MUST_EQ(fstat(memfd, &now), 0);
	MUST_EQ(now.st_size, before.st_size);
	MUST_EQ(now.st_blocks, before.st_blocks); /* holes stay holes */
	MUST_EQ(now.st_blksize, before.st_blksize);
	MUST_EQ(fcntl(memfd, F_GET_SEALS), F_SEAL_GROW);
	MUST_EQ(shmctl(dying, IPC_STAT, &ds), 0);
	MUST_EQ(ds.shm_segsz, PAGE / 2);
	MUST(ds.shm_perm.mode & 01000); /* SHM_DEST */
}

/* A thousand times what there may be: nothing of it is taken. */
static int hold_room(void)
{
	char *room = map(1 << 19, MAP_PRIVATE | MAP_NORESERVE);
	judge_wait();
	MUST_EQ(page_size(room), PAGE >> 10);
	return judge_pass();
}

int main(int argc, char **argv)
{
	int status;
	judge_start(argc, argv);
	if (argc > 2)
		return hold_room();
	widen_pool();
	make();
	char *key = shmat(keyed, NULL, 0);
	MUST(key != (char *)-1);
	strcpy(key, "keyed");
	pid_t child = fork();
	if (!child)
		be_child();
	ask('a');
	judge_wait();
	judge_memory(key);
	ask('c');
	strcpy(private, "only the parent");
	MUST_EQ(mprotect(constant, PAGE, PROT_READ | PROT_WRITE), 0);
	strcpy(constant + 4096, "variable");
	ask('q');
	MUST_EQ(waitpid(child, &status, 0), child);
	MUST_EQ(status, 0);
	MUST_EQ(shmctl(keyed, IPC_RMID, NULL), 0);
	MUST_EQ(unlink(judge_path("huge/file")), 0);
	return judge_pass();
}
