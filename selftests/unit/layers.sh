#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every rule of `make layers` can fail.
exec "$(dirname "$0")/../../tools/layers" --self-test
