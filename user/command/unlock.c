// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns `ckpt unlock`: the end of a network lock that no restore will take over. */
#include "command/command.h"
#include "image/image.h"
#include "model/kinds.h"
#include "netlock/lock.h"
#include "resource/registry.h"

/* The lock of an image; *ret_id is the caller's. */
static int id_of_image(const char *dir, char **ret_id)
{
	_cleanup_image_ struct image *image = NULL;
	_cleanup_graph_ struct graph g = { 0 };
	const struct kind *kinds[REGISTRY_KINDS];
	registry_kinds(kinds);
	int r = image_open(&image, dir, true); /* whoever made it: an id is all that is taken */
	if (r == 0)
		r = image_load(image, kinds, &g);
	const Ckpt__Host *host = r < 0 ? NULL : graph_data(&g, &kind_host, 1);
	*ret_id = strdup(host && host->network_lock ? host->network_lock : "");
	return r < 0 || *ret_id ? r : fail_memory();
}

int command_unlock(int argc, char **argv)
{
	_cleanup_free_ char *id = NULL;
	diag_begin("unlock", argc > 1 ? argv[1] : "");
	if (argc != 2 || argv[1][0] == '-')
		return fail(USAGE, 0, "ckpt unlock DIR, or the id of a lock");
	int r = netlock_release(argv[1]);
	if (r != -ENOENT)
		return r < 0 ? fail(NETLOCK_STAYS, r, "%s", argv[1]) : 0;
	r = id_of_image(argv[1], &id);
	if (r < 0)
		return r;
	r = netlock_release(id);
	if (r == -ENOENT)
		return fail(NETLOCK_NONE, 0, "%s", *id ? id : "the image has none");
	return r < 0 ? fail(NETLOCK_STAYS, r, "%s", id) : 0;
}
