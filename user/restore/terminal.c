// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the terminal that is handed over at restore: which one, whether it can be given, and the relay between a new one and
 * ckpt's own. */
#include "restore/terminal.h"
#include "base/file.h"
#include "ctty.pb-c.h"
#include "diag/diag.h"
#include "resource/tty_named.h"
#include "tty.pb-c.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* --- what the image needs --- */

struct need {
	const Ckpt__Tty *first;
	bool several, control; /* a session of the tree, or /dev/tty */
};

static bool has_master(const struct graph *g, const struct object *slave)
{
	const Ckpt__Tty *t = slave->data;
	for (struct object *o = NULL; (o = graph_next(g, slave->kind, o));) {
		const Ckpt__Tty *m = o->data;
		if (m->has_index && t->has_number && m->index == t->number && m->devpts == t->devpts)
			return true;
	}
	return false;
}

/* A side whose other one is not in the tree, and lives. */
static bool is_given(const struct graph *g, const struct object *o)
{
	const Ckpt__Tty *t = o->data;
	return o->kind->desc == &ckpt__tty__descriptor && !t->has_index && !t->dead && !has_master(g, o) && !tty_is_named(g, t);
}

static struct need find_need(const struct graph *g)
{
	struct need n = { 0 };
	for (size_t i = 0; i < g->objects.n; i++) {
		const struct object *o = g->objects.v[i];
		if (o->kind->desc == &ckpt__ctty__descriptor)
			n.control |= ((const Ckpt__Ctty *)o->data)->external;
		if (!is_given(g, o))
			continue;
		const Ckpt__Tty *t = o->data;
		n.several |= n.first && n.first->device != t->device;
		n.first = n.first ?: t;
	}
	return n;
}

/* --- what there is --- */

static int open_source(const char *source)
{
	int fd;
	char *end;
	if (!strncmp(source, "fd:", 3)) {
		long number = strtol(source + 3, &end, 10);
		fd = *end || end == source + 3 ? -EBADF : fcntl((int)number, F_DUPFD_CLOEXEC, 3);
	} else if (*source) {
		fd = open(source, O_RDWR | O_NOCTTY | O_CLOEXEC);
	} else {
		fd = isatty(0) ? fcntl(0, F_DUPFD_CLOEXEC, 3) : open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	}
	return fd == -1 ? neg_errno() : fd;
}

/* A process whose controlling terminal it is; 0: nobody's. */
static pid_t find_holder(unsigned device)
{
	DIR *proc = opendir("/proc");
	pid_t found = 0;
	for (struct dirent *e; proc && !found && (e = readdir(proc));) {
		_cleanup_text_ struct text stat = { 0 };
		int terminal = 0;
		if (e->d_name[0] < '1' || e->d_name[0] > '9' || file_readf(&stat, AT_FDCWD, "/proc/%s/stat", e->d_name) < 0)
			continue;
		const char *end = stat.data ? strrchr(stat.data, ')') : NULL;
		if (end && sscanf(end + 1, " %*c %*d %*d %*d %d", &terminal) == 1 && (unsigned)terminal == device)
			found = atoi(e->d_name);
	}
	if (proc)
		closedir(proc);
	return found;
}

static int judge_free(const struct terminal *t, const char *source)
{
	unsigned device = 0;
	pid_t holder = ioctl(t->fd, TIOCGDEV, &device) < 0 ? 0 : find_holder(device);
	_cleanup_text_ struct text name = { 0 };
	if (!holder)
		return 0;
	file_readf(&name, AT_FDCWD, "/proc/%d/comm", (int)holder);
	return fail(TTY_CONTROLS, 0, "%s, of process %d (%.*s)", source, (int)holder,
		    name.data ? (int)strcspn(name.data, "\n") : 0, name.data ?: "");
}

