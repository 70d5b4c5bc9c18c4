// SPDX-License-Identifier: LGPL-2.1-or-later
/* `ckpt check --image`: images that cannot be restored here, each for another reason. It says what `ckpt restore` says, with all
 * reasons at once, touches nothing, and says that it can be done as soon as it can. */
#include "base/file.h"
#include "diag/diag.h"
#include "harness/edit.h"
#include "harness/left.h"
#include "harness/terminal.h"
#include "bpfmap.pb-c.h"
#include "creds.pb-c.h"
#include "limits.pb-c.h"
#include "model/kinds.h"
#include "model/reflect.h"
#include "resource/registry.h"
#include "tun.pb-c.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define OPTIONS 4

static int run(struct text *output, const char *const *command, const char *dir, const char *const *options)
{
	const char *argv[8 + OPTIONS] = { "ckpt" };
	size_t n = 1;
	for (; *command; command++)
		argv[n++] = *command;
	argv[n++] = dir;
	for (; options && *options; options++)
		argv[n++] = *options;
	return ckptv(output, argv);
}

/* From "diagnostics" on: what was found, without what became of it. */
static const char *found_in(const struct text *json)
{
	const char *found = json->data ? strstr(json->data, "\"diagnostics\":[") : NULL;
	if (!found)
		FAIL("no diagnostics in %s", json->data ?: "nothing");
	return found;
}

static size_t length_of(const char *found) { return strcspn(found, "]") + 1; }

static void check_able(const char *dir, const char *const *options)
{
	_cleanup_text_ struct text output = { 0 };
	_cleanup_free_ char *before = left_look();
	CHECK_EQ(run(&output, (const char *const[]){ "check", "--image", NULL }, dir, options), 0);
	CHECK_CONTAINS(output.data, "verdict: it can be restored here");
	left_check(before, "a check");
}

/* Codes are in the order in which they are told. */
static void check_refused(const char *dir, const char *const *options, int status, const char *const *codes)
{
	char name[64];
	_cleanup_text_ struct text checked = { 0 }, restored = { 0 }, people = { 0 };
	_cleanup_free_ char *before = left_look();
	CHECK_EQ(run(&checked, (const char *const[]){ "check", "--json", "--image", NULL }, dir, options), status);
	left_check(before, "a check");
	CHECK_CONTAINS(checked.data, "\"able\":false");
	CHECK_EQ(run(&restored, (const char *const[]){ "restore", "-d", "--json", NULL }, dir, options), status);
	left_check(before, "a restore");
	const char *a = found_in(&checked), *b = found_in(&restored);
	if (length_of(a) != length_of(b) || memcmp(a, b, length_of(a)))
		FAIL("check says\n%s\nrestore says\n%s", checked.data, restored.data);
	const char *at = a;
	for (const char *const *code = codes; *code; code++) {
		snprintf(name, sizeof name, "\"code\":\"%s\"", *code);
		at = strstr(at, name);
		if (!at)
			FAIL("no %s, or not in its place, in %s", *code, a);
	}
	CHECK_EQ(run(&people, (const char *const[]){ "check", "--image", NULL }, dir, options), status);
	CHECK_CONTAINS(people.data, "verdict: it cannot be restored here: ");
	CHECK_CONTAINS(people.data, "result: nothing was made or changed");
}
#define CODES(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define REFUSED(dir, status, ...) check_refused(dir, NULL, status, CODES(__VA_ARGS__))

static void edited(const struct target *t, char *ret, size_t room, void (*change)(struct graph *, const void *))
{
	static int number;
	snprintf(ret, room, "%s.edited%d", t->image, ++number);
	edit_image(t->image, ret, change, NULL);
}

