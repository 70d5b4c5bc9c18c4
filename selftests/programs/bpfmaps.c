// SPDX-License-Identifier: LGPL-2.1-or-later
/* bpfmaps DIR: BPF maps of all kinds that hold plain values; an empty queue and stack; one that is frozen, one that is open for reading as well, one that is
 * pinned and so stays when the program does not exist. */
#include "judge.h"
#include <linux/bpf.h>
#include <sys/mount.h>
#include <sys/resource.h>

#define KEYS 300u
#define CPUS_MOST 1024

struct prefix {
	unsigned bits, address;
};

static int hash, array, perhash, perarray, lru, trie, queue, stack, frozen, reader, writer, pinned;
static unsigned pinned_id, cpus;

static long bpf(int command, union bpf_attr *attr) { return syscall(SYS_bpf, command, attr, sizeof *attr); }

static int make(int type, unsigned key, unsigned value, unsigned entries, unsigned flags)
{
	union bpf_attr attr = { .map_type = (unsigned)type,
				.key_size = key,
				.value_size = value,
				.max_entries = entries,
				.map_flags = flags,
				.map_name = "judged" };
	int fd = (int)bpf(BPF_MAP_CREATE, &attr);
	if (fd < 0)
		judge_fail("skip: bpf(BPF_MAP_CREATE) of type %d: %s", type, strerror(errno));
	return fd;
}

static long set(int fd, const void *key, const void *value)
{
	union bpf_attr attr = { .map_fd = (unsigned)fd, .key = (uintptr_t)key, .value = (uintptr_t)value };
	return bpf(BPF_MAP_UPDATE_ELEM, &attr);
}

static long get(int fd, const void *key, void *value)
{
	union bpf_attr attr = { .map_fd = (unsigned)fd, .key = (uintptr_t)key, .value = (uintptr_t)value };
	return bpf(BPF_MAP_LOOKUP_ELEM, &attr);
}

static struct bpf_map_info info_of(int fd)
{
	struct bpf_map_info info = { 0 };
	union bpf_attr attr = { .info = { .bpf_fd = (unsigned)fd, .info_len = sizeof info, .info = (uintptr_t)&info } };
	MUST_EQ(bpf(BPF_OBJ_GET_INFO_BY_FD, &attr), 0);
	return info;
}

static int open_as(int fd, unsigned flags)
{
	union bpf_attr attr = { .map_id = info_of(fd).id, .open_flags = flags };
	int other = (int)bpf(BPF_MAP_GET_FD_BY_ID, &attr);
	MUST(other >= 0);
	return other;
}

/* What the kernel counts as possible: "0-3". */
static void count_cpus(void)
{
	FILE *f = fopen("/sys/devices/system/cpu/possible", "re");
	unsigned first, last = 0;
	MUST(f && fscanf(f, "%u-%u", &first, &last) >= 1);
	fclose(f);
	cpus = last + 1;
	MUST(cpus <= CPUS_MOST);
}

static void fill(void)
{
	uint64_t values[CPUS_MOST] = { 0 };
	for (unsigned key = 0; key < KEYS; key++) {
		uint64_t value = 1000 + key;
		MUST_EQ(set(hash, &key, &value), 0);
		if (key % 3 == 0)
			MUST_EQ(set(array, &key, &value), 0);
	}
	for (unsigned key = 0; key < 4; key++) {
		for (unsigned i = 0; i < cpus && i < CPUS_MOST; i++)
			values[i] = 100 * key + i + 1;
		MUST(set(perhash, &key, values) == 0 && set(perarray, &key, values) == 0);
		MUST_EQ(set(lru, &key, values), 0);
		struct prefix prefix = { 8 * key, 0x0a0a0a0a };
		MUST_EQ(set(trie, &prefix, values), 0);
	}
	MUST_EQ(set(frozen, &(unsigned){ 1 }, &(uint64_t){ 77 }), 0);
	union bpf_attr freeze = { .map_fd = (unsigned)frozen };
	MUST_EQ(bpf(BPF_MAP_FREEZE, &freeze), 0);
	MUST_EQ(set(frozen, &(unsigned){ 0 }, &(uint64_t){ 1 }), -1);
}

static void pin(void)
{
	MUST_EQ(mkdir(judge_path("bpf"), 0700), 0);
	if (mount("bpf", judge_path("bpf"), "bpf", 0, NULL))
		judge_fail("skip: no bpffs can be mounted: %s", strerror(errno));
	union bpf_attr attr = { .pathname = (uintptr_t)judge_path("bpf/map"), .bpf_fd = (unsigned)pinned };
	MUST_EQ(bpf(BPF_OBJ_PIN, &attr), 0);
	MUST_EQ(set(pinned, &(unsigned){ 0 }, &(uint64_t){ 5 }), 0);
	pinned_id = info_of(pinned).id;
}

