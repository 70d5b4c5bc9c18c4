// SPDX-License-Identifier: LGPL-2.1-or-later
/* inspect, show and diff tell what is true, and leave the tree as it was. */
#include "harness/target.h"
#include <stdio.h>
#include <sys/syscall.h>

static void check_json(struct text *json, const char *condition)
{
	char script[512];
	const char *argv[] = { "python3", "-c", script, NULL };
	snprintf(script, sizeof script, "import json;o=json.load(open('/mnt/json'))\nassert %s", condition);
	write_text("/mnt/json", json->data);
	CHECK_EQ(run_program(NULL, "/usr/bin/env", (const char *[]){ "env", argv[0], argv[1], argv[2], NULL }), 0);
}

static const char *number(pid_t pid)
{
	static char text[16];
	snprintf(text, sizeof text, "%d", (int)pid);
	return text;
}

TEST(inspect_tells_shared_files, .root = true)
{
	struct target t;
	_cleanup_text_ struct text out = { 0 }, json = { 0 };
	target_start(&t, "files");
	CHECK_EQ(ckpt(&out, "inspect", "--section", "tree,fds,file,mm", number(t.pid)), 0);
	CHECK_CONTAINS(out.data, "files  session ");
	CHECK_CONTAINS(out.data, "└─ ");
	CHECK_CONTAINS(out.data, "reg /etc/passwd");
	CHECK_CONTAINS(out.data, "  (shared with ");
	CHECK_CONTAINS(out.data, "(write, append)");
	CHECK_CONTAINS(out.data, "programs/files)\n");
	CHECK_EQ(ckpt(&json, "inspect", "--json", number(t.pid)), 0);
	check_json(&json, "{'task','thread','mm','vmas','fds','file','host','vdso'} <= {x['kind'] for x in o['objects']}");
	target_judge(&t);
}

TEST(inspect_tells_threads, .root = true)
{
	struct target t;
	_cleanup_text_ struct text out = { 0 };
	target_start(&t, "threads");
	CHECK_EQ(ckpt(&out, "inspect", number(t.pid)), 0);
	CHECK_CONTAINS(out.data, "  threads: ");
	CHECK_CONTAINS(out.data, "[stack]");
	CHECK_CONTAINS(out.data, "[vdso]");
	CHECK_CONTAINS(out.data, "build_id: ");
	CHECK_CONTAINS(out.data, "rseq: address 0x");
	target_judge(&t);
}

TEST(inspect_works_without_bpf, .root = true)
{
	struct target t;
	_cleanup_text_ struct text out = { 0 };
	target_start(&t, "tree");
	setenv("CKPT_DISABLE", "BPF", 1);
	CHECK_EQ(ckpt(&out, "inspect", number(t.pid)), 0);
	CHECK_CONTAINS(out.data, "├─ ");
	target_judge(&t);
}

TEST(inspect_tells_copies_on_write, .root = true)
{
	struct target t;
	_cleanup_text_ struct text out = { 0 };
	target_start(&t, "tree");
	CHECK_EQ(ckpt(&out, "inspect", "--section", "vmas", number(t.pid)), 0);
	if (!strstr(out.data, " copy-on-write with "))
		SKIP("eBPF does not tell it here");
	CHECK_CONTAINS(out.data, "[stack] growsdown copy-on-write with ");
	target_judge(&t);
}

/* python3 that becomes nobody and runs a program. */
#define AS_NOBODY "import os,sys; os.setgroups([]); os.setgid(65534); os.setuid(65534); os.execv(sys.argv[1], sys.argv[1:])"

TEST(inspect_works_without_rights, .root = true)
{
	struct target t;
	_cleanup_text_ struct text out = { 0 };
	char copy[256];
	snprintf(copy, sizeof copy, "cp %s /mnt/ckpt && chmod 755 /mnt/ckpt /mnt", ckpt_path());
	CHECK_EQ(system(copy), 0);
	target_spawn(&t, "/usr/bin/env", "python3", "-c", AS_NOBODY, "/bin/sleep", "1000");
	WAIT_UNTIL(target_asleep(t.pid, "sleep"));
	const char *argv[] = { "env", "python3", "-c", AS_NOBODY, "/mnt/ckpt", "inspect", number(t.pid), NULL };
	CHECK_EQ(run_program(&out, "/usr/bin/env", argv), 0);
	CHECK_CONTAINS(out.data, " r-xp reg /");
	CHECK_CONTAINS(out.data, "libc.so.6+0x0");
	CHECK_CONTAINS(out.data, "  uid: 65534\n");
}

