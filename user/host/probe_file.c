// SPDX-License-Identifier: LGPL-2.1-or-later
/* Probes of files, sockets, cgroups and mounts. */
#include "host/probe.h"
#include "base/file.h"
#include "host/config.h"
#include <dirent.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>

int probe_access(struct host *host _unused_, const struct probe *p, char *note _unused_)
{
	/* access(2) asks for the real user, whom the kernel takes all capabilities from */
	return faccessat(AT_FDCWD, p->name, (int)p->arg[0], AT_EACCESS) == 0 ? PROBE_YES : neg_errno();
}

int probe_file_handle(struct host *host _unused_, const struct probe *p _unused_, char *note)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} u = { .handle.handle_bytes = MAX_HANDLE_SZ };
	int mount;
	_cleanup_close_ int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return PROBE_UNKNOWN;
	if (name_to_handle_at(root, "", &u.handle, &mount, AT_EMPTY_PATH) < 0) {
		if (errno != EOPNOTSUPP)
			return neg_errno();
		snprintf(note, NOTE_BYTES, "the root file system has no handles");
		return PROBE_UNKNOWN;
	}
	_cleanup_close_ int fd = open_by_handle_at(root, &u.handle, O_PATH | O_CLOEXEC);
	return fd < 0 ? neg_errno() : PROBE_YES;
}

/* Both calls refuse the value 0 with EINVAL where they are known, and are ENOTTY where not. */
int probe_timerfd_ticks(struct host *host _unused_, const struct probe *p _unused_, char *note _unused_)
{
	u64 ticks = 0;
	_cleanup_close_ int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	if (fd < 0)
		return neg_errno();
	if (ioctl(fd, _IOW('T', 0, u64), &ticks) == 0)
		return PROBE_YES;
	return errno == EINVAL ? PROBE_YES : neg_errno();
}

int probe_inotify_next_wd(struct host *host _unused_, const struct probe *p _unused_, char *note _unused_)
{
	_cleanup_close_ int fd = inotify_init1(IN_CLOEXEC);
	if (fd < 0)
		return errno == EMFILE ? PROBE_UNKNOWN : neg_errno();
	if (ioctl(fd, _IOW('I', 0, s32), 0) == 0)
		return PROBE_YES;
	return errno == EINVAL ? PROBE_YES : neg_errno();
}