TEST(taken_ids, .root = true)
{
	struct target t;
	char who[64];
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, "threads");
	target_dump(&t, true);
	CHECK_EQ(ckpt(&output, "check", "--image", t.image), EXIT_RACED);
	snprintf(who, sizeof who, "%d is \"threads\"", t.pid);
	CHECK_CONTAINS(output.data, who);
	check_able(t.image, CODES("--pidns"));
	CHECK_OK(kill(t.pid, SIGKILL));
	target_gone(t.pid);
	check_able(t.image, NULL);
	target_restore(&t, 0);
	target_judge(&t);
}

/* What was not reserved is. */
static void reserve_all(struct graph *g, const void *with _unused_)
{
	for (struct object *o = NULL; (o = graph_next(g, &kind_vmas, o));)
		for (u32 i = 0; i < o->count; i++)
			((struct vma *)o->data)[i].flags &= ~(u32)VMA_NORESERVE;
}

TEST(huge_pages, .root = true)
{
	struct target t;
	char dir[160];
	target_start(&t, "hugepages", "room");
	target_dump(&t, false);
	edited(&t, dir, sizeof dir, reserve_all);
	REFUSED(dir, EXIT_SYSTEM, "HUGE_POOL");
	check_able(t.image, NULL);
	target_restore(&t, 0);
	target_judge(&t);
}

/* No kernel has this flag. */
static void other_flags(struct graph *g, const void *with _unused_)
{
	for (struct object *o = NULL; (o = graph_next(g, resource_bpfmap.kind, o));)
		SET((Ckpt__Bpfmap *)o->data, flags, 1u << 31);
}

/* A map that is pinned is there still: nothing is asked of this kernel for it. */
TEST(bpf_maps, .root = true)
{
	struct target t;
	char dir[160];
	target_start(&t, "bpfmaps");
	target_dump(&t, false);
	edited(&t, dir, sizeof dir, other_flags);
	REFUSED(dir, EXIT_PRIVILEGE, "BPF_MAP");
	check_able(t.image, NULL);
	target_restore(&t, 0);
	target_judge(&t);
}

static void other_device(struct graph *g, const void *with _unused_)
{
	for (struct object *o = NULL; (o = graph_next(g, resource_tun.kind, o));)
		if (((Ckpt__Tun *)o->data)->device)
			CHECK(message_set_string(&((Ckpt__Tun *)o->data)->device, "elsewhere"));
}

TEST(tun_devices, .root = true, .net = true)
{
	struct target t;
	char dir[160];
	target_start(&t, "tuns");
	target_dump(&t, false);
	edited(&t, dir, sizeof dir, other_device);
	REFUSED(dir, EXIT_SYSTEM, "TUN_GONE", "TUN_GONE");
	check_able(t.image, NULL);
	target_restore(&t, 0);
	target_judge(&t);
}

/* The command is told what it is about by its arguments. */
static void start_shell(struct target *t, const char *program, const char *file)
{
	_cleanup_text_ struct text script = { 0 };
	text_addf(&script, "exec 5<>%s; exec 0</dev/null 1>/dev/null 2>&1; exec %s 1000", file, program);
	target_spawn(t, "/bin/sh", "-c", script.data);
	char path[64], link[64] = "";
	snprintf(path, sizeof path, "/proc/%d/exe", t->pid);
	WAIT_UNTIL(file_readlink(AT_FDCWD, path, link, sizeof link) >= 0 && !strcmp(link, program));
}

static void copy_program(const char *from, const char *to)
{
	CHECK_EQ(run_program(NULL, "/bin/cp", (const char *const[]){ "cp", from, to, NULL }), 0);
}

