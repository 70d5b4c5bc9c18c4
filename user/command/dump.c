// SPDX-License-Identifier: LGPL-2.1-or-later
/* ckpt dump PID DIR */
#include "command/command.h"
#include "dump/dump.h"
#include "image/image.h"
#include "why/why.h"
#include <getopt.h>
#include <signal.h>
#include <stdio.h>

struct dump_options {
	struct dump_config config;
	struct policies policies;
	int pid; /* as it was named */
	bool json, why;
};

static void options_free(struct dump_options *o) { vector_free(&o->config.cgroup_roots.list); }

static int parse_seconds(const char *text, u64 *ret_ns)
{
	char *end;
	double seconds = strtod(text, &end);
	if (end == text || *end || !(seconds > 0 && seconds < 1e6))
		return fail(USAGE, 0, "\"%s\" is no number of seconds", text);
	*ret_ns = (u64)(seconds * 1e9);
	return 0;
}

/* What becomes of the tree. Like the next two: 1, 0: it is none of these options, or negative errno. */
static int option_of_tree(struct dump_config *c, int option, const char *value)
{
	switch (option) {
	case 'R':
		c->after = DUMP_LEAVE_RUNNING;
		return 1;
	case 's':
		c->after = DUMP_LEAVE_STOPPED;
		return 1;
	case 't':
		return parse_seconds(value, &c->freeze_timeout) ?: 1;
	case 'c':
		c->confirm = command_confirm(value);
		return 1;
	}
	return 0;
}

/* Where the image comes to be, and what it takes up. */
static int option_of_image(struct dump_config *c, int option, const char *value)
{
	switch (option) {
	case 'D':
	case 'N':
		c->durable = option == 'D';
		return 1;
	case 'r':
		c->replace = true;
		return 1;
	case 'g': {
		int r = command_size(value, &c->ghost_limit);
		c->ghost_limit += r == 0 && !c->ghost_limit; /* 0 would be the default */
		return r ?: 1;
	}
	}
	return 0;
}

/* What is done with objects that can be treated in several ways, and with what lies outside of the tree. */
static int option_of_objects(struct dump_options *o, int option, const char *value)
{
	switch (option) {
	case 'p':
		return policy_parse(&o->policies, value, POLICY_AT_DUMP) ?: 1;
	case 'l':
		return netlock_parse(value, &o->config.lock)
			       ? 1
			       : fail(USAGE, 0, "\"%s\" is no method: there are auto, link, nftables and none", value);
	case 'L':
		return parse_seconds(value, &o->config.lock_timeout) ?: 1;
	case 'G':
		return cgroup_root_add(&o->config.cgroup_roots, value) ?: 1;
	case 'e':
		o->config.external = true;
		o->config.external_kinds = value;
		return 1;
	}
	return 0;
}

static int take_option(struct dump_options *o, int option, const char *value)
{
	int r = option_of_tree(&o->config, option, value) ?: option_of_image(&o->config, option, value);
	r = r ?: option_of_objects(o, option, value);
	if (r)
		return MIN(r, 0);
	switch (option) {
	case 'b':
		o->config.no_bpf = true;
		return 0;
	case 'j':
		o->json = true;
		return 0;
	case 'w':
		o->why = true;
		return 0;
	}
	return fail(USAGE, 0,
		    "dump takes PID DIR [--leave-running | --leave-stopped] [--freeze-timeout SECONDS] "
		    "[--durable | --no-durable] [--ghost-limit SIZE] [--policy NAME=POLICY] "
		    "[--network-lock METHOD] [--lock-timeout SECONDS] "
		    "[--cgroup-root [CONTROLLER:]/PATH] [--external[=KIND,...]] [--replace] [--confirm COMMAND] [--no-bpf] "
		    "[--why] [--json]");
}

static int parse(int argc, char **argv, struct dump_options *ret)
{
	static const struct option options[] = {
		{ "leave-running", no_argument, NULL, 'R' },
		{ "leave-stopped", no_argument, NULL, 's' },
		{ "json", no_argument, NULL, 'j' },
		{ "why", no_argument, NULL, 'w' },
		{ "freeze-timeout", required_argument, NULL, 't' },
		{ "durable", no_argument, NULL, 'D' },
		{ "no-durable", no_argument, NULL, 'N' },
		{ "no-bpf", no_argument, NULL, 'b' },
		{ "external", optional_argument, NULL, 'e' },
		{ "ghost-limit", required_argument, NULL, 'g' },
		{ "policy", required_argument, NULL, 'p' },
		{ "network-lock", required_argument, NULL, 'l' },
		{ "lock-timeout", required_argument, NULL, 'L' },
		{ "replace", no_argument, NULL, 'r' },
		{ "confirm", required_argument, NULL, 'c' },
		{ "cgroup-root", required_argument, NULL, 'G' },
		{ 0 },
	};
	ret->config.durable = -1;
	for (int o; (o = getopt_long(argc, argv, "Rs", options, NULL)) != -1;) {
		int r = take_option(ret, o, optarg);
		if (r < 0)
			return r;
	}
	if (argc - optind != 2)
		return fail(USAGE, 0, "dump takes a process id and a directory");
	ret->config.dir = argv[optind + 1];
	int pid = 0, r = command_pid(argv[optind], &pid);
	ret->config.pid = ret->pid = pid;
	return r;
}

static int report_json(const struct dump_options *o, const struct dump_result *result)
{
	struct text t = { 0 };
	text_addf(&t, "{\"pid\":%d,\"dir\":", o->pid);
	text_add_json(&t, o->config.dir);
	text_addf(&t,
		  ",\"processes\":%zu,\"threads\":%zu,\"page_bytes\":%llu,\"frozen_ns\":%llu,\"report\":", result->processes,
		  result->threads, (unsigned long long)result->bytes, (unsigned long long)result->frozen_ns);
	diag_print_json(&t);
	text_adds(&t, "}\n");
	return command_output(&t);
}

static int dump_here(struct dump_config *config, struct dump_result *ret)
{
	_cleanup_close_ int above = image_open_above(config->dir);
	config->above = above;
	int pid = (int)config->pid, r = command_stand(&pid);
	config->pid = pid;
	if (r < 0)
		return r;
	signal(SIGXFSZ, SIG_IGN); /* an image larger than RLIMIT_FSIZE is then an errno and not our end */
	return dump_tree(config, ret);
}

int command_dump_tree(struct dump_config *config, struct dump_result *ret)
{
	char object[64];
	snprintf(object, sizeof object, "process %d", (int)config->pid);
	diag_begin("dump", object);
	struct caps caps;
	if (caps_load(&caps, getenv("CKPT_DISABLE")) < 0)
		return fail(USAGE, 0, "CKPT_DISABLE names a capability that there is not");
	config->caps = &caps;
	int r = dump_here(config, ret);
	config->caps = NULL;
	return r;
}

static struct why *watch(const struct dump_options *o)
{
	struct caps caps;
	return o->why && caps_load(&caps, getenv("CKPT_DISABLE")) == 0 ? why_begin(&caps) : NULL;
}

int command_dump(int argc, char **argv)
{
	_cleanup_(options_free) struct dump_options o = { 0 };
	int r = diag_begin("dump", "");
	if (r == 0)
		r = parse(argc, argv, &o);
	if (r < 0)
		return r;
	o.config.policies = &o.policies;
	struct dump_result result = { 0 };
	_cleanup_why_ struct why *why = watch(&o);
	r = command_dump_tree(&o.config, &result);
	if (why)
		why_explain(why);
	if (o.json) {
		int written = report_json(&o, &result);
		return r < 0 ? r : written;
	}
	return r;
}
