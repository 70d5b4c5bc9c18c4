/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The configuration that the running kernel was built with. */
#pragma once
#include "base/text.h"
#include "host/caps.h"

/* Finds and reads it, unpacked, into ret; -ENOENT when this system has none for the running kernel. */
int config_read(struct text *ret);
/* Reads one file, plain or gzip. */
int config_read_file(struct text *ret, const char *path);
/* What it says of CONFIG_NAME: 'y', 'm', 'n' (also when it is not mentioned), or another first character of a value. */
char config_value(const struct text *, const char *name);
