// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the kernel can do: the table is whole, builds are read right, probes leave nothing behind, the cache trusts nobody. */
#include "harness/test.h"
#include "base/file.h"
#include "base/memlock.h"
#include "host/cache.h"
#include "host/config.h"
#include <dirent.h>
#include <fcntl.h>
#include <linux/btf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <zlib.h>

/* --- the table --- */

TEST(rows_are_complete)
{
	const char *group = "";
	for (int i = 0; i < CAN_COUNT; i++) {
		const struct cap_row *row = caps_row((enum cap_id)i);
		CHECK(*row->id && *row->group && *row->interface && *row->lost && *row->todo);
		CHECK(row->since && row->config && row->privilege);
		CHECK_EQ(caps_find(row->id, strlen(row->id)), i);
		CHECK(strlen(row->id) <= 19); /* the column of `ckpt check` */
		for (int j = 0; j < i && strcmp(group, row->group); j++)
			if (!strcmp(caps_row((enum cap_id)j)->group, row->group))
				FAIL("group %s is scattered: %s", row->group, row->id);
		group = row->group;
	}
	CHECK_EQ(caps_find("RSEQ", 3), CAN_NOTHING);
}

TEST(every_row_can_be_answered)
{
	for (int i = 0; i < CAN_COUNT; i++) {
		const struct probe *p = &probes[i];
		if (!p->built)
			FAIL("%s has no row in probes.def", caps_row((enum cap_id)i)->id);
		if (!p->run && !*p->built)
			FAIL("%s has neither a probe nor a query", caps_row((enum cap_id)i)->id);
		if (p->instead == (enum cap_id)i)
			FAIL("%s serves instead of itself", caps_row((enum cap_id)i)->id);
	}
}

TEST(queries_are_understood)
{
	static const char *const words[] = { "struct ", "union ", "member ", "enum ", "func ", "sys ", "typedef ", "CONFIG_" };
	for (int i = 0; i < CAN_COUNT; i++) {
		char copy[160], *rest = copy, *part;
		snprintf(copy, sizeof copy, "%s", probes[i].built);
		while (*copy && (part = strsep(&rest, ","))) {
			bool known = false;
			part += strspn(part, " ");
			for (size_t w = 0; w < ARRAY_SIZE(words); w++)
				known = known || !strncmp(part, words[w], strlen(words[w]));
			if (!known)
				FAIL("%s asks \"%s\"", caps_row((enum cap_id)i)->id, part);
		}
	}
}

TEST(document_names_every_row)
{
	struct text t = { 0 };
	caps_markdown(&t);
	for (int i = 0; i < CAN_COUNT; i++) {
		char cell[64];
		snprintf(cell, sizeof cell, "| `%s` |", caps_row((enum cap_id)i)->id);
		CHECK_CONTAINS(t.data, cell);
	}
	text_free(&t);
}

/* --- the kernel's configuration --- */

static const char some_config[] = "# Automatically generated\nCONFIG_RSEQ=y\nCONFIG_UNIX_DIAG=m\n"
				  "# CONFIG_KCMP is not set\nCONFIG_HZ=250\nCONFIG_LSM=\"landlock,bpf\"\nCONFIG_LAST=y";

static void check_config(const char *path)
{
	struct text config = { 0 };
	CHECK_OK(config_read_file(&config, path));
	CHECK_EQ(config_value(&config, "CONFIG_RSEQ"), 'y');
	CHECK_EQ(config_value(&config, "CONFIG_UNIX_DIAG"), 'm');
	CHECK_EQ(config_value(&config, "CONFIG_KCMP"), 'n');
	CHECK_EQ(config_value(&config, "CONFIG_NEVER_HEARD_OF"), 'n');
	CHECK_EQ(config_value(&config, "CONFIG_RSE"), 'n');
	CHECK_EQ(config_value(&config, "CONFIG_HZ"), '2');
	CHECK_EQ(config_value(&config, "CONFIG_LSM"), '"');
	CHECK_EQ(config_value(&config, "CONFIG_LAST"), 'y');
	text_free(&config);
}

