// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns loading: cold by libbpf (which relocates against the kernel's BTF), or from instructions relocated before. */
#include "collect/bpf_internal.h"
#include "base/bpf.h"
#include "base/file.h"
#include "base/memlock.h"
#include "host/kbtf.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/btf.h>
#include <stdio.h>
#include <sys/mman.h>
#include <xxhash.h>

void bpf_walker_close(struct bpf_walker *p)
{
	if (p->config)
		munmap(p->config, p->mapped);
	closep(&p->fd);
	closep(&p->map);
	closep(&p->lock);
	*p = BPF_WALKER_NONE;
}

int bpf_walker_open(struct bpf_walker *p, enum bpf_object_id id, int fd, int map)
{
	*p = BPF_WALKER_NONE;
	p->fd = fd;
	p->map = map;
	p->mapped = id == BPF_TASK ? sizeof(struct record_task_map) : sizeof(struct record_config);
	void *at = mmap(NULL, p->mapped, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
	if (at == MAP_FAILED) {
		int r = neg_errno();
		bpf_walker_close(p);
		return r;
	}
	p->config = at;
	p->fields = id == BPF_TASK ? &((struct record_task_map *)at)->fields : NULL;
	return 0;
}

static size_t code_bytes(const struct bpf_code *code)
{
	return ((size_t)code->count + code->fields_count) * sizeof(struct bpf_insn);
}

/* Opens it with what its map has beside what the program puts there. */
static int open_filled(struct bpf_walker *w, enum bpf_object_id id, int fd, int map, const struct bpf_code *code)
{
	int r = bpf_walker_open(w, id, fd, map);
	if (r < 0)
		return r;
	*w->config = code->config;
	if (!w->fields)
		return 0;
	if (code->fields_count > ARRAY_SIZE(w->fields->insns)) {
		bpf_walker_close(w);
		return -EBADMSG;
	}
	w->fields->count = code->fields_count;
	memcpy(w->fields->insns, code->insns + code->count, code->fields_count * sizeof(struct bpf_insn));
	return 0;
}

void bpf_code_free(struct bpf_code *code)
{
	free(code->insns);
	*code = (struct bpf_code){ 0 };
}

struct code_load {
	enum bpf_object_id id;
	const struct bpf_code *code;
	struct bpf_walker *ret;
};

static int raw_map(u32 type, u32 size, u32 flags)
{
	union bpf_attr attr = {
		.map_type = type, .key_size = sizeof(u32), .value_size = size, .max_entries = 1, .map_flags = flags
	};

	return bpf_call(BPF_MAP_CREATE, &attr, sizeof attr);
}

/* What a program has beside its global data: a word for each processor. */
static bool is_own_map(const struct bpf_insn *insn) { return insn->src_reg == BPF_PSEUDO_MAP_FD; }

static bool has_own_map(const struct bpf_code *code)
{
	for (u32 i = 0; i < code->count; i++)
		if (bpf_refers_to_map(&code->insns[i]) && is_own_map(&code->insns[i]))
			return true;
	return false;
}

static int raw_program(const struct bpf_code *code, const struct bpf_insn *insns)
{
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_TRACING,
				.insn_cnt = code->count,
				.insns = (u64)(uintptr_t)insns,
				.license = (u64)(uintptr_t) "Dual BSD/GPL",
				.expected_attach_type = BPF_TRACE_ITER,
				.attach_btf_id = code->attach_btf_id };

	return bpf_call(BPF_PROG_LOAD, &attr, sizeof attr);
}

static int code_load(void *arg)
{
	const struct code_load *load = arg;
	const struct bpf_code *code = load->code;
	_cleanup_free_ struct bpf_insn *insns = malloc(code->count * sizeof(*insns));
	_cleanup_close_ int map = -1, own = -1;

	if (!insns)
		return -ENOMEM;
	map = raw_map(BPF_MAP_TYPE_ARRAY, code->map_size, BPF_F_MMAPABLE);
	if (map < 0)
		return map;
	own = has_own_map(code) ? raw_map(BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(u64), 0) : -1;
	memcpy(insns, code->insns, code->count * sizeof(*insns));
	for (u32 i = 0; i < code->count; i++)
		if (bpf_refers_to_map(&insns[i])) {
			insns[i].imm = is_own_map(&insns[i]) ? own : map;
			i++;
		}
	int fd = raw_program(code, insns);
	if (fd < 0)
		return fd;
	return open_filled(load->ret, load->id, fd, take_fd(&map), code);
}

int bpf_code_load(enum bpf_object_id id, const struct bpf_code *code, struct bpf_walker *ret)
{
	struct code_load load = { .id = id, .code = code, .ret = ret };
	return with_memlock(false, code_load, &load);
}

/* The map of the object's global data: behind the program's own one. */
static const struct bpf_map *data_map(const struct bpf_object *object)
{
	const struct bpf_map *map = bpf_object__next_map(object, NULL);
	while (map && !bpf_map__is_internal(map))
		map = bpf_object__next_map(object, map);
	return map;
}

