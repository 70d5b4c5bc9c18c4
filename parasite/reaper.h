/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What pid 1 of a restored tree's pid namespace, and who restores in there, tell ckpt: one packet each. */
#pragma once
#include <stdint.h>

enum reaper_news {
	NEWS_READY = 1, /* from who restores, with the root's credentials: it is made, and held */
	NEWS_RELEASED,  /* it runs; from now on it does not depend on ckpt */
	NEWS_ENDED,     /* the root has ended: status as of wait(2) */
};
struct reaper_packet {
	uint32_t news;
	int32_t status;
};
