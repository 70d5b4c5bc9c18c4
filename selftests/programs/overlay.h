/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A file system without handles (name_to_handle_at(2)): an overlay at "merged" over "lower", in the directory of the test. */
#pragma once
#include "judge.h"
#include <sys/mount.h>

/* false: there is none here. */
static bool judge_overlay(void)
{
	static const char *const dirs[] = { "lower", "upper", "work", "merged" };
	char options[PATH_MAX * 3 + 64];
	for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
		MUST(mkdir(judge_path(dirs[i]), 0700) == 0 || errno == EEXIST);
	snprintf(options, sizeof options, "lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", judge_dir, judge_dir,
		 judge_dir);
	return mount("overlay", judge_path("merged"), "overlay", 0, options) == 0;
}
