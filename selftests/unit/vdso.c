// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tests of redirected vDSOs: a copy of this process's own, in which all else is traps, is called by its entries. */
#include "arch/arch.h"
#include "base/file.h"
#include "collect/proc_text.h"
#include "collect/vdso.h"
#include "harness/test.h"
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#define CLOCK_GETTIME "__vdso_clock_gettime"
#else
#define CLOCK_GETTIME "__kernel_clock_gettime"
#endif

static void free_vdso(Ckpt__Vdso **m) { ckpt__vdso__free_unpacked(*m, NULL); }
#define _cleanup_vdso_ _cleanup_(free_vdso)

/* This process's own. */
static Ckpt__Vdso *describe(void)
{
	_cleanup_text_ struct text maps = { 0 };
	VECTOR(struct record_vma) own = { 0 };
	struct record_vma v;
	const char *path;
	size_t path_len, len = 0;
	CHECK_OK(file_read(AT_FDCWD, "/proc/self/maps", &maps));
	for (const char *at = maps.data; parse_mapping(&at, &v, &path, &path_len) > 0;) {
		*vector_add(&own) = v;
		if (!strcmp(v.name, "[vdso]"))
			len = v.end - v.start;
	}
	Ckpt__Vdso *m = MESSAGE_NEW(Ckpt__Vdso, ckpt__vdso);
	CHECK(m);
	CHECK_OK(vdso_describe(m, own.v, own.n, (const void *)getauxval(AT_SYSINFO_EHDR), len));
	vector_free(&own);
	return m;
}

/* The code, redirected, where it can be run. */
static u8 *make_code(const Ckpt__Vdso *old, const Ckpt__Vdso *other)
{
	const char *symbol = NULL;
	u8 *code = mmap(NULL, old->code.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(code != MAP_FAILED);
	memcpy(code, old->code.data, old->code.len);
	for (size_t i = 0; i < old->n_symbol; i++)
		memset(code + old->symbol[i]->value + 4, 0xcc, old->symbol[i]->size - 4);
	CHECK_OK(vdso_redirect(code, old, other, getauxval(AT_SYSINFO_EHDR), &symbol));
	CHECK_OK(mprotect(code, old->code.len, PROT_READ | PROT_EXEC));
	__builtin___clear_cache((char *)code, (char *)code + old->code.len);
	return code;
}

static void check_clocks(const u8 *code, u64 entry)
{
	int (*read_clock)(clockid_t, struct timespec *);
	const u8 *at = code + entry;
	memcpy(&read_clock, &at, sizeof at);
	for (int i = 0; i < 1000; i++) {
		struct timespec a, b, c;
		syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &a);
		CHECK_EQ(read_clock(CLOCK_MONOTONIC, &b), 0);
		syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &c);
		CHECK(a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec <= b.tv_nsec));
		CHECK(b.tv_sec < c.tv_sec || (b.tv_sec == c.tv_sec && b.tv_nsec <= c.tv_nsec));
	}
}

TEST(entries_jump)
{
	_cleanup_vdso_ Ckpt__Vdso *v = describe();
	check_clocks(make_code(v, v), vdso_symbol(v, CLOCK_GETTIME));
}

TEST(entries_call)
{
	_cleanup_vdso_ Ckpt__Vdso *v = describe();
	check_clocks(make_code(v, NULL), vdso_symbol(v, CLOCK_GETTIME));
}

#if defined(__x86_64__)
TEST(random_without_state)
{
	_cleanup_vdso_ Ckpt__Vdso *v = describe();
	u64 entry = vdso_symbol(v, "__vdso_getrandom");
	if (!entry)
		SKIP("this kernel's vDSO has no getrandom");
	const u8 *at = make_code(v, NULL) + entry;
	ssize_t (*get)(void *, size_t, unsigned, void *, size_t);
	memcpy(&get, &at, sizeof at);
	u8 bytes[16] = { 0 };
	CHECK_EQ(get(bytes, sizeof bytes, 0, NULL, 0), (ssize_t)sizeof bytes);
	CHECK(memcmp(bytes, (u8[16]){ 0 }, sizeof bytes));
	CHECK_EQ(get(NULL, 0, 0, bytes, ~0ul), -ENOSYS);
}
#endif

TEST(identity)
{
	_cleanup_vdso_ Ckpt__Vdso *a = describe(), *b = describe();
	CHECK(vdso_same(a, b));
	b->symbol[0]->size++;
	CHECK(!vdso_same(a, b));
	b->symbol[0]->size--;
	b->part[0]->size += PAGE_BYTES;
	CHECK(!vdso_same(a, b));
	b->part[0]->size -= PAGE_BYTES;
	CHECK(a->n_part > 1);
	ckpt__vdso_part__free_unpacked(a->part[--a->n_part], NULL);
	CHECK(vdso_same(a, b));
	CHECK(!vdso_same(b, a));
	a->build_id.len = b->build_id.len = 0;
	CHECK(!vdso_same(a, b));
}
