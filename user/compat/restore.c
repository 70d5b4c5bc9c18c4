// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns `criu restore`. */
#include "base/clock.h"
#include "restore/restore.h"
#include "command/command.h"
#include "compat/front.h"
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>

struct run {
	struct front *front;
	struct restore_config config;
	VECTOR(char *) texts; /* what config.inherit and config.terminal point to */
	sigset_t set;
};

static void run_free(struct run *r)
{
	for (size_t i = 0; i < r->texts.n; i++)
		free(r->texts.v[i]);
	vector_free(&r->texts);
	vector_free(&r->config.inherit);
	vector_free(&r->config.cgroup_roots.list);
}

/* Keeps a text for the run; NULL, reported, when there is no memory. */
static const char *keep(struct run *r, char *text)
{
	char **place = text ? vector_add(&r->texts) : NULL;
	if (!place) {
		free(text);
		(void)fail_memory();
		return NULL;
	}
	return *place = text;
}

/* What criu(8) names KIND[ID], or KIND:[ID] as /proc links are, or a path without its first slash. NULL: no memory. */
static char *link_of(const char *resource)
{
	static const char *const kinds[] = { "pipe", "socket", "file" };
	char *text = NULL;
	int n = -1;
	for (size_t i = 0; n < 0 && i < ARRAY_SIZE(kinds); i++) {
		size_t len = strlen(kinds[i]);
		const char *id = strncmp(resource, kinds[i], len) ? "" : resource + len;
		id += *id == ':';
		if (*id == '[')
			n = asprintf(&text, "%s:%s", kinds[i], id);
	}
	if (n < 0)
		n = strncmp(resource, "unix[", 5) ? asprintf(&text, "/%s", resource + strspn(resource, "/"))
						  : asprintf(&text, "socket:%s", resource + 4);
	return n < 0 ? NULL : text;
}

/* fd[N]:RESOURCE */
static int add_inherited(struct run *r, const char *value)
{
	int number, skip = 0;
	char *text = NULL;
	if (sscanf(value, "fd[%d]:%n", &number, &skip) != 1 || !skip || !value[skip])
		return fail(USAGE, 0, "--inherit-fd takes fd[N]:RESOURCE, not \"%s\"", value);
	const char *resource = value + skip;
	if (!strncmp(resource, "tty[", 4)) {
		int n = asprintf(&text, "fd:%d", number);
		r->config.terminal = keep(r, n < 0 ? NULL : text);
		return r->config.terminal ? 0 : -ENOMEM;
	}
	_cleanup_free_ char *link = link_of(resource);
	const char **place = vector_add(&r->config.inherit);
	if (!place || !link)
		return fail_memory();
	int n = asprintf(&text, "%s=fd:%d", link, number);
	*place = keep(r, n < 0 ? NULL : text);
	return *place ? 0 : -ENOMEM;
}

/* NS:PID or NS:FILE: the tree is restored where ckpt runs, so ckpt goes there. */
static int join(const char *value)
{
	static const struct {
		const char *name;
		int flag;
	} kinds[] = { { "net", CLONE_NEWNET }, { "ipc", CLONE_NEWIPC }, { "uts", CLONE_NEWUTS } };
	const char *colon = strchr(value, ':');
	char path[PATH_MAX];
	size_t i = 0, len = colon ? (size_t)(colon - value) : 0;
	while (i < ARRAY_SIZE(kinds) && (strlen(kinds[i].name) != len || strncmp(kinds[i].name, value, len) != 0))
		i++;
	if (i == ARRAY_SIZE(kinds))
		return fail(USAGE, 0, "--join-ns takes net, ipc or uts, : and a process id or a file, not \"%s\"", value);
	bool is_id = colon[1] && colon[1 + strspn(colon + 1, "0123456789")] == 0;
	int n = is_id ? snprintf(path, sizeof path, "/proc/%s/ns/%s", colon + 1, kinds[i].name)
		      : snprintf(path, sizeof path, "%s", colon + 1);
	_cleanup_close_ int fd = n < (int)sizeof path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	return fd < 0 || setns(fd, kinds[i].flag) < 0 ? fail(SYSCALL, neg_errno(), "--join-ns %s", value) : 0;
}

/* Everything is made and nothing has run. */
static int confirm_restore(void *arg, pid_t root)
{
	struct front *f = arg;
	const char *pidfile = option_value(&f->options, OPTION_PIDFILE);
	f->pid = root;
	int r = pidfile ? command_pidfile(pidfile, 0600, root) : 0;
	if (r == 0)
		r = scripts_run(f, "post-restore");
	if (r == 0)
		r = scripts_run(f, "pre-resume");
	if (r < 0 && pidfile)
		unlink(pidfile);
	return r;
}