TEST(files, .root = true, .seconds = 60)
{
	struct target t;
	write_text(WORK "/data", "twelve bytes");
	copy_program("/bin/sleep", WORK "/program");
	start_shell(&t, WORK "/program", WORK "/data");
	target_dump(&t, false);
	check_able(t.image, NULL);
	CHECK_OK(rename(WORK "/data", WORK "/moved"));
	REFUSED(t.image, EXIT_UNSUPPORTED, "FILE_MISSING");
	write_text(WORK "/data", "eight...");
	CHECK_OK(rename(WORK "/program", WORK "/program.moved"));
	copy_program("/bin/ls", WORK "/program");
	REFUSED(t.image, EXIT_UNSUPPORTED, "FILE_CHANGED", "FILE_REPLACED");
	CHECK_OK(unlink(WORK "/data"));
	CHECK_OK(mkdir(WORK "/data", 0755));
	REFUSED(t.image, EXIT_UNSUPPORTED, "FILE_CHANGED", "FILE_REPLACED");
	CHECK_OK(rmdir(WORK "/data"));
	CHECK_OK(rename(WORK "/moved", WORK "/data"));
	CHECK_OK(rename(WORK "/program.moved", WORK "/program"));
	check_able(t.image, NULL);
	target_restore(&t, 0);
}

TEST(address, .root = true, .net = true)
{
	struct target t;
	target_start(&t, "inet");
	target_dump(&t, false);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(6379), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	CHECK_OK(bind(fd, (void *)&a, sizeof a));
	CHECK_OK(listen(fd, 1));
	REFUSED(t.image, EXIT_RACED, "INET_TAKEN");
	close(fd);
	check_able(t.image, NULL);
	target_restore(&t, 0);
	target_judge(&t);
}

TEST(name_of_a_socket, .root = true, .net = true)
{
	struct target t;
	char path[96], aside[96];
	target_start(&t, "named");
	target_dump(&t, false);
	snprintf(path, sizeof path, "%s/stream", t.dir);
	snprintf(aside, sizeof aside, "%s/aside", t.dir);
	CHECK_OK(rename(path, aside));
	write_text(path, "somebody else's");
	REFUSED(t.image, EXIT_RACED, "UNIX_NAME_TAKEN");
	CHECK_OK(rename(aside, path));
	check_able(t.image, NULL);
	target_restore(&t, 0);
	target_judge(&t);
}

/* A process whose output is a pipe to another one, which is not dumped with it. Returns the shell of both. */
static pid_t start_outside(char ret_pid[16])
{
	struct target shell;
	static const char script[] = "sh -c 'echo $$ >/mnt/pid; exec sleep 1000' | cat";
	target_spawn(&shell, "/bin/sh", "-c", script);
	_cleanup_free_ char *pid = wait_text(WORK "/pid");
	CHECK(atoi(pid) > 0);
	snprintf(ret_pid, 16, "%d", atoi(pid));
	return shell.pid;
}

TEST(outside_ends, .root = true)
{
	static const char image[] = WORK "/image";
	char pid[16];
	pid_t shell = start_outside(pid);
	CHECK_EQ(ckpt(NULL, "dump", "--external", pid, image), 0);
	target_gone(shell);
	free(left_look_alone()); /* the rest of its pipeline ends too */
	REFUSED(image, EXIT_USAGE, "FILE_NOT_GIVEN");
	check_refused(image, CODES("--inherit", "pipe:[1]=fd:1"), EXIT_USAGE, CODES("FILE_HANDED", "FILE_NOT_GIVEN"));
	check_able(image, CODES("--stdio"));
}

TEST(terminal, .root = true)
{
	static struct terminal_test t, other;
	struct target target;
	char option[64];
	terminal_make(&t);
	terminal_start(&t, &target, CODES("/bin/sh", "-c", "echo begun; exec sleep 1000"));
	terminal_expect(&t, "begun");
	target_dump(&target, false);
	REFUSED(target.image, EXIT_USAGE, "TTY_MISSING");
	terminal_make(&other);
	snprintf(option, sizeof option, "--tty=%s", other.path);
	check_able(target.image, CODES(option));
}

static void later(struct graph *g, const void *with _unused_)
{
	((Ckpt__Host *)graph_find(g, &kind_host, 1)->data)->monotonic += 1ull << 63;
}

