// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns userfaultfd(2): the descriptor. It is about the memory of the process that made it, so that process makes it again, and
 * sends it to the others that have it. What it answers for is told by userfaults. No event is carried: a thread that waits for its page
 * leaves its fault when it is stopped (handle_userfault() of fs/userfaultfd.c), and has it again when it goes on. */
#include "collect/collect.h"
#include "model/shape.h"
#include "resource/opener.h"
#include "resource/userfault.h"
#include "userfaultfd.pb-c.h"
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#define USER_MODE_ONLY 1u /* UFFD_USER_MODE_ONLY, Linux 5.11 */

static const struct kind kind_userfaultfd = { .name = "userfaultfd", .desc = &ckpt__userfaultfd__descriptor };

static bool userfaultfd_claims(const struct record_file *file, const char *link)
{
	(void)file;
	return !strcmp(link, "anon_inode:[userfaultfd]");
}

static int userfaultfd_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	(void)subject;
	Ckpt__Userfaultfd *m = o->data;
	const struct record_file *file = collector_kernel_file(c);
	if (!file || !file->userfault_id)
		return 0;
	SET(m, user_only, file->userfault_flags & USER_MODE_ONLY);
	if (file->userfault_process)
		SET(m, process, file->userfault_process);
	if (file->userfault_features & USERFAULT_AGREED)
		SET(m, features, file->userfault_features & ~USERFAULT_AGREED);
	return collector_remember(c, userfault_key(file->userfault_id), o->id) < 0 ? fail_memory() : 0;
}

static int userfaultfd_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	(void)direction;
	const Ckpt__Userfaultfd *m = o->data;
	const char *const later[] = { "fds", "epoll", "userfaults", NULL };
	if (graph_refers(graph, o->id, later))
		return fail(FD_USERFAULT, 0, "it lies in a socket");
	if (!m->has_user_only)
		return fail(USERFAULT_FACTS, 0, "whose memory it is about");
	const Ckpt__Task *task = shape_task(graph, m->process);
	if (!task || shape_is_zombie(task))
		return fail(FD_USERFAULT, 0, "it is about the memory of a process that is not in the tree");
	if (task->mm != task->pid || task->fds != task->pid)
		return fail(FD_USERFAULT, 0, "it is about the memory of process %u, which shares memory or descriptors",
			    task->pid);
	return 0;
}

static int userfaultfd_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Userfaultfd *m = o->data;
	struct place at = opener_place(plan, m->process);
	u32 flags = O_CLOEXEC | (file_flags(graph, o->id) & O_NONBLOCK) | (m->user_only ? USER_MODE_ONLY : 0);
	u32 slot = step_result(plan, plan_call(plan, at, SYS_userfaultfd, ARG(flags)));
	if (m->has_features) {
		u32 api = plan_data(plan, &(struct uffdio_api){ .api = UFFD_API, .features = m->features },
				    sizeof(struct uffdio_api), 8);
		plan_call(plan, at, SYS_ioctl, ARG_OF_SLOT(slot), ARG(UFFDIO_API), ARG_OF_DATA(api));
	}
	plan_hand_out(plan, graph, o->id, m->process, slot);
	return 0;
}

const struct resource resource_userfaultfd = {
	.name = "userfaultfd",
	.scope = SCOPE_FILE,
	.kind = &kind_userfaultfd,
	.claims = userfaultfd_claims,
	.collect = userfaultfd_collect,
	.judge = userfaultfd_judge,
	.plan = userfaultfd_plan,
};
