// SPDX-License-Identifier: LGPL-2.1-or-later
/* The command line of criu(8): each option, what is refused, and what the caller sees of the processes. */
#include "compat/front.h"
#include "diag/diag.h"
#include "harness/target.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static pid_t parent_of(pid_t pid)
{
	char path[64];
	int parent = 0;
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	_cleanup_free_ char *stat = read_text(path);
	char *end = stat ? strrchr(stat, ')') : NULL;
	CHECK(end && sscanf(end + 1, " %*c %d", &parent) == 1);
	return parent;
}

static const char *pid_text(const struct target *t)
{
	static char text[16];
	snprintf(text, sizeof text, "%d", t->pid);
	return text;
}

static const char *in_image(const struct target *t, const char *name)
{
	static char path[2][160];
	static int turn;
	turn = !turn;
	snprintf(path[turn], sizeof path[turn], "%s/%s", t->image, name);
	return path[turn];
}

static void start(struct target *t)
{
	target_start(t, "sleeper");
	CHECK_OK(mkdir(t->image, 0755));
}

#define dump(t, output, ...) criu(output, "dump", "-D", (t)->image, "-t", pid_text(t), ##__VA_ARGS__)
#define restore(t, output, ...) criu(output, "restore", "-D", (t)->image, "-d", ##__VA_ARGS__)

static void dumped(struct target *t)
{
	start(t);
	CHECK_EQ(dump(t, NULL), 0);
	target_gone(t->pid);
}

/* --- who is whose parent --- */

TEST(detached_has_init, .root = true)
{
	struct target t;
	dumped(&t);
	CHECK_EQ(restore(&t, NULL), 0);
	CHECK_EQ(parent_of(t.pid), 1);
	target_judge(&t);
}

TEST(detached_has_subreaper, .root = true)
{
	struct target t;
	dumped(&t);
	CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
	CHECK_EQ(restore(&t, NULL), 0);
	CHECK_EQ(parent_of(t.pid), getpid());
	target_judge(&t);
}

