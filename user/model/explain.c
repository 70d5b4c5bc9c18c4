// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what a terminal is told about numbers of messages: which file one names, which signals or flags a set holds. */
#include "model/field.h"
#include "model/match.h"
#include "model/names.h"
#include <fcntl.h>
#include <signal.h>

static void explain_file(struct text *t, const struct names *names, u64 file)
{
	if (file)
		names_file(t, names, (u32)file);
}

static void explain_signals(struct text *t, _unused_ const struct names *names, u64 set)
{
	const char *separator = "";
	for (int signal = 1; signal <= 64; signal++) {
		if (!(set >> (signal - 1) & 1))
			continue;
		const char *name = signal < 32 ? sigabbrev_np(signal) : NULL;
		text_addf(t, name ? "%s%s" : "%s%.0s%d", separator, name ? name : "", signal);
		separator = " ";
	}
}

static void explain_flags(struct text *t, _unused_ const struct names *names, u64 flags)
{
	static const struct {
		u32 flag;
		const char *name;
	} known[] = {
		{ O_APPEND, "append" },
		{ O_NONBLOCK, "nonblock" },
		{ O_ASYNC, "async" },
		{ O_DIRECT, "direct" },
		{ O_SYNC, "sync" },
		{ O_NOATIME, "noatime" },
		{ O_PATH & ~O_DIRECTORY, "path" },
		{ O_DIRECTORY, "directory" },
	};
	static const char *const access[] = { "read", "write", "read and write", "no access" };
	text_adds(t, access[flags & O_ACCMODE]);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if ((flags & known[i].flag) == known[i].flag)
			text_addf(t, ", %s", known[i].name);
}

static void explain_mode(struct text *t, _unused_ const struct names *names, u64 mode)
{
	text_addf(t, "%03llo", (unsigned long long)mode);
}

static const struct {
	const char *kind, *field;
	void (*explain)(struct text *, const struct names *, u64);
} explained[] = {
	{ "file", "flags", explain_flags },       { "fs", "umask", explain_mode },           { "reg", "mode", explain_mode },
	{ "thread", "sigmask", explain_signals }, { "signals", "handled", explain_signals },
};

void names_explain(struct text *t, const struct names *names, const struct kind *kind, const ProtobufCFieldDescriptor *f,
		   const void *message)
{
	struct text meaning = { 0 };
	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return;
	if (field_names_file(f))
		explain_file(&meaning, names, field_integer(f, field_value(f, message, 0)));
	for (size_t i = 0; i < ARRAY_SIZE(explained); i++)
		if (!strcmp(explained[i].field, f->name) && !strcmp(explained[i].kind, kind->name))
			explained[i].explain(&meaning, names, field_integer(f, field_value(f, message, 0)));
	if (meaning.len)
		text_addf(t, " (%s)", meaning.data);
	text_free(&meaning);
}
