// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the table of probes. Numbers that are newer than the headers of the build host are spelled out. */
#include "host/probe.h"
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/capability.h>
#include <linux/kcmp.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* ioctl(2) numbers of pidfds and namespaces: _IO(0xff, n) and _IO(0xb7, n) */
#define PIDFD_IOCTL(n) (0xff00 | (n))
#define PIDFD_INFO_IOCTL 0xc040ff0bl /* _IOWR(0xff, 11, 64 bytes) */
#define NS_IOCTL(n) (0xb700 | (n))
#define NS_MNT_INFO_IOCTL 0x8010b70al /* _IOR(0xb7, 10, 16 bytes) */
#define NS_ID_IOCTL 0x8008b70dl       /* _IOR(0xb7, 13, u64) */

const struct probe probes[CAN_COUNT] = {
#define PROBE(id, flags, instead, built, run, name, ...)                                                                       \
	[CAN_##id] = { flags, CAN_##instead, built, run, name, { __VA_ARGS__ } },
#include "host/probes.def"
#undef PROBE
};
