// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the options that say how an image is to be restored. */
#include "command/restore_options.h"
#include "diag/diag.h"

static int add_inherited(struct restore_config *config, const char *text)
{
	const char **place = vector_add(&config->inherit);
	if (!place)
		return fail_memory();
	*place = text;
	return 1;
}

int restore_option(struct restore_config *config, int option, const char *argument)
{
	switch (option) {
	case 't':
		config->trust = true;
		return 1;
	case 'n':
		config->pidns = true;
		return 1;
	case 'u':
		config->pidns = config->userns = true;
		return 1;
	case 'g':
		config->own_groups = true;
		return 1;
	case 's':
		config->stdio = true;
		return 1;
	case 'c':
		config->cut = true;
		return 1;
	case 'T':
		config->terminal = argument ?: "";
		return 1;
	case 'o': {
		int r = policy_parse(&config->policies, argument, POLICY_AT_RESTORE);
		return r < 0 ? r : 1;
	}
	case 'i':
		return add_inherited(config, argument);
	case 'G': {
		int r = cgroup_root_add(&config->cgroup_roots, argument);
		return r < 0 ? r : 1;
	}
	default:
		return 0;
	}
}

void restore_options_free(struct restore_config *config)
{
	vector_free(&config->inherit);
	vector_free(&config->cgroup_roots.list);
}
