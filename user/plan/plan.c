// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns a plan while it is built, and lays it out as the data part of an arena. */
#include "plan/plan_internal.h"
#include "diag/diag.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define STEP_BLOCK 256
#define STACK_BYTES 2048
/* The data part begins with struct arena; data offsets count from it. */
#define DATA_START ALIGN_UP(sizeof(struct arena), (size_t)64)

static const char *const stage_names[STAGE_COUNT] = {
	[STAGE_LIFELINE] = "lifeline",
	[STAGE_CREATE] = "create",
	[STAGE_LINK] = "link",
	[STAGE_SETTLE] = "settle",
	[STAGE_WATCH] = "watch",
	[STAGE_MAKERS] = "makers",
	[STAGE_NOTIFY] = "notify",
	[STAGE_BIRTH] = "birth",
	[STAGE_BIRTH_TTY] = "birth-tty",
	[STAGE_ADOPT] = "adopt",
	[STAGE_UNMAP] = "unmap",
	[STAGE_MAP] = "map",
	[STAGE_FILL] = "fill",
	[STAGE_PROTECT] = "protect",
	[STAGE_FORK_EARLY] = "fork-early",
	[STAGE_SESSION] = "session",
	[STAGE_CTTY] = "ctty",
	[STAGE_FORK] = "fork",
	[STAGE_GROUP] = "group",
	[STAGE_REAP] = "reap",
	[STAGE_OWN_WATCH] = "own-watch",
	[STAGE_FILES] = "files",
	[STAGE_HOME_CREATE] = "home-create",
	[STAGE_HOME_LINK] = "home-link",
	[STAGE_HOME_SETTLE] = "home-settle",
	[STAGE_HOME_WATCH] = "home-watch",
	[STAGE_TTY] = "tty",
	[STAGE_TASK] = "task",
	[STAGE_MM] = "mm",
	[STAGE_THREADS] = "threads",
	[STAGE_THREAD] = "thread",
	[STAGE_IDS] = "ids",
	[STAGE_NAMESPACE] = "namespace",
	[STAGE_CREDS] = "creds",
	[STAGE_TIMERS] = "timers",
	[STAGE_CLOSE] = "close",
	[STAGE_LOCKS] = "locks",
	[STAGE_TELL] = "tell",
	[STAGE_SECCOMP] = "seccomp",
	[STAGE_PARK] = "park",
};

const char *stage_name(enum stage stage) { return stage_names[stage]; }

struct plan *plan_new(const struct plan_config *config)
{
	struct plan *plan = calloc(1, sizeof *plan);
	if (!plan)
		return NULL;
	plan->config = *config;
	plan->slots = 1; /* slot 0: nowhere */
	text_add(&plan->data, (char[DATA_START]){ 0 }, DATA_START);
	plan_for(plan, "the plan");
	if (plan_thread(plan, PLAN_WORLD) < 0 || text_failed(&plan->data)) {
		plan_free(plan);
		return NULL;
	}
	return plan;
}

const struct plan_config *plan_config(const struct plan *plan) { return &plan->config; }

