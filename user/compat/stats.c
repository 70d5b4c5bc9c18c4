// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the statistics of criu(8): two magic words, the size of a message, and the message stats_entry, which has a dump_stats_entry
 * or a restore_stats_entry; all of their fields are varints, so they are written here without a schema. Times are in microseconds. */
#include "base/file.h"
#include "compat/front.h"
#include "dump/dump.h"
#include <fcntl.h>
#include <stdio.h>

#define MAGIC_SERVICE 0x55105940u
#define MAGIC_STATS 0x57093306u

struct field {
	const char *name; /* for people */
	const char *unit;
	u32 number;
	u64 value;
};

static void add_varint(struct text *t, u64 value)
{
	for (; value > 127; value >>= 7)
		text_add(t, &(char){ (char)(value | 128) }, 1);
	text_add(t, &(char){ (char)value }, 1);
}

static void add_word(struct text *t, u32 word)
{
	for (int i = 0; i < 4; i++)
		text_add(t, &(char){ (char)(word >> 8 * i) }, 1);
}

/* which: the field of stats_entry, 1 for a dump and 2 for a restore. */
static void write_file(const struct front *f, const char *name, u32 which, const struct field *fields, size_t count)
{
	_cleanup_text_ struct text entry = { 0 }, stats = { 0 }, file = { 0 };
	for (size_t i = 0; i < count; i++) {
		add_varint(&entry, (u64)fields[i].number << 3);
		add_varint(&entry, fields[i].value);
	}
	add_varint(&stats, (u64)which << 3 | 2);
	add_varint(&stats, entry.len);
	text_add(&stats, entry.data, entry.len);
	add_word(&file, MAGIC_SERVICE);
	add_word(&file, MAGIC_STATS);
	add_word(&file, (u32)stats.len);
	text_add(&file, stats.data, stats.len);
	bool whole = !text_failed(&entry) && !text_failed(&stats) && !text_failed(&file);
	_cleanup_close_ int fd = whole ? openat(f->work, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : -1;
	if (fd < 0 || file_write_full(fd, file.data, file.len) < 0)
		log_say(&f->log, LOG_WARNING, name, "cannot be written");
}

static void display(const struct front *f, const char *verb, const struct field *fields, size_t count)
{
	if (!option_given(&f->options, OPTION_DISPLAY_STATS))
		return;
	printf("Displaying %s stats:\n", verb);
	for (size_t i = 0; i < count; i++)
		printf("%s: %llu%s\n", fields[i].name, (unsigned long long)fields[i].value, fields[i].unit);
	fflush(stdout);
}

static u64 us(u64 ns) { return ns / 1000; }

void stats_dump(const struct front *f, const struct dump_result *result)
{
	u64 pages = result->bytes / PAGE_BYTES;
	const struct field fields[] = {
		{ "Freezing time", " us", 1, us(result->freezing_ns) },
		{ "Frozen time", " us", 2, us(result->frozen_ns) },
		{ "Memory dump time", " us", 3, us(result->writing_ns) },
		{ "Memory write time", " us", 4, us(result->writing_ns) },
		{ "Memory pages scanned", "", 5, pages },
		{ "Memory pages skipped from parent", "", 6, 0 },
		{ "Memory pages written", "", 7, pages },
		{ "IRMAP resolve time", " us", 8, 0 },
	};
	write_file(f, "stats-dump", 1, fields, ARRAY_SIZE(fields));
	display(f, "dump", fields, ARRAY_SIZE(fields));
}

void stats_restore(const struct front *f, u64 restore_ns, u64 pages)
{
	const struct field fields[] = {
		{ "Pages compared", "", 1, 0 },     { "Pages skipped COW", "", 2, 0 },
		{ "Forking time", " us", 3, 0 },    { "Restore time", " us", 4, us(restore_ns) },
		{ "Pages restored", "", 5, pages },
	};
	write_file(f, "stats-restore", 2, fields, ARRAY_SIZE(fields));
	display(f, "restore", fields, ARRAY_SIZE(fields));
}
