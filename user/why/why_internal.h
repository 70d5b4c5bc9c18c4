/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by the parts of user/why. */
#pragma once
#include "base/vector.h"
#include "refused.h"
#include "why/why.h"
#include <bpf/libbpf.h>

/* WHY_FUNCTIONS, in their order; ends with a NULL name. */
struct why_function {
	const char *name;
	u32 arguments;
};
extern const struct why_function why_functions[];

/* Functions of the running kernel that can return an error and be watched, in the order of their names. */
struct why_names {
	VECTOR(const char *) list;
	struct btf *btf; /* owns the names */
	char reason[96]; /* that there are none */
};
void why_names_find(struct why_names *);
void why_names_free(struct why_names *);
/* Has the kernel's BTF this type, and the function as many arguments? */
bool why_has_tracepoint(const struct btf *, const char *name);
bool why_has_function(const struct btf *, const char *name, u32 arguments);

#define WHY_LINKS 32
/* Programs that are loaded and attached. */
struct why_watch {
	struct bpf_object *object;
	struct bpf_link *link[WHY_LINKS];
	size_t links;
	const struct why_log *log; /* mapped; NULL: nothing is watched */
	bool functions, caps;      /* they are seen too */
};
void why_watch_begin(struct why_watch *, struct why_names *, const struct caps *, struct text *limits);
void why_watch_end(struct why_watch *); /* the log stays */
void why_watch_free(struct why_watch *);
