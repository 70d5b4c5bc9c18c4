// SPDX-License-Identifier: LGPL-2.1-or-later
/* ghosts DIR: files and directories that have lost their names: contents, holes, attributes, links in /proc, positions, and what
 * may still be done with them stay; nothing else in their directories is touched. */
#include "overlay.h"
#include <sys/socket.h>
#include <sys/xattr.h>

#define FAR (8l << 20)

static off_t dir_place;
static int file, unread, again, append, path, nofollow, tmpfile_fd, tmpfile_again, excl, lost, taken, dir, dir_path, hard,
	renamed, odd, two_names[2], queue[2];
static char *shared, *private;
static bool has_xattr, has_trusted;

static struct link {
	int *fd;
	char text[300];
} links[16];

/* What /proc calls each of them. */
static void note_link(int *fd)
{
	char name[32];
	struct link *l = links;
	while (l->fd)
		l++;
	snprintf(name, sizeof name, "/proc/self/fd/%d", *fd);
	l->fd = fd;
	MUST(readlink(name, l->text, sizeof l->text - 1) > 0);
}

static void check_links(void)
{
	char name[32], text[300];
	for (const struct link *l = links; l->fd; l++) {
		memset(text, 0, sizeof text);
		snprintf(name, sizeof name, "/proc/self/fd/%d", *l->fd);
		MUST(readlink(name, text, sizeof text - 1) > 0);
		if (strcmp(text, l->text))
			judge_fail("descriptor %d was %s and is %s", *l->fd, l->text, text);
	}
}

static void make_file(void)
{
	const char *name = judge_path("file");
	file = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	MUST_EQ(write(file, "first", 5), 5);
	MUST_EQ(pwrite(file, "far", 3, FAR), 3);
	MUST_EQ(ftruncate(file, FAR + 100001), 0);
	again = open(name, O_RDONLY | O_CLOEXEC);
	append = open(name, O_WRONLY | O_APPEND);
	path = open(name, O_PATH);
	nofollow = open(name, O_RDONLY | O_NOFOLLOW | O_NOATIME);
	MUST(file >= 0 && again >= 0 && append >= 0 && path >= 0 && nofollow >= 0);
	MUST_EQ(lseek(again, 2, SEEK_SET), 2);
	MUST_EQ(fchmod(file, 04751), 0);
	MUST_EQ(fchown(file, 12, 34), 0);
	MUST_EQ(fchmod(file, 04751), 0);
	has_trusted = fsetxattr(file, "trusted.shape", "round", 5, 0) == 0;
	has_xattr = fsetxattr(file, "user.colour", "green", 5, 0) == 0 && fsetxattr(file, "user.b", "", 0, 0) == 0;
	MUST_EQ(unlink(name), 0);
	MUST_EQ(futimens(file, (struct timespec[2]){ { 1000000000, 1 }, { -1234567890, 987654321 } }), 0);
	note_link(&file);
	note_link(&again);
	note_link(&path);
	note_link(&nofollow);
}