void plan_free(struct plan *plan)
{
	if (!plan)
		return;
	for (struct step_block *b = plan->blocks, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	for (size_t i = 0; i < plan->words.n; i++)
		free(plan->words.v[i].name);
	vector_free(&plan->objects);
	text_free(&plan->names);
	vector_free(&plan->words);
	vector_free(&plan->pointers);
	vector_free(&plan->arrays);
	vector_free(&plan->gated);
	vector_free(&plan->holds);
	vector_free(&plan->homes);
	vector_free(&plan->makers);
	free(plan->by_tid);
	text_free(&plan->data);
	free(plan);
}

void plan_for(struct plan *plan, const char *format, ...)
{
	size_t *place = vector_add(&plan->objects);
	if (place)
		*place = plan->names.len;
	va_list args;
	va_start(args, format);
	text_addv(&plan->names, format, args);
	va_end(args);
	text_add(&plan->names, "", 1);
	plan->failed |= !place || text_failed(&plan->names);
}

const char *plan_object_name(const struct plan *plan, u32 object)
{
	return object < plan->objects.n && !text_failed(&plan->names) ? plan->names.data + plan->objects.v[object] : "?";
}

/* --- arrays, found by tid --- */

static u32 *tid_bucket(const struct plan *plan, u32 tid)
{
	if (!plan->tid_room)
		return NULL;
	for (u32 i = tid * 2654435761u & (plan->tid_room - 1);; i = (i + 1) & (plan->tid_room - 1))
		if (!plan->by_tid[i] || plan->arrays.v[plan->by_tid[i] - 1].tid == tid)
			return &plan->by_tid[i];
}

static bool tid_grow(struct plan *plan)
{
	if (plan->arrays.n * 2 < plan->tid_room)
		return true;
	u32 room = MAX(plan->tid_room * 2, 64u);
	u32 *grown = calloc(room, sizeof *grown);
	if (!grown)
		return false;
	free(plan->by_tid);
	plan->by_tid = grown;
	plan->tid_room = room;
	for (u32 i = 0; i < plan->arrays.n; i++)
		*tid_bucket(plan, plan->arrays.v[i].tid) = i + 1;
	return true;
}

int plan_thread(struct plan *plan, u32 tid)
{
	if (plan_array(plan, tid) != UINT32_MAX)
		return 0;
	struct plan_array *array = tid_grow(plan) ? vector_add(&plan->arrays) : NULL;
	if (!array) {
		plan->failed = true;
		return -ENOMEM;
	}
	array->tid = tid;
	array->stack = tid == PLAN_WORLD ? 0 : plan_data(plan, NULL, STACK_BYTES, 64) + STACK_BYTES;
	*tid_bucket(plan, tid) = (u32)plan->arrays.n;
	return 0;
}

u32 plan_array(const struct plan *plan, u32 tid)
{
	u32 *bucket = tid_bucket(plan, tid);
	return bucket && *bucket ? *bucket - 1 : UINT32_MAX;
}

bool plan_has_steps(const struct plan *plan, u32 tid, enum stage stage)
{
	u32 index = plan_array(plan, tid);
	return index != UINT32_MAX && plan->arrays.v[index].first[stage];
}

u32 plan_stack(const struct plan *plan, u32 tid)
{
	u32 index = plan_array(plan, tid);
	return index == UINT32_MAX ? 0 : plan->arrays.v[index].stack;
}

/* --- steps --- */

/* Whose array a place means. */
static u32 array_at(const struct plan *plan, u32 tid) { return plan_array(plan, tid == PLAN_WORLD ? plan->world : tid); }

/* Where steps go that can no longer be kept: callers need no check of their own, plan_seal() tells. */
static struct plan_step *step_lost(struct plan *plan)
{
	plan->failed = true;
	return &plan->lost;
}

static struct plan_step *step_new(struct plan *plan)
{
	if (!plan->blocks || plan->blocks->used == STEP_BLOCK) {
		struct step_block *block = calloc(1, sizeof *block + STEP_BLOCK * sizeof *block->steps);
		if (!block)
			return NULL;
		block->next = plan->blocks;
		plan->blocks = block;
	}
	return &plan->blocks->steps[plan->blocks->used++];
}

struct plan_step *plan_op(struct plan *plan, struct place place, enum step_op op, long nr, const struct arg args[6])
{
	u32 index = array_at(plan, place.tid);
	struct plan_step *s = index == UINT32_MAX ? NULL : step_new(plan);
	if (!s)
		return step_lost(plan);
	struct plan_array *array = &plan->arrays.v[index];
	s->step = (struct step){ .op = (u8)op, .nr = (u16)nr, .stage = (u16)place.stage, .object = (u32)plan->objects.n - 1 };
	for (unsigned i = 0; i < 6; i++) {
		s->step.a[i] = args[i].value;
		s->step.arg_kinds |= (u16)(args[i].kind << 2 * i);
	}
	if (array->last[place.stage])
		array->last[place.stage]->next = s;
	else
		array->first[place.stage] = s;
	array->last[place.stage] = s;
	array->count++;
	plan->steps++;
	return s;
}

void step_expect(struct plan_step *s, s64 result)
{
	s->step.expect_kind = EXPECT_EQUAL;
	s->step.expect = result;
}

void step_any(struct plan_step *s) { s->step.expect_kind = EXPECT_ANY; }

u32 step_result(struct plan *plan, struct plan_step *s)
{
	if (!s->step.slot)
		s->step.slot = plan->slots++;
	return s->step.slot;
}

void step_into(struct plan_step *s, u32 slot) { s->step.slot = slot; }

u32 plan_length(const struct plan *plan, u32 tid)
{
	u32 index = array_at(plan, tid);
	return index == UINT32_MAX ? 0 : plan->arrays.v[index].count;
}

struct plan_step *plan_skip(struct plan *plan, struct place place, struct arg value, s64 low, s64 high)
{
	struct plan_step *skip = plan_op(plan, place, OP_SKIP, 0, (struct arg[6]){ value, ARG(low), ARG(high) });
	skip->step.a[3] = plan_length(plan, place.tid);
	return skip;
}

void plan_land(struct plan *plan, struct place place, struct plan_step *skip)
{
	skip->step.a[3] = plan_length(plan, place.tid) - skip->step.a[3];
}

/* --- data --- */

u32 plan_data(struct plan *plan, const void *data, size_t len, size_t align)
{
	size_t at = ALIGN_UP(plan->data.len, MAX(align, (size_t)8));
	if (at + len > UINT32_MAX / 2) {
		plan->failed = true;
		return DATA_START;
	}
	static const char zeroes[4096];
	while (plan->data.len < at && !text_failed(&plan->data))
		text_add(&plan->data, zeroes, MIN(at - plan->data.len, sizeof zeroes));
	if (data)
		text_add(&plan->data, data, len);
	while (plan->data.len < at + len && !text_failed(&plan->data))
		text_add(&plan->data, zeroes, MIN(at + len - plan->data.len, sizeof zeroes));
	return (u32)at;
}

void *plan_bytes(struct plan *plan, u32 offset)
{
	return text_failed(&plan->data) || offset >= plan->data.len ? NULL : plan->data.data + offset;
}

void plan_pointer(struct plan *plan, u32 at, u32 target)
{
	struct plan_pointer *p = vector_add(&plan->pointers);
	if (p)
		*p = (struct plan_pointer){ at, target };
	plan->failed |= !p;
}

u32 plan_word(struct plan *plan, const char *name)
{
	u32 hash = 2166136261u;
	for (const char *c = name; *c; c++)
		hash = (hash ^ (u8)*c) * 16777619u;
	for (size_t i = 0; i < plan->words.n; i++)
		if (plan->words.v[i].hash == hash && !strcmp(plan->words.v[i].name, name))
			return plan->words.v[i].offset;
	struct plan_word *word = vector_add(&plan->words);
	if (!word || !(word->name = strdup(name))) {
		plan->words.n -= word != NULL;
		plan->failed = true;
		return DATA_START;
	}
	word->hash = hash;
	return word->offset = plan_data(plan, NULL, sizeof(u32), 64);
}

void plan_wait(struct plan *plan, struct place place, u32 word, u32 value)
{
	plan_op(plan, place, OP_WAIT, 0, (struct arg[6]){ ARG(word), ARG(value) });
}

u32 plan_string(struct plan *plan, const char *text) { return plan_data(plan, text, strlen(text) + 1, 1); }

void plan_write(struct plan *plan, struct place place, struct arg dir, const char *path, const char *text)
{
	s64 len = (s64)strlen(text);
	u32 fd = step_result(
		plan, plan_call(plan, place, SYS_openat, dir, ARG_OF_DATA(plan_string(plan, path)), ARG(O_WRONLY | O_CLOEXEC)));
	step_expect(plan_call(plan, place, SYS_write, ARG_OF_SLOT(fd), ARG_OF_DATA(plan_string(plan, text)), ARG(len)), len);
	plan_call(plan, place, SYS_close, ARG_OF_SLOT(fd));
}

void plan_post(struct plan *plan, struct place place, u32 word)
{
	plan_op(plan, place, OP_POST, 0, (struct arg[6]){ ARG(word) });
}

/* from: data offset of a struct iovec. The process knows its own id whatever pid namespace it is in. */
static void write_memory(struct plan *plan, struct place place, u64 address, u32 from, size_t len)
{
	u32 to = plan_data(plan, &(struct iovec){ (void *)(uintptr_t)address, len }, sizeof(struct iovec), 8);
	u32 own = step_result(plan, plan_call(plan, place, SYS_getpid));
	step_expect(plan_call(plan, place, SYS_process_vm_writev, ARG_OF_SLOT(own), ARG_OF_DATA(from), ARG(1), ARG_OF_DATA(to),
			      ARG(1), ARG(0)),
		    (s64)len);
}

void plan_write_memory(struct plan *plan, struct place place, u64 address, u32 data, size_t len)
{
	u32 from = plan_data(plan, &(struct iovec){ NULL, len }, sizeof(struct iovec), 8);
	plan_pointer(plan, from, data);
	write_memory(plan, place, address, from, len);
}

void plan_copy_memory(struct plan *plan, struct place place, u64 to, u64 from, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)from, len };
	write_memory(plan, place, to, plan_data(plan, &iov, sizeof iov, 8), len);
}

