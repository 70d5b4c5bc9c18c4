// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns `ckpt bpf`: pins the programs that read kernel state, so that no dump has to load them. */
#include "collect/source.h"
#include "command/command.h"

static int pin(void)
{
	struct caps caps = { 0 };
	int r = bpf_pin(&caps);
	if (r < 0)
		return fail(BPF_PIN, r, "pin below /sys/fs/bpf/ckpt");
	diag_result("the programs are pinned below /sys/fs/bpf/ckpt");
	return 0;
}

static int unpin(void)
{
	int r = bpf_unpin();
	return r < 0 ? fail(BPF_PIN, r, "remove /sys/fs/bpf/ckpt") : 0;
}

static int status(void)
{
	static const char *const words[] = {
		[BPF_STORED_NOT] = "not stored",
		[BPF_STORED_CACHED] = "in the cache",
		[BPF_STORED_PINNED] = "pinned",
	};
	struct text out = { 0 };
	enum bpf_stored stored;
	const char *name;

	for (size_t i = 0; bpf_status(i, &name, &stored) == 0; i++)
		text_addf(&out, "%-8s %s\n", name, words[stored]);
	return command_output(&out);
}

int command_bpf(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(void);
	} actions[] = { { "pin", pin }, { "unpin", unpin }, { "status", status } };

	diag_begin("bpf", argc > 1 ? argv[1] : "");
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		if (argc == 2 && !strcmp(argv[1], actions[i].name))
			return actions[i].run();
	return fail(USAGE, 0, "ckpt bpf pin|unpin|status");
}