static void make_others(void)
{
	char name[PATH_MAX];
	tmpfile_fd = open(judge_dir, O_RDWR | O_TMPFILE, 0640);
	MUST_EQ(write(tmpfile_fd, "never had a name", 16), 16);
	snprintf(name, sizeof name, "/proc/self/fd/%d", tmpfile_fd);
	tmpfile_again = open(name, O_RDONLY);
	excl = open(judge_dir, O_WRONLY | O_TMPFILE | O_APPEND, 0600);
	MUST_EQ(write(excl, "x", 1), 1);

	MUST_EQ(mkdir(judge_path("gone"), 0755), 0);
	MUST_EQ(mkdir(judge_path("gone/too"), 0755), 0);
	lost = open(judge_path("gone/too/lost"), O_RDWR | O_CREAT, 0600);
	MUST_EQ(write(lost, "lost", 4), 4);
	MUST_EQ(unlink(judge_path("gone/too/lost")), 0);
	MUST(rmdir(judge_path("gone/too")) == 0 && rmdir(judge_path("gone")) == 0);
	note_link(&lost);

	taken = open(judge_path("taken"), O_RDWR | O_CREAT, 0600);
	MUST_EQ(write(taken, "old", 3), 3);
	MUST_EQ(unlink(judge_path("taken")), 0);
	int other = open(judge_path("taken"), O_RDWR | O_CREAT | O_EXCL, 0644);
	MUST_EQ(write(other, "new one", 7), 7);
	close(other);

	MUST_EQ(mkdir(judge_path("dir"), 0711), 0);
	dir = open(judge_path("dir"), O_RDONLY | O_DIRECTORY);
	MUST(syscall(SYS_getdents64, dir, name, sizeof name) > 0);
	dir_place = lseek(dir, 0, SEEK_CUR); /* in the terms of its file system: ext4 counts in hashes of names */
	dir_path = open(judge_path("dir"), O_PATH);
	MUST(dir >= 0 && dir_path >= 0 && rmdir(judge_path("dir")) == 0);
	note_link(&dir);
	note_link(&dir_path);

	hard = open(judge_path("one name"), O_RDWR | O_CREAT, 0600);
	strcpy(name, judge_path("one name"));
	MUST_EQ(link(name, judge_path("other name")), 0);
	MUST_EQ(unlink(judge_path("one name")), 0);

	two_names[0] = open(judge_path("first name"), O_RDWR | O_CREAT, 0600);
	strcpy(name, judge_path("first name"));
	MUST_EQ(link(name, judge_path("second name")), 0);
	two_names[1] = open(judge_path("second name"), O_RDONLY);
	MUST(unlink(name) == 0 && unlink(judge_path("second name")) == 0);

	renamed = open(judge_path("before"), O_RDWR | O_CREAT, 0600);
	strcpy(name, judge_path("before"));
	MUST_EQ(rename(name, judge_path("after")), 0);
	note_link(&renamed);

	odd = open(judge_path("odd (deleted)"), O_RDWR | O_CREAT, 0600); /* it is really called so */
	note_link(&odd);
}

/* One that is on its way through a socket, and nowhere else. */
static void send_file(void)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec data = { "s", 1 };
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
	};
	int fd = open(judge_path("sent"), O_RDWR | O_CREAT, 0600);
	MUST(write(fd, "sent", 4) == 4 && unlink(judge_path("sent")) == 0);
	MUST_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, queue), 0);
	memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
	MUST_EQ(sendmsg(queue[0], &message, 0), 1);
	close(fd);
}

