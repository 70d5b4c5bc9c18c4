// SPDX-License-Identifier: LGPL-2.1-or-later
/* fifos DIR: named pipes, with and without their name, whose ends are in this tree: readers, writers, both in one, opened twice,
 * with data, packets, and readers that never had a writer. */
#include "judge.h"
#include <sys/ioctl.h>

static int named[4], gone[4], both, waiting[2], left, packets, unlinked_waiting, in_gone;

static const char *make(const char *name)
{
	MUST_EQ(mkfifo(judge_path(name), 0640), 0);
	return judge_path(name);
}

/* Reader, writer, a second reader, a second writer that appends and was opened with O_NOFOLLOW. */
static void open_ends(const char *path, int fds[4])
{
	fds[0] = open(path, O_RDONLY | O_NONBLOCK);
	fds[1] = open(path, O_WRONLY);
	fds[2] = open(path, O_RDONLY | O_CLOEXEC);
	fds[3] = open(path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK);
	for (int i = 0; i < 4; i++)
		MUST(fds[i] >= 0);
}

static void judge_ends(const int fds[4], const char *text)
{
	char bytes[32];
	int unread = 0;
	MUST_EQ(judge_flags(fds[0]), O_RDONLY | O_NONBLOCK);
	MUST_EQ(judge_flags(fds[1]), O_WRONLY);
	MUST_EQ(judge_flags(fds[2]), O_RDONLY);
	MUST_EQ(judge_flags(fds[3]), O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK);
	MUST_EQ(fcntl(fds[0], F_GETPIPE_SZ), 1 << 17);
	MUST(ioctl(fds[2], FIONREAD, &unread) == 0 && unread == (int)strlen(text));
	MUST(read(fds[2], bytes, sizeof bytes) == unread && !memcmp(bytes, text, (size_t)unread));
	MUST(read(fds[0], bytes, 1) == -1 && errno == EAGAIN);
	MUST(write(fds[3], "more", 4) == 4 && read(fds[0], bytes, sizeof bytes) == 4);
	close(fds[1]);
	close(fds[3]);
	MUST_EQ(read(fds[0], bytes, 1), 0);
	close(fds[0]);
	close(fds[2]);
}

static short events(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	MUST(poll(&p, 1, 0) >= 0);
	return p.revents;
}

int main(int argc, char **argv)
{
	char bytes[32], link[PATH_MAX] = "", before[PATH_MAX] = "", name[64];
	struct stat st;
	judge_start(argc, argv);
	open_ends(make("named"), named);
	MUST(write(named[1], "data", 4) == 4 && fcntl(named[1], F_SETPIPE_SZ, 1 << 17) == 1 << 17);
	open_ends(make("gone"), gone);
	MUST(write(gone[1], "unlinked", 8) == 8 && fcntl(gone[1], F_SETPIPE_SZ, 1 << 17) == 1 << 17);
	MUST(fchown(gone[0], 5, 6) == 0 && unlink(judge_path("gone")) == 0);
	both = open(make("both"), O_RDWR);
	MUST_EQ(write(both, "b", 1), 1);
	waiting[0] = open(make("waiting"), O_RDONLY | O_NONBLOCK);
	waiting[1] = open(judge_path("waiting"), O_RDONLY | O_NONBLOCK);
	left = open(make("left"), O_RDONLY | O_NONBLOCK);
	close(open(judge_path("left"), O_WRONLY)); /* its writer came and went */
	packets = open(make("packets"), O_RDWR | O_NONBLOCK);
	MUST_EQ(fcntl(packets, F_SETFL, O_DIRECT | O_NONBLOCK), 0);
	MUST(write(packets, "one", 3) == 3 && write(packets, "three", 5) == 5);
	unlinked_waiting = open(make("unseen"), O_RDONLY | O_NONBLOCK);
	MUST_EQ(unlink(judge_path("unseen")), 0);
	MUST_EQ(mkdir(judge_path("dir"), 0700), 0);
	in_gone = open(make("dir/fifo"), O_RDWR | O_NONBLOCK);
	MUST(unlink(judge_path("dir/fifo")) == 0 && rmdir(judge_path("dir")) == 0);
	snprintf(name, sizeof name, "/proc/self/fd/%d", gone[0]);
	MUST(readlink(name, before, sizeof before) > 0);
	MUST(events(waiting[0]) == 0 && events(left) & POLLHUP && events(unlinked_waiting) == 0);
	judge_wait();
	MUST(readlink(name, link, sizeof link) > 0 && !strcmp(link, before));
	MUST(fstat(gone[0], &st) == 0 && st.st_nlink == 0 && st.st_mode == (S_IFIFO | 0640) && st.st_uid == 5 &&
	     st.st_gid == 6);
	judge_ends(named, "data");
	judge_ends(gone, "unlinked");
	MUST(read(both, bytes, 1) == 1 && bytes[0] == 'b');
	MUST(events(waiting[0]) == 0 && events(waiting[1]) == 0 && events(unlinked_waiting) == 0);
	MUST_EQ(events(left), POLLHUP);
	int writer = open(judge_path("waiting"), O_WRONLY | O_NONBLOCK);
	MUST(writer >= 0 && write(writer, "w", 1) == 1 && read(waiting[1], bytes, 1) == 1);
	MUST_EQ(read(packets, bytes, sizeof bytes), 3);
	MUST_EQ(read(packets, bytes, sizeof bytes), 5);
	MUST(fstat(in_gone, &st) == 0 && st.st_nlink == 0 && write(in_gone, "x", 1) == 1 && read(in_gone, bytes, 1) == 1);
	MUST(access(judge_path("gone"), F_OK) < 0 && access(judge_path("unseen"), F_OK) < 0 &&
	     access(judge_path("dir"), F_OK) < 0);
	return judge_pass();
}
