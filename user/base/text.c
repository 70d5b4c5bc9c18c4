// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the growable byte string. */
#include "base/text.h"
#include <stdio.h>

static bool text_grow(struct text *t, size_t more)
{
	if (t->failed)
		return false;
	if (t->data && t->len + more + 1 <= t->room)
		return true;
	size_t room = MAX(t->room * 2, t->len + more + 64);
	char *data = realloc(t->data, room);
	if (!data) {
		t->failed = true;
		return false;
	}
	t->data = data;
	t->room = room;
	return true;
}

void text_add(struct text *t, const void *bytes, size_t len)
{
	if (!text_grow(t, len))
		return;
	if (len)
		memcpy(t->data + t->len, bytes, len);
	t->len += len;
	t->data[t->len] = 0;
}

void text_adds(struct text *t, const char *string) { text_add(t, string, strlen(string)); }

void text_addv(struct text *t, const char *format, va_list args)
{
	va_list again;
	va_copy(again, args);
	size_t room = t->data && !t->failed ? t->room - t->len : 0; /* most fits at once */
	int need = vsnprintf(room ? t->data + t->len : NULL, room, format, args);
	bool fits = need >= 0 && (size_t)need < room;
	if (!fits && need >= 0 && text_grow(t, (size_t)need)) {
		vsnprintf(t->data + t->len, (size_t)need + 1, format, again);
		fits = true;
	}
	if (fits)
		t->len += (size_t)need;
	va_end(again);
}

void text_addf(struct text *t, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	text_addv(t, format, args);
	va_end(args);
}

/* Length of the valid UTF-8 sequence at s, 0 when it is none (RFC 3629). */
static size_t utf8_length(const unsigned char *s)
{
	size_t n = s[0] < 0x80                   ? 1
		   : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
		   : (s[0] & 0xf0) == 0xe0       ? 3
		   : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
						 : 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((n == 3 && s[0] == 0xe0 && s[1] < 0xa0) || (n == 3 && s[0] == 0xed && s[1] > 0x9f))
		return 0;
	if ((n == 4 && s[0] == 0xf0 && s[1] < 0x90) || (n == 4 && s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

void text_add_json(struct text *t, const char *string)
{
	const unsigned char *s = (const unsigned char *)string;
	text_adds(t, "\"");
	while (*s) {
		size_t n = utf8_length(s);
		if (*s == '"' || *s == '\\')
			text_addf(t, "\\%c", *s);
		else if (n == 0 || *s < 0x20 || *s == 0x7f)
			text_addf(t, "\\u%04x", *s);
		else if (n == 2 && *s == 0xc2 && s[1] < 0xa0) /* C1: terminals obey these too */
			text_addf(t, "\\u%04x", s[1]);
		else
			text_add(t, s, n);
		s += n ? n : 1;
	}
	text_adds(t, "\"");
}

void text_add_wrapped(struct text *t, size_t column, size_t indent, size_t width, const char *words)
{
	bool first = true;
	while (*(words += strspn(words, " "))) {
		size_t len = strcspn(words, " ");
		if (!first && column + 1 + len > width) {
			text_addf(t, "\n%*s", (int)indent, "");
			column = indent;
		} else if (!first) {
			text_adds(t, " ");
			column++;
		}
		text_add(t, words, len);
		column += len;
		words += len;
		first = false;
	}
}

bool text_failed(const struct text *t) { return t->failed; }

char *text_take(struct text *t)
{
	if (!t->failed && !t->data)
		text_adds(t, "");
	char *given = t->failed ? NULL : take_ptr(t->data);
	text_free(t);
	return given;
}

void text_free(struct text *t)
{
	free(t->data);
	*t = (struct text){ 0 };
}

bool text_lists(const char *words, char between, const char *word, size_t len)
{
	const char delimiter[] = { between, 0 };
	for (const char *at = words; *at; at += strcspn(at, delimiter), at += *at == between)
		if (strcspn(at, delimiter) == len && !strncmp(at, word, len))
			return true;
	return false;
}
