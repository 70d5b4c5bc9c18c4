// SPDX-License-Identifier: LGPL-2.1-or-later
/* The command table, and what every command begins with. */
#include "base/heap.h"
#include "command/command.h"
#include "compat/front.h"
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static const struct {
	const char *name, *help;
	command_fn *run;
} commands[] = {
#define COMMAND(name, help) { #name, help, command_##name },
#include "command/commands.def"
#undef COMMAND
	{ NULL, NULL, NULL },
};

static int usage(FILE *to)
{
	fputs("usage: ckpt [--btf FILE] COMMAND [OPTION]... [ARGUMENT]...\n\n", to);
	for (size_t i = 0; commands[i].name; i++)
		if (commands[i].help) /* NULL: for the build only */
			fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].help);
	fprintf(to, "  %-8s %s\n", "criu", "understand the command line of criu(8)");
	fputs("\nSee `man ckpt-COMMAND`.\n", to);
	return to == stdout ? EXIT_OK : EXIT_USAGE;
}

#ifdef __SANITIZE_ADDRESS__
/* New tasks begin as copies of ckpt, alternate stack included; ASAN_OPTIONS is not asked where its file gives capabilities. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "use_sigaltstack=0"; }
#endif

/* A program that gains capabilities from its file has /proc files that root owns (proc(5), PR_SET_DUMPABLE), and new tasks
 * begin as copies of it. Who lacks these capabilities still may not trace it (cap_ptrace_access_check). */
static void own_proc_files(void)
{
	if (getauxval(AT_SECURE))
		prctl(PR_SET_DUMPABLE, 1);
}

#define UNLIMITED "CKPT_STACK_UNLIMITED"

/* New tasks begin as copies of ckpt, with its address space: where the stack has no limit, the kernel looks for room for mappings below
 * a sixth of it only (mmap_base() of arch/x86/mm/mmap.c), and those that nobody else may place, as of io_uring(7), could not come to where
 * they were. So ckpt begins again with a limit, and then has what it had. */
static void have_room(char **argv)
{
	struct rlimit stack;
	if (getrlimit(RLIMIT_STACK, &stack) < 0 || (stack.rlim_cur != RLIM_INFINITY && !getenv(UNLIMITED)))
		return;
	if (!getenv(UNLIMITED)) {
		stack.rlim_cur = 8 << 20;
		if (setenv(UNLIMITED, "", 1) == 0 && setrlimit(RLIMIT_STACK, &stack) == 0)
			execv("/proc/self/exe", argv);
	}
	unsetenv(UNLIMITED);
	stack.rlim_cur = stack.rlim_max;
	setrlimit(RLIMIT_STACK, &stack);
}

int main(int argc, char **argv)
{
	have_room(argv);
	own_proc_files();
	heap_begin();
	if (argc > 2 && !strcmp(argv[1], "--btf")) {
		setenv("CKPT_BTF", argv[2], 1);
		argc -= 2, argv += 2;
	}
	if (argc && !strcmp(basename(argv[0]), "criu"))
		return criu_main(argc, argv);
	if (argc < 2)
		return usage(stderr);
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help"))
		return usage(stdout);
	if (!strcmp(argv[1], "--version"))
		return puts("ckpt " CKPT_VERSION) < 0;
	if (!strcmp(argv[1], "criu"))
		return criu_main(argc - 1, argv + 1);
	for (size_t i = 0; commands[i].name; i++) {
		if (strcmp(argv[1], commands[i].name))
			continue;
		int r = commands[i].run(argc - 1, argv + 1);
		diag_print_text(STDERR_FILENO);
		if (r > 0)
			return r;
		return r < 0 || diag_failed() ? (int)(diag_exit_class() ? diag_exit_class() : EXIT_SYSTEM) : EXIT_OK;
	}
	fprintf(stderr, "ckpt: there is no command \"%s\"\n", argv[1]);
	return usage(stderr);
}
