// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the way of a command through the front: its options, its directories, its log, its exit status. */
#include "compat/front.h"
#include "command/command.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#define VERSION_LIKE "4.2" /* of criu, whose command line this is */
#define VERBOSITY 2
#define VERBOSE 4

static const struct {
	const char *name, *help;
	front_command *run;        /* NULL: refused, help says why */
	const char *done, *failed; /* the last line of the log */
} commands[] = {
	{ "dump", "save a process tree, and end it unless told otherwise", front_dump, "Dumping finished successfully",
	  "Dumping FAILED." },
	{ "restore", "bring a saved process tree back", front_restore, "Restore finished successfully. Tasks resumed.",
	  "Restoring FAILED." },
	{ "check", "say whether this kernel has what is needed", front_check, NULL, NULL },
	{ "pre-dump", "every dump is whole and needs none before it: use dump --leave-running", NULL, NULL,
	  "Pre-dumping FAILED." },
	{ "page-server", "images are directories: dump to a file system that both machines have, or copy the directory", NULL,
	  NULL, NULL },
	{ "lazy-pages", "pages are restored before the program runs", NULL, NULL, NULL },
	{ "dedup", "pages that processes share are stored once, and no image needs another", NULL, NULL, NULL },
	{ "service", "nobody answers requests of other programs: call criu dump and criu restore", NULL, NULL, NULL },
	{ "swrk", "nobody answers requests of other programs, as libcriu makes them: call criu dump and criu restore", NULL,
	  NULL, NULL },
	{ "cpuinfo", "what a program uses of the processor is in its image: see `ckpt show`", NULL, NULL, NULL },
};

void commands_markdown(struct text *t)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (commands[i].run)
			text_addf(t, "| `criu %s` | `ckpt %s`: %s |\n", commands[i].name, commands[i].name, commands[i].help);
		else
			text_addf(t, "| `criu %s` | refused: %s |\n", commands[i].name, commands[i].help);
}

static int print_docs(void)
{
	struct text t = { 0 };
	diag_begin("write", "a document");
	criu_markdown(&t);
	return command_output(&t) < 0;
}

static void usage(FILE *to)
{
	fputs("usage: criu COMMAND [OPTION]...\n\n", to);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (commands[i].run)
			fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].help);
	fputs("\nThis is ckpt, which understands the command line of criu(8); see `man ckpt-criu`.\n", to);
}

static void help(void)
{
	static const char *const forms[] = { [FLAG] = "", [PLAIN] = "", [VALUE] = " ARG", [MAYBE] = "[=ARG]" };
	usage(stdout);
	puts("\nOptions:");
	for (int id = 0; id < OPTION_COUNT; id++) {
		const struct option_row *row = option_row((enum option_id)id);
		char letter[4] = "";
		if (row->letter)
			snprintf(letter, sizeof letter, "-%c,", row->letter);
		printf("  %3s --%s%s%s\n", letter, row->name, forms[row->argument], row->use == REFUSED ? "  (refused)" : "");
	}
}

/* --- directories --- */

static int absolute(const char *what, const char *path, char ret[PATH_MAX])
{
	if (realpath(path, ret))
		return 0;
	int err = neg_errno();
	fprintf(stderr, "criu: the %s directory %s: %s\n", what, path, strerror(-err));
	return err;
}

static int find_directories(struct front *f)
{
	const char *images = option_value(&f->options, OPTION_IMAGES_DIR) ?: ".";
	const char *work = option_value(&f->options, OPTION_WORK_DIR) ?: images;
	char path[PATH_MAX];
	int r = absolute("images", images, f->images);
	if (r == 0)
		r = absolute("work", work, path);
	if (r < 0)
		return r;
	if ((size_t)snprintf(f->image, sizeof f->image, "%s/%s", strcmp(f->images, "/") ? f->images : "", FRONT_IMAGE) >=
	    sizeof f->image)
		return -ENAMETOOLONG;
	f->work = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->work < 0 || fchdir(f->work) < 0) {
		int err = neg_errno();
		fprintf(stderr, "criu: the work directory %s: %s\n", path, strerror(-err));
		return err;
	}
	return 0;
}

/* --- options that are for every command --- */

/* A script is found from where criu was started, not from the work directory. */
static int find_scripts(struct front *f)
{
	for (size_t i = 0; i < f->options.list.n; i++) {
		struct given *g = &f->options.list.v[i];
		char *path = g->id == OPTION_ACTION_SCRIPT ? realpath(g->value, NULL) : NULL;
		if (path) {
			free(g->value);
			g->value = path;
		}
	}
	return 0;
}

static void close_named(const struct front *f)
{
	const char *fd;
	for (size_t at = 0; (fd = option_next(&f->options, OPTION_CLOSE, &at));)
		close(atoi(fd));
}

