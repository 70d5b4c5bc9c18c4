// SPDX-License-Identifier: LGPL-2.1-or-later
/* What ckpt refuses of files: those that a name leads to no more, and those that are others or smaller when they are wanted again. */
#include "diag/diag.h"
#include "harness/refused.h"
#include "harness/target.h"
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/statfs.h>

/* A file system without handles. The way out that the refusal names works: ckpt finds the new name. */
TEST(hard_link_elsewhere, .root = true)
{
	struct target t;
	char command[256];
	start_holding(&t, "hard-link");
	refused_at(&t, t.image, EXIT_UNSUPPORTED, "[FILE_DELETED]");
	snprintf(command, sizeof command,
		 "for f in /proc/%d/fd/*; do case $(readlink $f) in *one*) ln -L $f %s/merged/again;; esac; done", t.pid,
		 t.dir);
	CHECK_EQ(system(command), 0);
	target_dump(&t, false);
	target_restore(&t, 0);
	target_judge(&t);
}

/* What is found by its handle: not without the right to, not when it has been cut, and not when it is gone. */
TEST(found_by_handle, .root = true)
{
	struct target t;
	char other[96];
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, "ghosts", "elsewhere");
	target_dump(&t, false);
	snprintf(other, sizeof other, "%s/kept/two", t.dir);
	CHECK_EQ(run_program(&output, "/usr/bin/setpriv",
			     (const char *const[]){ "setpriv", "--bounding-set", "-dac_read_search", ckpt_path(), "restore",
						    "-d", t.image, NULL }),
		 EXIT_PRIVILEGE);
	CHECK_CONTAINS(output.data, "[FILE_HANDLE]");
	write_text(other, "LINKED");
	restore_refused(t.image, EXIT_UNSUPPORTED, "[FILE_REPLACED]");
	CHECK_OK(truncate(other, 3));
	restore_refused(t.image, EXIT_UNSUPPORTED, "[FILE_CHANGED]");
	CHECK_OK(unlink(other));
	restore_refused(t.image, EXIT_UNSUPPORTED, "[FILE_MISSING]");
}

TEST(covered_without_rights, .root = true)
{
	struct target t;
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, "covered");
	target_dump(&t, false);
	CHECK_EQ(run_program(&output, "/usr/bin/setpriv",
			     (const char *const[]){ "setpriv", "--bounding-set", "-dac_read_search", ckpt_path(), "restore",
						    "-d", t.image, NULL }),
		 EXIT_PRIVILEGE);
	CHECK_CONTAINS(output.data, "[FILE_COVERED]");
	target_restore(&t, 0);
	target_judge(&t);
}

/* Nothing but eBPF tells that it is gone. */
TEST(overlay_uncounted, .root = true)
{
	struct target t;
	target_start(&t, "ghosts", "overlay");
	CHECK_OK(setenv("CKPT_DISABLE", "BPF", 1));
	refused_at(&t, t.image, EXIT_KERNEL, "[FILE_UNCOUNTED]");
	CHECK_OK(unsetenv("CKPT_DISABLE"));
	target_judge(&t);
}

/* Said, and not refused. */
TEST(directory_notified, .root = true)
{
	struct target t;
	start_holding(&t, "notified");
	target_dump_warns(&t, "[FILE_NOTIFY]", true);
	target_judge(&t);
}

static bool set_attribute(const char *path, int attribute)
{
	_cleanup_close_ int fd = (int)CHECK_OK(open(path, O_RDONLY | O_CLOEXEC));
	int all = 0;
	bool has = ioctl(fd, FS_IOC_GETFLAGS, &all) == 0;
	all = (all & ~(FS_IMMUTABLE_FL | FS_APPEND_FL)) | attribute;
	return has && ioctl(fd, FS_IOC_SETFLAGS, &all) == 0;
}

/* Nobody may open such a file for writing again: that is told before the program is gone, and when it is. */
TEST(file_immutable, .root = true)
{
	struct target t;
	char path[96], log[96];
	target_start(&t, "files");
	snprintf(path, sizeof path, "%s/file", t.dir);
	snprintf(log, sizeof log, "%s/log", t.dir);
	if (!set_attribute(path, FS_IMMUTABLE_FL)) {
		target_judge(&t);
		SKIP("the file system has no such attributes");
	}
	refused_at(&t, t.image, EXIT_UNSUPPORTED, "[FILE_IMMUTABLE]");
	CHECK(set_attribute(path, FS_APPEND_FL));
	refused_at(&t, t.image, EXIT_UNSUPPORTED, "[FILE_IMMUTABLE]");
	CHECK(set_attribute(path, 0) && set_attribute(log, FS_APPEND_FL)); /* that one is open with O_APPEND */
	target_dump(&t, false);
	CHECK(set_attribute(path, FS_IMMUTABLE_FL));
	restore_refused(t.image, EXIT_UNSUPPORTED, "[FILE_IMMUTABLE]");
	CHECK(set_attribute(path, 0));
	target_restore(&t, 0);
	CHECK(set_attribute(log, 0));
	target_judge(&t);
}

static void dump_limited(const struct target *t, const char *limit, int status, const char *code)
{
	char pid[16];
	_cleanup_text_ struct text output = { 0 };
	snprintf(pid, sizeof pid, "%d", t->pid);
	CHECK_EQ(ckpt(&output, "dump", pid, t->image, "--leave-running", "--ghost-limit", limit), status);
	CHECK_CONTAINS(output.data ?: "", code);
}

