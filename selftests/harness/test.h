/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The test harness: TEST(name) { ... } registers a test. Each runs in a process of its own with a time limit and, for
 * root, in a pid and mount namespace with a /proc, a /dev/pts and an empty /mnt of its own, so that nothing survives it and no wrong
 * kill() leaves it. Output is KTAP; what a test prints is shown when it fails (or with -v). Exit status: 0, 1 after a
 * failure, 4 when everything was skipped. */
#pragma once
#include "base/base.h"

struct test {
	const char *name;
	void (*run)(void);
	int seconds; /* it never takes longer on a quiet machine; 0: 60. Six times as long is its limit */
	int order;
	bool root;   /* needs root and namespaces: skipped without */
	bool net;    /* in a network namespace of its own too, where nothing but lo is, and up */
	bool manual; /* runs only when it is named on the command line */
	bool host;   /* never in namespaces of its own: for what exists only in those of the host */
};

/* TEST(name, .seconds = 60, .root = true) { CHECK(...); } */
#define TEST(ident, ...)                                                                                                       \
	static void test_##ident(void);                                                                                        \
	static const struct test test_of_##ident = { .name = #ident, .run = test_##ident, .order = __COUNTER__, __VA_ARGS__ }; \
	static const struct test *const test_at_##ident __attribute__((used, section("tests"))) = &test_of_##ident;            \
	static void test_##ident(void)

/* Every one of these ends the calling process when it does not hold; a failure in any child fails the test. */
#define CHECK(condition)                                                                                                       \
	do {                                                                                                                   \
		if (!(condition))                                                                                              \
			test_fail(__FILE__, __LINE__, "%s does not hold", #condition);                                         \
	} while (0)
#define CHECK_EQ(a, b) test_check_eq(__FILE__, __LINE__, #a, #b, (long long)(a), (long long)(b))
#define CHECK_STR(a, b) test_check_str(__FILE__, __LINE__, #a, #b, a, b)
#define CHECK_MEM(a, b, len) test_check_mem(__FILE__, __LINE__, #a, #b, a, b, len)
#define CHECK_CONTAINS(text, part) test_check_contains(__FILE__, __LINE__, #text, text, part)
/* The value must not be negative (a system call, or a function that returns a negative errno); gives the value. */
#define CHECK_OK(call) test_check_ok(__FILE__, __LINE__, #call, (long long)(call))
#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)
/* Ends the test as skipped, with a reason for people. */
#define SKIP(...) test_skip(__VA_ARGS__)

void test_fail(const char *file, int line, const char *format, ...) _printf_(3, 4) __attribute__((noreturn));
void test_skip(const char *format, ...) _printf_(1, 2) __attribute__((noreturn));
void test_check_eq(const char *file, int line, const char *a_text, const char *b_text, long long a, long long b);
void test_check_str(const char *file, int line, const char *a_text, const char *b_text, const char *a, const char *b);
void test_check_mem(const char *file, int line, const char *a_text, const char *b_text, const void *a, const void *b,
		    size_t len);
void test_check_contains(const char *file, int line, const char *text_text, const char *text, const char *part);
long long test_check_ok(const char *file, int line, const char *text, long long value);

/* Time limits are so many times as long where everything is slow (TEST_PATIENCE, in emulated machines). */
int test_patience(void);
/* The build directory (where ckpt and selftests/programs are), absolute; known from the place of the test's binary. */
const char *test_build_dir(void);
/* From now on it is found here too: for a user who may not pass the directories above. */
void test_move_build_dir(const char *);