int probe_sockopt(struct host *host _unused_, const struct probe *p, char *note _unused_)
{
	int value = (int)p->arg[3];
	socklen_t len = sizeof value;
	_cleanup_close_ int fd = socket((int)p->arg[0], SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return neg_errno();
	int level = (int)p->arg[1], option = (int)p->arg[2];
	int r = value < 0 ? getsockopt(fd, level, option, &value, &len) : setsockopt(fd, level, option, &value, sizeof value);
	return r < 0 ? neg_errno() : PROBE_YES;
}

int probe_socket(struct host *host _unused_, const struct probe *p, char *note _unused_)
{
	_cleanup_close_ int fd = socket((int)p->arg[0], (int)p->arg[1] | SOCK_CLOEXEC, (int)p->arg[2]);
	return fd < 0 ? neg_errno() : PROBE_YES;
}

int probe_peer_pidfd(struct host *host _unused_, const struct probe *p _unused_, char *note _unused_)
{
	int pair[2], peer = -1;
	socklen_t len = sizeof peer;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return neg_errno();
	_cleanup_close_ int one = pair[0], other _unused_ _cleanup_close_ = pair[1];
	if (getsockopt(one, SOL_SOCKET, 77 /* SO_PEERPIDFD */, &peer, &len) < 0)
		return neg_errno();
	close(peer);
	return PROBE_YES;
}

/* An unbound unix socket has no file: ENOENT where the question is understood. */
int probe_socket_ioctl(struct host *host _unused_, const struct probe *p, char *note _unused_)
{
	_cleanup_close_ int fd = socket((int)p->arg[0], SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return neg_errno();
	int r = ioctl(fd, (unsigned long)p->arg[1], 0);
	if (r >= 0)
		close(r);
	return r >= 0 || errno == ENOENT ? PROBE_YES : neg_errno();
}

/* Is the module in a list of depmod's, whose lines hold "/unix_diag.ko"? */
static bool module_listed(const char *list, const char *name)
{
	char file[80];
	struct utsname host;
	_cleanup_text_ struct text text = { 0 };
	snprintf(file, sizeof file, "/%s.ko", name);
	return uname(&host) == 0 && file_readf(&text, AT_FDCWD, "/lib/modules/%s/%s", host.release, list) == 0 &&
	       strstr(text.data, file);
}

/* Only looks: loading it would be seen. */
int probe_module(struct host *host, const struct probe *p, char *note)
{
	char path[80];
	snprintf(path, sizeof path, "/sys/module/%s", p->name);
	if (access(path, F_OK) == 0 || host_built(host, p->built, note) == CAP_YES ||
	    module_listed("modules.builtin", p->name) || module_listed("modules.dep", p->name))
		return PROBE_YES;
	snprintf(note, NOTE_BYTES, "%s is not loaded, and not found among the modules on disk", p->name);
	return PROBE_UNKNOWN;
}

/* Not where it is a module that is not there yet: asking would load it. */
int probe_sock_diag(struct host *host, const struct probe *p _unused_, char *note)
{
	char told[NOTE_BYTES];
	const struct text *config = host_config(host);
	if (!(config && config_value(config, "CONFIG_UNIX_DIAG") == 'y') && access("/sys/module/unix_diag", F_OK) < 0) {
		snprintf(note, NOTE_BYTES, "unix_diag is not loaded: asking would load it");
		return host_built(host, "CONFIG_UNIX_DIAG", told) == CAP_NO ? -ENOENT : PROBE_UNKNOWN;
	}
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (fd >= 0)
		return PROBE_YES;
	if (errno == EAFNOSUPPORT)
		snprintf(note, NOTE_BYTES, "netlink sockets are refused here");
	return neg_errno();
}

int probe_listmount(struct host *host _unused_, const struct probe *p, char *note _unused_)
{
	struct {
		u32 size, spare;
		u64 mount, parameter;
	} ask = { sizeof ask, 0, p->arg[1] ? 1ull << 60 : ~0ull /* LSMT_ROOT */, 0 };
	u64 room[128];
	if (syscall(p->arg[0], &ask, room, p->arg[1] ? sizeof room : 1, 0) >= 0)
		return PROBE_YES;
	return errno == ENOENT ? PROBE_YES : neg_errno();
}

/* Where the cgroup2 hierarchy is mounted. */
static int cgroup_mount(struct text *mounts, char path[256])
{
	char type[32];
	int r = file_read(AT_FDCWD, "/proc/self/mounts", mounts);
	if (r < 0)
		return r;
	for (char *line = mounts->data, *next; line; line = next) {
		next = strchr(line, '\n');
		next = next ? next + 1 : NULL;
		if (sscanf(line, "%*s %255s %31s", path, type) == 2 && !strcmp(type, "cgroup2"))
			return 0;
	}
	return -ENOENT;
}

int probe_cgroup2(struct host *host _unused_, const struct probe *p _unused_, char *note)
{
	char path[256];
	_cleanup_text_ struct text mounts = { 0 };
	int r = cgroup_mount(&mounts, path);
	snprintf(note, NOTE_BYTES, r < 0 ? "no cgroup2 is mounted here" : "%.100s", path);
	return r < 0 ? r : PROBE_YES;
}

static void closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* The root cgroup has no such file: look at its first child. */
int probe_cgroup_file(struct host *host _unused_, const struct probe *p, char *note)
{
	char path[256];
	_cleanup_text_ struct text mounts = { 0 };
	int r = cgroup_mount(&mounts, path);
	if (r < 0) {
		snprintf(note, NOTE_BYTES, "no cgroup2 is mounted here");
		return r;
	}
	_cleanup_(closedirp) DIR *dir = opendir(path);
	for (struct dirent *e; dir && (e = readdir(dir));) {
		char file[600];
		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		snprintf(file, sizeof file, "%s/%s/%s", path, e->d_name, p->name);
		return faccessat(AT_FDCWD, file, W_OK, AT_EACCESS) == 0 ? PROBE_YES : neg_errno();
	}
	snprintf(note, NOTE_BYTES, "no cgroup to look at below %.60s", path);
	return PROBE_UNKNOWN;
}