/* Without the option groups that are there are entered, and none is made. */
static int cgroup_policy(const struct options *o, struct policies *ret)
{
	static const char *const modes[][2] = {
		{ "none", "cgroup=require" }, { "props", "cgroup=set" },     { "soft", "cgroup=keep" },   { "", "cgroup=keep" },
		{ "full", "cgroup=full" },    { "strict", "cgroup=strict" }, { "ignore", "cgroup=drop" },
	};
	const char *mode = option_value(o, OPTION_MANAGE_CGROUPS), *policy = "cgroup=enter";
	for (size_t i = 0; mode && i < ARRAY_SIZE(modes); i++)
		policy = strcmp(mode, modes[i][0]) ? policy : modes[i][1];
	return policy_parse(ret, policy, POLICY_AT_RESTORE);
}

static int configure(struct run *r)
{
	struct front *f = r->front;
	const struct options *o = &f->options;
	const char *value;
	int result;
	r->config = (struct restore_config){
		.dir = f->image,
		.verify = true,
		.trust = true,
		.cut = true,
		.spare_inherit = true,
		.sibling = option_given(o, OPTION_RESTORE_SIBLING),
		.detach = option_given(o, OPTION_RESTORE_DETACHED) || option_given(o, OPTION_RESTORE_SIBLING),
		.stopped = option_given(o, OPTION_LEAVE_STOPPED),
		.terminal = option_given(o, OPTION_SHELL_JOB) ? "" : NULL,
		.confirm = { confirm_restore, f },
	};
	result = tcp_policies(f, &r->config.policies, false);
	if (result == 0)
		result = cgroup_policy(o, &r->config.policies);
	for (size_t at = 0; result == 0 && (value = option_next(o, OPTION_CGROUP_ROOT, &at));)
		result = cgroup_root_add(&r->config.cgroup_roots, value);
	for (size_t at = 0; result == 0 && (value = option_next(o, OPTION_INHERIT_FD, &at));)
		result = add_inherited(r, value);
	for (size_t at = 0; result == 0 && (value = option_next(o, OPTION_JOIN_NS, &at));)
		result = join(value);
	return result;
}

/* criu does not tell how the program ended. */
static int wait_for(struct run *run, struct restored *restored)
{
	struct front *f = run->front;
	char *const *command = option_given(&f->options, OPTION_EXEC_CMD) ? f->options.rest : NULL;
	if (command && *command) {
		sigprocmask(SIG_UNBLOCK, &run->set, NULL);
		execvp(*command, command);
		return fail(SYSCALL, neg_errno(), "execvp(%s)", *command);
	}
	int status = run->config.detach ? 0 : restore_wait(restored, &run->set);
	return status < 0 ? status : 0;
}

/* criu's own images are not ckpt's. */
static int judge_image(const struct front *f)
{
	char path[PATH_MAX];
	bool is_criu =
		(size_t)snprintf(path, sizeof path, "%s/inventory.img", f->images) < sizeof path && access(path, F_OK) == 0;
	return is_criu && access(f->image, F_OK) < 0 ? fail(CRIU_IMAGE, 0, "%s", f->images) : 0;
}

static int run_restore(struct run *run, struct restored *restored)
{
	struct front *f = run->front;
	_cleanup_text_ struct text plan = { 0 };
	u64 begun = now_ns();
	int r = restore_tree(&run->config, restored, &plan);
	if (r < 0)
		return r;
	f->pid = restored->root;
	stats_restore(f, now_ns() - begun, restored->bytes / PAGE_BYTES);
	size_t mark = diag_mark();
	if (scripts_run(f, "post-resume") < 0) { /* the tree runs: criu tells it in the log alone */
		diag_survived(mark);
		log_say(&f->log, LOG_ERROR, "CONFIRM", "an action script failed at post-resume");
	}
	front_tell(f, false);
	return wait_for(run, restored);
}

int front_restore(struct front *f)
{
	_cleanup_(run_free) struct run run = { .front = f };
	_cleanup_(restored_free) struct restored restored = { .reaper_fd = -1,
							      .channel = -1,
							      .terminal = { .fd = -1, .master = -1 } };
	struct caps caps;
	diag_begin("restore", f->images);
	int r = judge_image(f);
	if (r == 0)
		r = configure(&run);
	if (r == 0)
		r = command_caps(&caps);
	run.config.caps = &caps;
	if (r == 0)
		r = scripts_run(f, "pre-restore");
	if (r == 0)
		r = status_tell(f);
	if (r == 0 && !run.config.detach)
		command_block_handed(&run.set);
	return r == 0 ? run_restore(&run, &restored) : r;
}
