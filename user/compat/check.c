// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns `criu check`. */
#include "command/command.h"
#include "compat/features.h"
#include "compat/front.h"
#include <stdio.h>

static const struct feature features[] = {
#define FEATURE(name, cap, ...) { name, CAN_##cap, __VA_ARGS__ },
#include "compat/features.def"
#undef FEATURE
};

const struct feature *feature_at(size_t place) { return place < ARRAY_SIZE(features) ? &features[place] : NULL; }

static bool is_there(const struct caps *caps, const struct feature *f)
{
	return f->carried && (f->cap == CAN_NOTHING || caps_has(caps, f->cap) || caps_serves(caps, f->cap));
}

static const char *why_not(const struct feature *f) { return f->carried ? caps_row(f->cap)->lost : f->why_not; }

static int check_feature(const struct caps *caps, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		if (strcmp(features[i].name, name))
			continue;
		if (!is_there(caps, &features[i]))
			return fail(CRIU_FEATURE, 0, "%s: %s", name, why_not(&features[i]));
		printf("%s is supported\n", name);
		return 0;
	}
	return fail(USAGE, 0, "there is no feature \"%s\"", name);
}

static void list_features(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(features); i++)
		printf("%s%s", i ? " " : "", features[i].name);
	puts("");
}

/* What every program needs, as `ckpt check` says it. */
static int check_needed(const struct caps *caps)
{
	int r = 0;
	for (int id = 0; id < CAN_COUNT; id++) {
		bool needed = caps_needed((enum cap_id)id, CAP_FOR_DUMP) || caps_needed((enum cap_id)id, CAP_FOR_RESTORE);
		if (needed && caps->state[id].answer == CAP_NO && !caps_serves(caps, (enum cap_id)id))
			r = fail(HOST_LACKS, 0, "%s: %s", caps_row((enum cap_id)id)->id, caps_row((enum cap_id)id)->lost);
	}
	return r;
}

static size_t check_extra(const struct front *f, const struct caps *caps)
{
	size_t missing = 0;
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		if (is_there(caps, &features[i]))
			continue;
		log_say(&f->log, LOG_WARNING, features[i].name, "%s", why_not(&features[i]));
		missing++;
	}
	return missing;
}

int front_check(struct front *f)
{
	struct caps caps;
	const char *feature = option_value(&f->options, OPTION_FEATURE), *disable;
	bool extra = option_given(&f->options, OPTION_ALL) || option_given(&f->options, OPTION_EXTRA) ||
		     option_given(&f->options, OPTION_EXPERIMENTAL);
	diag_begin("use", "this host");
	if (feature && !strcmp(feature, "list")) {
		list_features();
		return 0;
	}
	int r = command_disable(&disable);
	if (r < 0)
		return r;
	r = caps_probe_all(&caps, disable);
	if (r < 0)
		return fail(SYSCALL, r, "probe the kernel");
	if (feature)
		return check_feature(&caps, feature);
	r = check_needed(&caps);
	if (r < 0)
		return r;
	if (extra && check_extra(f, &caps)) {
		puts("Looks good, but some programs need features that are missing here or that ckpt does not carry.");
		return fail(CRIU_FEATURE, 0, "they are named above");
	}
	puts("Looks good.");
	return 0;
}