TEST(config_plain_and_packed)
{
	char path[] = "/tmp/ckpt-config-XXXXXX";
	int fd = (int)CHECK_OK(mkstemp(path));
	CHECK_OK(file_write_full(fd, some_config, strlen(some_config)));
	check_config(path);
	gzFile packed = gzopen(path, "wb");
	CHECK_EQ(gzwrite(packed, some_config, strlen(some_config)), strlen(some_config));
	CHECK_EQ(gzclose(packed), Z_OK);
	check_config(path);
	CHECK_OK(ftruncate(fd, 30)); /* a packed file that ends too early */
	struct text config = { 0 };
	CHECK(config_read_file(&config, path) < 0);
	text_free(&config);
	CHECK_OK(unlink(path));
	CHECK_EQ(config_read_file(&config, path), -ENOENT);
	close(fd);
}

/* --- BTF --- */

enum { S_ALPHA = 1, S_INNER = 7, S_COLOUR = 13, S_RED = 20, S_CALL = 24, S_DEEP = 29, S_WORD = 34 };
static const char btf_strings[] = "\0alpha\0inner\0colour\0red\0call\0deep\0word";

struct btf_image {
	struct btf_header header;
	struct btf_type alpha; /* 1: struct alpha { int inner; union { int deep; }; } */
	struct btf_member alpha_members[2];
	struct btf_type nameless; /* 2 */
	struct btf_member nameless_member;
	struct btf_type colour; /* 3: enum colour { red } */
	struct btf_enum red;
	struct btf_type proto; /* 4 */
	struct btf_type call;  /* 5: func call */
	struct btf_type word;  /* 6: typedef word */
	char strings[sizeof btf_strings];
} __attribute__((packed));

static u32 btf_info(u32 kind, u32 members) { return kind << 24 | members; }

static struct btf_image small_btf(void)
{
	struct btf_image b = {
		.header = { .magic = BTF_MAGIC, .version = 1, .hdr_len = sizeof b.header },
		.alpha = { S_ALPHA, btf_info(BTF_KIND_STRUCT, 2), { 8 } },
		.alpha_members = { { S_INNER, 4, 0 }, { 0, 2, 32 } },
		.nameless = { 0, btf_info(BTF_KIND_UNION, 1), { 4 } },
		.nameless_member = { S_DEEP, 4, 0 },
		.colour = { S_COLOUR, btf_info(BTF_KIND_ENUM, 1), { 4 } },
		.red = { S_RED, 1 },
		.proto = { 0, btf_info(BTF_KIND_FUNC_PROTO, 0), { 0 } },
		.call = { S_CALL, btf_info(BTF_KIND_FUNC, 1), { 4 } },
		.word = { S_WORD, btf_info(BTF_KIND_TYPEDEF, 0), { 3 } },
	};
	b.header.type_len = (u32)(offsetof(struct btf_image, strings) - sizeof b.header);
	b.header.str_off = b.header.type_len;
	b.header.str_len = sizeof btf_strings;
	memcpy(b.strings, btf_strings, sizeof btf_strings);
	return b;
}

static int parse_copy(struct kbtf **ret, const void *bytes, size_t len)
{
	void *copy = malloc(len + 1); /* never nothing */
	memcpy(copy, bytes, len);
	return kbtf_parse(ret, copy, len);
}

TEST(btf_is_read)
{
	struct btf_image image = small_btf();
	struct kbtf *b;
	CHECK_OK(parse_copy(&b, &image, sizeof image));
	CHECK_EQ(kbtf_find(b, BTF_KIND_STRUCT, "alpha"), 1);
	CHECK_EQ(kbtf_find(b, BTF_KIND_FUNC, "alpha"), 0);
	CHECK_EQ(kbtf_find(b, BTF_KIND_FUNC, "call"), 5);
	CHECK_EQ(kbtf_find(b, BTF_KIND_TYPEDEF, "word"), 6);
	CHECK_EQ(kbtf_find(b, BTF_KIND_FUNC, "cal"), 0);
	CHECK(kbtf_has_member(b, "alpha", "inner"));
	CHECK(kbtf_has_member(b, "alpha", "deep"));
	CHECK(!kbtf_has_member(b, "alpha", "red"));
	CHECK(!kbtf_has_member(b, "colour", "red"));
	CHECK(kbtf_has_value(b, "colour", "red"));
	CHECK(!kbtf_has_value(b, "colour", "blue"));
	kbtf_free(b);
}

