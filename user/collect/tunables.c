// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what the environment that a program was started with says of its C library, where no kernel tells of rseq areas. */
#include "base/file.h"
#include "collect/collect_internal.h"
#include "diag/diag.h"

#define TUNABLES "GLIBC_TUNABLES="
#define RSEQ_OFF "glibc.pthread.rseq=0"

/* name=value, with colons between them. */
static bool has_rseq_off(const char *value)
{
	for (const char *at = value; *at; at += strspn(at, ":")) {
		size_t len = strcspn(at, ":");
		if (len == sizeof RSEQ_OFF - 1 && !memcmp(at, RSEQ_OFF, len))
			return true;
		at += len;
	}
	return false;
}

/* The C library may have cut the value into strings when it read it: then those that follow belong to it. */
bool collect_rseq_is_off(int proc)
{
	_cleanup_text_ struct text environment = { 0 };
	bool inside = false;
	if (file_read(proc, "environ", &environment) < 0 || !environment.data)
		return false;
	for (size_t at = 0; at < environment.len; at += strlen(environment.data + at) + 1) {
		const char *entry = environment.data + at;
		bool begins = !strncmp(entry, TUNABLES, sizeof TUNABLES - 1);
		inside = begins || (inside && !strncmp(entry, "glibc.", 6));
		if (inside && has_rseq_off(begins ? entry + sizeof TUNABLES - 1 : entry))
			return true;
	}
	return false;
}

void collect_tunables(struct collector *c)
{
	size_t at = 0;
	for (size_t i = 0; i < c->tree->processes.n; i++) {
		const struct tree_process *p = &c->tree->processes.v[i];
		struct record_task *tasks = &c->facts.tasks.v[at];
		size_t unknown = 0;
		at += p->threads.n;
		for (size_t k = 0; k < p->threads.n; k++)
			unknown += !(tasks[k].known & KNOWN_RSEQ);
		if (!unknown || p->state == 'Z' || !collect_rseq_is_off(p->proc))
			continue;
		WORKING_ON_TASK(p->pid);
		warn(RSEQ_ASSUMED, 0, "%zu thread%s", unknown, unknown == 1 ? "" : "s");
		for (size_t k = 0; k < p->threads.n; k++)
			tasks[k].known |= KNOWN_RSEQ; /* and the area is all zero: there is none */
	}
}