/* Files in memory have no limit. */
TEST(ghost_limit, .root = true)
{
	struct target t;
	struct statfs fs;
	CHECK_OK(statfs("/var/tmp", &fs));
	if (fs.f_type == TMPFS_MAGIC)
		SKIP("/var/tmp is no disk");
	start_holding(&t, "on-disk");
	dump_limited(&t, "50K", EXIT_UNSUPPORTED, "[FILE_LARGE]");
	dump_limited(&t, "0", EXIT_UNSUPPORTED, "--ghost-limit");
	dump_limited(&t, "", EXIT_USAGE, "[USAGE]");
	dump_limited(&t, "12Q", EXIT_USAGE, "[USAGE]");
	dump_limited(&t, "99999999999999999999", EXIT_USAGE, "[USAGE]");
	target_dump(&t, false);
	target_restore(&t, 0);
	target_judge(&t);
}

TEST(ghost_below_a_file, .root = true)
{
	struct target t;
	char name[96];
	start_holding(&t, "displaced");
	dump_limited(&t, "1M", EXIT_UNSUPPORTED, "[FILE_EXISTS]");
	CHECK(access(t.image, F_OK) < 0);
	snprintf(name, sizeof name, "%s/place", t.dir);
	CHECK_OK(unlink(name));
	target_dump(&t, false);
	target_restore(&t, 0);
	target_judge(&t);
}

TEST(ghost_name_in_use, .root = true)
{
	struct target t;
	char name[96], other[112];
	target_start(&t, "holds", "unlinked");
	target_dump(&t, false);
	snprintf(name, sizeof name, "%s/unlinked", t.dir);
	snprintf(other, sizeof other, "%s#ckpt", name);
	write_text(name, "a new one");
	write_text(other, "and this");
	restore_refused(t.image, EXIT_UNSUPPORTED, "[FILE_EXISTS]");
	CHECK_OK(unlink(other));
	target_restore(&t, 0);
	_cleanup_free_ char *text = read_text(name);
	CHECK_STR(text, "a new one");
	CHECK(access(other, F_OK) < 0);
	/* It is called otherwise now, and still the same file for ckpt. */
	target_compare(&t);
	CHECK_OK(unlink(name));
	snprintf(other, sizeof other, "%s.again1", t.image);
	target_judge(&t);
	target_gone(t.pid);
	CHECK_EQ(ckpt(NULL, "restore", other, "-d", "--no-verify"), 0);
}

TEST(ghost_directory_readonly, .root = true)
{
	struct target t;
	target_start(&t, "holds", "unlinked");
	target_dump(&t, false);
	CHECK_OK(mount(WORK, WORK, NULL, MS_BIND, NULL));
	CHECK_OK(mount(NULL, WORK, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
	restore_refused(t.image, EXIT_SYSTEM, "[FILE_DIRECTORY]");
	CHECK_OK(umount2(WORK, MNT_DETACH));
	target_restore(&t, 0);
	target_judge(&t);
}

static void run(const char *format, ...)
{
	char command[512];
	va_list args;
	va_start(args, format);
	vsnprintf(command, sizeof command, format, args);
	va_end(args);
	CHECK_EQ(system(command), 0);
}

TEST(program_replaced, .root = true)
{
	struct target t;
	char pid[16];
	run("cp /bin/sleep " WORK "/program");
	target_spawn(&t, WORK "/program", "1000");
	WAIT_UNTIL(target_asleep(t.pid, "program"));
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(NULL, "dump", pid, t.image), 0);
	target_gone(t.pid);
	run("mv " WORK "/program " WORK "/kept; cp /bin/true " WORK "/program; truncate -s 1M " WORK "/program");
	restore_refused(t.image, EXIT_UNSUPPORTED, "[FILE_REPLACED]");
	/* A copy of the same program without its time is that program. */
	run("cp " WORK "/kept " WORK "/program; touch -d @1 " WORK "/program");
	CHECK_EQ(ckpt(NULL, "restore", t.image, "-d"), 0);
}

TEST(mapped_data_changed, .root = true)
{
	struct target t;
	target_start(&t, "holds", "mapped");
	target_dump(&t, false);
	run("touch -r %s/data " WORK "/time; printf otherone > %s/data", t.dir, t.dir);
	restore_refused(t.image, EXIT_UNSUPPORTED, "[FILE_REPLACED]");
	run("touch -r " WORK "/time %s/data", t.dir);
	target_restore(&t, 0);
	target_judge(&t);
}

/* Of what is below another mount, a fifo. */
TEST(file_covered, .root = true)
{
	struct target t;
	target_start(&t, "files");
	CHECK_OK(mount("cover", t.dir, "tmpfs", 0, NULL));
	refused_at(&t, t.image, EXIT_UNSUPPORTED, "[FILE_MOVED]");
	CHECK_OK(umount(t.dir));
	target_judge(&t);
}

TEST(open_file_shrunk, .root = true)
{
	struct target t;
	target_start(&t, "files");
	target_dump(&t, false);
	run("cp -p %s/log " WORK "/log; truncate -s 1 %s/log", t.dir, t.dir);
	restore_refused(t.image, EXIT_UNSUPPORTED, "[FILE_CHANGED]");
	run("rm %s/log", t.dir);
	restore_refused(t.image, EXIT_UNSUPPORTED, "[FILE_MISSING]");
	run("mkdir %s/log", t.dir);
	restore_refused(t.image, EXIT_UNSUPPORTED, "[FILE_CHANGED]");
	run("rmdir %s/log; cp -p " WORK "/log %s/log", t.dir, t.dir);
	target_restore(&t, 0);
	target_judge(&t);
}