void plan_park(struct plan *plan, u32 tid, long nr, const struct arg args[6])
{
	step_any(plan_op(plan, AT(tid, STAGE_PARK), OP_CALL, nr, args));
}

u32 plan_gate_come(struct plan *plan) { return plan_word(plan, "come to the gate"); }
u32 plan_gate_open(struct plan *plan) { return plan_word(plan, "gate is open"); }
u32 plan_gated(const struct plan *plan, u32 i) { return i < plan->gated.n ? plan->gated.v[i] : 0; }

bool plan_is_gated(const struct plan *plan, u32 tid)
{
	for (size_t i = 0; i < plan->gated.n; i++)
		if (plan->gated.v[i] == tid)
			return true;
	return false;
}

void plan_gate(struct plan *plan, struct place place)
{
	u32 *tid = vector_add(&plan->gated);
	if (tid)
		*tid = place.tid;
	plan->failed |= !tid;
	plan_post(plan, place, plan_gate_come(plan));
	plan_wait(plan, place, plan_gate_open(plan), 1);
}

void plan_lifeline(struct plan *plan, u32 pid, u32 parent)
{
	struct place at = AT(pid, STAGE_LIFELINE);
	plan_call(plan, at, SYS_prctl, ARG(PR_SET_PDEATHSIG), ARG(SIGKILL));
	step_expect(plan_call(plan, at, SYS_getppid), parent);
	plan_post(plan, at, plan_births(plan));
}