static void judge_per_cpu(void)
{
	uint64_t values[CPUS_MOST] = { 0 };
	for (unsigned key = 0; key < 4; key++) {
		MUST_EQ(get(perhash, &key, values), 0);
		for (unsigned i = 0; i < cpus; i++)
			MUST_EQ(values[i], 100 * key + i + 1);
		MUST_EQ(get(perarray, &key, values), 0);
		for (unsigned i = 0; i < cpus; i++)
			MUST_EQ(values[i], 100 * key + i + 1);
		struct prefix prefix = { 8 * key, 0x0a0a0a0a };
		MUST(get(lru, &key, values) == 0 && values[0] == 100 * key + 1);
		MUST(get(trie, &prefix, values) == 0 && values[0] == 100 * key + 1);
	}
}

static long pop(int fd, uint64_t *value)
{
	union bpf_attr attr = { .map_fd = (unsigned)fd, .value = (uintptr_t)value };
	return bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM, &attr);
}

/* Room for two values, and what comes first. */
static void judge_queue(int fd, uint64_t first)
{
	uint64_t value = 0;
	MUST(pop(fd, &value) == -1 && errno == ENOENT);
	MUST(set(fd, NULL, &(uint64_t){ 1 }) == 0 && set(fd, NULL, &(uint64_t){ 2 }) == 0);
	MUST(set(fd, NULL, &(uint64_t){ 3 }) == -1 && errno == E2BIG);
	MUST(pop(fd, &value) == 0 && value == first);
}

static void judge_maps(void)
{
	uint64_t value = 0;
	for (unsigned key = 0; key < KEYS; key++) {
		MUST(get(hash, &key, &value) == 0 && value == 1000 + key);
		MUST(get(array, &key, &value) == 0 && value == (key % 3 ? 0 : 1000 + key));
	}
	MUST_EQ(get(hash, &(unsigned){ KEYS }, &value), -1);
	judge_per_cpu();
	judge_queue(queue, 1);
	judge_queue(stack, 2);
	struct bpf_map_info info = info_of(hash);
	MUST(info.type == BPF_MAP_TYPE_HASH && info.key_size == 4 && info.value_size == 8 && info.max_entries == 2 * KEYS);
	MUST(info.map_flags == BPF_F_NO_PREALLOC && !strcmp(info.name, "judged"));
	MUST(get(frozen, &(unsigned){ 1 }, &value) == 0 && value == 77);
	MUST_EQ(set(frozen, &(unsigned){ 0 }, &value), -1);
	/* three files of one map */
	MUST_EQ(info_of(reader).id, info.id);
	MUST_EQ(info_of(writer).id, info.id);
	MUST(set(reader, &(unsigned){ 0 }, &value) == -1 && errno == EPERM);
	MUST(get(writer, &(unsigned){ 0 }, &value) == -1 && errno == EPERM);
	MUST_EQ(set(writer, &(unsigned){ 0 }, &(uint64_t){ 9 }), 0);
	MUST(get(reader, &(unsigned){ 0 }, &value) == 0 && value == 9);
	/* the very map that is pinned */
	MUST_EQ(info_of(pinned).id, pinned_id);
	MUST(get(pinned, &(unsigned){ 0 }, &value) == 0 && value == 5);
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	count_cpus();
	setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){ RLIM_INFINITY, RLIM_INFINITY }); /* before Linux 5.11 maps count */
	hash = make(BPF_MAP_TYPE_HASH, 4, 8, 2 * KEYS, BPF_F_NO_PREALLOC);
	writer = open_as(hash, BPF_F_WRONLY);
	reader = open_as(hash, BPF_F_RDONLY);
	array = make(BPF_MAP_TYPE_ARRAY, 4, 8, KEYS, BPF_F_MMAPABLE);
	perhash = make(BPF_MAP_TYPE_PERCPU_HASH, 4, 8, 16, 0);
	perarray = make(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 16, 0);
	lru = make(BPF_MAP_TYPE_LRU_HASH, 4, 8, 1000, 0);
	trie = make(BPF_MAP_TYPE_LPM_TRIE, sizeof(struct prefix), 8, 16, BPF_F_NO_PREALLOC);
	queue = make(BPF_MAP_TYPE_QUEUE, 0, 8, 2, 0);
	stack = make(BPF_MAP_TYPE_STACK, 0, 8, 2, 0);
	frozen = make(BPF_MAP_TYPE_ARRAY, 4, 8, 2, 0);
	pinned = make(BPF_MAP_TYPE_HASH, 4, 8, 2, 0);
	fill();
	pin();
	judge_wait();
	judge_maps();
	MUST_EQ(unlink(judge_path("bpf/map")), 0);
	return judge_pass();
}
