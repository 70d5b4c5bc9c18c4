// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the diagnostics log, the only writable global of ckpt, and its renderings. */
#include "base/clock.h"
#include "diag/diag.h"
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

#define CLASS_NAMES(X) X(OK) X(SYSTEM) X(USAGE) X(UNSUPPORTED) X(KERNEL) X(IMAGE) X(PRIVILEGE) X(RACED)

static const struct diag_row rows[DIAG_COUNT] = {
#define DIAG(code, class, cap, why, todo) [DIAG_##code] = { #code, EXIT_##class, CAN_##cap, why, todo },
#include "diag/catalog.def"
#undef DIAG
};

const char *diag_class_text(enum exit_class class)
{
	static const char *const texts[] = {
		[EXIT_OK] = "all went well",
		[EXIT_SYSTEM] = "a system call failed that should not",
		[EXIT_USAGE] = "the command line is wrong",
		[EXIT_UNSUPPORTED] = "an object cannot be carried",
		[EXIT_KERNEL] = "the kernel lacks a feature",
		[EXIT_IMAGE] = "the image is invalid",
		[EXIT_PRIVILEGE] = "a right is missing",
		[EXIT_RACED] = "the target changed meanwhile",
	};
	return texts[class];
}

struct diag_entry {
	enum diag_level level;
	enum diag_code code;
	int err;
	enum cap_id lacks;
	u64 at; /* ns, CLOCK_MONOTONIC */
	char object[224], detail[400];
};

/* Shared with every child that ckpt forks; entries are claimed by an atomic counter. */
struct diag_log {
	char verb[32], object[200], result[400];
	u64 progress_at; /* ns, CLOCK_MONOTONIC: the next line of progress */
	u32 count;
	struct diag_entry entry[512];
};

static struct diag_log *diag_log;
static struct diag_log diag_unshared; /* when no memory can be shared with children: costs nothing until it is written */
static _Thread_local struct diag_scope *diag_scopes;

const struct diag_row *diag_row(enum diag_code code) { return &rows[code]; }

const struct diag_row *diag_find(const char *code)
{
	for (size_t i = 0; i < DIAG_COUNT; i++)
		if (!strcmp(rows[i].code, code))
			return &rows[i];
	return NULL;
}

#define PROGRESS_EVERY 1000000000ull

