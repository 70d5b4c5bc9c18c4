// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns --why: which of the system calls that were seen belongs to a failure, and what is said of it. */
#include "plan/plan.h"
#include "why/why_internal.h"
#include <stdio.h>
#include <sys/capability.h>

struct why {
	struct why_names names;
	struct why_watch watch;
	struct text limits;
	struct host *host; /* what is asked again shares it; NULL: nothing was asked yet */
};

struct why *why_begin(const struct caps *caps)
{
	struct why *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	why_names_find(&w->names);
	why_watch_begin(&w->watch, &w->names, caps, &w->limits);
	return w;
}

void why_free(struct why *w)
{
	if (!w)
		return;
	why_watch_free(&w->watch);
	why_names_free(&w->names);
	text_free(&w->limits);
	caps_host_free(w->host);
	free(w);
}

const char *why_limits(const struct why *w) { return w->limits.data ?: ""; }

static u32 head_of(const struct why *w) { return w->watch.log ? __atomic_load_n(&w->watch.log->head, __ATOMIC_SEQ_CST) : 0; }

/* The clock of eBPF may be ahead of that of clock_gettime(2) a little (ktime_get_mono_fast_ns()). */
#define AHEAD_NS 1000000u

/* The newest call since from that ended with err until then, one that the detail names before others; NULL: none was seen. */
static const struct why_event *find_event(const struct why *w, u32 from, int err, u64 until, const char *detail)
{
	const struct why_event *newest = NULL;
	u32 head = head_of(w), oldest = head > WHY_EVENTS ? head - WHY_EVENTS : 0;
	for (u32 i = head; i-- > MAX(from, oldest);) {
		const struct why_event *e = &w->watch.log->event[i & (WHY_EVENTS - 1)];
		if (e->err != err || (e->at > until && e->at - until > AHEAD_NS))
			continue;
		if (strcasestr(detail, plan_syscall_name(e->nr)))
			return e;
		if (e->at <= until)
			newest = newest ?: e;
	}
	return newest;
}

static const char *function_name(const struct why *w, u32 number)
{
	if (number >= WHY_MULTI)
		return number - WHY_MULTI < w->names.list.n ? w->names.list.v[number - WHY_MULTI] : "?";
	return number ? why_functions[number - 1].name : "?";
}

static void say_function(struct text *t, const struct why *w, const struct why_event *e)
{
	if (!w->watch.functions)
		text_adds(t, "; in which function is not known");
	else if (!e->first)
		text_adds(t, "; none of the functions that are watched returned it");
	else
		text_addf(t, "; %s() returned it", function_name(w, e->first));
	if (e->depth > 1)
		text_addf(t, " and %u more up to %s() handed it on", e->depth - 1, function_name(w, e->last));
}

static void say_capability(struct text *t, const struct why *w, const struct why_event *e)
{
	if (!w->watch.caps || (e->err != -EPERM && e->err != -EACCES))
		return;
	if (!e->caps) {
		text_adds(t, "; no capability was asked for that is missing");
		return;
	}
	const char *separator = "; missing: ";
	for (int cap = 0; cap < 64; cap++) {
		if (!(e->caps >> cap & 1))
			continue;
		char *name = cap_to_name(cap);
		text_addf(t, "%s%s", separator, name ?: "?");
		separator = " or ";
		cap_free(name);
	}
	text_addf(t, " in user namespace %u", e->cap_ns);
	if (e->own_ns != e->cap_ns)
		text_addf(t, ", and the caller is in %u", e->own_ns);
}

static void say(struct text *t, const struct why *w, const struct why_event *e)
{
	const char *call = plan_syscall_name(e->nr);
	if (strcmp(call, "syscall"))
		text_addf(t, "%s(2)", call);
	else
		text_addf(t, "system call %u", e->nr);
	text_addf(t, " ended with %s", strerrorname_np(-e->err) ?: "?");
	say_function(t, w, e);
	say_capability(t, w, e);
}

void why_capability(struct why *w, enum cap_id id, struct text *ret)
{
	u32 from = head_of(w);
	w->host = w->host ?: caps_host_new();
	struct cap_state state = caps_ask(w->host, id);
	const struct why_event *e = state.err ? find_event(w, from, -state.err, UINT64_MAX, "") : NULL;
	if (state.answer == CAP_NO && e)
		say(ret, w, e);
}

static void explain_one(struct why *w, const struct diag_told *told)
{
	_cleanup_text_ struct text words = { 0 };
	WORKING_ON("%s", told->object);
	if (told->lacks != CAN_NOTHING)
		why_capability(w, told->lacks, &words);
	const struct why_event *e =
		words.len || told->lacks != CAN_NOTHING ? NULL : find_event(w, 0, told->err, told->at, told->detail);
	if (e)
		say(&words, w, e);
	if (words.len && !text_failed(&words))
		note(REFUSED_BY, "%s: %s", diag_row(told->code)->code, words.data);
	else if (w->watch.log)
		note(WHY_UNKNOWN, "%s: no system call of ckpt ended with %s", diag_row(told->code)->code,
		     strerrorname_np(-told->err) ?: "?");
}

void why_explain(struct why *w)
{
	struct diag_told told;
	size_t count = diag_mark();
	bool any = false;
	for (size_t i = 0; i < count && diag_told(i, &told); i++) {
		if (told.level != DIAG_ERROR || !told.err)
			continue;
		any = true;
		explain_one(w, &told);
	}
	why_watch_end(&w->watch);
	if (any && *why_limits(w))
		note(WHY_UNKNOWN, "%s", why_limits(w));
}