TEST(show_tells_what_an_image_holds, .root = true)
{
	struct target t;
	_cleanup_text_ struct text out = { 0 }, json = { 0 }, bad = { 0 };
	target_spawn(&t, "/bin/sh", "-c", "(echo in the pipe; sleep 1000) | sleep 1000");
	WAIT_UNTIL(count_asleep("sleep") == 2);
	target_dump(&t, true);
	CHECK_EQ(ckpt(&out, "show", t.image), 0);
	CHECK_CONTAINS(out.data, "registers: ");
	CHECK(!strstr(out.data, "in the pipe")); /* no contents */
	CHECK_EQ(ckpt(&json, "show", "--json", t.image), 0);
	CHECK(!strstr(json.data, "in the pipe"));
	check_json(&json, "{'task','thread','pages','host'} <= {x['kind'] for x in o['objects']}");
	CHECK_EQ(ckpt(&bad, "show", "--section", "nothing", t.image), 2);
	CHECK_CONTAINS(bad.data, "[USAGE]");
	CHECK_EQ(ckpt(&bad, "show", "/mnt"), 5);
}

/* Moves the offset of a descriptor that another process has. */
static void seek_theirs(pid_t pid, int fd, off_t to)
{
	_cleanup_close_ int pidfd = (int)CHECK_OK(syscall(SYS_pidfd_open, pid, 0));
	_cleanup_close_ int theirs = (int)CHECK_OK(syscall(SYS_pidfd_getfd, pidfd, fd, 0));
	CHECK_EQ(lseek(theirs, to, SEEK_SET), to);
}

/* The shell waits for them. Who was let go a moment ago may not have come to its call again. */
static bool is_at_rest(pid_t shell) { return count_asleep("sleep") == 2 && target_state(shell) == 'S'; }

static int diff_at_rest(struct text *output, const struct target *t, const char *ignored, const char *json)
{
	WAIT_UNTIL(is_at_rest(t->pid));
	return ckpt(output, "diff", "--ignore", ignored, t->image, number(t->pid), json);
}

TEST(diff_tells_what_changed, .root = true)
{
	struct target t;
	_cleanup_text_ struct text same = { 0 }, equal = { 0 }, text = { 0 }, json = { 0 };
	write_text("/mnt/file", "0123456789");
	target_spawn(&t, "/bin/sh", "-c", "exec 5<>/mnt/file; sleep 1000 & sleep 1000");
	WAIT_UNTIL(is_at_rest(t.pid));
	target_dump(&t, true);
	CHECK_EQ(ckpt(&same, "diff", t.image, t.image), 0);
	CHECK_EQ(diff_at_rest(&same, &t, "thread.call", NULL), 0);
	CHECK_EQ(same.len, 0);
	CHECK_EQ(ckpt(&equal, "diff", "--json", t.image, t.image), 0);
	check_json(&equal, "o == {'equal': True, 'differences': []}");
	seek_theirs(t.pid, 5, 7);
	CHECK_EQ(diff_at_rest(&text, &t, "thread.call", NULL), 1);
	CHECK_CONTAINS(text.data, " pos: 0 != 7\n");
	CHECK_EQ(diff_at_rest(&json, &t, "thread.call", "--json"), 1);
	check_json(&json, "o['equal'] == False and len(o['differences']) == 1");
	CHECK_EQ(diff_at_rest(NULL, &t, "thread.call,file.pos", NULL), 0);
	CHECK_EQ(ckpt(NULL, "diff", t.image), 2);
	CHECK_EQ(ckpt(NULL, "diff", t.image, "/mnt"), 5);
}