TEST(btf_that_is_cut_or_wrong_is_refused)
{
	struct btf_image image = small_btf();
	struct kbtf *b;
	for (size_t len = 0; len < sizeof image; len++)
		CHECK_EQ(parse_copy(&b, &image, len), -EINVAL);
	/* Any single wrong byte is survived, whatever it makes of the contents. */
	for (size_t at = 0; at < sizeof image; at++) {
		struct btf_image wrong = image;
		((u8 *)&wrong)[at] ^= 0xff;
		if (parse_copy(&b, &wrong, sizeof wrong) < 0)
			continue;
		kbtf_has_member(b, "alpha", "nothing");
		kbtf_has_value(b, "colour", "nothing");
		kbtf_free(b);
	}
}

TEST(btf_of_a_struct_in_itself_ends)
{
	struct btf_image image = small_btf();
	struct kbtf *b;
	image.nameless_member = (struct btf_member){ 0, 2, 0 };
	CHECK_OK(parse_copy(&b, &image, sizeof image));
	CHECK(!kbtf_has_member(b, "alpha", "nothing"));
	kbtf_free(b);
}

/* --- the cache --- */

TEST(cache_key_depends_on_its_text)
{
	struct text one = { 0 }, other = { 0 };
	text_adds(&one, "boot 1 uid 0");
	text_adds(&other, "boot 1 uid 1");
	struct cache_key a = cache_key_of(&one), b = cache_key_of(&other), again = cache_key_of(&one);
	CHECK(memcmp(&a, &b, sizeof a));
	CHECK_MEM(&a, &again, sizeof a);
	text_free(&one);
	text_free(&other);
}

TEST(cache_key_depends_on_rights)
{
	struct host host;
	struct cache_key mine, fewer, filtered;
	host_open(&host);
	CHECK_OK(cache_key(&mine, &host));
	host.effective ^= 1;
	CHECK_OK(cache_key(&fewer, &host));
	host.effective ^= 1;
	host.seccomp = 2;
	CHECK_OK(cache_key(&filtered, &host));
	CHECK(memcmp(&mine, &fewer, sizeof mine) && memcmp(&mine, &filtered, sizeof mine));
	host_close(&host);
}

