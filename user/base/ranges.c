// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns lists of numbers as the kernel writes them. */
#include "base/ranges.h"

static bool take_number(const char **at, size_t *ret)
{
	char *end;
	if (**at < '0' || **at > '9')
		return false;
	*ret = strtoul(*at, &end, 10);
	*at = end;
	return true;
}

const char *ranges_parse(const char *list, u64 *mask, size_t bits)
{
	for (size_t first, last;; list++) {
		if (!take_number(&list, &first))
			return NULL;
		last = first;
		if (*list == '-' && (list++, !take_number(&list, &last)))
			return NULL;
		if (first > last || last >= bits)
			return NULL;
		for (; first <= last; first++)
			mask[first / 64] |= 1ull << first % 64;
		if (*list != ',')
			return list;
	}
}