static void greedy(struct graph *g, const void *with _unused_)
{
	for (size_t i = 0; i < g->objects.n; i++) {
		Ckpt__Limits *m = g->objects.v[i]->data;
		for (size_t j = 0; g->objects.v[i]->kind == resource_limits.kind && j < m->n_limit; j++)
			if (!strcmp(m->limit[j]->name, "nofile"))
				SET(m->limit[j], hard, 1ull << 60); /* above fs.nr_open: nobody may */
	}
}

TEST(limit, .root = true)
{
	struct target t;
	char dir[96];
	target_start(&t, "sleeper");
	target_dump(&t, false);
	edited(&t, dir, sizeof dir, greedy);
	REFUSED(dir, EXIT_PRIVILEGE, "LIMIT_RAISED");
	target_restore(&t, 0);
	target_judge(&t);
}

/* What the kernel says of the machine is this text from now on: for the test, which has mounts of its own. */
static void pretend(const char *path, const char *text)
{
	static const char other[] = WORK "/pretended";
	write_text(other, text);
	CHECK_OK(mount(other, path, NULL, MS_BIND, NULL));
}

TEST(asynchronous, .root = true)
{
	struct target t;
	target_start(&t, "aio");
	target_dump(&t, false);
	pretend("/proc/sys/fs/aio-max-nr", "1\n");
	REFUSED(t.image, EXIT_SYSTEM, "AIO_LIMIT");
	CHECK_OK(umount("/proc/sys/fs/aio-max-nr"));
	pretend("/sys/devices/system/cpu/possible", "0-1023\n");
	REFUSED(t.image, EXIT_KERNEL, "AIO_SIZE");
	CHECK_OK(umount("/sys/devices/system/cpu/possible"));
	target_restore(&t, 0);
	target_judge(&t);
}

/* --- the processor --- */

#if defined(__x86_64__)
#define AT_ENABLED 464 /* XCR0 of an XSAVE area in its standard form */
#define AT_IN_USE 512

static void or_word(struct graph *g, size_t at, u64 bits)
{
	for (struct object *o = NULL; (o = graph_next(g, &kind_thread, o));) {
		u64 word;
		Ckpt__Thread *t = o->data;
		CHECK(t->extended.len > at + sizeof word);
		memcpy(&word, t->extended.data + at, sizeof word);
		word |= bits;
		memcpy(t->extended.data + at, &word, sizeof word);
	}
}

/* Features that no processor has yet. */
static void uses_more(struct graph *g, const void *with _unused_)
{
	or_word(g, AT_ENABLED, 1ull << 40);
	or_word(g, AT_IN_USE, 1ull << 40);
}
static void could_use_more(struct graph *g, const void *with _unused_) { or_word(g, AT_ENABLED, 1ull << 40); }
static void is_longer(struct graph *g, const void *with _unused_)
{
	could_use_more(g, NULL);
	for (struct object *o = NULL; (o = graph_next(g, &kind_thread, o));) {
		Ckpt__Thread *t = o->data;
		u8 longer[8192] = { 0 };
		memcpy(longer, t->extended.data, t->extended.len);
		CHECK(message_set_bytes(&t->extended, longer, t->extended.len + 512));
	}
}
static void is_shorter(struct graph *g, const void *with _unused_)
{
	for (struct object *o = NULL; (o = graph_next(g, &kind_thread, o));)
		((Ckpt__Thread *)o->data)->extended.len = 512;
}

TEST(processor, .root = true, .seconds = 60)
{
	struct target t;
	char more[96], other[96], longer[96], shorter[96];
	target_start(&t, "registers");
	target_dump(&t, false);
	edited(&t, more, sizeof more, uses_more);
	REFUSED(more, EXIT_UNSUPPORTED, "CPU_FEATURE");
	edited(&t, shorter, sizeof shorter, is_shorter);
	REFUSED(shorter, EXIT_UNSUPPORTED, "CPU_LAYOUT");
	edited(&t, other, sizeof other, could_use_more);
	check_able(other, NULL);
	edited(&t, longer, sizeof longer, is_longer);
	check_able(longer, NULL);
	CHECK_EQ(ckpt(NULL, "restore", "-d", longer), 0);
	target_judge(&t);
	target_gone(t.pid);
	CHECK_EQ(ckpt(NULL, "restore", "-d", other), 0);
	target_judge(&t);
}
#endif