/* What only another command does something with. */
static void say_options_of_others(const struct front *f)
{
	static const struct {
		enum option_id id;
		const char *command;
	} others[] = {
		{ OPTION_TREE, "dump" },        { OPTION_LEAVE_RUNNING, "dump" },       { OPTION_NETWORK_LOCK, "dump" },
		{ OPTION_TIMEOUT, "dump" },     { OPTION_GHOST_LIMIT, "dump" },         { OPTION_SKIP_IN_FLIGHT, "dump" },
		{ OPTION_EXT_UNIX_SK, "dump" }, { OPTION_RESTORE_DETACHED, "restore" }, { OPTION_RESTORE_SIBLING, "restore" },
		{ OPTION_PIDFILE, "restore" },  { OPTION_EXEC_CMD, "restore" },         { OPTION_INHERIT_FD, "restore" },
		{ OPTION_JOIN_NS, "restore" },  { OPTION_MANAGE_CGROUPS, "restore" },   { OPTION_FEATURE, "check" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (option_given(&f->options, others[i].id) && strcmp(f->options.command, others[i].command) != 0)
			log_say(&f->log, LOG_INFO, NULL, "--%s changes nothing here: it is for %s",
				option_row(others[i].id)->name, others[i].command);
}

static void say_external(const struct front *f)
{
	static const struct {
		const char *prefix, *why;
	} kinds[] = {
		{ "unix[", NULL },
		{ "tty[", "a terminal is known at the dump, and handed over by --inherit-fd at the restore" },
		{ "file[", "a file is opened by its path, unless --inherit-fd hands another one over at the restore" },
		{ "dev[", "devices are opened by their path" },
		{ "mnt[", "mounts are not restored yet" },
		{ "veth[", "network devices are not restored yet" },
		{ "macvlan[", "network devices are not restored yet" },
		{ "net[", "the tree is in the network namespace that criu runs in" },
		{ "pid[", "the tree is in the pid namespace that criu runs in" },
	};
	const char *value;
	for (size_t at = 0; (value = option_next(&f->options, OPTION_EXTERNAL, &at));) {
		size_t i = 0;
		while (i < ARRAY_SIZE(kinds) && strncmp(value, kinds[i].prefix, strlen(kinds[i].prefix)) != 0)
			i++;
		if (i == ARRAY_SIZE(kinds) || kinds[i].why)
			log_say(&f->log, LOG_INFO, NULL, "--external %s changes nothing: %s", value,
				i == ARRAY_SIZE(kinds) ? "no such kind is known" : kinds[i].why);
	}
}

static void say_options(const struct front *f)
{
	_cleanup_text_ struct text t = { 0 };
	say_options_of_others(f);
	say_external(f);
	options_without_effect(&t, &f->options);
	for (char *line, *rest = text_failed(&t) ? NULL : t.data; (line = strsep(&rest, "\n"));)
		if (*line)
			log_say(&f->log, LOG_INFO, NULL, "%s", line);
}

static void say_start(const struct front *f)
{
	struct utsname name;
	log_say(&f->log, LOG_INFO, NULL, "Version: %s (ckpt %s)", VERSION_LIKE, CKPT_VERSION);
	if (uname(&name) == 0)
		log_say(&f->log, LOG_INFO, NULL, "Running on %s %s %s %s", name.nodename, name.sysname, name.release,
			name.machine);
	log_say(&f->log, LOG_DEBUG, NULL, "the image is %s", f->image);
	say_options(f);
}

int front_begin(struct front *f)
{
	int verbosity = f->options.verbosity < 0 ? VERBOSITY : f->options.verbosity;
	int r = find_scripts(f);
	if (r == 0)
		r = find_directories(f);
	if (r == 0)
		r = log_begin(&f->log, option_value(&f->options, OPTION_LOG_FILE), MIN(verbosity, VERBOSE));
	if (r < 0)
		return r;
	close_named(f);
	say_start(f);
	enum option_id refused = options_refused(&f->options);
	return refused == OPTION_COUNT ? 0
				       : fail(CRIU_OPTION, 0, "--%s: %s", option_row(refused)->name, option_row(refused)->text);
}

void front_tell(struct front *f, bool bad)
{
	log_diagnostics(&f->log, f->told);
	f->told = diag_mark();
	if (*diag_outcome())
		log_say(&f->log, bad ? LOG_ERROR : LOG_INFO, bad ? "result" : NULL, "%s", diag_outcome());
}

int front_end(struct front *f, int r, const char *done, const char *failed)
{
	bool bad = r < 0 || diag_failed();
	front_tell(f, bad);
	if (failed && bad)
		log_say(&f->log, LOG_ERROR, "ckpt", "%s", failed);
	else if (done)
		log_say(&f->log, LOG_INFO, NULL, "%s", done);
	if (bad && f->log.fd != STDERR_FILENO)
		diag_print_text(STDERR_FILENO);
	log_end(&f->log);
	return bad ? 1 : 0;
}

/* --- the commands --- */

static int run_command(struct front *f)
{
	size_t i = 0;
	while (i < ARRAY_SIZE(commands) && strcmp(commands[i].name, f->options.command) != 0)
		i++;
	if (i == ARRAY_SIZE(commands)) {
		fprintf(stderr, "criu: there is no command \"%s\"\n", f->options.command);
		usage(stderr);
		return 1;
	}
	diag_begin(commands[i].name, "anything");
	int r = front_begin(f);
	if (r < 0 && !diag_failed())
		return 1; /* before the log */
	if (r == 0)
		r = commands[i].run ? commands[i].run(f) : fail(CRIU_COMMAND, 0, "%s: %s", commands[i].name, commands[i].help);
	return front_end(f, r, commands[i].done, commands[i].failed);
}

int criu_main(int argc, char **argv)
{
	struct front f = { .work = -1, .log = { .fd = STDERR_FILENO } };
	int status = 0;
	if (options_parse(&f.options, argc, argv) < 0) {
		usage(stderr);
		status = 1;
	} else if (option_given(&f.options, OPTION_VERSION)) {
		puts("Version: " VERSION_LIKE "\nckpt: " CKPT_VERSION);
	} else if (option_given(&f.options, OPTION_HELP)) {
		help();
	} else if (!f.options.command) {
		usage(stderr);
		status = 1;
	} else if (!strcmp(f.options.command, "docs")) { /* for the build only */
		status = print_docs();
	} else {
		status = run_command(&f);
	}
	options_free(&f.options);
	closep(&f.work);
	return status;
}
