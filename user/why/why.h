/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* --why: which function of the kernel refused a system call of ckpt, and which capability was missing. BPF watches ckpt and the
 * processes that it makes while a command runs; what ended with an error is looked up for each failure in the log. Needs eBPF;
 * where the kernel lets less in, less is told, and it is said what is missing. */
#pragma once
#include "diag/diag.h"
#include "host/caps.h"

struct why;
/* Watches from now on, by nothing that is known to be missing. Never fails: what cannot be watched is noted in the log when it is asked
 * for. NULL without memory. */
struct why *why_begin(const struct caps *);
/* Watches no more, and notes for each failure in the log that a system call gave what the kernel says of it. */
void why_explain(struct why *);
void why_free(struct why *);
static inline void why_freep(struct why **w) { why_free(*w); }
#define _cleanup_why_ _cleanup_(why_freep)

/* Asks for a capability again and says who refused it: one sentence, or "" when no system call was refused. The caller frees. */
void why_capability(struct why *, enum cap_id, struct text *ret);
/* What could not be watched, and why: "" when everything could. */
const char *why_limits(const struct why *);
