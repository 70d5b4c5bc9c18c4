// SPDX-License-Identifier: LGPL-2.1-or-later
/* usage: btf_check OBJECT BTF...   relocates a BPF object against the type information of other kernels, without loading it,
 * and follows each of its programs: an instruction that libbpf poisoned because its field does not exist must not be reachable.
 * It does what the verifier would: registers that hold a known constant (an answer of bpf_core_field_exists) decide jumps.
 * Needs the right to create BPF maps. Prints KTAP lines; status 1 when a kernel would refuse the object. */
#include "base/base.h"
#include "base/vector.h"
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <stdio.h>

#define POISON 195896080 /* "0xbad2310", the call that libbpf writes instead of a relocation that failed */

struct registers {
	bool known[11];
	s64 value[11];
};
struct state {
	size_t pc;
	struct registers at;
};

/* What the check of one program found. */
static struct found {
	bool ran;
	const char *section;
	size_t poisoned; /* index + 1 of a reachable poisoned instruction, 0: none */
} found;

static bool same(const struct state *a, const struct state *b)
{
	if (a->pc != b->pc)
		return false;
	for (int i = 0; i < 11; i++)
		if (a->at.known[i] != b->at.known[i] || (a->at.known[i] && a->at.value[i] != b->at.value[i]))
			return false;
	return true;
}

static void alu(const struct bpf_insn *i, struct registers *r)
{
	bool reg = BPF_SRC(i->code) == BPF_X, known = reg ? r->known[i->src_reg] : true;
	s64 operand = reg ? r->value[i->src_reg] : i->imm, *to = &r->value[i->dst_reg];

	switch (BPF_OP(i->code)) {
	case BPF_MOV:
		r->known[i->dst_reg] = known;
		*to = operand;
		break;
	case BPF_AND:
		r->known[i->dst_reg] &= known;
		*to &= operand;
		break;
	case BPF_XOR:
		r->known[i->dst_reg] &= known;
		*to ^= operand;
		break;
	case BPF_ADD:
		r->known[i->dst_reg] &= known;
		*to += operand;
		break;
	case BPF_LSH:
		r->known[i->dst_reg] &= known;
		*to = (s64)((u64)*to << (operand & 63));
		break;
	case BPF_RSH:
		r->known[i->dst_reg] &= known;
		*to = (s64)((u64)*to >> (operand & 63));
		break;
	default:
		r->known[i->dst_reg] = false;
	}
	if (BPF_CLASS(i->code) == BPF_ALU)
		*to = (u32)*to;
}

/* 1 taken, 0 not, -1 both are possible. */
static int decide(const struct bpf_insn *i, const struct registers *r)
{
	bool reg = BPF_SRC(i->code) == BPF_X;

	if (BPF_OP(i->code) == BPF_JA)
		return 1;
	if (!r->known[i->dst_reg] || (reg && !r->known[i->src_reg]))
		return -1;
	s64 a = r->value[i->dst_reg], b = reg ? r->value[i->src_reg] : i->imm;
	switch (BPF_OP(i->code)) {
	case BPF_JEQ:
		return a == b;
	case BPF_JNE:
		return a != b;
	case BPF_JGT:
		return (u64)a > (u64)b;
	case BPF_JGE:
		return (u64)a >= (u64)b;
	case BPF_JLT:
		return (u64)a < (u64)b;
	case BPF_JLE:
		return (u64)a <= (u64)b;
	case BPF_JSGT:
		return a > b;
	case BPF_JSET:
		return (a & b) != 0;
	default:
		return -1;
	}
}

typedef VECTOR(struct state) state_list;

static void push(state_list *todo, state_list *seen, struct state s)
{
	for (size_t i = seen->n; i-- > 0;)
		if (same(&seen->v[i], &s))
			return;
	struct state *a = vector_add(seen), *b = vector_add(todo);
	if (!a || !b)
		abort();
	*a = *b = s;
}

static bool is_jump(const struct bpf_insn *i)
{
	return (BPF_CLASS(i->code) == BPF_JMP || BPF_CLASS(i->code) == BPF_JMP32) && BPF_OP(i->code) != BPF_CALL &&
	       BPF_OP(i->code) != BPF_EXIT;
}

static bool is_target(const struct bpf_insn *insns, size_t n, size_t pc)
{
	for (size_t i = 0; i < n; i++)
		if (is_jump(&insns[i]) && (size_t)((s64)i + 1 + insns[i].off) == pc)
			return true;
	return false;
}

/* Runs a straight line; every jump and every place that is jumped to goes to the work list. */
static size_t follow(const struct bpf_insn *insns, size_t n, struct state s, state_list *todo, state_list *seen,
		     const bool *targets)
{
	while (s.pc < n) {
		const struct bpf_insn *i = &insns[s.pc];
		u8 class = BPF_CLASS(i->code);
		if (i->code == (BPF_JMP | BPF_CALL)) {
			if (i->imm == POISON && i->src_reg == 0)
				return s.pc + 1;
			if (i->src_reg == BPF_PSEUDO_CALL)
				push(todo, seen, (struct state){ .pc = (size_t)((s64)s.pc + 1 + i->imm) });
			memset(s.at.known, 0, 6 * sizeof(bool)); /* r0 to r5 */
		} else if (i->code == (BPF_JMP | BPF_EXIT)) {
			return 0;
		} else if (is_jump(i)) {
			int taken = decide(i, &s.at);
			struct state other = s;
			other.pc = (size_t)((s64)s.pc + 1 + i->off);
			s.pc++;
			if (taken != 0)
				push(todo, seen, other);
			if (taken != 1)
				push(todo, seen, s);
			return 0;
		} else if (class == BPF_ALU64 || class == BPF_ALU) {
			alu(i, &s.at);
		} else if (class == BPF_LDX) {
			s.at.known[i->dst_reg] = false;
		} else if (i->code == (BPF_LD | BPF_IMM | BPF_DW)) {
			s.at.known[i->dst_reg] = i->src_reg == 0;
			s.at.value[i->dst_reg] = (s64)((u64)(u32)i->imm | (u64)(u32)i[1].imm << 32);
			s.pc++;
		}
		s.pc++;
		if (s.pc < n && targets[s.pc]) {
			push(todo, seen, s);
			return 0;
		}
	}
	return 0;
}