static int cache_dir_new(char path[32])
{
	strcpy(path, "/tmp/ckpt-cache-XXXXXX");
	CHECK(mkdtemp(path));
	return (int)CHECK_OK(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static void cache_dir_remove(int dir, const char *path)
{
	DIR *entries = fdopendir(dir);
	CHECK(entries);
	for (struct dirent *e; (e = readdir(entries));)
		unlinkat(dirfd(entries), e->d_name, 0);
	closedir(entries);
	CHECK_OK(rmdir(path));
}

TEST(cache_gives_back_what_it_got)
{
	char path[32];
	int dir = cache_dir_new(path);
	struct cache_key key = { 1, 2 }, other = { 1, 3 };
	struct known put[CAN_COUNT] = { [CAN_BPF] = { CAP_YES, CAP_YES, 1, 77 }, [CAN_KCMP] = { CAP_NO, CAP_NO, 1, 0 } };
	struct known got[CAN_COUNT];
	CHECK_EQ(cache_read_at(dir, &key, got), -ENOENT);
	CHECK_OK(cache_write_at(dir, &key, put));
	CHECK_OK(cache_write_at(dir, &key, put)); /* replaced */
	CHECK_OK(cache_read_at(dir, &key, got));
	CHECK_MEM(put, got, sizeof put);
	CHECK_EQ(cache_read_at(dir, &other, got), -ENOENT);
	cache_dir_remove(dir, path);
}

TEST(cache_trusts_nobody)
{
	char path[32];
	int dir = cache_dir_new(path);
	const char *name = "caps-00000000000000020000000000000001";
	struct cache_key key = { 1, 2 };
	struct known known[CAN_COUNT] = { 0 };
	CHECK_OK(cache_write_at(dir, &key, known));
	CHECK_OK(fchmodat(dir, name, 0622, 0)); /* others could have written it */
	CHECK_EQ(cache_read_at(dir, &key, known), -EPERM);
	CHECK_OK(fchmodat(dir, name, 0600, 0));
	CHECK_OK(cache_read_at(dir, &key, known));
	CHECK_OK(fchmod(dir, 0777)); /* others could have put it there */
	CHECK_EQ(cache_read_at(dir, &key, known), -EPERM);
	CHECK_EQ(cache_write_at(dir, &key, known), -EPERM);
	CHECK_OK(fchmod(dir, 0700));
	int fd = (int)CHECK_OK(openat(dir, name, O_WRONLY));
	CHECK_OK(file_pwrite_full(fd, "\2", 1, 60)); /* damaged */
	CHECK_EQ(cache_read_at(dir, &key, known), -EINVAL);
	CHECK_OK(ftruncate(fd, 40));
	CHECK_EQ(cache_read_at(dir, &key, known), -EINVAL);
	close(fd);
	CHECK_OK(unlinkat(dir, name, 0));
	CHECK_OK(symlinkat("/etc/passwd", dir, name));
	CHECK_EQ(cache_read_at(dir, &key, known), -ELOOP);
	cache_dir_remove(dir, path);
}

/* --- the probes --- */

static size_t open_descriptors(void)
{
	size_t n = 0;
	DIR *dir = opendir("/proc/self/fd");
	CHECK(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static size_t mapped_bytes(void)
{
	struct text t = { 0 };
	CHECK_OK(file_read(AT_FDCWD, "/proc/self/statm", &t));
	size_t pages = strtoul(t.data, NULL, 10);
	text_free(&t);
	return pages * PAGE_BYTES;
}

TEST(probes_leave_nothing_behind)
{
	struct caps caps;
	mallopt(M_MMAP_THRESHOLD, 65536); /* what is freed is unmapped */
	CHECK_OK(caps_probe_all(&caps, NULL));
	size_t descriptors = open_descriptors(), bytes _unused_ = mapped_bytes();
	CHECK_OK(caps_probe_all(&caps, NULL));
	CHECK_EQ(open_descriptors(), descriptors);
#ifndef __SANITIZE_ADDRESS__ /* which keeps what was freed */
	CHECK_EQ(mapped_bytes(), bytes);
#endif
	CHECK_EQ(waitpid(-1, NULL, __WALL | WNOHANG), -1);
	CHECK_EQ(errno, ECHILD);
	CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
	CHECK_EQ(prctl(PR_GET_SECCOMP), 0);
}

TEST(disabled_rows_answer_no_and_are_not_cached)
{
	struct caps caps;
	char unknown[32];
	CHECK(caps_disable_valid(NULL, unknown, sizeof unknown));
	CHECK(caps_disable_valid("RSEQ_CONFIG, BPF,", unknown, sizeof unknown));
	CHECK(!caps_disable_valid("BPF,NO_SUCH_ROW,KCMP", unknown, sizeof unknown));
	CHECK_STR(unknown, "NO_SUCH_ROW");
	CHECK_EQ(caps_load(&caps, "NO_SUCH_ROW"), -EINVAL);
	CHECK_OK(caps_load(&caps, "PIDFD_OPEN,KCMP"));
	CHECK_EQ(caps.state[CAN_PIDFD_OPEN].answer, CAP_NO);
	CHECK_CONTAINS(caps.state[CAN_KCMP].note, "CKPT_DISABLE");
	CHECK_OK(caps_load(&caps, NULL));
	CHECK_EQ(caps.state[CAN_PIDFD_OPEN].answer, CAP_YES);
}

TEST(loading_agrees_with_probing)
{
	struct caps all, loaded, again;
	CHECK_OK(caps_probe_all(&all, NULL));
	CHECK_OK(caps_load(&loaded, NULL));
	CHECK_OK(caps_load(&again, NULL));
	for (int i = 0; i < CAN_COUNT; i++) {
		if (!(probes[i].flags & LOAD))
			continue;
		if (all.state[i].answer != loaded.state[i].answer || all.state[i].answer != again.state[i].answer)
			FAIL("%s: %d, %d, %d", caps_row((enum cap_id)i)->id, all.state[i].answer, loaded.state[i].answer,
			     again.state[i].answer);
	}
}

TEST(what_serves_instead)
{
	struct caps caps = { 0 };
	CHECK(!caps_serves(&caps, CAN_RSEQ_CONFIG));
	caps.state[CAN_BPF].answer = CAP_YES;
	CHECK(caps_serves(&caps, CAN_RSEQ_CONFIG));
	CHECK(!caps_has(&caps, CAN_RSEQ_CONFIG));
	CHECK(!caps_serves(&caps, CAN_SET_TID));
}

TEST(an_ordinary_user_gets_honest_answers, .root = true)
{
	struct caps caps;
	CHECK_OK(setgid(65534));
	CHECK_OK(setuid(65534));
	CHECK_OK(prctl(PR_SET_DUMPABLE, 1)); /* as after an exec */
	CHECK_OK(caps_probe_all(&caps, NULL));
	CHECK_EQ(caps.tier, CAP_TIER_USER);
	CHECK_EQ(caps.state[CAN_SET_TID].answer, CAP_NO);
	CHECK_EQ(caps.state[CAN_SET_TID].err, EPERM);
	CHECK_EQ(caps.state[CAN_PAGEMAP_PFN].answer, CAP_NO);
	CHECK_EQ(caps.state[CAN_BPF].answer, CAP_NO);
	CHECK_EQ(caps.state[CAN_CHECKPOINT_RESTORE].answer, CAP_NO);
	CHECK_EQ(caps.state[CAN_PTRACE_SEIZE].answer, CAP_YES);
	CHECK_EQ(caps.state[CAN_PR_SET_MM_MAP].answer, CAP_YES);
	CHECK_EQ(caps.state[CAN_PIDFD_OPEN].answer, CAP_YES);
	CHECK(caps_load(&caps, NULL) == 0);
}

/* Kills whoever calls nr, and answers ENOSYS to denied. */
static void filter(long nr, long denied)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (u32)nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (u32)denied, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(code), code };
	CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK_OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

TEST(a_seccomp_filter_that_kills_is_survived, .seconds = 60)
{
	struct caps caps;
	filter(SYS_kcmp, SYS_pidfd_getfd);
	CHECK_OK(caps_probe_all(&caps, NULL));
	CHECK_EQ(caps.state[CAN_KCMP].answer, CAP_NO);
	CHECK_CONTAINS(caps.state[CAN_KCMP].note, "seccomp");
	CHECK_EQ(caps.state[CAN_PIDFD_GETFD].answer, CAP_NO);
	CHECK_EQ(caps.state[CAN_PIDFD_GETFD].err, ENOSYS);
	CHECK_EQ(caps.state[CAN_PIDFD_OPEN].answer, CAP_YES);
	CHECK_EQ(waitpid(-1, NULL, __WALL | WNOHANG), -1);
}

/* A kernel before Linux 5.11, where others have used up the limit of the user; counts how often it is asked. */
static int load_above_page(void *asked)
{
	struct rlimit now;
	CHECK_OK(getrlimit(RLIMIT_MEMLOCK, &now));
	++*(int *)asked;
	return now.rlim_cur > PAGE_BYTES ? 7 : -EPERM;
}

TEST(locked_memory_is_raised_for_the_moment)
{
	struct rlimit before = { .rlim_cur = 0 }, after;
	CHECK_OK(getrlimit(RLIMIT_MEMLOCK, &before));
	if (before.rlim_max <= PAGE_BYTES)
		SKIP("the hard limit of locked memory is as low");
	before.rlim_cur = PAGE_BYTES;
	for (int first = 0; first <= 1; first++) {
		int asked = 0;
		CHECK_OK(setrlimit(RLIMIT_MEMLOCK, &before));
		CHECK_EQ(with_memlock(first, load_above_page, &asked), 7);
		CHECK_EQ(asked, 2 - first);
		CHECK_OK(getrlimit(RLIMIT_MEMLOCK, &after));
		CHECK_EQ(after.rlim_cur, PAGE_BYTES);
	}
}
