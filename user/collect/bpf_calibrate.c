// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns finding out which bits of mm->flags mean what: no kernel tells the numbers, so a child switches each on and its
 * flags are read before and after. */
#include "collect/bpf_internal.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif

struct switch_row {
	int option;
	unsigned long arg2, arg3;
};
static const struct switch_row THP_DISABLE = { PR_SET_THP_DISABLE, 1, 0 };
static const struct switch_row THP_ADVISED = { PR_SET_THP_DISABLE, 1, 2 }; /* PR_THP_DISABLE_EXCEPT_ADVISED, 6.18 */
static const struct switch_row MDWE = { PR_SET_MDWE, 1, 0 };               /* PR_MDWE_REFUSE_EXEC_GAIN, 6.3 */
static const struct switch_row MDWE_NO_INHERIT = { PR_SET_MDWE, 3, 0 };    /* and PR_MDWE_NO_INHERIT, 6.6 */

static int read_flags(struct bpf_walker *w, pid_t pid, u64 *ret)
{
	_cleanup_text_ struct text stream = { 0 };
	struct record_task_raw raw;

	int r = bpf_run(w, (u32)pid, &stream);
	if (r == -EOPNOTSUPP)
		r = bpf_run(w, 0, &stream);
	if (r < 0)
		return r;
	struct bpf_reader reader = { .at = stream.data, .end = stream.data + stream.len };
	while ((r = bpf_next(&reader)) > 0) {
		if (reader.tag != RECORD_TASK || reader.len != sizeof(raw))
			continue;
		memcpy(&raw, reader.data, sizeof(raw));
		if ((pid_t)bpf_pid_seen(&raw.reader, &raw.pids[RECORD_PID_SELF]) != pid)
			continue;
		*ret = raw.task.mm_flags;
		return 0;
	}
	return r < 0 ? r : -ESRCH;
}

/* The child answers one byte when it is ready, and then waits for its end. */
static void child(const struct switch_row *row, int ready)
{
	char done;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	done = prctl(row->option, row->arg2, row->arg3, 0, 0) == 0;
	if (write(ready, &done, 1) == 1)
		for (;;)
			pause();
	_exit(1);
}

/* The bits that the switch sets; 0: this kernel does not have it. */
static int switched_bits(struct bpf_walker *w, const struct switch_row *row, u64 *ret)
{
	int ends[2];
	char done = 0;
	u64 before = 0, after = 0;

	*ret = 0;
	if (pipe(ends) < 0)
		return neg_errno();
	_cleanup_close_ int get = ends[0];
	_cleanup_close_ int ready = ends[1];
	int r = read_flags(w, getpid(), &before);
	if (r < 0)
		return r;
	pid_t pid = fork();
	if (pid < 0)
		return neg_errno();
	if (pid == 0)
		child(row, ready);
	closep(&ready);
	ready = -1;
	if (read(get, &done, 1) == 1 && done)
		r = read_flags(w, pid, &after);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (r == 0 && done)
		*ret = after & ~before;
	return r;
}

int bpf_calibrate(struct bpf_walker *w)
{
	struct record_config found = *w->config;
	u64 thp = 0, advised = 0, mdwe = 0, no_inherit = 0;

	int r = switched_bits(w, &THP_DISABLE, &thp);
	if (r == 0)
		r = switched_bits(w, &THP_ADVISED, &advised);
	if (r == 0)
		r = switched_bits(w, &MDWE, &mdwe);
	if (r == 0)
		r = switched_bits(w, &MDWE_NO_INHERIT, &no_inherit);
	if (r < 0)
		return r;
	found.thp_disable_mask = thp;
	found.thp_advised_mask = advised & ~thp;
	found.mdwe_mask = mdwe;
	found.mdwe_no_inherit_mask = no_inherit & ~mdwe;
	found.calibrated = thp != 0;
	*w->config = found;
	return 0;
}
