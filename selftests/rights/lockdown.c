// SPDX-License-Identifier: LGPL-2.1-or-later
/* Kernel lockdown (kernel_lockdown.7): integrity changes nothing for ckpt; confidentiality hides kernel memory from eBPF, and
 * everything goes on without. A machine that was booted otherwise skips; `make test-lockdown` boots both. */
#include "harness/target.h"
#include "host/caps.h"
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

/* The word in brackets of "none [integrity] confidentiality"; skips when it is another one. */
static void need_mode(const char *wanted)
{
	char marked[32];
	CHECK_OK(mkdir(WORK "/security", 0755));
	if (mount("securityfs", WORK "/security", "securityfs", 0, NULL))
		SKIP("no securityfs: %s", strerror(errno));
	_cleanup_free_ char *modes = read_text(WORK "/security/lockdown");
	CHECK_EQ(umount(WORK "/security"), 0);
	snprintf(marked, sizeof marked, "[%s]", wanted);
	if (!modes || !strstr(modes, marked))
		SKIP("the kernel was not booted with lockdown=%s", wanted);
}

static void go_round(const char *program)
{
	struct target t;
	target_start(&t, program);
	target_dump(&t, false);
	target_restore(&t, 0);
	target_judge(&t);
	target_gone(t.pid);
}

static void go_rounds(void)
{
	static const char *const programs[] = {
		"sleeper", "sleeper.static", "threads", "tree", "signals", "timers", "sockets"
	};
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		go_round(programs[i]);
}

TEST(integrity, .root = true, .seconds = 300)
{
	struct caps caps;
	need_mode("integrity");
	CHECK_OK(caps_probe_all(&caps, NULL));
	CHECK(!caps_lacks(&caps, CAN_BPF_READ_KERNEL));
	go_rounds();
}

TEST(confidentiality, .root = true, .seconds = 300)
{
	struct caps caps;
	need_mode("confidentiality");
	CHECK_OK(caps_probe_all(&caps, NULL));
	CHECK(caps_lacks(&caps, CAN_BPF_READ_KERNEL));
	CHECK_CONTAINS(caps_row(CAN_BPF_READ_KERNEL)->privilege, "lockdown");
	go_rounds();
}

/* What ckpt does then is said, not silent. */
TEST(confidentiality_is_told, .root = true, .seconds = 60)
{
	_cleanup_text_ struct text output = { 0 };
	need_mode("confidentiality");
	ckpt(&output, "check", "--json");
	const char *row = output.data ? strstr(output.data, "\"id\":\"BPF_READ_KERNEL\"") : NULL;
	CHECK(row != NULL);
	CHECK_CONTAINS(row, "\"answer\":\"no\"");
	CHECK_CONTAINS(row, "boot with lockdown=integrity or none");
}
