// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns questions to sock_diag(7). */
#include "collect/netlink.h"
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sys/socket.h>

static void unix_attribute(const struct rtattr *a, struct unix_diag *ret)
{
	const u8 *value = RTA_DATA(a);
	size_t len = RTA_PAYLOAD(a);
	switch (a->rta_type) {
	case UNIX_DIAG_PEER:
		ret->has_peer = true;
		memcpy(&ret->peer, value, MIN(len, sizeof ret->peer));
		break;
	case UNIX_DIAG_SHUTDOWN:
		ret->shutdown = value[0];
		break;
	case UNIX_DIAG_NAME:
		len = MIN(len, sizeof ret->name - 1);
		for (size_t i = 0; i < len; i++)
			ret->name[i] = value[i] ? (char)value[i] : '@';
		break;
	}
}

static int unix_reply(const struct nlmsghdr *h, ssize_t n, struct unix_diag *ret)
{
	if (!NLMSG_OK(h, (size_t)n))
		return -EBADMSG;
	if (h->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *e = NLMSG_DATA(h);
		return e->error < 0 ? e->error : -EBADMSG;
	}
	const struct unix_diag_msg *m = NLMSG_DATA(h);
	*ret = (struct unix_diag){ .type = m->udiag_type, .state = m->udiag_state };
	int left = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof *m));
	for (const struct rtattr *a = (const void *)(m + 1); RTA_OK(a, left); a = RTA_NEXT(a, left))
		unix_attribute(a, ret);
	return 0;
}

int netlink_unix_diag(u64 inode, struct unix_diag *ret)
{
	struct {
		struct nlmsghdr h;
		struct unix_diag_req r;
	} request = {
		.h = { .nlmsg_len = sizeof request, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST },
		.r = { .sdiag_family = AF_UNIX,
		       .udiag_states = UINT32_MAX,
		       .udiag_ino = (u32)inode,
		       .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER,
		       .udiag_cookie = { UINT32_MAX, UINT32_MAX } },
	};
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (fd < 0 || send(fd, &request, sizeof request, 0) < 0)
		return neg_errno();
	_Alignas(struct nlmsghdr) char reply[4096];
	ssize_t n = recv(fd, reply, sizeof reply, 0);
	return n < 0 ? neg_errno() : unix_reply((const void *)reply, n, ret);
}
