// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the growth of arrays. */
#include "base/vector.h"

int vector_reserve_bytes(void **v, size_t *room, size_t need, size_t item)
{
	if (need <= *room)
		return 0;
	size_t grown = MAX(*room * 2, MAX(need, (size_t)8));
	void *data = reallocarray(*v, grown, item);
	if (!data)
		return -ENOMEM;
	*v = data;
	*room = grown;
	return 0;
}
