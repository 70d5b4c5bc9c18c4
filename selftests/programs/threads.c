// SPDX-License-Identifier: LGPL-2.1-or-later
/* threads DIR [N]: N (100) threads contend on a mutex and a condition; counters go on and add up, thread ids, thread-local
 * variables, stacks and names stay. */
#include "judge.h"

static int n_threads = 100;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn = PTHREAD_COND_INITIALIZER;
static unsigned long long total;
static int started, whose;
static bool stopping;
static __thread unsigned long long mine;
static __thread char *local_name;

struct worker {
	pthread_t thread;
	int index, tid;
	unsigned long long rounds;
};

static void *work(void *arg)
{
	struct worker *self = arg;
	unsigned char canary[4096];
	char name[16], now[16];
	snprintf(name, sizeof name, "worker-%d", self->index);
	local_name = name;
	self->tid = (int)syscall(SYS_gettid);
	pthread_setname_np(pthread_self(), name);
	memset(canary, self->index, sizeof canary);
	pthread_mutex_lock(&lock);
	started++;
	while (!stopping) {
		total++;
		mine++;
		/* Every worker in its turn, as often as it gets the lock. */
		if (whose == self->index) {
			whose = (whose + 1) % n_threads;
			pthread_cond_broadcast(&turn);
		} else {
			struct timespec until;
			clock_gettime(CLOCK_REALTIME, &until);
			until.tv_sec += 5;
			pthread_cond_timedwait(&turn, &lock, &until);
		}
		pthread_mutex_unlock(&lock);
		MUST_EQ(syscall(SYS_gettid), self->tid);
		judge_nap(self->index % 7 + 1);
		pthread_mutex_lock(&lock);
	}
	self->rounds = mine;
	pthread_cond_broadcast(&turn);
	pthread_mutex_unlock(&lock);
	for (size_t i = 0; i < sizeof canary; i++)
		MUST_EQ(canary[i], (unsigned char)self->index);
	pthread_getname_np(pthread_self(), now, sizeof now);
	MUST(strcmp(now, name) == 0 && local_name == name);
	return NULL;
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	if (argc > 2)
		n_threads = atoi(argv[2]);
	struct worker *workers = calloc((size_t)n_threads, sizeof *workers);
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 256 << 10);
	for (int i = 0; i < n_threads; i++) {
		workers[i].index = i;
		MUST_EQ(pthread_create(&workers[i].thread, &attributes, work, &workers[i]), 0);
	}
	for (int all = 0; !all; judge_nap(5)) {
		pthread_mutex_lock(&lock);
		all = started == n_threads;
		pthread_mutex_unlock(&lock);
	}
	judge_ready();
	while (!judge_asked())
		judge_nap(20);
	pthread_mutex_lock(&lock);
	unsigned long long before = total;
	pthread_mutex_unlock(&lock);
	for (bool moved = false; !moved; judge_nap(10)) { /* who waits for the verdict gives up when they stand still */
		pthread_mutex_lock(&lock);
		moved = total > before + (unsigned)n_threads;
		stopping = moved;
		pthread_cond_broadcast(&turn);
		pthread_mutex_unlock(&lock);
	}
	unsigned long long sum = 0;
	for (int i = 0; i < n_threads; i++) {
		pthread_join(workers[i].thread, NULL);
		sum += workers[i].rounds;
	}
	MUST_EQ(sum, total);
	return judge_pass();
}
