// SPDX-License-Identifier: LGPL-2.1-or-later
/* Where the programs of eBPF come from: pinned, from the cache or loaded anew, and never from where others could have put them. */
#include "resource/source.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

/* A /var/cache and a /sys/fs/bpf of this test's own. */
static void private_stores(void)
{
	CHECK_OK(mount("tmpfs", "/var/cache", "tmpfs", 0, "mode=0755"));
	if (mount("bpf", "/sys/fs/bpf", "bpf", 0, "mode=0700") < 0)
		SKIP("no BPF file system");
}

static int open_err(enum bpf_effort effort)
{
	int err = 0;
	bpf_close(bpf_open(&no_caps, effort, &err));
	return err;
}

static char *cache_file(void)
{
	static char path[300];
	char key[STORE_KEY_MAX];
	struct bpf_image image = bpf_image(BPF_TASK);
	CHECK_OK(store_key(key, image.name, image.hash, RECORD_WIRE_VERSION));
	snprintf(path, sizeof(path), "/var/cache/ckpt/%s", key);
	return path;
}

TEST(cache_and_pins_are_used_only_when_nobody_else_could_write_them, .root = true, .seconds = 60)
{
	private_stores();
	bpf_close(source());
	CHECK_EQ(open_err(BPF_PINNED), -ENOENT);
	CHECK_EQ(open_err(BPF_CACHED), 0);
	CHECK_OK(chmod(cache_file(), 0620));
	CHECK_EQ(open_err(BPF_CACHED), -EACCES);
	CHECK_OK(chmod(cache_file(), 0600));
	CHECK_OK(chown("/var/cache/ckpt", 12, 0));
	CHECK_EQ(open_err(BPF_CACHED), -EACCES);
	CHECK_OK(chown("/var/cache/ckpt", 0, 0));
	int fd = (int)CHECK_OK(open(cache_file(), O_RDWR));
	u8 byte;
	CHECK_EQ(pread(fd, &byte, 1, 1000), 1);
	byte ^= 1;
	CHECK_EQ(pwrite(fd, &byte, 1, 1000), 1);
	CHECK_EQ(open_err(BPF_CACHED), -EBADMSG);
	CHECK_OK(bpf_pin(&no_caps));
	CHECK_EQ(open_err(BPF_PINNED), 0);
	CHECK_OK(chmod("/sys/fs/bpf/ckpt", 0755));
	CHECK_EQ(open_err(BPF_PINNED), -EACCES);
	CHECK_OK(chmod("/sys/fs/bpf/ckpt", 0700));
	CHECK_OK(bpf_unpin());
	CHECK_EQ(open_err(BPF_PINNED), -ENOENT);
}

TEST(without_rights_there_is_no_source, .root = true)
{
	_cleanup_bpf_ struct bpf_source *permitted = source();
	CHECK(permitted != NULL);
	CHECK_OK(setresgid(65534, 65534, 65534));
	CHECK_OK(setresuid(65534, 65534, 65534));
	CHECK(open_err(BPF_COLD) == -EPERM);
	struct caps caps = { 0 };
	int err = 0;
	caps.state[CAN_BPF].answer = CAP_NO;
	CHECK(!bpf_open(&caps, BPF_COLD, &err) && err == -EPERM);
}
