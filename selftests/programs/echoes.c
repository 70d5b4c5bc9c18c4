// SPDX-License-Identifier: LGPL-2.1-or-later
/* echoes DIR: numbers come in on standard input, each one more than the last, and answers go out on standard output and
 * error; the end of the input is its end. */
#include "judge.h"

static size_t read_line(char *line, size_t room)
{
	size_t n = 0;
	for (char c; n < room - 1; line[n++] = c) {
		ssize_t got = read(0, &c, 1);
		MUST(got >= 0 || errno == EINTR);
		if (got == 0 || (got == 1 && c == '\n'))
			break;
		n -= got < 0;
	}
	line[n] = 0;
	return n;
}

int main(int argc, char **argv)
{
	char line[64];
	int last = 0;
	judge_start(argc, argv);
	MUST_EQ(fcntl(2, F_SETFL, fcntl(2, F_GETFL) | O_NONBLOCK), 0);
	int input = fcntl(0, F_GETFL), output = fcntl(1, F_GETFL);
	for (judge_ready(); read_line(line, sizeof line); last++) {
		MUST_EQ(atoi(line), last + 1);
		MUST_EQ(dprintf(1, "answer %d\n", last + 1), strlen(line) + 8);
		MUST_EQ(dprintf(2, "noticed %d\n", last + 1), strlen(line) + 9);
	}
	MUST_EQ((fcntl(0, F_GETFL) ^ input) & O_NONBLOCK, 0);
	MUST_EQ((fcntl(1, F_GETFL) ^ output) & O_NONBLOCK, 0);
	MUST_EQ(dprintf(1, "%d in all\n", last), 8 + snprintf(line, sizeof line, "%d", last));
	return judge_pass();
}
