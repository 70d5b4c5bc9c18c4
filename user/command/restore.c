// SPDX-License-Identifier: LGPL-2.1-or-later
/* ckpt restore DIR */
#include "base/file.h"
#include "command/command.h"
#include "command/restore_options.h"
#include "restore/restore.h"
#include "why/why.h"
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>

struct restore_options {
	struct restore_config config;
	bool json, why;
	const char *pidfile;
};

static void options_free(struct restore_options *o) { restore_options_free(&o->config); }

static int parse(int argc, char **argv, struct restore_options *ret)
{
	static const struct option options[] = {
		{ "detach", no_argument, NULL, 'd' },
		{ "pidfile", required_argument, NULL, 'p' },
		{ "plan", no_argument, NULL, 'P' },
		{ "verify", no_argument, NULL, 'v' },
		{ "no-verify", no_argument, NULL, 'V' },
		{ "json", no_argument, NULL, 'j' },
		{ "sibling", no_argument, NULL, 'S' },
		{ "leave-stopped", no_argument, NULL, 'l' },
		{ "confirm", required_argument, NULL, 'C' },
		{ "why", no_argument, NULL, 'w' },
		RESTORE_OPTIONS,
		{ 0 },
	};
	int taken;
	ret->config.verify = true;
	for (int o; (o = getopt_long(argc, argv, "d", options, NULL)) != -1;) {
		switch (o) {
		case 'd':
			ret->config.detach = true;
			break;
		case 'p':
			ret->pidfile = optarg;
			break;
		case 'P':
			ret->config.plan_only = true;
			break;
		case 'v':
			ret->config.verify = true;
			break;
		case 'V':
			ret->config.verify = false;
			break;
		case 'S':
			ret->config.sibling = ret->config.detach = true;
			break;
		case 'l':
			ret->config.stopped = true;
			break;
		case 'C':
			ret->config.confirm = command_confirm(optarg);
			break;
		case 'j':
			ret->json = true;
			break;
		case 'w':
			ret->why = true;
			break;
		default:
			taken = restore_option(&ret->config, o, optarg);
			if (taken < 0)
				return taken;
			if (taken == 0)
				return fail(USAGE, 0,
					    "restore takes DIR [-d | --sibling] [--pidfile FILE] [--leave-stopped] [--confirm "
					    "COMMAND] "
					    "[--plan] [--no-verify] [--json] [--why] " RESTORE_OPTIONS_TEXT);
		}
	}
	if (argc - optind != 1)
		return fail(USAGE, 0, "restore takes a directory");
	if (ret->config.sibling && ret->config.pidns)
		return fail(USAGE, 0, "the parent of a tree with --pidns is its process 1: it has no --sibling");
	ret->config.dir = argv[optind];
	return 0;
}

int command_pidfile(const char *path, unsigned mode, pid_t pid)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	char text[16];
	int n = snprintf(text, sizeof text, "%d", (int)pid);
	int r = fd < 0 ? neg_errno() : file_write_full(fd, text, (size_t)n);
	return r < 0 ? fail(PIDFILE, r, "%s", path) : 0;
}

/* Signals that a terminal or a supervisor would send to the program. */
static const int forwarded[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCONT, SIGWINCH };

void command_block_handed(sigset_t *set)
{
	sigemptyset(set);
	for (size_t i = 0; i < ARRAY_SIZE(forwarded); i++)
		sigaddset(set, forwarded[i]);
	sigaddset(set, SIGCHLD);
	sigprocmask(SIG_BLOCK, set, NULL);
}

static int report_json(const struct restore_options *o, const struct restored *restored)
{
	struct text t = { 0 };
	text_adds(&t, "{\"dir\":");
	text_add_json(&t, o->config.dir);
	text_addf(&t, ",\"pid\":%d,\"pid_inside\":%d,\"reaper\":%d,\"report\":", (int)restored->root,
		  (int)restored->root_inside, (int)restored->reaper);
	diag_print_json(&t);
	text_adds(&t, "}\n");
	return command_output(&t);
}

/* What is made is watched; how the tree does afterwards is not. */
static int run(const struct restore_options *o, struct restored *ret, struct text *plan)
{
	_cleanup_why_ struct why *why = o->why ? why_begin(o->config.caps) : NULL;
	int r = restore_tree(&o->config, ret, plan);
	if (why)
		why_explain(why);
	return r;
}

int command_restore(int argc, char **argv)
{
	_cleanup_(options_free) struct restore_options o = { 0 };
	int r = diag_begin("restore", "");
	if (r == 0)
		r = parse(argc, argv, &o);
	if (r < 0)
		return r;
	diag_begin("restore", o.config.dir);
	struct caps caps;
	if (caps_load(&caps, getenv("CKPT_DISABLE")) < 0)
		return fail(USAGE, 0, "CKPT_DISABLE names a capability that there is not");
	o.config.caps = &caps;
	o.config.disable = getenv("CKPT_DISABLE");
	_cleanup_(restored_free) struct restored restored;
	_cleanup_text_ struct text plan = { 0 };
	sigset_t set;
	if (!o.config.detach && !o.config.plan_only)
		command_block_handed(&set);
	r = run(&o, &restored, &plan);
	if (o.config.plan_only)
		return r < 0 ? r : command_output(&plan);
	if (r == 0 && o.pidfile)
		r = command_pidfile(o.pidfile, 0644, restored.root);
	int written = o.json ? report_json(&o, &restored) : 0;
	if (r < 0 || written < 0 || o.config.detach)
		return r < 0 ? r : written;
	return restore_wait(&restored, &set);
}