static void judge_sent(void)
{
	char control[64], c, text[8];
	int fd;
	struct iovec data = { &c, 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	MUST(recvmsg(queue[1], &message, 0) == 1 && message.msg_controllen);
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	MUST(header != NULL);
	memcpy(&fd, CMSG_DATA(header), sizeof fd);
	MUST(lseek(fd, 0, SEEK_CUR) == 4 && pread(fd, text, 8, 0) == 4 && !memcmp(text, "sent", 4));
}

static void map_file(void)
{
	shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	MUST(shared != MAP_FAILED && private != MAP_FAILED);
	private[0] = 'P';
}

/* Its last access is so long ago that the next one would be noted (mount(8), relatime). */
static void make_unread(void)
{
	unread = open(judge_path("unread"), O_RDWR | O_CREAT, 0600);
	MUST_EQ(write(unread, "unread", 6), 6);
	MUST_EQ(unlink(judge_path("unread")), 0);
	MUST_EQ(futimens(unread, (struct timespec[2]){ { 1000000000, 1 }, { 1000000000, 2 } }), 0);
}

static void judge_unread(void)
{
	char text[8];
	struct stat st;
	MUST_EQ(fstat(unread, &st), 0);
	MUST(st.st_atim.tv_sec == 1000000000 && st.st_atim.tv_nsec == 1);
	MUST(pread(unread, text, 8, 0) == 6 && !memcmp(text, "unread", 6));
}

static void judge_file(void)
{
	char text[32];
	struct stat st, other;
	MUST(fstat(file, &st) == 0 && fstat(append, &other) == 0 && st.st_ino == other.st_ino);
	MUST(fstat(path, &other) == 0 && st.st_ino == other.st_ino);
	MUST_EQ(st.st_nlink, 0);
	MUST_EQ(st.st_mode, S_IFREG | 04751);
	MUST(st.st_uid == 12 && st.st_gid == 34);
	MUST_EQ(st.st_size, FAR + 100001);
	MUST(st.st_mtim.tv_sec == -1234567890 && st.st_mtim.tv_nsec == 987654321);
	MUST(st.st_blocks * 512 < 1 << 20);
	MUST_EQ(lseek(file, 0, SEEK_CUR), 5);
	MUST_EQ(lseek(file, 0, SEEK_HOLE), 4096);
	MUST_EQ(lseek(file, 4096, SEEK_DATA), FAR);
	MUST_EQ(lseek(file, 5, SEEK_SET), 5);
	if (has_trusted)
		MUST_EQ(fgetxattr(file, "trusted.shape", text, sizeof text), 5);
	if (has_xattr) {
		MUST_EQ(fgetxattr(file, "user.colour", text, sizeof text), 5);
		MUST(!memcmp(text, "green", 5));
		MUST_EQ(fgetxattr(file, "user.b", text, sizeof text), 0);
	}
	MUST(pread(file, text, 3, FAR) == 3 && !memcmp(text, "far", 3));
	MUST(read(again, text, 3) == 3 && !memcmp(text, "rst", 3));
	MUST_EQ(write(again, "x", 1), -1);
	MUST_EQ(judge_flags(nofollow), O_RDONLY | O_NOFOLLOW | O_NOATIME);
	MUST_EQ(write(append, "end", 3), 3);
	MUST(pread(nofollow, text, 3, FAR + 100001) == 3 && !memcmp(text, "end", 3));
	shared[0] = 'F', shared[1] = 'I';
	MUST(pread(nofollow, text, 5, 0) == 5 && !memcmp(text, "FIrst", 5));
	MUST(private[0] == 'P' && private[3] == 's');
	snprintf(text, sizeof text, "/proc/self/fd/%d", file);
	MUST(linkat(AT_FDCWD, text, AT_FDCWD, judge_path("no"), AT_SYMLINK_FOLLOW) == -1 && errno == ENOENT);
}

static void judge_others(void)
{
	char text[64];
	struct stat st, other;
	MUST(pread(tmpfile_again, text, 16, 0) == 16 && !memcmp(text, "never had a name", 16));
	MUST_EQ(fcntl(tmpfile_fd, F_GETFL) & O_TMPFILE, O_TMPFILE);
	MUST_EQ(lseek(tmpfile_fd, 0, SEEK_CUR), 16);
	MUST_EQ(write(excl, "y", 1), 1);
	MUST(fstat(excl, &st) == 0 && st.st_size == 2 && st.st_nlink == 0);
	snprintf(text, sizeof text, "/proc/self/fd/%d", tmpfile_fd);
	MUST_EQ(linkat(AT_FDCWD, text, AT_FDCWD, judge_path("named"), AT_SYMLINK_FOLLOW), 0);
	MUST(stat(judge_path("named"), &st) == 0 && st.st_size == 16 && st.st_mode == (S_IFREG | 0640));

	MUST(pread(lost, text, 4, 0) == 4 && !memcmp(text, "lost", 4));
	MUST(access(judge_path("gone"), F_OK) < 0);
	MUST(pread(taken, text, 8, 0) == 3 && !memcmp(text, "old", 3));
	int fd = open(judge_path("taken"), O_RDONLY);
	MUST(read(fd, text, sizeof text) == 7 && !memcmp(text, "new one", 7));
	close(fd);
	MUST(fstat(dir, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 07777) == 0711);
	MUST_EQ(lseek(dir, 0, SEEK_CUR), dir_place);
	MUST(fstat(dir_path, &other) == 0 && other.st_ino == st.st_ino);
	MUST(openat(dir, "x", O_CREAT | O_RDWR, 0600) == -1 && errno == ENOENT);
	MUST(fstat(hard, &st) == 0 && stat(judge_path("other name"), &other) == 0);
	MUST(st.st_ino == other.st_ino && st.st_nlink == 1);
	MUST(write(two_names[0], "both", 4) == 4 && read(two_names[1], text, 8) == 4 && !memcmp(text, "both", 4));
	judge_sent();
	MUST(fstat(renamed, &st) == 0 && stat(judge_path("after"), &other) == 0 && st.st_ino == other.st_ino);
	MUST(fstat(odd, &st) == 0 && st.st_nlink == 1);
}

/* Nothing is in the directory but what was put there. */
static void judge_directory(void)
{
	static const char *const known[] = { "ready",      "stop",  "output",        "gap",  "taken",
					     "other name", "after", "odd (deleted)", "named" };
	int fd = open(judge_dir, O_RDONLY | O_DIRECTORY);
	char buffer[4096];
	for (long n; (n = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0;)
		for (long at = 0; at < n; at += *(unsigned short *)(buffer + at + 16)) {
			const char *name = buffer + at + 19;
			bool found = name[0] == '.' && (!name[1] || name[1] == '.');
			for (size_t i = 0; i < sizeof known / sizeof *known; i++)
				found |= !strcmp(name, known[i]);
			if (!found)
				judge_fail("%s was left behind", name);
		}
	close(fd);
}

static void child(int to, int from)
{
	char c, text[PATH_MAX] = "";
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	MUST(mkdir(judge_path("home"), 0700) == 0 && chdir(judge_path("home")) == 0 && rmdir(judge_path("home")) == 0);
	MUST_EQ(write(to, "r", 1), 1);
	MUST_EQ(read(from, &c, 1), 1);
	MUST(readlink("/proc/self/cwd", text, sizeof text) > 0 && strstr(text, "/home (deleted)"));
	MUST(open("x", O_CREAT | O_RDWR, 0600) == -1 && errno == ENOENT);
	_exit(3);
}

static char mapped_byte(int fd)
{
	char *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	MUST(at != MAP_FAILED);
	char byte = *at;
	MUST_EQ(munmap(at, 4096), 0);
	return byte;
}

/* Files that have names, but not those that they were opened by, and not there; and nodes of devices that have none. */
static int elsewhere(void)
{
	struct stat st, other;
	char text[8];
	umask(0);
	MUST(mkdir(judge_path("kept"), 0700) == 0 && mkdir(judge_path("gone"), 0700) == 0);
	char *name = strdup(judge_path("gone/one"));
	int writer = open(name, O_RDWR | O_CREAT, 0640), reader = open(name, O_RDONLY);
	MUST(write(writer, "linked", 6) == 6 && lseek(reader, 2, SEEK_SET) == 2);
	private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, reader, 0);
	MUST(private != MAP_FAILED && link(name, judge_path("kept/two")) == 0 && unlink(name) == 0);
	MUST_EQ(rmdir(judge_path("gone")), 0);
	MUST_EQ(mknod(judge_path("null"), S_IFCHR | 0620, 0x103), 0);
	int null = open(judge_path("null"), O_WRONLY), null_path = open(judge_path("null"), O_PATH);
	MUST(null >= 0 && null_path >= 0 && unlink(judge_path("null")) == 0);
	note_link(&writer);
	note_link(&reader);
	note_link(&null);
	note_link(&null_path);
	judge_wait();
	check_links();
	MUST(fstat(writer, &st) == 0 && stat(judge_path("kept/two"), &other) == 0 && fstat(reader, &other) == 0);
	MUST(st.st_ino == other.st_ino && st.st_nlink == 1 && st.st_size == 6);
	MUST(read(reader, text, 4) == 4 && !memcmp(text, "nked", 4) && !memcmp(private, "linked", 6));
	MUST(write(writer, "!", 1) == 1 && pread(reader, text, 1, 6) == 1 && *text == '!' && mapped_byte(writer) == 'l');
	MUST(access(judge_path("gone"), F_OK) < 0 && access(judge_path("null"), F_OK) < 0);
	MUST(fstat(null, &st) == 0 && st.st_rdev == 0x103 && st.st_mode == (S_IFCHR | 0620) && st.st_nlink == 0);
	MUST(write(null, "x", 1) == 1 && fstat(null_path, &other) == 0 && other.st_ino == st.st_ino);
	return judge_pass();
}

/* Files of the layer below an overlay that were taken away above it: stat(2) tells that each has one name all the same. */
static int overlay(void)
{
	struct stat st, other;
	char text[16];
	MUST_EQ(mkdir(judge_path("lower"), 0700), 0);
	judge_write("lower/library", "mapped code");
	judge_write("lower/data", "contents");
	if (!judge_overlay())
		judge_fail("skip: no overlay can be mounted here");
	char *library = strdup(judge_path("merged/library"));
	int mapped = open(library, O_RDONLY), data = open(judge_path("merged/data"), O_RDONLY);
	int second = open(judge_path("merged/data"), O_RDONLY | O_CLOEXEC);
	private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, mapped, 0);
	MUST(private != MAP_FAILED && close(mapped) == 0 && lseek(data, 3, SEEK_SET) == 3);
	judge_write("merged/newer", "another library");
	MUST_EQ(rename(judge_path("merged/newer"), library), 0);
	MUST(unlink(judge_path("merged/data")) == 0 && fstat(data, &st) == 0 && st.st_nlink == 1);
	note_link(&data);
	note_link(&second);
	judge_wait();
	check_links();
	MUST(!memcmp(private, "mapped code", 11) && read(data, text, 16) == 5 && !memcmp(text, "tents", 5));
	MUST(pread(second, text, 16, 0) == 8 && !memcmp(text, "contents", 8) && lseek(second, 0, SEEK_CUR) == 0);
	MUST(fstat(data, &st) == 0 && fstat(second, &other) == 0 && st.st_ino == other.st_ino && st.st_size == 8);
	MUST(access(judge_path("merged/data"), F_OK) < 0 && stat(library, &other) == 0 && other.st_size == 15);
	MUST_EQ(munmap(private, 4096), 0);
	MUST(close(data) == 0 && close(second) == 0);
	umount2(judge_path("merged"), MNT_DETACH);
	return judge_pass();
}

int main(int argc, char **argv)
{
	int up[2], down[2], status;
	char c;
	judge_start(argc, argv);
	if (argc > 2 && !strcmp(argv[2], "elsewhere"))
		return elsewhere();
	if (argc > 2 && !strcmp(argv[2], "overlay"))
		return overlay();
	umask(0);
	make_file();
	make_others();
	map_file();
	make_unread();
	send_file();
	MUST(pipe(up) == 0 && pipe(down) == 0);
	pid_t pid = fork();
	if (pid == 0)
		child(up[1], down[0]);
	MUST_EQ(read(up[0], &c, 1), 1);
	judge_settled(pid);
	judge_wait();
	check_links();
	judge_file();
	judge_unread();
	judge_others();
	MUST_EQ(write(down[1], "g", 1), 1);
	MUST_EQ(waitpid(pid, &status, 0), pid);
	MUST_EQ(WEXITSTATUS(status), 3);
	judge_directory();
	return judge_pass();
}
