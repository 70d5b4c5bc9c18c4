// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the choice of kernel functions whose returns are watched: by their names those that decide, by the kernel's BTF those that
 * can return an error, by the tracer's list those that can be watched. */
#include "base/file.h"
#include "why/why_internal.h"
#include <bpf/btf.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/mount.h>
#include <stdio.h>
#include <sys/syscall.h>

static const char *const patterns[] = {
	"security_*", "cap_*",      "__ptrace_*",   "ptrace_*",   "prctl_*", "__do_sys_*", "ksys_*",       "do_sys_*",
	"copy_*",     "alloc_pid*", "*permission",  "may_*",      "vfs_*",   "do_*",       "*_install",    "create_*",
	"*_ns_*",     "set_*",      "seccomp_*",    "validate_*", "*_mmap*", "mprotect*",  "mremap*",      "*setsockopt*",
	"sock_*",     "*_bind",     "commit_creds", "proc_*",     "*pidfd*", "check_*",    "can_*",        "*_setattr",
	"path_*",     "filename_*", "link_*",       "lookup_*",   "open_*",  "mm_access",  "kernel_clone", "bpf_*",
	"pagemap_*",  "__bpf_*",    "userfault*",   "unix_*",     "inet_*",  "tcp_*",      "pidns_*",      "memfd_*",
};

const struct why_function why_functions[] = {
#define FUNCTION(name, count) { #name, count },
	WHY_FUNCTIONS(FUNCTION)
#undef FUNCTION
		{ NULL, 0 },
};

static bool is_one_of_few(const char *name)
{
	for (const struct why_function *f = why_functions; f->name; f++)
		if (!strcmp(f->name, name))
			return true;
	return false;
}

/* They only answer whether a capability is there; who asked decides. */
static const char *const answering[] = { "cap_capable*", "security_capable" };

static bool is_wanted(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(answering); i++)
		if (fnmatch(answering[i], name, 0) == 0)
			return false;
	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
		if (fnmatch(patterns[i], name, 0) == 0)
			return true;
	return is_one_of_few(name);
}

/* A signed integer or a pointer, behind any typedefs. */
static bool can_fail(const struct btf *btf, const struct btf_type *function)
{
	const struct btf_type *proto = btf__type_by_id(btf, function->type);
	const struct btf_type *t = proto ? btf__type_by_id(btf, proto->type) : NULL;
	while (t && (btf_is_typedef(t) || btf_is_mod(t)))
		t = btf__type_by_id(btf, t->type);
	return t && (btf_is_ptr(t) || (btf_is_int(t) && btf_int_encoding(t) & BTF_INT_SIGNED));
}

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static int find_functions(struct why_names *n)
{
	u32 count = btf__type_cnt(n->btf);
	for (u32 id = 1; id < count; id++) {
		const struct btf_type *t = btf__type_by_id(n->btf, id);
		const char *name = t && btf_is_func(t) ? btf__name_by_offset(n->btf, t->name_off) : NULL;
		if (!name || !is_wanted(name) || !can_fail(n->btf, t))
			continue;
		const char **place = vector_add(&n->list);
		if (!place)
			return -ENOMEM;
		*place = name;
	}
	if (n->list.n)
		qsort(n->list.v, n->list.n, sizeof *n->list.v, by_name);
	return 0;
}

/* The tracer's own file system, mounted nowhere. */
static int read_traceable(struct text *ret)
{
	_cleanup_close_ int fs = (int)syscall(SYS_fsopen, "tracefs", FSOPEN_CLOEXEC);
	if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return neg_errno();
	_cleanup_close_ int mount = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
	return mount < 0 ? neg_errno() : file_read(mount, "available_filter_functions", ret);
}

/* Keeps what stands in the list (one name in each line, behind it the module), once. Without a list, the few of which it is
 * known that they can be watched. */
static void keep_traceable(struct why_names *n, char *list)
{
	_cleanup_free_ bool *there = calloc(n->list.n + 1, sizeof *there);
	size_t kept = 0;
	for (size_t i = 0; there && !list && i < n->list.n; i++)
		there[i] = is_one_of_few(n->list.v[i]);
	for (char *line; there && (line = strsep(&list, "\n"));) {
		bool of_module = line[strcspn(line, " \t")];
		const char *const *at = of_module ? NULL : bsearch(&line, n->list.v, n->list.n, sizeof *n->list.v, by_name);
		if (at)
			there[at - n->list.v] = true;
	}
	for (size_t i = 0; there && i < n->list.n; i++)
		if (there[i] && (!kept || strcmp(n->list.v[kept - 1], n->list.v[i])))
			n->list.v[kept++] = n->list.v[i];
	n->list.n = kept;
}

void why_names_find(struct why_names *n)
{
	_cleanup_text_ struct text list = { 0 };
	n->btf = btf__load_vmlinux_btf();
	if (!n->btf) {
		snprintf(n->reason, sizeof n->reason, "no BTF of the kernel can be read");
		return;
	}
	if (btf__find_by_name_kind(n->btf, "bpf_kprobe_multi_link", BTF_KIND_STRUCT) < 0) {
		snprintf(n->reason, sizeof n->reason, "a few functions alone are watched (the kernel has no kretprobe.multi)");
		return;
	}
	int r = find_functions(n);
	if (r == 0)
		r = read_traceable(&list);
	if (r < 0)
		snprintf(n->reason, sizeof n->reason, "a few functions alone are watched (available_filter_functions: %s)",
			 strerrorname_np(-r));
	keep_traceable(n, list.data);
}

void why_names_free(struct why_names *n)
{
	vector_free(&n->list);
	btf__free(n->btf);
}

bool why_has_tracepoint(const struct btf *btf, const char *name)
{
	char type[64];
	snprintf(type, sizeof type, "btf_trace_%s", name);
	return btf && btf__find_by_name_kind(btf, type, BTF_KIND_TYPEDEF) > 0;
}

bool why_has_function(const struct btf *btf, const char *name, u32 arguments)
{
	int id = btf ? btf__find_by_name_kind(btf, name, BTF_KIND_FUNC) : 0;
	const struct btf_type *proto = id > 0 ? btf__type_by_id(btf, btf__type_by_id(btf, (u32)id)->type) : NULL;
	return proto && btf_vlen(proto) == arguments;
}