void plan_hold(struct plan *plan, struct place place, u32 parent)
{
	u32 index = plan_array(plan, place.tid);
	struct plan_hold *hold = index == UINT32_MAX ? NULL : vector_add(&plan->holds);
	if (!hold) {
		plan->failed = true;
		return;
	}
	*hold = (struct plan_hold){ .held = { place.tid, plan_data(plan, NULL, sizeof(u32), 4) }, .parent = parent };
	plan->arrays.v[index].hold = (u32)plan->holds.n;
	hold->wait = plan_op(plan, place, OP_WAIT, 0, (struct arg[6]){ ARG(hold->held.word), ARG(1) });
	plan_call(plan, place, SYS_prctl, ARG(PR_SET_PDEATHSIG), ARG(0));
}

/* Each waits for itself and its children. */
static void count_holds(struct plan *plan)
{
	for (size_t i = 0; i < plan->holds.n; i++) {
		struct plan_hold *hold = &plan->holds.v[i];
		u32 index = plan_array(plan, hold->parent), above = index == UINT32_MAX ? 0 : plan->arrays.v[index].hold;
		if (!above)
			continue;
		hold->held.parent_word = plan->holds.v[above - 1].held.word;
		plan->holds.v[above - 1].wait->step.a[1]++;
	}
}

u32 plan_births(struct plan *plan) { return plan_word(plan, "births"); }

const struct plan_held *plan_held(const struct plan *plan, u32 i) { return i < plan->holds.n ? &plan->holds.v[i].held : NULL; }

/* --- descriptors --- */

void plan_add_home(struct plan *plan, const struct plan_home *home)
{
	struct plan_home *place = vector_add(&plan->homes);
	if (place)
		*place = *home;
	plan->failed |= !place;
}

