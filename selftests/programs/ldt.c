// SPDX-License-Identifier: LGPL-2.1-or-later
/* ldt DIR [full|filter|16bit]: segments of its own in a local descriptor table (modify_ldt(2), x86), one of them in use by %gs and
 * another one in a child; full: a table with its last entry; filter: modify_ldt gives ENOSYS from then on; 16bit: one of 16 bits too. */
#include "../deny.h"
#include "judge.h"
#if defined(__x86_64__)
#include <asm/ldt.h>

#define ROOM (LDT_ENTRIES * LDT_ENTRY_SIZE)

static char before[ROOM], after[ROOM];

static void set(struct user_desc entry) { MUST_EQ(syscall(SYS_modify_ldt, 0x11, &entry, sizeof entry), 0); }

/* Kernels without CONFIG_X86_16BIT refuse it (arch/x86/kernel/ldt.c, write_ldt()). */
static void set_16bit(void)
{
	struct user_desc entry = { .entry_number = 7, .limit = 1, .contents = 1, .read_exec_only = 1, .useable = 1 };
	int result = (int)syscall(SYS_modify_ldt, 0x11, &entry, sizeof entry); /* an error is 32 bits without a sign */
	if (result < 0)
		judge_fail("skip: the kernel makes no segments of 16 bits (%d)", result);
}

static void must_read(char *table) { MUST_EQ((int)syscall(SYS_modify_ldt, 0, table, ROOM), ROOM); }

/* A data segment of one page that begins at an address below 4 GiB. */
static uint32_t *make_segment(unsigned number, uint32_t word)
{
	uint32_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	MUST(page != MAP_FAILED);
	*page = word;
	set((struct user_desc){
		.entry_number = number, .base_addr = (uint32_t)(uintptr_t)page, .limit = 4095, .seg_32bit = 1 });
	return page;
}

static uint32_t read_gs(void)
{
	uint32_t value;
	__asm__ volatile("movl %%gs:0, %0" : "=r"(value));
	return value;
}

static void load_gs(unsigned number) { __asm__ volatile("movw %w0, %%gs" : : "r"(number << 3 | 7)); }

static void refuse_modify(void) { MUST_EQ(deny_call(SYS_modify_ldt, ENOSYS), 0); }

/* Its table is a copy, with one segment that the parent does not have and without one that it has. */
static void be_child(void)
{
	make_segment(5, 0xc411d);
	set((struct user_desc){ .entry_number = 3, .read_exec_only = 1, .seg_not_present = 1 });
	must_read(before);
	judge_write("child", "");
	while (!judge_asked())
		judge_nap(10);
	must_read(after);
	MUST_EQ(memcmp(before, after, ROOM), 0);
	load_gs(5);
	_exit(read_gs() == 0xc411d ? 0 : 1);
}

int main(int argc, char **argv)
{
	int status;
	judge_start(argc, argv);
	const char *how = argc > 2 ? argv[2] : "";
	uint32_t *page = make_segment(2, 0x5e9);
	set((struct user_desc){ .entry_number = 3, .limit = 0xfffff, .contents = 2, .seg_32bit = 1, .limit_in_pages = 1 });
	set((struct user_desc){
		.entry_number = 6, .limit = 1, .contents = 1, .seg_32bit = 1, .read_exec_only = 1, .useable = 1 });
	if (!strcmp(how, "16bit"))
		set_16bit();
	if (!strcmp(how, "full"))
		set((struct user_desc){
			.entry_number = LDT_ENTRIES - 1, .base_addr = 0x87654321, .seg_32bit = 1, .seg_not_present = 1 });
	pid_t child = fork();
	MUST(child >= 0);
	if (!child)
		be_child();
	while (access(judge_path("child"), F_OK) < 0)
		judge_nap(1);
	load_gs(2);
	must_read(before);
	if (!strcmp(how, "filter"))
		refuse_modify();
	judge_wait();
	MUST_EQ(read_gs(), 0x5e9);
	*page = 0x5ea;
	MUST_EQ(read_gs(), 0x5ea);
	load_gs(2);
	MUST_EQ(read_gs(), 0x5ea);
	if (strcmp(how, "filter") != 0) {
		must_read(after);
		MUST_EQ(memcmp(before, after, ROOM), 0);
	}
	MUST_EQ(waitpid(child, &status, 0), child);
	MUST_EQ(status, 0);
	return judge_pass();
}
#else
int main(int argc, char **argv)
{
	judge_start(argc, argv);
	judge_fail("skip: only x86 has local descriptor tables");
}
#endif