static size_t reachable_poison(const struct bpf_insn *insns, size_t n)
{
	state_list todo = { 0 }, seen = { 0 };
	bool *targets = calloc(n + 1, sizeof(bool));
	size_t bad = 0;

	if (!targets)
		abort();
	for (size_t i = 0; i < n; i++)
		targets[i] = is_target(insns, n, i);
	push(&todo, &seen, (struct state){ .pc = 0 });
	while (todo.n && !bad && seen.n < 200000)
		bad = follow(insns, n, todo.v[--todo.n], &todo, &seen, targets);
	vector_free(&todo);
	vector_free(&seen);
	free(targets);
	return bad;
}

/* libbpf calls this when a program is relocated and about to be loaded: it never is. */
static int before_load(struct bpf_program *prog, struct bpf_prog_load_opts *opts, long cookie)
{
	(void)opts, (void)cookie;
	found.ran = true;
	found.section = bpf_program__section_name(prog);
	found.poisoned = reachable_poison(bpf_program__insns(prog), bpf_program__insn_cnt(prog));
	return -ECANCELED;
}

static char report[256];
/* What libbpf decided about each relocation (V=1), and nothing else. */
static int show(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	return getenv("V") && strstr(format, "relo #") ? vprintf(format, args) : 0;
}

/* What programs are attached to, and how that is called in the kernel's BTF. */
static const struct {
	const char *prefix, *type;
	u32 kind;
} targets[] = {
	{ "iter/", "bpf_iter_%s", BTF_KIND_FUNC },
	{ "raw_tp/", "btf_trace_%s", BTF_KIND_TYPEDEF },
	{ "fexit/", "%s", BTF_KIND_FUNC },
	{ "netfilter", "bpf_nf_link_attach", BTF_KIND_FUNC }, /* and the functions that it calls came before, in 6.3 */
};

static bool has_target(const char *path)
{
	char name[96];
	struct btf *btf = btf__parse_raw(path);
	bool has = btf;

	for (size_t i = 0; btf && i < sizeof(targets) / sizeof(targets[0]); i++) {
		size_t len = strlen(targets[i].prefix);
		if (strncmp(found.section, targets[i].prefix, len))
			continue;
		size_t before = strcspn(targets[i].type, "%");
		snprintf(name, sizeof(name), "%.*s%s", (int)before, targets[i].type, found.section + len);
		has = btf__find_by_name_kind(btf, name, targets[i].kind) > 0;
	}
	btf__free(btf);
	return has;
}

/* Only one program of an object is relocated at a time: to load it ends with an error, on purpose. */
static bool check(const char *object_path, const char *btf_path, size_t number, bool *more)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .btf_custom_path = btf_path);
	struct bpf_object *object = bpf_object__open_file(object_path, &opts);
	struct bpf_program *prog;
	size_t n = 0;

	found = (struct found){ 0 };
	if (!object) {
		snprintf(report, sizeof(report), "cannot be opened: %s", strerror(errno));
		return false;
	}
	bpf_object__for_each_program(prog, object) bpf_program__set_autoload(prog, n++ == number);
	*more = number + 1 < n;
	int r = bpf_object__load(object);
	bool good = false;
	if (!found.ran)
		snprintf(report, sizeof(report), "cannot be relocated: %s", strerror(-r));
	else if (!has_target(btf_path))
		good = true, snprintf(report, sizeof(report), " # SKIP this kernel has no %s", found.section);
	else if (found.poisoned)
		snprintf(report, sizeof(report), "%s: instruction %zu reads what this kernel does not have", found.section,
			 found.poisoned - 1);
	else
		good = true, report[0] = 0;
	bpf_object__close(object);
	return good;
}

/* Of several programs some may be left out. */
static bool check_all(const char *object, const char *btf)
{
	bool more = true, any = false;

	for (size_t i = 0; more; i++) {
		if (!check(object, btf, i, &more))
			return false;
		any |= !*report;
	}
	if (any)
		report[0] = 0;
	return true;
}

int main(int argc, char **argv)
{
	static const char *const sections[] = { "iter+", "raw_tp+", "fexit+", "kretprobe.multi+", "netfilter" };
	LIBBPF_OPTS(libbpf_prog_handler_opts, handler, .prog_prepare_load_fn = before_load);
	const char *name = argc > 1 ? strrchr(argv[1], '/') : NULL;
	int bad = 0;

	if (argc < 3)
		return 2;
	libbpf_set_print(show);
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
		libbpf_register_prog_handler(sections[i], BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER, &handler);
	for (int i = 2; i < argc; i++) {
		bool good = check_all(argv[1], argv[i]);
		if (!good)
			printf("# %s\n", report);
		printf("%s %s on %s%s\n", good ? "ok" : "not ok", name ? name + 1 : argv[1], argv[i], good ? report : "");
		bad += !good;
	}
	return bad != 0;
}
