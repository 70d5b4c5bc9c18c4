// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the reading of the kernel's configuration. */
#include "host/config.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <zlib.h>

static void gzclosep(gzFile *file)
{
	if (*file)
		gzclose(*file);
}

/* A packed file ends with how much it holds (RFC 1952). Not every zlib tells of one that ends too early: 1.3.2 does not. */
static bool is_whole(const char *path, const struct text *contents)
{
	u8 magic[2];
	u32 bytes; /* little-endian, as every machine that ckpt runs on */
	struct stat st;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || pread(fd, magic, sizeof magic, 0) != sizeof magic)
		return false;
	if (magic[0] != 0x1f || magic[1] != 0x8b)
		return true;
	return pread(fd, &bytes, sizeof bytes, st.st_size - (off_t)sizeof bytes) == sizeof bytes && bytes == (u32)contents->len;
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
	if (text_failed(ret))
		return -ENOMEM;
	return is_whole(path, ret) ? 0 : -EIO;
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