/* What libbpf made of the object, without its map descriptor: the program that the kernel runs, and one that ckpt runs. */
static int code_take(struct bpf_code *ret, const struct bpf_object *object, int btf_id)
{
	const struct bpf_map *map = data_map(object);
	struct bpf_program *program = bpf_object__next_program(object, NULL),
			   *fields = bpf_object__next_program(object, program);
	size_t count = bpf_program__insn_cnt(program), fields_count = fields ? bpf_program__insn_cnt(fields) : 0;

	ret->attach_btf_id = (u32)btf_id;
	ret->map_size = bpf_map__value_size(map);
	ret->count = (u32)count;
	ret->fields_count = (u32)fields_count;
	ret->insns = malloc(code_bytes(ret));
	if (!ret->insns)
		return -ENOMEM;
	memcpy(ret->insns, bpf_program__insns(program), count * sizeof(*ret->insns));
	if (fields)
		memcpy(ret->insns + count, bpf_program__insns(fields), fields_count * sizeof(*ret->insns));
	for (size_t i = 0; i < count + fields_count; i++)
		if (bpf_refers_to_map(&ret->insns[i]))
			ret->insns[i++].imm = 0;
	return 0;
}

struct cold_load {
	enum bpf_object_id id;
	struct bpf_image image;
	struct bpf_walker *ret;
	struct bpf_code *ret_code;
};

static void object_closep(struct bpf_object **object) { bpf_object__close(*object); }

static int cold_load(void *arg)
{
	const struct cold_load *load = arg;
	/* named, so that libbpf does not look for types in modules: that takes CAP_SYS_ADMIN (BPF_BTF_GET_NEXT_ID) */
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = load->image.name, .btf_custom_path = caps_btf());
	_cleanup_(object_closep) struct bpf_object *object = bpf_object__open_mem(load->image.elf, load->image.len, &opts);
	if (!object)
		return neg_errno();
	int r = bpf_object__load(object);
	if (r < 0)
		return r;
	int btf_id = libbpf_find_vmlinux_btf_id(load->image.iterator, BPF_TRACE_ITER);
	if (btf_id < 0)
		return btf_id;
	const struct bpf_map *map = data_map(object);
	const struct bpf_program *program = bpf_object__next_program(object, NULL);
	bpf_code_free(load->ret_code);
	r = code_take(load->ret_code, object, btf_id);
	if (r < 0)
		return r;
	_cleanup_close_ int fd = fcntl(bpf_program__fd(program), F_DUPFD_CLOEXEC, 0);
	_cleanup_close_ int map_fd = fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 0);
	if (fd < 0 || map_fd < 0)
		return neg_errno();
	return open_filled(load->ret, load->id, take_fd(&fd), take_fd(&map_fd), load->ret_code);
}

/* --- without the kernel's own file: libbpf would look there for what iterators attach to --- */

static int stop_load(struct bpf_program *prog _unused_, struct bpf_prog_load_opts *opts _unused_, long cookie _unused_)
{
	return -ECANCELED;
}

/* libbpf fits the instructions to the types of the file, and is stopped before it loads them. */
static int fit_object(struct bpf_object *object, const char *iterator, const struct kbtf *types, struct bpf_code *ret)
{
	char function[64];
	snprintf(function, sizeof function, "bpf_iter_%s", iterator);
	u32 attach = kbtf_find(types, BTF_KIND_FUNC, function);
	if (!attach)
		return -ENOENT;
	int r = bpf_object__load(object);
	if (r != -ECANCELED)
		return r < 0 ? r : -EPROTO;
	return code_take(ret, object, (int)attach);
}

static int external_load(void *arg)
{
	const struct cold_load *load = arg;
	_cleanup_kbtf_ struct kbtf *types = NULL;
	LIBBPF_OPTS(libbpf_prog_handler_opts, handler, .prog_prepare_load_fn = stop_load);
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = load->image.name, .btf_custom_path = caps_btf());
	int r = kbtf_open(&types, caps_btf());
	if (r < 0)
		return r;
	/* never unregistered: libbpf 1.1 frees its list with the last one, and frees it again when the next one comes */
	int iterators = libbpf_register_prog_handler("iter/", BPF_PROG_TYPE_TRACEPOINT, 0, &handler);
	if (iterators < 0)
		return iterators;
	_cleanup_(object_closep) struct bpf_object *object = bpf_object__open_mem(load->image.elf, load->image.len, &opts);
	r = object ? fit_object(object, load->image.iterator, types, load->ret_code) : neg_errno();
	return r < 0 ? r : bpf_code_load(load->id, load->ret_code, load->ret);
}

/* A hash of the id of this boot; 0: it is not known. */
static u64 this_boot(void)
{
	_cleanup_text_ struct text id = { 0 };
	return file_boot_id(&id) < 0 ? 0 : XXH3_64bits(id.data, id.len);
}

int bpf_load_cold(enum bpf_object_id id, struct bpf_walker *ret)
{
	_cleanup_bpf_code_ struct bpf_code code = { 0 };
	struct cold_load load = { .id = id, .image = bpf_image(id), .ret = ret, .ret_code = &code };
	bool external = strcmp(caps_btf(), KERNEL_BTF) != 0;

	libbpf_set_print(NULL); /* a refused program floods the terminal otherwise */
	libbpf_set_memlock_rlim(0);
	int r = with_memlock(true, external ? external_load : cold_load, &load);
	if (r < 0)
		return r;
	bpf_calibrate(id, ret);
	bpf_calibrate_boot(id, ret, this_boot());
	code.config = *ret->config;
	if (!external) /* its types are taken on trust, this time */
		bpf_cache_write(id, &code);
	return 0;
}

int bpf_load_cached(enum bpf_object_id id, struct bpf_walker *ret)
{
	_cleanup_bpf_code_ struct bpf_code code = { 0 };

	int r = bpf_cache_read(id, &code);
	if (r == 0)
		r = bpf_code_load(id, &code, ret);
	if (r < 0 || bpf_calibrate_boot(id, ret, this_boot()) <= 0)
		return r;
	code.config = *ret->config;
	bpf_cache_write(id, &code);
	return 0;
}
