/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crowd DIR WHAT PROCESSES EACH [LIMIT [HIGH]]: so many processes, each with so many open files (files), sockets that nobody has connected
 * (sockets), locks (locks) or what else its name says (crowd_kinds.h), none of them like another; or with so many pipes (pipes), pairs of
 * unix sockets (pairs), unix sockets that were accepted at a name (accepted) or TCP connections (connections; idle: where nothing waits to
 * be read), whose other end the next process has, or locked files (shared_locks) or timers (shared_timers) that the next one has, too; or
 * TCP connections whose other end a process outside of the tree has (guests). LIMIT: how many descriptors a process may have. HIGH: the
 * number of one that each of them has. */
#include "crowd_kinds.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

static unsigned *state; /* of each process: 1 ready, 2 told to look */

/* Of what two processes share: how far all of them are, and the ends that each has made for the next one. */
static struct ring {
	unsigned come;
	pid_t pids[256];
	int ends[];
} * ring;
static int processes;
static int *taken; /* the ends that the one before has made */
static bool idle;  /* nothing is told */

/* --- files: told apart by position, open flags and close-on-exec --- */

static void make_file(int i)
{
	if (i == 0)
		close(open(own_path(0), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
	made[i] = open(own_path(0), (i & 1 ? O_CLOEXEC : 0) | (i & 2 ? O_RDWR | O_APPEND : O_RDONLY));
	MUST(made[i] >= 0);
	MUST_EQ(lseek(made[i], i, SEEK_SET), i);
}

static void look_at_file(int i)
{
	MUST_EQ(lseek(made[i], 0, SEEK_CUR), i);
	MUST_EQ(fcntl(made[i], F_GETFD), i & 1);
	MUST_EQ(judge_flags(made[i]), i & 2 ? O_RDWR | O_APPEND : O_RDONLY);
}

/* --- sockets: UDP, TCP that listens, and unix, each with a name of its own --- */

union name {
	struct sockaddr plain;
	struct sockaddr_in inet;
	struct sockaddr_un local;
};

static socklen_t make_name(union name *name, int i)
{
	memset(name, 0, sizeof *name);
	if (i % 3 < 2) {
		name->inet = (struct sockaddr_in){ .sin_family = AF_INET,
						   .sin_port = htons((uint16_t)(2000 + me * ((each + 2) / 3) + i / 3)),
						   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		return sizeof name->inet;
	}
	name->local.sun_family = AF_UNIX;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			   (size_t)snprintf(name->local.sun_path + 1, 40, "crowd-%d-%d", me, i));
}

static void make_socket(int i)
{
	union name name;
	socklen_t len = make_name(&name, i);
	made[i] = socket(name.plain.sa_family, (i % 3 == 0 ? SOCK_STREAM : SOCK_DGRAM) | (i & 1 ? SOCK_CLOEXEC : SOCK_NONBLOCK),
			 0);
	MUST(made[i] >= 0);
	MUST_EQ(bind(made[i], &name.plain, len), 0);
	if (i % 3 == 0)
		MUST_EQ(listen(made[i], 1 + i % 100), 0);
}

static void look_at_socket(int i)
{
	union name name, found;
	int listens;
	socklen_t len = make_name(&name, i), found_len = sizeof found, listens_len = sizeof listens;
	memset(&found, 0, sizeof found);
	MUST_EQ(getsockname(made[i], &found.plain, &found_len), 0);
	MUST_EQ(found_len, len);
	MUST_EQ(memcmp(&found, &name, len), 0);
	MUST_EQ(getsockopt(made[i], SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_len), 0);
	MUST_EQ(listens, i % 3 == 0);
	MUST_EQ(fcntl(made[i], F_GETFD), i & 1);
	MUST_EQ(!!(judge_flags(made[i]) & O_NONBLOCK), !(i & 1));
}

/* --- locks: of a process and of open files, in turns, a hundred in each file --- */

#define IN_FILE 100

static struct flock lock_of(int i) { return (struct flock){ F_WRLCK, SEEK_SET, 2 * (i % IN_FILE), 1, 0 }; }

static void make_lock(int i)
{
	struct flock lock = lock_of(i);
	made[i] = i % 2 && i % IN_FILE != 1 ? made[i - 2] : open(own_path(i / IN_FILE), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	MUST(made[i] >= 0);
	MUST_EQ(fcntl(made[i], i % 2 ? F_SETLK : F_OFD_SETLK, &lock), 0);
}

/* As another open file sees it: POSIX locks are of the process, others of none; each is seen by the one that has no lock there. */
static void look_at_lock(int i)
{
	struct flock lock = lock_of(i);
	int other = i % 2 ? i - 1 : i + 1 < each ? i + 1 : i - 1;
	MUST_EQ(fcntl(made[other], F_OFD_GETLK, &lock), 0);
	MUST_EQ(lock.l_type, F_WRLCK);
	MUST_EQ(lock.l_start, 2 * (i % IN_FILE));
	MUST_EQ(lock.l_len, 1);
	MUST_EQ(lock.l_pid, i % 2 ? getpid() : -1);
}

/* --- what two processes share: a message waits in each when it is dumped, another one goes its way afterwards --- */

static int listener = -1; /* of the connections */

static void make_pipe(int i)
{
	int ends[2];
	MUST_EQ(pipe2(ends, i & 1 ? O_CLOEXEC : O_NONBLOCK), 0);
	made[i] = ends[1], ring->ends[me * each + i] = ends[0];
}

static void make_pair(int i)
{
	int ends[2];
	MUST_EQ(socketpair(AF_UNIX, (i & 2 ? SOCK_DGRAM : SOCK_STREAM) | (i & 1 ? SOCK_CLOEXEC : SOCK_NONBLOCK), 0, ends), 0);
	made[i] = ends[1], ring->ends[me * each + i] = ends[0];
}

/* To the listener of this process; *at: its address. */
static void start_listening(struct sockaddr_in *at)
{
	int on = 1;
	*at = (struct sockaddr_in){ .sin_family = AF_INET,
				    .sin_port = htons((uint16_t)(2000 + me)),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (listener >= 0)
		return;
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST_EQ(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
	MUST_EQ(bind(listener, (struct sockaddr *)at, sizeof *at), 0);
	MUST_EQ(listen(listener, 4096), 0);
}

static void make_connection(int i)
{
	struct sockaddr_in at;
	start_listening(&at);
	made[i] = socket(AF_INET, SOCK_STREAM | (i & 1 ? SOCK_CLOEXEC : 0), 0);
	MUST_EQ(connect(made[i], (struct sockaddr *)&at, sizeof at), 0);
	ring->ends[me * each + i] = accept4(listener, NULL, NULL, i & 1 ? SOCK_CLOEXEC : SOCK_NONBLOCK);
	MUST(ring->ends[me * each + i] >= 0);
	if (i == each - 1)
		close(listener);
}

/* Of unix sockets, by the name of a file. */
static void make_accepted(int i)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	MUST(snprintf(at.sun_path, sizeof at.sun_path, "%s/%d", judge_dir, me) < (int)sizeof at.sun_path);
	if (listener < 0) {
		listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		MUST_EQ(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
		MUST_EQ(listen(listener, 100), 0);
	}
	made[i] = socket(AF_UNIX, SOCK_STREAM | (i & 1 ? SOCK_CLOEXEC : 0), 0);
	MUST_EQ(connect(made[i], (struct sockaddr *)&at, sizeof at), 0);
	ring->ends[me * each + i] = accept4(listener, NULL, NULL, i & 1 ? SOCK_CLOEXEC : SOCK_NONBLOCK);
	MUST(ring->ends[me * each + i] >= 0);
}

/* --- what two processes have in common that is not two ends: a file with a lock of its own, a timer --- */

static void make_shared_lock(int i)
{
	struct flock lock = { F_WRLCK, SEEK_SET, i, 1, 0 };
	made[i] = open(own_path(i), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	MUST(made[i] >= 0);
	MUST_EQ(i & 1 ? flock(made[i], LOCK_EX) : fcntl(made[i], F_OFD_SETLK, &lock), 0);
	ring->ends[me * each + i] = dup(made[i]);
}

static void look_at_shared_lock(int i)
{
	struct flock lock = { F_WRLCK, SEEK_SET, i, 1, 0 };
	int other = open(own_path(i), O_RDWR | O_CLOEXEC);
	if (i & 1)
		MUST_EQ(flock(other, LOCK_EX | LOCK_NB), -1);
	else
		MUST_EQ(fcntl(other, F_OFD_GETLK, &lock), 0);
	MUST(i & 1 || lock.l_type == F_WRLCK);
	close(other);
}

static void make_shared_timer(int i)
{
	make_timer(i);
	ring->ends[me * each + i] = dup(made[i]);
	fcntl(ring->ends[me * each + i], F_SETFD, i & 1);
}

static void look_at_shared_timer(int i)
{
	struct itimerspec t;
	look_at_timer(i);
	MUST_EQ(timerfd_gettime(taken[i], &t), 0);
	MUST_EQ(t.it_interval.tv_sec, i);
}

struct letter {
	int from, number, round;
};

static void tell(int i, int round)
{
	struct letter letter = { me, i, round };
	MUST_EQ(write(made[i], &letter, sizeof letter), sizeof letter);
}

static void hear(int i, int round)
{
	struct letter letter;
	MUST_EQ(read(taken[i], &letter, sizeof letter), sizeof letter);
	MUST_EQ(letter.from, (me + processes - 1) % processes);
	MUST_EQ(letter.number, i);
	MUST_EQ(letter.round, round);
}

/* All have come as far. */
static void meet(void)
{
	unsigned round = __atomic_fetch_add(&ring->come, 1, __ATOMIC_SEQ_CST) / (unsigned)processes;
	syscall(SYS_futex, &ring->come, 1 /* FUTEX_WAKE */, INT32_MAX, NULL, NULL, 0);
	for (unsigned now; (now = __atomic_load_n(&ring->come, __ATOMIC_SEQ_CST)) < (round + 1) * (unsigned)processes;)
		syscall(SYS_futex, &ring->come, 0 /* FUTEX_WAIT */, now, NULL, NULL, 0);
}

static void take_ends(void)
{
	int before = (me + processes - 1) % processes;
	ring->pids[me] = getpid();
	meet();
	int process = (int)syscall(SYS_pidfd_open, ring->pids[before], 0);
	MUST(process >= 0);
	for (int i = 0; i < each; i++) {
		taken[i] = (int)syscall(SYS_pidfd_getfd, process, ring->ends[before * each + i], 0);
		MUST(taken[i] >= 0);
		MUST_EQ(fcntl(taken[i], F_SETFD, i & 1), 0);
	}
	close(process);
	meet();
	for (int i = 0; i < each; i++)
		close(ring->ends[me * each + i]);
	meet();
	for (int i = 0; i < each && !idle; i++)
		tell(i, 1);
	meet();
}

static void look_at_end(int i)
{
	if (i == 0)
		for (int k = 0; k < each; k++) {
			if (!idle)
				hear(k, 1);
			tell(k, 2);
		}
	if (i == 0)
		meet();
	hear(i, 2);
	MUST_EQ(fcntl(taken[i], F_GETFD), i & 1);
	MUST_EQ(fcntl(made[i], F_GETFD), i & 1);
	MUST_EQ(!!(judge_flags(taken[i]) & O_NONBLOCK), !(i & 1));
}

/* --- connections to a process that is no child of the tree's, and sends back what it gets --- */

static void watch(int all, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
	if (fd < 0 || epoll_ctl(all, EPOLL_CTL_ADD, fd, &event) < 0)
		_exit(1);
}

static _Noreturn void serve(void)
{
	int all = epoll_create1(EPOLL_CLOEXEC);
	munmap(state, (size_t)processes * sizeof *state);
	watch(all, listener);
	for (int left = each; left;) {
		struct letter letter;
		struct epoll_event event;
		if (epoll_wait(all, &event, 1, -1) != 1)
			continue;
		int fd = event.data.fd;
		if (fd == listener) {
			watch(all, accept(listener, NULL, NULL));
			continue;
		}
		ssize_t len = read(fd, &letter, sizeof letter);
		left -= len <= 0;
		if (len <= 0)
			close(fd);
		else if (write(fd, &letter, (size_t)len) != len)
			_exit(1);
	}
	_exit(0);
}

static void start_server(void)
{
	int status;
	pid_t between = fork();
	MUST(between >= 0);
	if (between == 0) {
		setsid();
		if (fork() == 0)
			serve();
		_exit(0);
	}
	MUST_EQ(waitpid(between, &status, 0), between);
}

static void make_guest(int i)
{
	struct sockaddr_in at;
	if (i == 0) {
		start_listening(&at);
		start_server();
	}
	start_listening(&at);
	made[i] = socket(AF_INET, SOCK_STREAM | (i & 1 ? SOCK_CLOEXEC : 0), 0);
	MUST_EQ(connect(made[i], (struct sockaddr *)&at, sizeof at), 0);
	if (i == each - 1)
		close(listener);
	tell(i, 1);
	MUST_EQ(poll(&(struct pollfd){ .fd = made[i], .events = POLLIN }, 1, -1), 1);
}

static void look_at_guest(int i)
{
	for (int round = 1; round <= 2; round++) {
		struct letter letter;
		MUST_EQ(recv(made[i], &letter, sizeof letter, MSG_WAITALL), sizeof letter);
		MUST_EQ(letter.from, me);
		MUST_EQ(letter.number, i);
		MUST_EQ(letter.round, round);
		if (round == 1)
			tell(i, 2);
	}
	MUST_EQ(fcntl(made[i], F_GETFD), i & 1);
}

static const struct what {
	const char *name;
	void (*make)(int i), (*look)(int i);
	bool shared;
} whats[] = { { "files", make_file, look_at_file, false },
	      { "sockets", make_socket, look_at_socket, false },
	      { "locks", make_lock, look_at_lock, false },
	      { "pipes", make_pipe, look_at_end, true },
	      { "pairs", make_pair, look_at_end, true },
	      { "connections", make_connection, look_at_end, true },
	      { "idle", make_connection, look_at_end, true },
	      { "guests", make_guest, look_at_guest, false },
	      { "timers", make_timer, look_at_timer, false },
	      { "signalfds", make_signalfd, look_at_signalfd, false },
	      { "eventfds", make_eventfd, look_at_eventfd, false },
	      { "memfds", make_memfd, look_at_memfd, false },
	      { "removed", make_removed, look_at_nameless, false },
	      { "tmpfiles", make_tmpfile, look_at_nameless, false },
	      { "mapped", make_mapped, look_at_mapped, false },
	      { "fifos", make_fifo, look_at_fifo, false },
	      { "owned", make_owned, look_at_owned, false },
	      { "flocks", make_flock, look_at_flock, false },
	      { "watched", make_watched, look_at_watched, false },
	      { "notified", make_notified, look_at_notified, false },
	      { "netlinks", make_netlink, look_at_netlink, false },
	      { "pidfds", make_pidfd, look_at_pidfd, false },
	      { "accepted", make_accepted, look_at_end, true },
	      { "shared_locks", make_shared_lock, look_at_shared_lock, true },
	      { "shared_timers", make_shared_timer, look_at_shared_timer, true } };

static void live(const struct what *w)
{
	made = calloc((size_t)each, sizeof *made);
	taken = calloc((size_t)each, sizeof *taken);
	for (int i = 0; i < each; i++)
		w->make(i);
	if (w->shared)
		take_ends();
	__atomic_store_n(&state[me], 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&state[me], __ATOMIC_SEQ_CST) != 2)
		syscall(SYS_futex, &state[me], 0 /* FUTEX_WAIT */, 1, NULL, NULL, 0);
	for (int i = 0; i < each; i++)
		w->look(i);
	_exit(0);
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	MUST(argc > 4);
	const struct what *w = whats;
	while (strcmp(w->name, argv[2]) != 0)
		MUST(++w < whats + sizeof whats / sizeof *whats);
	idle = !strcmp(w->name, "idle") || !strncmp(w->name, "shared_", 7);
	int n = atoi(argv[3]), status;
	struct rlimit limit;
	each = atoi(argv[4]);
	MUST_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max = argc > 5 ? (rlim_t)atoi(argv[5]) : limit.rlim_max;
	MUST_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	if (argc > 6)
		MUST(dup2(0, atoi(argv[6])) >= 0);
	state = mmap(NULL, (size_t)n * sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	size_t room = sizeof *ring + (size_t)n * (size_t)each * sizeof *ring->ends;
	ring = w->shared ? mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) : NULL;
	processes = n;
	for (me = 0; me < n; me++) {
		pid_t child = fork();
		MUST(child >= 0);
		if (child == 0)
			live(w);
	}
	for (int i = 0; i < n; i++)
		while (!__atomic_load_n(&state[i], __ATOMIC_SEQ_CST))
			judge_nap(1);
	judge_wait();
	for (int i = 0; i < n; i++) {
		__atomic_store_n(&state[i], 2, __ATOMIC_SEQ_CST);
		syscall(SYS_futex, &state[i], 1 /* FUTEX_WAKE */, 1, NULL, NULL, 0);
	}
	for (int i = 0; i < n; i++) {
		MUST(wait(&status) > 0);
		MUST_EQ(status, 0);
	}
	return judge_pass();
}