TEST(sibling_has_caller, .root = true)
{
	struct target t;
	int status;
	dumped(&t);
	CHECK_EQ(restore(&t, NULL, "--restore-sibling"), 0);
	CHECK_EQ(parent_of(t.pid), getpid());
	target_judge(&t);
	CHECK_EQ(waitpid(t.pid, &status, 0), t.pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(foreground_waits, .root = true)
{
	struct target t;
	int status;
	dumped(&t);
	fflush(stdout);
	pid_t waits = fork();
	if (waits == 0)
		_exit(criu(NULL, "restore", "-D", t.image, "--pidfile", "file"));
	while (access(in_image(&t, "file"), F_OK) < 0)
		nap_ms(5);
	CHECK_EQ(waitpid(waits, &status, WNOHANG), 0);
	target_judge(&t);
	CHECK_EQ(waitpid(waits, &status, 0), waits);
	CHECK_EQ(status, 0);
}

/* The tree is the child of what took criu's place. */
TEST(command_after_restore, .root = true)
{
	struct target t;
	dumped(&t);
	_cleanup_text_ struct text output = { 0 };
	CHECK_EQ(criu(&output, "restore", "-D", t.image, "--exec-cmd", "--", "/bin/sh", "-c",
		      "cat /proc/$$/task/$$/children; exit 7"),
		 7);
	CHECK_CONTAINS(output.data, pid_text(&t));
	target_judge(&t);
}

static void await_state(pid_t pid, char state)
{
	while (target_state(pid) != state)
		nap_ms(1);
}

TEST(left_stopped_and_running, .root = true)
{
	struct target t;
	start(&t);
	CHECK_EQ(dump(&t, NULL, "--leave-running"), 0);
	CHECK(target_alive(t.pid));
	CHECK_EQ(dump(&t, NULL, "--leave-stopped"), 0);
	await_state(t.pid, 'T');
	CHECK_EQ(dump(&t, NULL), 0); /* the image is replaced again */
	target_gone(t.pid);
	CHECK_EQ(restore(&t, NULL, "--leave-stopped"), 0);
	await_state(t.pid, 'T');
	CHECK_OK(kill(t.pid, SIGCONT));
	target_judge(&t);
}

static const char script[] = WORK "/script", actions_file[] = WORK "/actions";

#define SCRIPT "#!/bin/sh\necho $CRTOOLS_SCRIPT_ACTION $CRTOOLS_IMAGE_DIR ${CRTOOLS_INIT_PID:-none} >>" WORK "/actions\n"

static void write_script(const char *more)
{
	char text[512];
	snprintf(text, sizeof text, SCRIPT "%s\n", more);
	write_text(script, text);
	CHECK_OK(chmod(script, 0700));
	unlink(actions_file);
}

/* --- directories and files --- */

TEST(directories, .root = true)
{
	struct target t;
	char work[96], pidfile[128];
	start(&t);
	snprintf(work, sizeof work, "%s.work", t.image);
	snprintf(pidfile, sizeof pidfile, "%s/the.pid", work);
	CHECK_OK(mkdir(work, 0700));
	write_text(in_image(&t, "somebody's"), "file");
	CHECK_EQ(dump(&t, NULL, "-W", work, "-o", "a.log", "--display-stats"), 0);
	target_gone(t.pid);
	CHECK_OK(chmod(t.image, 0777)); /* criu asks nobody's leave */
	CHECK_EQ(restore(&t, NULL, "--work-dir", work, "--log-file=b.log", "--pidfile", "the.pid"), 0);
	_cleanup_free_ char *pid = read_text(pidfile);
	CHECK_STR(pid ?: "", pid_text(&t));
	CHECK_OK(chdir(work));
	CHECK_OK(access("a.log", F_OK));
	CHECK_OK(access("b.log", F_OK));
	static const unsigned char magic[] = { 0x40, 0x59, 0x10, 0x55, 0x06, 0x33, 0x09, 0x57 };
	for (int i = 0; i < 2; i++) {
		_cleanup_free_ char *stats = read_text(i ? "stats-restore" : "stats-dump");
		CHECK_MEM(stats, magic, sizeof magic);
	}
	CHECK_OK(access(in_image(&t, "somebody's"), F_OK));
	target_judge(&t);
}

/* A dump that fails leaves the image that was there; so does one that was killed, and the next one takes its rest away. */
TEST(older_image_stays_until_there_is_a_newer, .root = true)
{
	struct target t, other;
	char rest[96];
	dumped(&t);
	target_start(&other, "sleeper");
	write_script("test $CRTOOLS_SCRIPT_ACTION != pre-dump");
	snprintf(rest, sizeof rest, "%s/." FRONT_IMAGE ".new", t.image);
	CHECK_OK(mkdir(rest, 0700));
	write_text(strcat(rest, "/pages"), "of a dump that was killed");
	CHECK_EQ(criu(NULL, "dump", "-D", t.image, "-t", pid_text(&other), "--action-script", script), 1);
	CHECK_EQ(ckpt(NULL, "verify", in_image(&t, FRONT_IMAGE)), 0);
	CHECK_EQ(restore(&t, NULL), 0);
	target_judge(&t);
	CHECK_EQ(criu(NULL, "dump", "-D", t.image, "-t", pid_text(&other)), 0);
	CHECK(access(rest, F_OK) < 0);
	target_gone(other.pid);
	CHECK_EQ(restore(&t, NULL), 0);
	CHECK(target_alive(other.pid));
	target_judge(&other);
}

TEST(no_directory, .root = true)
{
	struct target t;
	start(&t);
	CHECK_EQ(criu(NULL, "dump", "-D", "/mnt/nowhere", "-t", pid_text(&t)), 1);
	CHECK_EQ(dump(&t, NULL, "-W", "/mnt/nowhere"), 1);
	CHECK_EQ(dump(&t, NULL, "-o", "no/where"), 1);
	CHECK_EQ(restore(&t, NULL, "-o", "e.log"), 1);
	_cleanup_free_ char *log = read_text(in_image(&t, "e.log"));
	CHECK_CONTAINS(log, ") Error (IMAGE_MISSING): ");
	CHECK_CONTAINS(log, "Restoring FAILED.\n");
	write_text(in_image(&t, "inventory.img"), "");
	_cleanup_text_ struct text output = { 0 };
	CHECK_EQ(restore(&t, &output), 1);
	CHECK_CONTAINS(output.data, "CRIU_IMAGE");
	target_judge(&t);
}

/* --- scripts --- */

static void expect_actions(const struct target *t, int count, const char *const *actions, bool pid_first)
{
	_cleanup_text_ struct text want = { 0 };
	for (int i = 0; i < count; i++)
		text_addf(&want, "%s %s %s\n", actions[i], t->image, i || pid_first ? pid_text(t) : "none");
	_cleanup_free_ char *got = read_text(actions_file);
	CHECK_STR(got ?: "", want.data);
}

TEST(actions_in_order, .root = true)
{
	static const char *const at_dump[] = { "pre-dump", "post-dump" }, *const at_restore[] = { "pre-restore", "post-restore",
												  "pre-resume", "post-resume" };
	struct target t;
	start(&t);
	write_script("");
	CHECK_EQ(dump(&t, NULL, "--action-script", script), 0);
	expect_actions(&t, 2, at_dump, true);
	write_script("");
	CHECK_OK(chdir(WORK));
	CHECK_OK(rename("script", "a script"));
	CHECK_EQ(restore(&t, NULL, "--action-script", "./a script"), 0);
	expect_actions(&t, 4, at_restore, false);
	target_judge(&t);
}

/* The tree stands still, and the pidfile is there, when post-restore and pre-resume are run; a refusal leaves nothing. */
TEST(actions_refuse, .root = true)
{
	struct target t;
	_cleanup_text_ struct text output = { 0 };
	start(&t);
	write_script("test $CRTOOLS_SCRIPT_ACTION != pre-dump");
	CHECK_EQ(dump(&t, &output, "--action-script", script), 1);
	CHECK_CONTAINS(output.data, "(CONFIRM)");
	CHECK(access(in_image(&t, FRONT_IMAGE), F_OK) < 0);
	write_script("test $CRTOOLS_SCRIPT_ACTION != post-dump");
	CHECK_EQ(dump(&t, NULL, "--action-script", script), 1);
	CHECK(target_alive(t.pid));
	CHECK_EQ(dump(&t, NULL), 0);
	target_gone(t.pid);
	write_script("cut -d' ' -f3 /proc/$CRTOOLS_INIT_PID/stat >>/mnt/states; test -e the.pid && test $CRTOOLS_SCRIPT_ACTION "
		     "!= pre-resume");
	CHECK_EQ(restore(&t, NULL, "--action-script", script, "--pidfile", "the.pid"), 1);
	CHECK(access(in_image(&t, "the.pid"), F_OK) < 0);
	target_gone(t.pid);
	write_script("cut -d' ' -f3 /proc/$CRTOOLS_INIT_PID/stat >>" WORK
		     "/states; test $CRTOOLS_SCRIPT_ACTION != post-resume");
	unlink("/mnt/states");
	CHECK_EQ(restore(&t, NULL, "--action-script", script), 0); /* it runs already */
	_cleanup_free_ char *states = read_text("/mnt/states");
	CHECK_CONTAINS(states, "t\nt\n");
	target_judge(&t);
}

/* --- what leads outside --- */

/* A sleeper that has a file of ours at descriptor 7. */
static void target_with(struct target *t, int file)
{
	char program[512], link[64];
	start(t); /* makes the places */
	target_judge(t);
	target_gone(t->pid);
	CHECK_OK(unlink(strcat(strcpy(link, t->dir), "/verdict")));
	snprintf(program, sizeof program, "%s/stop", t->dir);
	unlink(program);
	snprintf(program, sizeof program, "%s/ready", t->dir);
	unlink(program);
	snprintf(program, sizeof program, "%s/selftests/programs/sleeper", test_build_dir());
	t->pid = fork();
	if (t->pid == 0) {
		setsid();
		dup2(file, 7);
		int null = open("/dev/null", O_RDWR);
		dup2(null, 0), dup2(null, 1), dup2(null, 2);
		close_range(3, 6, 0); /* what the test was started with */
		close_range(8, ~0u, 0);
		execl(program, program, t->dir, NULL);
		_exit(127);
	}
	snprintf(program, sizeof program, "%s/ready", t->dir);
	while (access(program, F_OK) < 0)
		nap_ms(2);
}

static ino_t inode_of(pid_t pid, int fd)
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
	CHECK_OK(stat(path, &st));
	return st.st_ino;
}

TEST(pipe_is_cut_or_inherited, .root = true)
{
	struct target t;
	struct stat st;
	int ends[2];
	char key[64];
	_cleanup_text_ struct text output = { 0 };
	CHECK_OK(pipe2(ends, O_CLOEXEC));
	target_with(&t, ends[1]);
	CHECK_OK(fstat(ends[1], &st));
	CHECK_EQ(dump(&t, NULL, "-v4"), 0);
	target_gone(t.pid);
	CHECK_EQ(restore(&t, &output, "-v4"), 0);
	CHECK_CONTAINS(output.data, "(FILE_CUT)");
	CHECK(inode_of(t.pid, 7) != st.st_ino);
	CHECK_OK(kill(t.pid, SIGKILL));
	target_gone(t.pid);
	int inherited = (int)CHECK_OK(fcntl(ends[1], F_DUPFD, 20));
	snprintf(key, sizeof key, "fd[%d]:pipe[%llu]", inherited, (unsigned long long)st.st_ino);
	CHECK_EQ(restore(&t, NULL, "--inherit-fd", key, "--inherit-fd", "fd[0]:pipe[1]", "--inherit-fd", "fd[0]:etc/passwd"),
		 0);
	CHECK_EQ(inode_of(t.pid, 7), st.st_ino);
	CHECK_OK(kill(t.pid, SIGKILL));
	target_gone(t.pid);
	snprintf(key, sizeof key, "fd[%d]:pipe:[%llu]", inherited, (unsigned long long)st.st_ino); /* as its link is */
	CHECK_EQ(restore(&t, NULL, "--inherit-fd", key), 0);
	CHECK_EQ(inode_of(t.pid, 7), st.st_ino);
	target_judge(&t);
	CHECK_EQ(restore(&t, NULL, "--inherit-fd", "nonsense"), 1);
}

/* A path is written with its first slash or without; a mount and an inode mean the same file. */
TEST(file_is_replaced, .root = true)
{
	struct target t;
	struct stat st, other;
	char keys[3][64];
	unsigned mount = 0;
	int file = (int)CHECK_OK(open(WORK "/old", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	int fresh = (int)CHECK_OK(open(WORK "/new", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	int read_only = (int)CHECK_OK(open(WORK "/new", O_RDONLY | O_CLOEXEC));
	CHECK_OK(fstat(file, &st));
	CHECK_OK(fstat(fresh, &other));
	target_with(&t, file);
	snprintf(keys[0], sizeof keys[0], "/proc/%d/fdinfo/7", t.pid);
	_cleanup_free_ char *info = read_text(keys[0]);
	CHECK(info && strstr(info, "mnt_id:") && sscanf(strstr(info, "mnt_id:"), "mnt_id: %u", &mount) == 1);
	CHECK_EQ(dump(&t, NULL), 0);
	target_gone(t.pid);
	int given = (int)CHECK_OK(fcntl(fresh, F_DUPFD, 20)), wrong = (int)CHECK_OK(fcntl(read_only, F_DUPFD, 30));
	snprintf(keys[0], sizeof keys[0], "fd[%d]:%s/old", given, &WORK[1]);
	snprintf(keys[1], sizeof keys[1], "fd[%d]:%s/old", given, WORK);
	snprintf(keys[2], sizeof keys[2], "fd[%d]:file[%x:%llx]", given, mount, (unsigned long long)st.st_ino);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(restore(&t, NULL, "--inherit-fd", keys[i]), 0);
		CHECK_EQ(inode_of(t.pid, 7), other.st_ino);
		CHECK_OK(kill(t.pid, SIGKILL));
		target_gone(t.pid);
	}
	_cleanup_text_ struct text output = { 0 };
	snprintf(keys[0], sizeof keys[0], "fd[%d]:%s/old", wrong, WORK);
	CHECK_EQ(restore(&t, &output, "--inherit-fd", keys[0]), 1);
	CHECK_CONTAINS(output.data, "(FILE_HANDED)");
	CHECK_EQ(restore(&t, NULL), 0);
	CHECK_EQ(inode_of(t.pid, 7), st.st_ino);
	target_judge(&t);
}

TEST(join_a_namespace, .root = true)
{
	struct target t;
	char name[80], host[80], key[64];
	CHECK_OK(gethostname(host, sizeof host));
	int tell[2], byte;
	CHECK_OK(pipe2(tell, O_CLOEXEC));
	pid_t holder = fork();
	if (holder == 0) {
		if (unshare(CLONE_NEWUTS) < 0 || sethostname("joined", 6) < 0 || write(tell[1], "", 1) != 1)
			_exit(1);
		pause();
	}
	CHECK_EQ(read(tell[0], &byte, 1), 1);
	dumped(&t);
	snprintf(key, sizeof key, "uts:%d", holder);
	CHECK_EQ(restore(&t, NULL, "-J", key), 0);
	snprintf(name, sizeof name, "/proc/%d/ns/uts", t.pid);
	int ns = (int)CHECK_OK(open(name, O_RDONLY | O_CLOEXEC));
	CHECK_OK(setns(ns, CLONE_NEWUTS));
	CHECK_OK(gethostname(name, sizeof name));
	CHECK_STR(name, "joined");
	target_judge(&t);
	CHECK_EQ(restore(&t, NULL, "-J", "time:1"), 1);
	kill(holder, SIGKILL);
}

/* --- options --- */

TEST(unknown_options, .root = true)
{
	static const char *const wrong[][2] = {
		{ "--nosuch", "nosuch" },
		{ "--no-leave-running", "no-leave-running" },
		{ "--manage-cgroups=bogus", "none|props|soft|full|strict|ignore" },
		{ "--network-lock=bogus", "iptables|nftables|skip" },
		{ "--verbosity=loud", "no verbosity" },
		{ "more", "one argument too many" },
		{ "--timeout=soon", "takes a number of seconds" },
		{ "--timeout=-1", "takes a number of seconds" },
		{ "--ghost-limit=much", "USAGE" },
		{ "--lsm-profile=apparmor:x", "CRIU_OPTION" },
	};
	struct target t;
	start(&t);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		_cleanup_text_ struct text output = { 0 };
		CHECK_EQ(dump(&t, &output, wrong[i][0]), 1);
		CHECK_CONTAINS(output.data, wrong[i][1]);
	}
	CHECK_EQ(criu(NULL, "dump", "-D", t.image, "-t", "12x"), 1);
	CHECK_EQ(criu(NULL, "dump", "-D", t.image), 1);
	CHECK_EQ(criu(NULL, "nosuch"), 1);
	_cleanup_text_ struct text output = { 0 };
	CHECK_EQ(criu(&output, "pre-dump", "-D", t.image, "-t", pid_text(&t)), 1);
	CHECK_CONTAINS(output.data, "CRIU_COMMAND");
	CHECK(access(in_image(&t, FRONT_IMAGE), F_OK) < 0);
	target_judge(&t);
}

/* Every option that is accepted without effect is, at a dump and at a restore, and the log says so. */
TEST(options_without_effect, .root = true, .seconds = 60)
{
	struct target t;
	const char *argv[2 * OPTION_COUNT + 8];
	char texts[OPTION_COUNT][80];
	int n = 0;
	argv[n++] = "-v3";
	for (int id = 0; id < OPTION_COUNT; id++) {
		const struct option_row *row = option_row((enum option_id)id);
		const char *first = *row->values ? row->values : "1";
		if (row->use != NOTHING)
			continue;
		int len = (int)strcspn(first, "|");
		if (row->argument == FLAG || row->argument == PLAIN)
			snprintf(texts[id], sizeof texts[id], "--%s", row->name);
		else
			snprintf(texts[id], sizeof texts[id], "--%s=%.*s", row->name, len, first);
		argv[n++] = texts[id];
	}
	start(&t);
	for (int turn = 0; turn < 2; turn++) {
		const char *const head[][5] = { { "criu", "dump", "-t", pid_text(&t), NULL },
						{ "criu", "restore", "-d", NULL } };
		const char *all[2 * OPTION_COUNT + 16];
		int count = 0;
		for (int i = 0; head[turn][i]; i++)
			all[count++] = head[turn][i];
		all[count++] = "-D";
		all[count++] = t.image;
		memcpy(all + count, argv, (size_t)n * sizeof *argv);
		all[count + n] = NULL;
		_cleanup_text_ struct text output = { 0 };
		CHECK_EQ(criuv(&output, all), 0);
		for (int id = 0; id < OPTION_COUNT; id++) {
			char line[120];
			snprintf(line, sizeof line, "--%s changes nothing: ", option_row((enum option_id)id)->name);
			CHECK_EQ(strstr(output.data, line) != NULL, option_row((enum option_id)id)->use == NOTHING);
		}
		if (turn == 0)
			target_gone(t.pid);
	}
	target_judge(&t);
}

/* The others that are accepted, and what takes them back. */
TEST(options_with_effect, .root = true)
{
	struct target t;
	int tell[2];
	char fd[16], byte = 1;
	start(&t);
	CHECK_OK(pipe2(tell, O_CLOEXEC));
	int kept = (int)CHECK_OK(fcntl(tell[1], F_DUPFD, 30));
	snprintf(fd, sizeof fd, "%d", kept);
	_cleanup_text_ struct text output = { 0 };
	CHECK_EQ(dump(&t, &output, "-vvvv", "--pidfile", "for-restore", "--external", "mnt[/a]:b", "--external", "what[1]",
		      "-R", "--timeout", "0"),
		 0);
	CHECK_CONTAINS(output.data, "--pidfile changes nothing here: it is for restore");
	CHECK_CONTAINS(output.data, "--external mnt[/a]:b changes nothing: mounts");
	CHECK_CONTAINS(output.data, "--external what[1] changes nothing: no such kind");
	CHECK_EQ(dump(&t, NULL, "-vvvv", "--ghost-limit", "5M", "--timeout=20", "--ext-unix-sk", "-j", "-l", "--external",
		      "unix[1]", "--tcp-established", "--skip-in-flight", "--network-lock", "skip", "--status-fd", fd,
		      "--close", "99", "--tls", "--no-tls", "--page-server", "--no-page-server", "--no-display-stats"),
		 0);
	CHECK_EQ(read(tell[0], &byte, 1), 1);
	CHECK_EQ(byte, 0);
	target_gone(t.pid);
	CHECK_EQ(restore(&t, NULL, "--shell-job", "--tcp-close", "--inherit-fd", "fd[0]:tty[1:2]", "-r", "/"), 0);
	target_judge(&t);
}

TEST(options_files, .root = true)
{
	struct target t;
	char config[96], wanted[600];
	_cleanup_text_ struct text output = { 0 };
	start(&t);
	snprintf(config, sizeof config, "%s.conf", t.image);
	snprintf(wanted, sizeof wanted,
		 "# words\n  file-locks\n\nimages-dir \"%s\" # here\nlog-file named.log\nverbosity 4\nleave-running", t.image);
	write_text(config, wanted);
	CHECK_EQ(criu(NULL, "dump", "-t", pid_text(&t), "--config", config), 0);
	CHECK(target_alive(t.pid));
	_cleanup_free_ char *log = read_text(in_image(&t, "named.log"));
	CHECK_CONTAINS(log, "--file-locks changes nothing");
	CHECK_OK(setenv("CRIU_CONFIG_FILE", config, 1));
	CHECK_EQ(criu(NULL, "dump", "-t", pid_text(&t), "-o", "other.log"), 0); /* the command line counts */
	CHECK_OK(access(in_image(&t, "other.log"), F_OK));
	write_text(config, "tcp-established\nnosuch\n");
	CHECK_EQ(dump(&t, &output, "-R"), 1);
	CHECK_CONTAINS(output.data, config);
	CHECK_EQ(dump(&t, NULL, "-R", "--no-default-config"), 0);
	CHECK_EQ(dump(&t, NULL, "-R", "--no-default-config", "--config", "/mnt/nowhere"), 0);
	target_judge(&t);
}

TEST(checks, .root = true)
{
	_cleanup_text_ struct text all = { 0 }, version = { 0 }, missing = { 0 }, help = { 0 }, list = { 0 };
	CHECK_EQ(criu(NULL, "check"), 0);
	CHECK_EQ(criu(&list, "check", "--feature", "list"), 0);
	CHECK_CONTAINS(list.data, "tcp_half_closed");
	CHECK_EQ(criu(NULL, "check", "--feature", "userns"), 0);
	CHECK_EQ(criu(NULL, "check", "--feature=mnt_id"), 0);
	CHECK_EQ(criu(&missing, "check", "--feature", "compat_cr"), 1);
	CHECK_CONTAINS(missing.data, "CRIU_FEATURE");
	CHECK_EQ(criu(NULL, "check", "--feature", "nosuch"), 1);
	CHECK_EQ(criu(&all, "check", "--all"), 1);
	CHECK_CONTAINS(all.data, "compat_cr");
	CHECK_EQ(criu(&version, "--version"), 0);
	CHECK_MEM(version.data, "Version: 4.", 11);
	CHECK_EQ(criu(&help, "--help"), 0);
	CHECK_CONTAINS(help.data, "--tcp-established");
	CHECK_EQ(criu(NULL, "restore", "-V"), 0);
	CHECK_EQ(ckpt(NULL, "criu", "check", "--feature", "userns"), 0);
}

/* --- the same by ckpt's own names --- */

TEST(own_options, .root = true)
{
	struct target t;
	int ends[2];
	char confirm[128];
	_cleanup_text_ struct text output = { 0 };
	CHECK_OK(pipe2(ends, O_CLOEXEC));
	target_with(&t, ends[1]);
	snprintf(confirm, sizeof confirm, "test $CKPT_PID = %s && test $(cut -d' ' -f3 /proc/$CKPT_PID/stat) = t",
		 pid_text(&t));
	CHECK_EQ(ckpt(NULL, "dump", "--external=unix", "--leave-running", pid_text(&t), in_image(&t, "i")), 3);
	CHECK_EQ(ckpt(NULL, "dump", "--external=pipe", "--leave-running", pid_text(&t), in_image(&t, "i")), 0);
	CHECK_EQ(ckpt(NULL, "dump", "--external", "--leave-running", pid_text(&t), in_image(&t, "i")), 2);
	CHECK_EQ(ckpt(&output, "dump", "--external", "--replace", "--confirm", "false", pid_text(&t), in_image(&t, "i")), 1);
	CHECK_CONTAINS(output.data, "[CONFIRM]");
	CHECK(target_alive(t.pid));
	CHECK_EQ(ckpt(NULL, "dump", "--external", "--replace", "--confirm", confirm, pid_text(&t), in_image(&t, "i")), 0);
	target_gone(t.pid);
	CHECK_EQ(ckpt(NULL, "verify", in_image(&t, "i")), 0);
	CHECK_EQ(ckpt(NULL, "restore", "--sibling", "--pidns", in_image(&t, "i")), 2);
	CHECK_EQ(ckpt(NULL, "restore", "--sibling", in_image(&t, "i")), 2); /* a pipe lacks its other side */
	CHECK_EQ(ckpt(NULL, "restore", "--sibling", "--cut", "--confirm", "false", in_image(&t, "i")), 1);
	target_gone(t.pid);
	CHECK_EQ(ckpt(NULL, "restore", "--sibling", "--cut", "--leave-stopped", "--confirm", confirm, in_image(&t, "i")), 0);
	CHECK_EQ(parent_of(t.pid), getpid());
	CHECK_OK(kill(t.pid, SIGCONT));
	target_judge(&t);
}
