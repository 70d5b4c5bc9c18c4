// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the programs that watch: as many of them as this kernel lets in, the best way first. */
#include "collect/bpf_internal.h"
#include "base/memlock.h"
#include "why/why_internal.h"
#include "why.skel.h"
#include <bpf/bpf.h>
#include <stdio.h>
#include <sys/mman.h>

enum see_functions { BY_NOTHING, BY_FEXIT, BY_KRETPROBE };
enum see_caps { BY_NOBODY, BY_CAP_FEXIT, BY_TRACEPOINT };

/* One way to watch; the best is first. */
static const struct way {
	enum see_functions functions;
	enum see_caps caps;
} ways[] = {
	{ BY_KRETPROBE, BY_TRACEPOINT }, { BY_KRETPROBE, BY_CAP_FEXIT }, { BY_KRETPROBE, BY_NOBODY },
	{ BY_FEXIT, BY_TRACEPOINT },     { BY_FEXIT, BY_CAP_FEXIT },     { BY_NOTHING, BY_TRACEPOINT },
	{ BY_NOTHING, BY_NOBODY },
};

struct attempt {
	struct why_watch *watch;
	struct why_names *names;
	struct way way;
};

/* What a way cannot do without. */
static const enum cap_id functions_need[] = { CAN_NOTHING, CAN_BPF_FENTRY, CAN_BPF_KPROBE_MULTI };
static const enum cap_id caps_need[] = { CAN_NOTHING, CAN_BPF_FENTRY, CAN_BPF_TP_BTF };

static bool is_missing(const struct caps *caps, enum cap_id id) { return id != CAN_NOTHING && caps_lacks(caps, id); }

static bool is_possible(const struct why_names *n, const struct caps *caps, struct way way)
{
	if (way.functions == BY_KRETPROBE && !n->list.n)
		return false;
	if (is_missing(caps, functions_need[way.functions]) || is_missing(caps, caps_need[way.caps]))
		return false;
	return way.caps != BY_TRACEPOINT || why_has_tracepoint(n->btf, "cap_capable");
}

static bool is_chosen(const struct attempt *a, const char *program)
{
	if (!strcmp(program, "why_return"))
		return a->way.functions == BY_KRETPROBE;
	if (!strcmp(program, "why_cap_tracepoint"))
		return a->way.caps == BY_TRACEPOINT;
	if (!strcmp(program, "why_cap_fexit"))
		return a->way.caps == BY_CAP_FEXIT;
	for (const struct why_function *f = why_functions; f->name; f++)
		if (!strncmp(program, "fexit_", 6) && !strcmp(program + 6, f->name))
			return a->way.functions == BY_FEXIT && why_has_function(a->names->btf, f->name, f->arguments);
	return true;
}

/* Each gets its number as a cookie. */
static struct bpf_link *attach_returns(const struct bpf_program *program, const struct why_names *n)
{
	_cleanup_free_ __u64 *cookies = calloc(n->list.n, sizeof *cookies);
	if (!cookies)
		return NULL;
	for (size_t i = 0; i < n->list.n; i++)
		cookies[i] = WHY_MULTI + i;
	LIBBPF_OPTS(bpf_kprobe_multi_opts, opts, .syms = n->list.v, .cookies = cookies, .cnt = n->list.n, .retprobe = true);
	return bpf_program__attach_kprobe_multi_opts(program, NULL, &opts);
}

static int attach(const struct attempt *a, const struct bpf_program *program)
{
	const char *name = bpf_program__name(program);
	LIBBPF_OPTS(bpf_test_run_opts, run);
	if (!bpf_program__autoload(program))
		return 0;
	if (!strcmp(name, "why_me"))
		return bpf_prog_test_run_opts(bpf_program__fd(program), &run);
	struct bpf_link *link = strcmp(name, "why_return") ? bpf_program__attach(program) : attach_returns(program, a->names);
	if (!link)
		return errno ? neg_errno() : -EIO;
	a->watch->link[a->watch->links++] = link;
	return 0;
}

static int try_way(void *arg)
{
	struct attempt *a = arg;
	size_t len;
	const void *elf = why_bpf__elf_bytes(&len);
	struct bpf_program *program;
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "why");
	a->watch->object = bpf_object__open_mem(elf, len, &opts);
	if (!a->watch->object)
		return neg_errno();
	bpf_object__for_each_program(program, a->watch->object)
		bpf_program__set_autoload(program, is_chosen(a, bpf_program__name(program)));
	int r = bpf_object__load(a->watch->object);
	bpf_object__for_each_program(program, a->watch->object) r = r < 0 ? r : attach(a, program);
	return r;
}

void why_watch_end(struct why_watch *w)
{
	while (w->links)
		bpf_link__destroy(w->link[--w->links]);
}

void why_watch_free(struct why_watch *w)
{
	why_watch_end(w);
	if (w->log)
		munmap((void *)w->log, sizeof *w->log);
	bpf_object__close(w->object);
	*w = (struct why_watch){ 0 };
}

static void take_log(struct why_watch *w, struct way way)
{
	struct bpf_map *map = bpf_object__find_map_by_name(w->object, ".bss");
	void *log = map ? mmap(NULL, sizeof *w->log, PROT_READ, MAP_SHARED, bpf_map__fd(map), 0) : MAP_FAILED;
	w->log = log == MAP_FAILED ? NULL : log;
	w->functions = way.functions != BY_NOTHING;
	w->caps = way.caps != BY_NOBODY;
}

static void tell_way(struct text *t, const struct way *way, int err)
{
	static const char *const functions[] = { "system calls alone", "fexit", "kretprobe.multi" };
	static const char *const caps[] = { "", " and cap_capable by fexit", " and the tracepoint cap_capable" };
	text_addf(t, "%s%s%s: %s", t->len ? "; " : "", functions[way->functions], caps[way->caps],
		  strerrorname_np(-err) ?: "?");
}

/* Functions are what is asked for first. */
static void tell_missing(struct text *t, const struct caps *caps)
{
	for (size_t i = 0; i < ARRAY_SIZE(functions_need); i++)
		if (is_missing(caps, functions_need[i]))
			text_addf(t, "%s%s: %s", t->len ? "; " : "", caps_row(functions_need[i])->id,
				  caps->state[functions_need[i]].note);
}

void why_watch_begin(struct why_watch *w, struct why_names *names, const struct caps *caps, struct text *limits)
{
	libbpf_set_print(NULL);
	libbpf_set_memlock_rlim(0);
	if (*names->reason)
		text_adds(limits, names->reason);
	tell_missing(limits, caps);
	for (size_t i = 0; i < ARRAY_SIZE(ways) && !w->log; i++) {
		struct attempt a = { w, names, ways[i] };
		if (!is_possible(names, caps, ways[i]))
			continue;
		int r = with_memlock(true, try_way, &a);
		if (r == 0) {
			take_log(w, ways[i]);
			break;
		}
		tell_way(limits, &ways[i], r);
		why_watch_free(w);
	}
}
