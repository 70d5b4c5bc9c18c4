/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rows of features.def. */
#pragma once
#include "host/caps.h"

struct feature {
	const char *name;
	enum cap_id cap; /* CAN_NOTHING: every kernel that ckpt serves has it */
	bool carried;
	const char *why_not;
};
/* NULL behind the last. */
const struct feature *feature_at(size_t place);
