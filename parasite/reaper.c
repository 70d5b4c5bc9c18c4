// SPDX-License-Identifier: LGPL-2.1-or-later
/* Pid 1 of a pid namespace that holds a restored tree: a program of its own, so that it is small. Hands signals to the
 * tree's root, reaps who is left to it, and ends when nobody is left. usage: ckpt-reaper ROOT RESTORER WATCHED; standard
 * input: the channel to ckpt; WATCHED 0: nobody waits there for the root's end. */
#include "reaper.h"
#include "start.h"
#include <asm/siginfo.h>
#include <asm/unistd.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/time_types.h>
#include <linux/wait.h>

#define CHILD_SIGNAL 17
#define KILL_SIGNAL 9
#define NO_CHILDREN (-10)

struct reaper {
	int64_t root, restorer;
	int watched, released, status;
	int ended; /* the root's wait status, when it has ended */
};

static int64_t call(int64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d) { return blob_syscall(nr, a, b, c, d, 0, 0); }
static void leave(int code) { call(__NR_exit_group, (uint64_t)code, 0, 0, 0); }

static int64_t number(const char *text)
{
	int64_t n = 0;
	while (*text)
		n = n * 10 + (*text++ - '0');
	return n;
}

/* All that it still needs is to signal a root of whatever user. */
static void drop_rights(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = 0 };
	struct __user_cap_data_struct data[2];
	data[0].effective = data[0].permitted = 1u << CAP_KILL;
	data[0].inheritable = data[1].effective = data[1].permitted = data[1].inheritable = 0;
	for (uint64_t cap = 0; call(__NR_prctl, PR_CAPBSET_DROP, cap, 0, 0) == 0; cap++)
		;
	call(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0);
	call(__NR_capset, (uint64_t)&header, (uint64_t)data, 0, 0);
	call(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0);
}

static void tell(uint32_t news, int status)
{
	struct reaper_packet packet;
	packet.news = news;
	packet.status = status;
	blob_syscall(__NR_sendto, 0, (uint64_t)&packet, sizeof packet, 0x4000 /* MSG_NOSIGNAL */, 0, 0);
}

static void restorer_ended(struct reaper *r, int status)
{
	if (status)
		leave(1); /* and the kernel ends everything in here */
	r->released = 1;
	r->restorer = 0;
	call(__NR_prctl, PR_SET_PDEATHSIG, 0, 0, 0);
	drop_rights();
	tell(NEWS_RELEASED, 0);
	if (!r->watched)
		call(__NR_close, 0, 0, 0, 0);
	else if (!r->root) /* it was faster than who restored it */
		tell(NEWS_ENDED, r->ended);
}

static void root_ended(struct reaper *r, int status)
{
	r->root = 0;
	r->ended = status;
	r->status = status & 127 ? 128 + (status & 127) : status >> 8 & 255;
	if (r->watched && r->released)
		tell(NEWS_ENDED, status);
}

/* Reaps everybody; false when no child is left. */
static int reap(struct reaper *r)
{
	for (;;) {
		int status = 0;
		int64_t pid = call(__NR_wait4, (uint64_t)-1, (uint64_t)&status, WNOHANG | __WALL, 0);
		if (pid <= 0)
			return pid != NO_CHILDREN;
		if (pid == r->restorer)
			restorer_ended(r, status);
		else if (pid == r->root)
			root_ended(r, status);
	}
}

static int64_t next_signal(siginfo_t *info, long nanoseconds)
{
	uint64_t all = ~0ull;
	struct __kernel_timespec wait;
	wait.tv_sec = 0;
	wait.tv_nsec = nanoseconds;
	return call(__NR_rt_sigtimedwait, (uint64_t)&all, (uint64_t)info, nanoseconds ? (uint64_t)&wait : 0, sizeof all);
}

/* Whoever dumps the tree stands in here too, and must not be ended with the namespace. */
static void wait_for_guests(void)
{
	siginfo_t info;
	while (call(__NR_kill, (uint64_t)-1, 0, 0, 0) == 0)
		next_signal(&info, 20000000);
}

/* What a terminal sends comes to the whole group: the root has it already, or shall not have it. */
static void serve(struct reaper *r)
{
	siginfo_t info;
	info.si_code = 0;
	int64_t signal = next_signal(&info, 0);
	if (signal > 0 && signal != CHILD_SIGNAL && r->released && r->root && info.si_code <= 0)
		call(__NR_kill, (uint64_t)r->root, (uint64_t)signal, 0, 0);
}

void start(long *stack)
{
	const char **argv = (const char **)stack + 1;
	uint64_t all = ~0ull, actions[4] = { 0, 0, 0, 0 };
	struct reaper r;
	if (stack[0] < 4)
		leave(2);
	r.root = number(argv[1]);
	r.restorer = number(argv[2]);
	r.watched = (int)number(argv[3]);
	r.released = r.status = r.ended = 0;
	call(__NR_close_range, 1, ~0u, 0, 0);
	call(__NR_prctl, PR_SET_NAME, (uint64_t) "ckpt-reaper", 0, 0); /* else that of its memfd */
	call(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, (uint64_t)&all, 0, sizeof all);
	call(__NR_rt_sigaction, CHILD_SIGNAL, (uint64_t)actions, 0, 8); /* an inherited SIG_IGN would reap without a word */
	while (reap(&r))
		serve(&r);
	wait_for_guests();
	for (;;)
		leave(r.status);
}
