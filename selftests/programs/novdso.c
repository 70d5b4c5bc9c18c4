// SPDX-License-Identifier: LGPL-2.1-or-later
/* novdso DIR WHAT: has no vDSO any more ("none"), not its code ("code"), not its data ("data"), or both sealed by mseal(2) ("sealed").
 * A second thread and a child have the same. Clocks are read by system calls. */
#include "judge.h"

#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#define MOST 8

static struct part {
	unsigned long start, end;
	char name[32];
} parts[MOST];
static int nparts;
static bool seals;

/* The parts of the vDSO that are there now. */
static int find(struct part *found)
{
	char line[512], name[256];
	int n = 0;
	FILE *maps = fopen("/proc/self/maps", "re");
	MUST(maps != NULL);
	while (n < MOST && fgets(line, sizeof line, maps)) {
		struct part *p = &found[n];
		int fields = sscanf(line, "%lx-%lx %*s %*s %*s %*s %255s", &p->start, &p->end, name);
		if (fields < 3 || (strcmp(name, "[vdso]") != 0 && strncmp(name, "[vvar", 5) != 0))
			continue;
		snprintf(p->name, sizeof p->name, "%.31s", name);
		n++;
	}
	fclose(maps);
	return n;
}

static void change(const char *what)
{
	struct part all[MOST];
	int n = find(all);
	seals = !strcmp(what, "sealed");
	for (int i = 0; i < n; i++) {
		const struct part *p = &all[i];
		bool code = !strcmp(p->name, "[vdso]"), wanted = !strcmp(what, "none") || !strcmp(what, code ? "code" : "data");
		if (wanted)
			MUST_EQ(munmap((void *)p->start, p->end - p->start), 0);
		else
			parts[nparts++] = *p;
		if (seals && syscall(SYS_mseal, p->start, p->end - p->start, 0) < 0) {
			MUST(errno == ENOSYS);
			seals = false;
		}
	}
}

static void judge_parts(void)
{
	struct part now[MOST];
	MUST_EQ(find(now), nparts);
	for (int i = 0; i < nparts; i++) {
		MUST(now[i].start == parts[i].start && now[i].end == parts[i].end && !strcmp(now[i].name, parts[i].name));
		if (seals)
			MUST(munmap((void *)now[i].start, now[i].end - now[i].start) == -1 && errno == EPERM);
	}
}

static void go_on(void)
{
	struct timespec before = { 0 }, now;
	while (!judge_asked()) {
		MUST_EQ(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now), 0);
		MUST(now.tv_sec > before.tv_sec || (now.tv_sec == before.tv_sec && now.tv_nsec >= before.tv_nsec));
		before = now;
		judge_nap(2);
	}
	judge_parts();
}

static void *second(void *arg)
{
	go_on();
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	int status;
	judge_start(argc, argv);
	change(argc > 2 ? argv[2] : "none");
	MUST_EQ(pthread_create(&thread, NULL, second, NULL), 0);
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		go_on();
		_exit(0);
	}
	judge_ready();
	go_on();
	MUST_EQ(pthread_join(thread, NULL), 0);
	MUST(waitpid(child, &status, 0) == child && status == 0);
	return judge_pass();
}
