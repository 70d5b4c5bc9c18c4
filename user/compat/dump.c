// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns `criu dump`. */
#include "command/command.h"
#include "compat/front.h"
#include "dump/dump.h"
#include <stdio.h>
#include <stdlib.h>

#define TIMEOUT_SECONDS 10 /* criu's */

static int confirm_dump(void *arg, pid_t root _unused_) { return scripts_run(arg, "post-dump"); }

/* A pipe to somebody outside never hinders criu; a socket has to be allowed. */
static const char *external_kinds(const struct options *o)
{
	const char *value;
	for (size_t at = 0; (value = option_next(o, OPTION_EXTERNAL, &at));)
		if (!strncmp(value, "unix[", 5))
			return "pipe,unix";
	return option_given(o, OPTION_EXT_UNIX_SK) ? "pipe,unix" : "pipe";
}

/* iptables(8) is criu's default, which scripts name; what drops the packets does not matter to them. */
static enum netlock_method lock_method(const struct options *o)
{
	const char *name = option_value(o, OPTION_NETWORK_LOCK) ?: "iptables";
	return !strcmp(name, "skip") ? NETLOCK_NONE : !strcmp(name, "nftables") ? NETLOCK_NFTABLES : NETLOCK_ANY;
}

int tcp_policies(const struct front *f, struct policies *ret, bool at_dump)
{
	const struct options *o = &f->options;
	bool close = option_given(o, OPTION_TCP_CLOSE), keep = option_given(o, OPTION_TCP_ESTABLISHED);
	const char *text = close ? "tcp=close" : keep ? "tcp=keep" : "tcp=refuse";
	int r = at_dump || close ? policy_parse(ret, text, at_dump ? POLICY_AT_DUMP : POLICY_AT_RESTORE) : 0;
	if (r == 0 && at_dump && option_given(o, OPTION_SKIP_IN_FLIGHT))
		r = policy_parse(ret, "tcp-waiting=reset", POLICY_AT_DUMP);
	return r;
}

static int take_seconds(const char *text, int *ret)
{
	char *end;
	long seconds = strtol(text, &end, 10);
	if (*end || end == text || seconds < 0 || seconds > INT32_MAX)
		return fail(USAGE, 0, "--timeout takes a number of seconds, or 0 for no limit, not \"%s\"", text);
	*ret = seconds ? (int)seconds : INT32_MAX;
	return 0;
}

/* K, M and G as with ckpt; criu takes no T, and no fractions either. */
static int configure(struct front *f, struct dump_config *config, struct policies *policies)
{
	const struct options *o = &f->options;
	const char *limit = option_value(o, OPTION_GHOST_LIMIT), *timeout = option_value(o, OPTION_TIMEOUT), *root;
	int seconds = TIMEOUT_SECONDS;
	*config = (struct dump_config){ .pid = f->pid,
					.dir = f->image,
					.durable = -1,
					.replace = true,
					.external = true,
					.external_kinds = external_kinds(o),
					.policies = policies,
					.lock = lock_method(o),
					.open_listeners = !option_given(o, OPTION_TCP_ESTABLISHED),
					.confirm = { confirm_dump, f } };
	if (option_given(o, OPTION_LEAVE_STOPPED))
		config->after = DUMP_LEAVE_STOPPED;
	else if (option_given(o, OPTION_LEAVE_RUNNING))
		config->after = DUMP_LEAVE_RUNNING;
	int r = tcp_policies(f, policies, true);
	if (r == 0 && limit)
		r = command_size(limit, &config->ghost_limit);
	config->ghost_limit += r == 0 && limit && !config->ghost_limit; /* 0 would be the default */
	if (r == 0 && timeout)
		r = take_seconds(timeout, &seconds);
	config->freeze_timeout = (u64)seconds * 1000000000u;
	for (size_t at = 0; r == 0 && (root = option_next(o, OPTION_CGROUP_ROOT, &at));)
		r = cgroup_root_add(&config->cgroup_roots, root);
	return r;
}

int front_dump(struct front *f)
{
	const char *tree = option_value(&f->options, OPTION_TREE);
	struct dump_config config = { 0 };
	struct policies policies = { 0 };
	struct dump_result result = { 0 };
	int pid = 0;
	if (!tree)
		return fail(USAGE, 0, "dump needs --tree PID");
	int r = command_pid(tree, &pid);
	f->pid = pid;
	if (r == 0)
		r = configure(f, &config, &policies);
	if (r == 0)
		r = scripts_run(f, "pre-dump");
	if (r == 0)
		r = status_tell(f);
	if (r == 0)
		r = command_dump_tree(&config, &result);
	if (r == 0)
		stats_dump(f, &result);
	vector_free(&config.cgroup_roots.list);
	return r;
}