/* How many files that the world does not make have a lower number. */
static size_t homes_below(const struct plan *plan, u32 file)
{
	size_t low = 0, high = plan->homes.n;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (plan->homes.v[middle].file < file)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct plan_home *plan_home(const struct plan *plan, u32 file)
{
	size_t i = homes_below(plan, file);
	return i < plan->homes.n && plan->homes.v[i].file == file ? &plan->homes.v[i] : NULL;
}

void plan_world_of(struct plan *plan, u32 file)
{
	const struct plan_home *home = plan_home(plan, file);
	plan->world = home && home->maker ? home->pid : PLAN_WORLD;
}

u32 plan_world(const struct plan *plan) { return plan->world; }

void plan_add_maker(struct plan *plan, u32 pid_slot)
{
	u32 *place = vector_add(&plan->makers);
	if (place)
		*place = pid_slot;
	plan->failed |= !place;
}

u32 plan_maker(const struct plan *plan, u32 i) { return i < plan->makers.n ? plan->makers.v[i] : 0; }

struct place plan_at(const struct plan *plan, u32 file, enum stage stage)
{
	const struct plan_home *home = plan_home(plan, file);
	if (home && !home->maker)
		return AT(home->pid, STAGE_HOME_CREATE + (stage - STAGE_CREATE));
	return AT(home ? home->pid : PLAN_WORLD, stage);
}

u32 plan_cloexec(const struct plan *plan, u32 file)
{
	const struct plan_home *home = plan_home(plan, file);
	return home && !home->maker && !home->cloexec ? 0 : O_CLOEXEC;
}

/* Service descriptors have no gaps where files are not the world's. */
int plan_fd(struct plan *plan, u32 file)
{
	size_t below = homes_below(plan, file);
	bool elsewhere = below < plan->homes.n && plan->homes.v[below].file == file;
	return (int)(elsewhere ? plan->homes.v[below].fd : plan->config.first_service_fd + file - (u32)below);
}

void plan_place_fd(struct plan *plan, u32 slot, u32 file) { plan_place_fd_at(plan, STAGE_CREATE, slot, file); }

void plan_place_fd_at(struct plan *plan, enum stage stage, u32 slot, u32 file)
{
	struct place at = plan_at(plan, file, stage);
	int fd = plan_fd(plan, file);
	struct plan_step *there = plan_home(plan, file) ? plan_skip(plan, at, ARG_OF_SLOT(slot), fd, fd) : NULL;
	step_expect(plan_call(plan, at, SYS_dup3, ARG_OF_SLOT(slot), ARG(fd), ARG(plan_cloexec(plan, file))), fd);
	plan_call(plan, at, SYS_close, ARG_OF_SLOT(slot));
	if (there)
		plan_land(plan, at, there);
}

/* --- layout: struct arena, data, slots, arrays, steps --- */

int plan_seal(struct plan *plan)
{
	if (plan->failed || text_failed(&plan->data))
		return fail_memory();
	count_holds(plan);
	size_t at = ALIGN_UP(plan->data.len, (size_t)64);
	plan->layout = (struct arena){
		.slots = (u32)at, .nslots = plan->slots, .narrays = (u32)plan->arrays.n, .nsteps = plan->steps
	};
	at = ALIGN_UP(at + plan->slots * sizeof(s64), (size_t)64);
	plan->layout.arrays = (u32)at;
	at = ALIGN_UP(at + plan->arrays.n * sizeof(struct array), (size_t)64);
	plan->layout.steps = (u32)at;
	at += plan->steps * sizeof(struct step);
	if (at > UINT32_MAX / 2)
		return fail(OUT_OF_MEMORY, -E2BIG, "the plan has %u steps", plan->steps);
	plan->layout.data_size = ALIGN_UP(at, PAGE_BYTES);
	return 0;
}

size_t plan_size(const struct plan *plan) { return plan->layout.data_size; }
const struct arena *plan_layout(const struct plan *plan) { return &plan->layout; }

void plan_emit(const struct plan *plan, void *to, u64 base)
{
	char *out = to;
	memcpy(out, plan->data.data, plan->data.len);
	struct arena *arena = to;
	*arena = plan->layout;
	arena->data_base = base;
	for (size_t i = 0; i < plan->pointers.n; i++) {
		u64 address = base + plan->pointers.v[i].target;
		memcpy(out + plan->pointers.v[i].at, &address, sizeof address);
	}
	struct array *arrays = (struct array *)(out + arena->arrays);
	struct step *steps = (struct step *)(out + arena->steps);
	u32 n = 0;
	for (size_t i = 0; i < plan->arrays.n; i++) {
		const struct plan_array *a = &plan->arrays.v[i];
		u32 ends = a->tid >= PLAN_HELPER ? UINT32_MAX : a->first[STAGE_LIFELINE] ? PLAN_LIFELINE_STEPS : 0;
		u32 parks = a->first[STAGE_PARK] != NULL;
		arrays[i] = (struct array){
			.first = n, .count = a->count - parks, .stack_top = a->stack, .ends = ends, .parks = parks
		};
		for (enum stage stage = 0; stage < STAGE_COUNT; stage++)
			for (const struct plan_step *s = a->first[stage]; s; s = s->next)
				steps[n++] = s->step;
	}
}
