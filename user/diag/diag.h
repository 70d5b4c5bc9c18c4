/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Failures as data. An error is reported once, where it is known: `return fail(FD_PEEK, err, "pidfd_getfd");` inside
 * scopes that know the object. Upper levels only return it. The log lives in memory shared with all children. */
#pragma once
#include "base/base.h"
#include "base/text.h"
#include "host/caps.h"

enum exit_class {
	EXIT_OK = 0,
	EXIT_SYSTEM = 1,      /* a system call failed that should not */
	EXIT_USAGE = 2,       /* the command line is wrong */
	EXIT_UNSUPPORTED = 3, /* an object cannot be carried */
	EXIT_KERNEL = 4,      /* the kernel lacks a feature */
	EXIT_IMAGE = 5,       /* the image is invalid */
	EXIT_PRIVILEGE = 6,   /* a right is missing */
	EXIT_RACED = 7,       /* the target changed meanwhile: trying again may help */
};

enum diag_code {
#define DIAG(code, ...) DIAG_##code,
#include "diag/catalog.def"
#undef DIAG
	DIAG_COUNT
};

/* CHANGING: one of two looks at a running tree found it, the other did not. */
enum diag_level { DIAG_ERROR, DIAG_WARNING, DIAG_NOTE, DIAG_CHANGING };

struct diag_row {
	const char *code;
	enum exit_class exit_class;
	enum cap_id cap; /* CAN_NOTHING when it hangs on none */
	const char *why, *todo;
};
const struct diag_row *diag_row(enum diag_code);
/* The row of a code's name, NULL when there is none. */
const struct diag_row *diag_find(const char *code);

/* A class in words. */
const char *diag_class_text(enum exit_class);

/* Starts the log: verb is "dump", "restore", ... and completes "cannot <verb> <object>"; object names what the command
 * was asked for. Call it before the first fork. */
int diag_begin(const char *verb, const char *object);

/* Records one failure about the current scopes. err: negative errno, or 0 when no system call failed.
 * Returns err, or -EINVAL when err is 0: ready for `return fail(...)`. */
#define fail(code, err, ...) diag_report(DIAG_ERROR, DIAG_##code, err, __VA_ARGS__)
/* Records something that the caller survives. Returns 0. */
#define warn(code, err, ...) diag_report(DIAG_WARNING, DIAG_##code, err, __VA_ARGS__)
#define note(code, ...) diag_report(DIAG_NOTE, DIAG_##code, 0, __VA_ARGS__)
int diag_report(enum diag_level, enum diag_code, int err, const char *format, ...) _printf_(4, 5);
/* A failure of code (one of DIAG_*) that hangs on this capability, whatever its row says. */
int diag_lacks(enum diag_code, enum cap_id, int err, const char *format, ...) _printf_(4, 5);
#define fail_memory() fail(OUT_OF_MEMORY, -ENOMEM, "%s", __func__)

/* What is being worked on; nests; ends with the block. Texts are formatted at once, a name and a number when something is
 * reported: the name must last as long as the block. */
struct diag_scope {
	struct diag_scope *outer;
	const char *format; /* of the number and the name; NULL: object is told */
	int number;
	const char *name;
	char object[112];
};
struct diag_scope *diag_scope_enter(struct diag_scope *, const char *format, ...) _printf_(2, 3);
/* format: of the name and the number, in this order or by "%2$d" and "%1$s". */
struct diag_scope *diag_scope_named(struct diag_scope *, const char *format, const char *name, int number);
void diag_scope_leave(struct diag_scope **);
#define DIAG_PASTE_(a, b) a##b
#define DIAG_PASTE(a, b) DIAG_PASTE_(a, b)
#define WORKING_ON(...)                                                                                                        \
	struct diag_scope DIAG_PASTE(scope_, __LINE__);                                                                        \
	_cleanup_(diag_scope_leave) _unused_ struct diag_scope *DIAG_PASTE(scope_p_, __LINE__) =                               \
		diag_scope_enter(&DIAG_PASTE(scope_, __LINE__), __VA_ARGS__)
#define WORKING_ON_NAMED(format, name, number)                                                                                 \
	struct diag_scope DIAG_PASTE(scope_, __LINE__);                                                                        \
	_cleanup_(diag_scope_leave) _unused_ struct diag_scope *DIAG_PASTE(scope_p_, __LINE__) =                               \
		diag_scope_named(&DIAG_PASTE(scope_, __LINE__), format, name, number)
#define WORKING_ON_TASK(pid) WORKING_ON_NAMED("%s %d", "process", (int)(pid))
#define WORKING_ON_THREAD(tid) WORKING_ON_NAMED("%s %d", "thread", (int)(tid))
#define WORKING_ON_FD(fd, kind) WORKING_ON_NAMED("fd %2$d (%1$s)", kind, (int)(fd))
#define WORKING_ON_OBJECT(kind, id) WORKING_ON_NAMED("%s %u", kind, (int)(id))
#define WORKING_ON_VMA(start, end) WORKING_ON("mapping %llx-%llx", (unsigned long long)(start), (unsigned long long)(end))

/* Where the log ends now. What was reported since is survived after all: errors become notes; or another way was found:
 * it is forgotten. */
size_t diag_mark(void);
void diag_survived(size_t mark);
void diag_forget(size_t mark);
/* Entries from mark first on, and from mark second on, are what two looks at the same thing found: what both say is kept
 * once, what only one says becomes CHANGING. */
void diag_settle(size_t first, size_t second);

/* What became of the tree and the image: the last line of every report. The newest call counts. */
void diag_result(const char *format, ...) _printf_(1, 2);

/* How far the command is, from any thread: a line on standard error, at most one each second, the first when the command
 * has run for a second. */
void diag_progress(u64 done, u64 total, const char *unit);

/* What was reported, one by one. */
struct diag_told {
	enum diag_level level;
	enum diag_code code;
	int err;           /* negative errno or 0 */
	enum cap_id lacks; /* of diag_lacks(), else CAN_NOTHING */
	u64 at;            /* ns, CLOCK_MONOTONIC */
	const char *object, *detail;
};
/* The i-th report; false behind the last. */
bool diag_told(size_t i, struct diag_told *ret);

bool diag_failed(void);
/* The class of the first error, EXIT_OK without one; EXIT_SYSTEM for a failure that left none. */
enum exit_class diag_exit_class(void);
/* Was an error reported since, and were all of this class? */
bool diag_only(size_t mark, enum exit_class);
/* Number of entries at this level, and whether one has this code. */
size_t diag_count(enum diag_level);
bool diag_has(enum diag_code);
void diag_print_text(int fd);
/* {"verb","object","exit_class","result","diagnostics":[{level,code,object,why,detail,errno,do}]} appended. */
void diag_print_json(struct text *);
/* One entry of the log; texts live as long as the log. */
struct diag_view {
	enum diag_level level;
	const char *code, *verb, *object, *why, *detail, *todo;
	int err; /* negative errno, or 0 */
};
/* false behind the last entry. */
bool diag_look(size_t place, struct diag_view *ret);
/* The newest text of diag_result(), "" without one. */
const char *diag_outcome(void);
/* The table as Markdown: docs/errors.md. */
void diag_catalog_markdown(struct text *);
