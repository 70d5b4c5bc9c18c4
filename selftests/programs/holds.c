// SPDX-License-Identifier: LGPL-2.1-or-later
/* holds DIR WHAT: holds something that ckpt refuses to carry (or that a test needs to be in the way) and must not notice that. */
#include "judge.h"
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <sys/socket.h>

static int open_perf(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE, .size = sizeof attr, .config = PERF_COUNT_SW_TASK_CLOCK };
	return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static int open_uring(void)
{
	struct io_uring_params params = { 0 };
	int fd = (int)syscall(SYS_io_uring_setup, 4, &params);
	if (fd >= 0)
		MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING) != MAP_FAILED);
	return fd;
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	const char *what = argc > 2 ? argv[2] : "";
	int fd = -1;
	if (!strcmp(what, "perf"))
		fd = open_perf();
	else if (!strcmp(what, "io_uring"))
		fd = open_uring();
	else if (!strcmp(what, "packet"))
		fd = socket(AF_PACKET, SOCK_RAW, 0);
	else if (!strcmp(what, "memory"))
		fd = 0;
	if (fd < 0) {
		judge_write("unavailable", strerror(errno));
		judge_ready();
		return 0;
	}
	char *memory = malloc(8 << 20);
	for (size_t i = 0; i < 8 << 20; i++)
		memory[i] = (char)(i * 31 + (i >> 12));
	judge_wait();
	for (size_t i = 0; i < 8 << 20; i++)
		MUST_EQ(memory[i], (char)(i * 31 + (i >> 12)));
	MUST(fd == 0 || fcntl(fd, F_GETFD) >= 0);
	return judge_pass();
}
