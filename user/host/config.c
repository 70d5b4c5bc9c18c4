// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the reading of the kernel's configuration. */
#include "host/config.h"
#include <stdio.h>
#include <sys/utsname.h>
#include <zlib.h>

static void gzclosep(gzFile *file)
{
	if (*file)
		gzclose(*file);
}

int config_read_file(struct text *ret, const char *path)
{
	errno = 0;
	_cleanup_(gzclosep) gzFile file = gzopen(path, "re");
	if (!file)
		return neg_errno();
	char chunk[16384];
	int n;
	while ((n = gzread(file, chunk, sizeof chunk)) > 0)
		text_add(ret, chunk, (size_t)n);
	int state;
	gzerror(file, &state); /* Z_BUF_ERROR: it ends too early */
	if (n < 0 || state != Z_OK || !ret->len)
		return -EIO;
	return text_failed(ret) ? -ENOMEM : 0;
}

int config_read(struct text *ret)
{
	static const char *const places[] = {
		"/boot/config-%s",
		"/lib/modules/%s/config",
		"/usr/lib/modules/%s/config",
		"/lib/modules/%s/build/.config",
		"/usr/lib/kernel/config-%s",
		"/usr/lib/ostree-boot/config-%s",
	};
	if (config_read_file(ret, "/proc/config.gz") == 0)
		return 0;
	struct utsname name;
	if (uname(&name) < 0)
		return neg_errno();
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		char path[256];
		text_free(ret);
		int n = snprintf(path, sizeof path, places[i], name.release);
		if (n > 0 && (size_t)n < sizeof path && config_read_file(ret, path) == 0)
			return 0;
	}
	text_free(ret);
	return -ENOENT;
}

char config_value(const struct text *config, const char *name)
{
	size_t len = strlen(name);
	const char *end = config->data + config->len;
	for (const char *line = config->data; line && line < end;) {
		const char *next = memchr(line, '\n', (size_t)(end - line));
		size_t room = (size_t)((next ? next : end) - line);
		if (room > len + 1 && !memcmp(line, name, len) && line[len] == '=')
			return line[len + 1];
		line = next ? next + 1 : NULL;
	}
	return 'n';
}