/* A new one, whose other side ckpt keeps: what happens there is shown on its own. */
static int make_relay(struct terminal *t)
{
	struct winsize size;
	int unlock = 0;
	closep(&t->fd);
	t->master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (t->master < 0 || ioctl(t->master, TIOCSPTLCK, &unlock) < 0)
		return fail(TTY_HANDED, neg_errno(), "/dev/ptmx");
	t->fd = ioctl(t->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (t->fd < 0)
		return fail(TTY_HANDED, neg_errno(), "TIOCGPTPEER");
	t->is_own = false;
	if (ioctl(0, TIOCGWINSZ, &size) == 0)
		ioctl(t->master, TIOCSWINSZ, &size);
	return 0;
}

static int open_named(struct terminal *t, const struct restore_config *config, bool control)
{
	const char *source = config->terminal;
	pid_t session = 0;
	t->fd = open_source(source);
	if (t->fd < 0 || !isatty(t->fd)) {
		int err = t->fd < 0 ? t->fd : -ENOTTY;
		return fail(TTY_HANDED, err, "%s", *source ? source : "standard input");
	}
	t->is_own = ioctl(t->fd, TIOCGSID, &session) == 0 && session == getsid(0);
	if (!control || (t->is_own && *source == 0 && !config->detach))
		return control ? make_relay(t) : 0;
	return judge_free(t, *source ? source : "that of ckpt");
}

int terminal_open(struct terminal *t, const struct restore_config *config, const struct graph *g)
{
	struct need need = find_need(g);
	*t = (struct terminal){ .fd = -1, .master = -1 };
	if (!need.first)
		return 0;
	WORKING_ON("terminal %s", need.first->name ?: need.first->path ?: "?");
	if (need.several)
		return fail(TTY_SEVERAL, 0, "another one is %s", need.first->name ?: "/dev/tty");
	if (!config->terminal)
		return fail(TTY_MISSING, 0, "it was %s", need.first->name ?: need.first->path ?: "?");
	int r = open_named(t, config, need.control);
	if (r < 0)
		return r;
	/* a session of its own has none of ckpt's */
	t->is_own &= !config->detach || !config->pidns;
	t->has_size = ioctl(t->fd, TIOCGWINSZ, &t->size) == 0 && t->size.ws_row;
	t->has_before = tcgetattr(t->fd, &t->before) == 0;
	return 0;
}

void terminal_undo(struct terminal *t)
{
	if (t->fd >= 0 && t->has_size)
		ioctl(t->fd, TIOCSWINSZ, &t->size);
	if (t->fd >= 0 && t->has_before)
		tcsetattr(t->fd, TCSANOW, &t->before);
}

void terminal_released(struct terminal *t)
{
	if (t->fd >= 0 && t->has_size)
		ioctl(t->fd, TIOCSWINSZ, &t->size); /* the kernel sends SIGWINCH when it is another one */
	if (t->master >= 0)                         /* the tree holds its side alone: its end is seen */
		closep(&t->fd);
}

void terminal_free(struct terminal *t)
{
	closep(&t->fd);
	closep(&t->master);
}

/* --- the relay --- */

void relay_begin(struct terminal *t)
{
	struct termios raw;
	t->has_before = tcgetattr(0, &t->before) == 0;
	raw = t->before;
	cfmakeraw(&raw);
	if (t->has_before)
		tcsetattr(0, TCSADRAIN, &raw);
}

static ssize_t copy(int from, int to)
{
	char bytes[4096];
	ssize_t n = read(from, bytes, sizeof bytes);
	return n > 0 && file_write_full(to, bytes, (size_t)n) < 0 ? -1 : n;
}

bool relay_input(struct terminal *t) { return copy(0, t->master) > 0; }
bool relay_output(struct terminal *t) { return copy(t->master, 1) > 0; }

void relay_resize(struct terminal *t)
{
	struct winsize size;
	if (ioctl(0, TIOCGWINSZ, &size) == 0)
		ioctl(t->master, TIOCSWINSZ, &size);
}

/* What the program wrote last is still there. */
void relay_end(struct terminal *t)
{
	fcntl(t->master, F_SETFL, O_NONBLOCK);
	while (relay_output(t))
		;
	if (t->has_before)
		tcsetattr(0, TCSADRAIN, &t->before);
}