static int make_log(void)
{
	void *shared = mmap(NULL, sizeof *diag_log, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int r = shared == MAP_FAILED ? neg_errno() : 0;
	diag_log = r < 0 ? &diag_unshared : shared;
	diag_log->progress_at = now_ns() + PROGRESS_EVERY;
	return r;
}

int diag_begin(const char *verb, const char *object)
{
	int r = diag_log ? 0 : make_log();
	snprintf(diag_log->verb, sizeof diag_log->verb, "%s", verb);
	snprintf(diag_log->object, sizeof diag_log->object, "%s", object ? object : "");
	return r < 0 ? fail(OUT_OF_MEMORY, r, "mmap of the log") : 0;
}

struct diag_scope *diag_scope_enter(struct diag_scope *scope, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(scope->object, sizeof scope->object, format, args);
	va_end(args);
	scope->format = NULL;
	scope->outer = diag_scopes;
	diag_scopes = scope;
	return scope;
}

struct diag_scope *diag_scope_named(struct diag_scope *scope, const char *format, const char *name, int number)
{
	scope->format = format;
	scope->name = name;
	scope->number = number;
	scope->outer = diag_scopes;
	diag_scopes = scope;
	return scope;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static const char *scope_text(struct diag_scope *scope)
{
	if (scope->format)
		snprintf(scope->object, sizeof scope->object, scope->format, scope->name, scope->number);
	return scope->object;
}
#pragma GCC diagnostic pop

void diag_scope_leave(struct diag_scope **scope) { diag_scopes = (*scope)->outer; }

static void add_entry(struct diag_entry what, const char *format, va_list args)
{
	u32 slot = diag_log ? __atomic_fetch_add(&diag_log->count, 1, __ATOMIC_SEQ_CST) : UINT32_MAX;
	if (slot >= ARRAY_SIZE(diag_log->entry))
		return;
	struct diag_entry *entry = &diag_log->entry[slot];
	memcpy(entry, &what, offsetof(struct diag_entry, object));
	entry->at = now_ns();
	entry->object[0] = 0;
	size_t at = 0;
	for (struct diag_scope *s = diag_scopes; s && at < sizeof entry->object; s = s->outer)
		at += (size_t)snprintf(entry->object + at, sizeof entry->object - at, "%s%s", at ? " of " : "", scope_text(s));
	vsnprintf(entry->detail, sizeof entry->detail, format, args);
}

int diag_report(enum diag_level level, enum diag_code code, int err, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	add_entry((struct diag_entry){ .level = level, .code = code, .err = err, .lacks = CAN_NOTHING }, format, args);
	va_end(args);
	return level != DIAG_ERROR ? 0 : err ? err : -EINVAL;
}

int diag_lacks(enum diag_code code, enum cap_id cap, int err, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	add_entry((struct diag_entry){ .level = DIAG_ERROR, .code = code, .err = err, .lacks = cap }, format, args);
	va_end(args);
	return err ? err : -EINVAL;
}

void diag_result(const char *format, ...)
{
	if (!diag_log)
		return;
	va_list args;
	va_start(args, format);
	vsnprintf(diag_log->result, sizeof diag_log->result, format, args);
	va_end(args);
}

void diag_progress(u64 done, u64 total, const char *unit)
{
	u64 now = now_ns(), due = diag_log ? __atomic_load_n(&diag_log->progress_at, __ATOMIC_RELAXED) : UINT64_MAX;
	if (now < due || !__atomic_compare_exchange_n(&diag_log->progress_at, &due, now + PROGRESS_EVERY, false,
						      __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return;
	char line[160];
	int n = snprintf(line, sizeof line, "%s: %llu of %llu %s\n", diag_log->verb, (unsigned long long)done,
			 (unsigned long long)total, unit);
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return; /* nobody reads it */
}

static size_t diag_entries(void) { return diag_log ? MIN(diag_log->count, (u32)ARRAY_SIZE(diag_log->entry)) : 0; }

size_t diag_mark(void) { return diag_entries(); }

void diag_survived(size_t mark)
{
	for (size_t i = mark; i < diag_entries(); i++)
		diag_log->entry[i].level = DIAG_NOTE;
}

void diag_forget(size_t mark)
{
	if (mark < diag_entries())
		diag_log->count = (u32)mark;
}

static bool said_in(const struct diag_entry *e, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		const struct diag_entry *other = &diag_log->entry[i];
		if (e->level == other->level && e->code == other->code && !strcmp(e->object, other->object) &&
		    !strcmp(e->detail, other->detail))
			return true;
	}
	return false;
}

void diag_settle(size_t first, size_t second)
{
	bool once[ARRAY_SIZE(diag_log->entry)] = { false };
	size_t end = diag_entries(), kept = second;
	for (size_t i = first; i < second; i++)
		once[i] = !said_in(&diag_log->entry[i], second, end);
	for (size_t i = second; i < end; i++) {
		if (said_in(&diag_log->entry[i], first, second))
			continue;
		once[kept] = true;
		diag_log->entry[kept++] = diag_log->entry[i];
	}
	for (size_t i = first; i < kept; i++)
		if (once[i])
			diag_log->entry[i].level = DIAG_CHANGING;
	if (diag_log)
		diag_log->count = (u32)kept;
}

size_t diag_count(enum diag_level level)
{
	size_t n = 0;
	for (size_t i = 0; i < diag_entries(); i++)
		n += diag_log->entry[i].level == level;
	return n;
}

bool diag_has(enum diag_code code)
{
	for (size_t i = 0; i < diag_entries(); i++)
		if (diag_log->entry[i].code == code)
			return true;
	return false;
}

bool diag_told(size_t i, struct diag_told *ret)
{
	if (i >= diag_entries())
		return false;
	const struct diag_entry *e = &diag_log->entry[i];
	*ret = (struct diag_told){ e->level, e->code, e->err, e->lacks, e->at, *e->object ? e->object : diag_log->object,
				   e->detail };
	return true;
}

bool diag_failed(void) { return diag_count(DIAG_ERROR) > 0; }

enum exit_class diag_exit_class(void)
{
	for (size_t i = 0; i < diag_entries(); i++)
		if (diag_log->entry[i].level == DIAG_ERROR)
			return rows[diag_log->entry[i].code].exit_class;
	return EXIT_OK;
}

bool diag_only(size_t mark, enum exit_class class)
{
	size_t errors = 0;
	for (size_t i = mark; i < diag_entries(); i++) {
		if (diag_log->entry[i].level != DIAG_ERROR)
			continue;
		if (rows[diag_log->entry[i].code].exit_class != class)
			return false;
		errors++;
	}
	return errors > 0;
}

static const char *level_name(enum diag_level level)
{
	static const char *const names[] = { "error", "warning", "note", "changing" };
	return names[level];
}

/* Does the failure say that a capability is missing? */
static bool needed_by(const struct diag_row *row)
{
	return row->cap != CAN_NOTHING && (row->exit_class == EXIT_KERNEL || row->exit_class == EXIT_PRIVILEGE);
}

static void entry_text(struct text *t, const struct diag_entry *e)
{
	const struct diag_row *row = &rows[e->code];
	const char *object = *e->object ? e->object : diag_log->object;
	text_addf(t, "%s: %s%s %s [%s]\n", level_name(e->level),
		  e->level == DIAG_ERROR || e->level == DIAG_CHANGING ? "cannot " : "", diag_log->verb, object, row->code);
	text_addf(t, "  why:   %s", row->why);
	if (*e->detail)
		text_addf(t, ": %s", e->detail);
	if (e->err)
		text_addf(t, ": %s (%s)", strerror(-e->err), strerrorname_np(-e->err) ? strerrorname_np(-e->err) : "errno");
	text_adds(t, "\n");
	if (needed_by(row))
		text_addf(t, "  needs: %s (%s)\n", caps_row(row->cap)->interface, caps_row(row->cap)->id);
	if (e->level != DIAG_NOTE && *row->todo)
		text_addf(t, "  do:    %s\n", row->todo);
}

void diag_print_text(int fd)
{
	struct text t = { 0 };
	for (size_t i = 0; i < diag_entries(); i++)
		entry_text(&t, &diag_log->entry[i]);
	if (diag_log && diag_log->count > ARRAY_SIZE(diag_log->entry))
		text_addf(&t, "  (and %zu more)\n", (size_t)diag_log->count - ARRAY_SIZE(diag_log->entry));
	if (t.len && *diag_log->result)
		text_addf(&t, "  result: %s\n", diag_log->result);
	for (size_t done = 0; done < t.len;) {
		ssize_t n = write(fd, t.data + done, t.len - done);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	text_free(&t);
}

bool diag_look(size_t place, struct diag_view *ret)
{
	if (place >= diag_entries())
		return false;
	const struct diag_entry *e = &diag_log->entry[place];
	const struct diag_row *row = &rows[e->code];
	*ret = (struct diag_view){ e->level, row->code, diag_log->verb, *e->object ? e->object : diag_log->object,
				   row->why, e->detail, row->todo,      e->err };
	return true;
}

const char *diag_outcome(void) { return diag_log ? diag_log->result : ""; }

static void json_field(struct text *t, const char *name, const char *value)
{
	text_addf(t, "\"%s\":", name);
	text_add_json(t, value);
}

void diag_print_json(struct text *t)
{
	text_adds(t, "{");
	json_field(t, "verb", diag_log ? diag_log->verb : "");
	text_adds(t, ",");
	json_field(t, "object", diag_log ? diag_log->object : "");
	text_addf(t, ",\"exit_class\":%d,", diag_exit_class());
	json_field(t, "result", diag_log ? diag_log->result : "");
	text_adds(t, ",\"diagnostics\":[");
	for (size_t i = 0; i < diag_entries(); i++) {
		const struct diag_entry *e = &diag_log->entry[i];
		text_adds(t, i ? ",{" : "{");
		json_field(t, "level", level_name(e->level));
		text_adds(t, ",");
		json_field(t, "code", rows[e->code].code);
		text_adds(t, ",");
		json_field(t, "object", *e->object ? e->object : diag_log->object);
		text_adds(t, ",");
		json_field(t, "why", rows[e->code].why);
		text_adds(t, ",");
		json_field(t, "detail", e->detail);
		text_addf(t, ",\"errno\":%d,", -e->err);
		json_field(t, "do", rows[e->code].todo);
		if (needed_by(&rows[e->code])) {
			text_adds(t, ",");
			json_field(t, "needs", caps_row(rows[e->code].cap)->id);
		}
		text_adds(t, "}");
	}
	text_adds(t, "]}");
}

static const char *class_name(enum exit_class class)
{
	static const char *const names[] = {
#define X(name) [EXIT_##name] = #name,
		CLASS_NAMES(X)
#undef X
	};
	return names[class];
}

static const char *const untested[DIAG_COUNT] = {
#define UNTESTED(code, reason) [DIAG_##code] = reason,
#include "diag/untested.def"
#undef UNTESTED
};

void diag_catalog_markdown(struct text *t)
{
	text_adds(t, "# Failures\n\nEvery failure of ckpt has a code, an exit class, a reason and a way out. Generated from "
		     "`user/diag/catalog.def`; do not edit. A row is named by a test, or the last column says why not.\n\n"
		     "| code | exit | class | why | what to do | untested |\n|---|---|---|---|---|---|\n");
	for (size_t i = 0; i < DIAG_COUNT; i++)
		text_addf(t, "| `%s` | %d | %s | %s | %s | %s |\n", rows[i].code, rows[i].exit_class,
			  class_name(rows[i].exit_class), rows[i].why, rows[i].todo, untested[i] ?: "");
}
