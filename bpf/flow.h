/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The keys of the network lock's map, as bpf/netlock.bpf.c and user/netlock have them. */
#ifndef CKPT_FLOW_H
#define CKPT_FLOW_H

#define NETLOCK_MARK 0xC114 /* SO_MARK of packets that the lock lets pass: ckpt's own */

#define FLOWS_MAX 131072 /* in one lock */

/* One connection, seen from the end that is locked; without the remote end: who wants to connect, to this local address or (0) to
 * any. All bytes count: what is unused is 0. */
struct flow {
	unsigned char local[16], remote[16];    /* network order; IPv4: the first 4 bytes */
	unsigned short local_port, remote_port; /* network order */
	unsigned int family;                    /* AF_INET or AF_INET6 */
};
/* The value of the map is an unsigned long long: CLOCK_BOOTTIME in ns from which on the flow is free. */
#endif
