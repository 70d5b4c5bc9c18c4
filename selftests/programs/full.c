/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* full DIR [room]: an address space of which all is taken, as far as the kernel gives it, but for some MiB below the stack; "room": and
 * but for one GiB where programs are linked that stand low. */
#include "judge.h"

#define LOWEST 0x10000ul
#define ROOM 0x20000000ul
#define ROOM_BYTES 0x40000000ul
#define BELOW_STACK 0x4000000ul
#define PLUGS 256

static struct plug {
	unsigned long start, end;
} plugs[PLUGS];
static size_t count;
static char text[65536];
static bool has_room;

static bool plug(unsigned long start, unsigned long end)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
	if (start >= end || mmap((void *)start, end - start, PROT_NONE, flags, -1, 0) != (void *)start)
		return false;
	MUST(count < PLUGS);
	plugs[count++] = (struct plug){ start, end };
	return true;
}

/* Around the room that is left. */
static void fill(unsigned long start, unsigned long end)
{
	if (!has_room || end <= ROOM || start >= ROOM + ROOM_BYTES) {
		plug(start, end);
		return;
	}
	plug(start, ROOM);
	plug(ROOM + ROOM_BYTES, end);
}

static void read_maps(void)
{
	int fd = open("/proc/self/maps", O_RDONLY);
	ssize_t n;
	for (size_t len = 0; (n = read(fd, text + len, sizeof text - 1 - len)) > 0;)
		len += (size_t)n;
	close(fd);
}

static void fill_all(void)
{
#if defined(__x86_64__) /* there may be more where a program asks for it */
	static const unsigned long ends[] = { (1ul << 47) - 4096 };
#else
	static const unsigned long ends[] = { 1ul << 48, 1ul << 47, 1ul << 42, 1ul << 39 };
#endif
	unsigned long at = LOWEST, start, end;
	read_maps();
	for (const char *line = text; line && sscanf(line, "%lx-%lx", &start, &end) == 2 && start < 1ul << 48;) {
		const char *next = strchr(line, '\n');
		bool grows = next && next - line > 7 && !strncmp(next - 7, "[stack]", 7);
		fill(at, start - (grows ? BELOW_STACK : 0));
		at = end;
		line = next ? next + 1 : NULL;
	}
	for (size_t i = 0; i < sizeof ends / sizeof *ends && !plug(at, ends[i]); i++)
		;
}

static bool is_free(unsigned long at)
{
	void *page = (void *)at;
	bool is = mmap(page, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == page;
	if (is)
		MUST_EQ(munmap(page, 4096), 0);
	return is;
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	has_room = argc > 2;
	fill_all();
	if (!has_room)
		MUST(mmap(NULL, 128ul << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED);
	judge_wait();
	for (size_t i = 0; i < count; i++)
		MUST(!is_free(plugs[i].start) && !is_free((plugs[i].start / 2 + plugs[i].end / 2) & ~4095ul) &&
		     !is_free(plugs[i].end - 4096));
	if (has_room)
		MUST(is_free(ROOM) && is_free(ROOM + ROOM_BYTES / 2) && is_free(ROOM + ROOM_BYTES - 4096));
	return judge_pass();
}
