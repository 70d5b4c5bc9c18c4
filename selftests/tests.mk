# SPDX-License-Identifier: LGPL-2.1-or-later
# Unit tests need no root; selftests do. Each prints KTAP.
unit:
	@true
selftest: ckpt unit
	@true
