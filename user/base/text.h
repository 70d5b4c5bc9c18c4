/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A growable byte string. An allocation failure is remembered, not returned by every call: ask text_failed() once. */
#pragma once
#include "base/base.h"
#include <stdarg.h>

struct text {
	char *data; /* NUL-terminated when not NULL */
	size_t len, room;
	bool failed;
};

void text_add(struct text *, const void *bytes, size_t len);
void text_adds(struct text *, const char *string);
void text_addf(struct text *, const char *format, ...) _printf_(2, 3);
void text_addv(struct text *, const char *format, va_list);
/* A JSON string literal of the bytes, quotes included; bytes that are not UTF-8 become \u00XX. */
void text_add_json(struct text *, const char *string);
/* Words, filled into lines of at most width columns; the line stands at column now, new ones begin at indent. */
void text_add_wrapped(struct text *, size_t column, size_t indent, size_t width, const char *words);
bool text_failed(const struct text *);
/* Is the word one of those of a list? between: what separates them. */
bool text_lists(const char *words, char between, const char *word, size_t len);
/* The string, owned by the caller; "" is returned for an empty text, NULL after a failed allocation. */
char *text_take(struct text *);
void text_free(struct text *);
#define _cleanup_text_ _cleanup_(text_free)
