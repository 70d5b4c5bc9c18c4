// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the lookup of "Name: value" lines. */
#include "base/field.h"

const char *field_find(const char *lines, const char *name)
{
	size_t len = strlen(name);
	for (const char *line = lines; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
		if (!strncmp(line, name, len) && line[len] == ':')
			return line + len + 1 + strspn(line + len + 1, " \t");
	return NULL;
}

bool field_u64(const char *lines, const char *name, int base, u64 *ret)
{
	const char *value = lines ? field_find(lines, name) : NULL;
	char *end;
	if (!value)
		return false;
	errno = 0;
	u64 number = strtoull(value, &end, base);
	if (end == value || errno)
		return false;
	*ret = number;
	return true;
}
