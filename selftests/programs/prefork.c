// SPDX-License-Identifier: LGPL-2.1-or-later
/* prefork DIR: a server that loads its data, then forks children that accept on one listening socket and share the data by
 * copy-on-write. Afterwards every child still serves, a connection that was open goes on, and the tree takes no more memory. */
#include "judge.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { CHILDREN = 4, MEGABYTES = 32, WORDS = MEGABYTES << 17 };

static uint64_t *data;
static pid_t children[CHILDREN];

struct answer {
	int child;
	uint64_t word, requests;
};

static uint64_t word_at(uint32_t i) { return i * 0x9e3779b97f4a7c15u + 1; }

/* Each child writes to a page of the shared data now and then, as allocators and counters of references do. */
static void serve(int listener, int child)
{
	struct answer answer = { .child = child };
	uint32_t question;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		if (fd < 0)
			_exit(1);
		while (read(fd, &question, sizeof question) == sizeof question) {
			answer.word = data[question % WORDS];
			answer.requests++;
			data[(unsigned)child * 512u] = word_at((unsigned)child * 512u);
			if (write(fd, &answer, sizeof answer) != sizeof answer)
				_exit(2);
		}
		close(fd);
	}
}

static int ask(int fd, uint32_t question, struct answer *ret)
{
	MUST_EQ(write(fd, &question, sizeof question), sizeof question);
	MUST_EQ(recv(fd, ret, sizeof *ret, MSG_WAITALL), sizeof *ret);
	MUST_EQ(ret->word, word_at(question % WORDS));
	return ret->child;
}

static int call(const struct sockaddr_in *to)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	MUST_EQ(connect(fd, (const struct sockaddr *)to, sizeof *to), 0);
	return fd;
}

/* Keeps the connections open until every child has one: so all of them answer. */
static void ask_all(const struct sockaddr_in *to, int except)
{
	int fds[CHILDREN], n = 0;
	bool seen[CHILDREN] = { false };
	struct answer answer;
	for (int i = 0; i < CHILDREN - (except >= 0); i++) {
		fds[n] = call(to);
		int child = ask(fds[n++], (uint32_t)i * 7919, &answer);
		MUST(!seen[child] && child != except);
		seen[child] = true;
	}
	while (n)
		close(fds[--n]);
}

/* What the whole tree takes, a page of n processes counted as 1/n, in kB. */
static long pss(void)
{
	long sum = 0;
	for (int i = -1; i < CHILDREN; i++) {
		char path[64], line[256];
		long own = -1;
		snprintf(path, sizeof path, "/proc/%d/smaps_rollup", i < 0 ? (int)getpid() : (int)children[i]);
		FILE *file = fopen(path, "re");
		MUST(file);
		while (own < 0 && fgets(line, sizeof line, file))
			if (sscanf(line, "Pss: %ld", &own) != 1)
				own = -1;
		fclose(file);
		MUST(own >= 0);
		sum += own;
	}
	return sum;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof to;
	struct answer before, after;
	judge_start(argc, argv);
	data = mmap(NULL, WORDS * sizeof *data, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(data != MAP_FAILED);
	for (uint32_t i = 0; i < WORDS; i++)
		data[i] = word_at(i);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST_EQ(bind(listener, (struct sockaddr *)&to, sizeof to), 0);
	MUST_EQ(getsockname(listener, (struct sockaddr *)&to, &len), 0);
	MUST_EQ(listen(listener, 64), 0);
	for (int i = 0; i < CHILDREN; i++) {
		children[i] = fork();
		MUST(children[i] >= 0);
		if (children[i] == 0)
			serve(listener, i);
	}
	ask_all(&to, -1);
	int open = call(&to), child = ask(open, 1, &before);
	long kilobytes = pss();
	judge_wait();
	MUST_EQ(ask(open, 2, &after), child);
	MUST_EQ(after.requests, before.requests + 1);
	long now = pss();
	if (now > kilobytes + kilobytes / 20 || now < kilobytes - kilobytes / 20)
		judge_fail("the tree took %ld kB, and takes %ld kB now", kilobytes, now);
	ask_all(&to, child);
	for (int i = 0; i < CHILDREN; i++) {
		int status;
		kill(children[i], SIGTERM);
		MUST_EQ(waitpid(children[i], &status, 0), children[i]);
		MUST_EQ(WTERMSIG(status), SIGTERM);
	}
	return judge_pass();
}