/* --- kernel and rights --- */

TEST(kernel, .root = true)
{
	struct target t;
	target_start(&t, "sleeper");
	target_dump(&t, false);
	setenv("CKPT_DISABLE", "PR_SET_MM_MAP", 1);
	REFUSED(t.image, EXIT_KERNEL, "PLAN_KERNEL");
	setenv("CKPT_DISABLE", "RSEQ,VDSO_MOVABLE", 1);
	REFUSED(t.image, EXIT_KERNEL, "PLAN_KERNEL", "PLAN_KERNEL");
	unsetenv("CKPT_DISABLE");
	target_restore(&t, 0);
	target_judge(&t);
}

/* Root without the rights to choose ids and to set the program file. */
TEST(rights, .root = true)
{
	struct target t;
	char dir[96];
	int status;
	target_start(&t, "sleeper");
	target_dump(&t, false);
	edited(&t, dir, sizeof dir, edit_out_rights);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		CHECK_OK(prctl(PR_CAPBSET_DROP, 21 /* CAP_SYS_ADMIN */));
		CHECK_OK(prctl(PR_CAPBSET_DROP, 40 /* CAP_CHECKPOINT_RESTORE */));
		REFUSED(dir, EXIT_PRIVILEGE, "SET_TID", "PLAN_RIGHT");
		fflush(stdout);
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	target_restore(&t, 0);
	target_judge(&t);
}

/* --- several --- */

static void all_bad(struct graph *g, const void *with _unused_)
{
	later(g, NULL);
	greedy(g, NULL);
#if defined(__x86_64__)
	uses_more(g, NULL);
#endif
}

TEST(all_reasons_at_once, .root = true)
{
	struct target t;
	char dir[96];
	write_text(WORK "/data", "twelve bytes");
	start_shell(&t, "/usr/bin/sleep", WORK "/data");
	target_dump(&t, true);
	edited(&t, dir, sizeof dir, all_bad);
	CHECK_OK(unlink(WORK "/data"));
	REFUSED(dir, EXIT_RACED, "PID_TAKEN", "IMAGE_VALUE",
#if defined(__x86_64__)
		"CPU_FEATURE",
#endif
		"FILE_MISSING", "LIMIT_RAISED");
}

/* --- the image itself --- */

TEST(damage, .root = true)
{
	struct target t;
	char path[96];
	target_start(&t, "sleeper");
	target_dump(&t, false);
	snprintf(path, sizeof path, "%s/pages", t.image);
	int fd = open(path, O_RDWR);
	char byte;
	CHECK_EQ(pread(fd, &byte, 1, 4097), 1);
	byte ^= 1;
	CHECK_EQ(pwrite(fd, &byte, 1, 4097), 1);
	_cleanup_text_ struct text output = { 0 };
	CHECK_EQ(ckpt(&output, "check", "--image", t.image), EXIT_IMAGE);
	CHECK_CONTAINS(output.data, "[IMAGE_DAMAGED]");
	byte ^= 1;
	CHECK_EQ(pwrite(fd, &byte, 1, 4097), 1);
	close(fd);
	check_able(t.image, NULL);
	REFUSED("/nowhere", EXIT_IMAGE, "IMAGE_MISSING");
}

TEST(questions, .root = true)
{
	_cleanup_text_ struct text output = { 0 };
	CHECK_EQ(ckpt(&output, "check", "--image", "x", "--pid", "1"), EXIT_USAGE);
	CHECK_EQ(ckpt(&output, "check", "--pidns"), EXIT_USAGE);
}
