// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the parsers of /proc texts. */
#include "collect/proc_text.h"
#include "arch/arch.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

const char *status_field(const char *text, const char *name)
{
	size_t len = strlen(name);
	for (const char *line = text; line && *line;) {
		if (!strncmp(line, name, len) && line[len] == ':') {
			const char *value = line + len + 1;
			while (*value == '\t' || *value == ' ')
				value++;
			return value;
		}
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	return NULL;
}

static u64 field_number(const char *text, const char *name, int base)
{
	const char *value = status_field(text, name);
	return value ? strtoull(value, NULL, base) : 0;
}

static void field_ids(const char *text, const char *name, u32 id[4])
{
	const char *value = status_field(text, name);
	for (int i = 0; i < 4 && value; i++) {
		char *end;
		id[i] = (u32)strtoul(value, &end, 10);
		value = end;
	}
}

/* The last number of a line: the innermost of NStgid and NSpid. */
static u32 field_last(const char *text, const char *name, u32 *ret_level)
{
	const char *value = status_field(text, name);
	u32 last = 0, count = 0;
	while (value && *value && *value != '\n') {
		char *end;
		u32 number = (u32)strtoul(value, &end, 10);
		if (end == value)
			break;
		last = number;
		count++;
		value = end;
	}
	*ret_level = count ? count - 1 : 0;
	return last;
}

/* Known when all fit into the record. */
static void parse_groups(const char *text, struct record_task *t)
{
	u32 count = 0;
	const char *value = status_field(text, "Groups");
	for (char *end; value && *value && *value != '\n'; value = end + strspn(end, " \t")) {
		u32 gid = (u32)strtoul(value, &end, 10);
		if (end == value || count == RECORD_GROUPS)
			return;
		t->groups[count++] = gid;
	}
	t->ngroups = count;
	t->known |= value ? KNOWN_GROUPS : 0;
}

int parse_status(const char *text, struct record_task *t)
{
	const char *name = status_field(text, "Name"), *state = status_field(text, "State");
	if (!name || !state || !status_field(text, "Pid"))
		return -EBADMSG;
	t->tgid = (u32)field_number(text, "Tgid", 10);
	t->tid = (u32)field_number(text, "Pid", 10);
	t->ppid = (u32)field_number(text, "PPid", 10);
	t->ptraced = (u32)field_number(text, "TracerPid", 10);
	t->state = (u8)*state;
	t->nr_threads = (u32)field_number(text, "Threads", 10);
	t->ns_tgid = field_last(text, "NStgid", &t->ns_level);
	t->ns_tid = field_last(text, "NSpid", &t->ns_level);
	u32 ids[4] = { 0 };
	field_ids(text, "Uid", ids);
	t->uid = ids[0], t->euid = ids[1], t->suid = ids[2], t->fsuid = ids[3];
	field_ids(text, "Gid", ids);
	t->gid = ids[0], t->egid = ids[1], t->sgid = ids[2], t->fsgid = ids[3];
	t->cap_inheritable = field_number(text, "CapInh", 16);
	t->cap_permitted = field_number(text, "CapPrm", 16);
	t->cap_effective = field_number(text, "CapEff", 16);
	t->cap_bounding = field_number(text, "CapBnd", 16);
	t->cap_ambient = field_number(text, "CapAmb", 16);
	t->no_new_privs = (u32)field_number(text, "NoNewPrivs", 10);
	t->pending = field_number(text, "SigPnd", 16);
	t->shared_pending = field_number(text, "ShdPnd", 16);
	t->seccomp_mode = (u32)field_number(text, "Seccomp", 10);
	t->seccomp_filters = (u32)field_number(text, "Seccomp_filters", 10);
	const char *umask = status_field(text, "Umask");
	t->umask = umask ? (u32)strtoul(umask, NULL, 8) : 0;
	parse_groups(text, t);
	t->known |= KNOWN_CREDS | KNOWN_SECCOMP | (umask ? KNOWN_UMASK : 0);
	return 0;
}

int parse_stat(const char *text, struct record_task *t)
{
	const char *open = strchr(text, '('), *close = strrchr(text, ')');
	if (!open || !close || close < open)
		return -EBADMSG;
	size_t len = MIN((size_t)(close - open - 1), sizeof t->comm - 1);
	memcpy(t->comm, open + 1, len);
	t->comm[len] = 0;
	u64 f[53] = { 0 };
	const char *at = close + 1;
	while (*at == ' ')
		at++;
	t->state = (u8)*at;
	if (*at)
		at++;
	int n = 4; /* numbered as in proc(5) */
	for (char *end; n <= 52; n++, at = end) {
		f[n] = strtoull(at, &end, 10);
		if (end == at)
			break;
	}
	if (n <= 52)
		return -EBADMSG;
	t->ppid = (u32)f[4];
	t->pgid = (u32)f[5];
	t->sid = (u32)f[6];
	t->flags = (u32)f[9];
	t->start_time = f[22] * 10000000u; /* USER_HZ is 100 on all architectures */
	t->start_code = f[26], t->end_code = f[27], t->start_stack = f[28];
	t->exit_signal = (u32)f[38];
	t->start_data = f[45], t->end_data = f[46], t->start_brk = f[47];
	t->arg_start = f[48], t->arg_end = f[49], t->env_start = f[50], t->env_end = f[51];
	t->exit_code = (u32)f[52];
	t->has_tty = f[7] != 0;
	t->known |= KNOWN_IDS | KNOWN_MM | KNOWN_TTY;
	return 0;
}

/* --- maps and smaps --- */

static const struct {
	char name[3];
	u32 flag;
} vm_flags[] = {
	{ "gd", VMA_GROWSDOWN },  { "lo", VMA_LOCKED },     { "lf", VMA_LOCKONFAULT },  { "dc", VMA_DONTFORK },
	{ "wf", VMA_WIPEONFORK }, { "dd", VMA_DONTDUMP },   { "hg", VMA_HUGEPAGE },     { "nh", VMA_NOHUGEPAGE },
	{ "mg", VMA_MERGEABLE },  { "sr", VMA_SEQUENTIAL }, { "rr", VMA_RANDOM },       { "nr", VMA_NORESERVE },
	{ "ac", VMA_ACCOUNT },    { "ht", VMA_HUGETLB },    { "io", VMA_IO },           { "pf", VMA_PFNMAP },
	{ "sl", VMA_SEALED },     { "dp", VMA_DROPPABLE },  { "um", VMA_UFFD_MISSING }, { "uw", VMA_UFFD_WP },
	{ "ui", VMA_UFFD_MINOR }, { "mw", VMA_MAYWRITE },   { "ms", VMA_MAYSHARE },     { "ss", VMA_SHADOW_STACK },
};

/* Protections that the letters of a mapping do not tell. */
static const struct {
	char name[3];
	u32 prot;
} vm_protections[] = {
	{ "bt", ARCH_PROT_BTI },
	{ "mt", ARCH_PROT_MTE },
};

/* "??" is a flag that this kernel has but does not name. That of memory which is locked is VM_LOCKONFAULT, which has no name in
 * Linux 5.10 (fs/proc/task_mmu.c, show_smap_vma_flags()). */
#define VMA_NAMED_LATE (VMA_SEALED | VMA_DROPPABLE | VMA_SHADOW_STACK)

static void parse_vm_flags(const char *line, struct record_vma *v)
{
	v->flags_known = ~0u;
	for (const char *at = line; *at && *at != '\n';) {
		while (*at == ' ')
			at++;
		if (!at[0] || !at[1] || at[0] == '\n')
			break;
		if (!strncmp(at, "??", 2))
			v->flags_known &= ~(u32)VMA_NAMED_LATE;
		for (size_t i = 0; i < ARRAY_SIZE(vm_flags); i++)
			if (at[0] == vm_flags[i].name[0] && at[1] == vm_flags[i].name[1])
				v->flags |= vm_flags[i].flag;
		for (size_t i = 0; i < ARRAY_SIZE(vm_protections); i++)
			if (at[0] == vm_protections[i].name[0] && at[1] == vm_protections[i].name[1])
				v->prot |= vm_protections[i].prot;
		at += 2;
	}
	if (v->flags & VMA_LOCKED && (v->flags_known & VMA_NAMED_LATE) != VMA_NAMED_LATE)
		v->flags |= VMA_LOCKONFAULT;
}

/* Lines of smaps that follow a mapping: "Size: ...", "VmFlags: ...". They begin with a capital letter. */
static const char *parse_details(const char *at, struct record_vma *v)
{
	while (*at >= 'A' && *at <= 'Z') {
		if (*at == 'V' && !strncmp(at, "VmFlags:", 8))
			parse_vm_flags(at + 8, v);
		else if (*at == 'P' && !strncmp(at, "ProtectionKey:", 14))
			v->flags |= (u32)(strtoul(at + 14, NULL, 10) & 15) << VMA_PKEY_SHIFT;
		at = strchrnul(at, '\n');
		at += *at == '\n';
	}
	return at;
}

/* What prctl(PR_SET_VMA_ANON_NAME) has named stands in the place of a file's path. */
static bool is_name_of_shared(const char *path, size_t len)
{
	static const char begin[] = "[anon_shmem:";
	return len > sizeof begin - 1 && !memcmp(path, begin, sizeof begin - 1);
}

static void parse_name(struct record_vma *v, const char *path, size_t len)
{
	if (!len || *path == '/' || (v->ino && !is_name_of_shared(path, len)))
		return;
	size_t n = MIN(len, sizeof v->name - 1);
	memcpy(v->name, path, n);
	v->name[n] = 0;
	static const char *const special[] = { "[vdso]", "[vvar", "[vsyscall]", "[uprobes]", "[sigpage]", "[vectors]" };
	for (size_t i = 0; i < ARRAY_SIZE(special); i++)
		if (!strncmp(v->name, special[i], strlen(special[i])))
			v->flags |= VMA_SPECIAL;
	if (!strcmp(v->name, "[stack]"))
		v->flags |= VMA_GROWSDOWN;
}

/* A number and the character behind it. (scanf(3) first measures the string: that is quadratic over a long file.) */
static bool take_number(const char **at, int base, char behind, u64 *ret)
{
	char *end;
	*ret = strtoull(*at, &end, base);
	if (end == *at || *end != behind)
		return false;
	*at = end + 1;
	return true;
}

int parse_mapping(const char **at, struct record_vma *v, const char **path, size_t *path_len)
{
	const char *s = *at, *prot;
	if (!*s)
		return 0;
	u64 start, end, pgoff, major, minor, ino;
	if (!take_number(&s, 16, '-', &start) || !take_number(&s, 16, ' ', &end) || strnlen(s, 5) < 5)
		return -EBADMSG;
	prot = s;
	s += 5;
	char *number_end;
	if (!take_number(&s, 16, ' ', &pgoff) || !take_number(&s, 16, ':', &major) || !take_number(&s, 16, ' ', &minor))
		return -EBADMSG;
	ino = strtoull(s, &number_end, 10);
	if (number_end == s || start >= end)
		return -EBADMSG;
	*v = (struct record_vma){
		.start = start, .end = end, .pgoff = pgoff, .dev_major = (u32)major, .dev_minor = (u32)minor, .ino = ino
	};
	v->prot = (prot[0] == 'r' ? PROT_READ : 0) | (prot[1] == 'w' ? PROT_WRITE : 0) | (prot[2] == 'x' ? PROT_EXEC : 0);
	const char *name = number_end;
	while (*name == ' ')
		name++;
	const char *line_end = strchrnul(name, '\n');
	bool has_file = ino || *name == '/'; /* the first segment of System V shared memory is inode 0 */
	v->flags = (prot[3] == 's' ? VMA_SHARED : 0) | (has_file ? 0 : VMA_ANONYMOUS);
	*path = name;
	*path_len = (size_t)(line_end - name);
	v->flags_known = VMA_SHARED | VMA_ANONYMOUS | VMA_SPECIAL | VMA_GROWSDOWN;
	parse_name(v, name, *path_len);
	if (v->flags & VMA_ANONYMOUS)
		v->pgoff = 0;
	*at = parse_details(*line_end ? line_end + 1 : line_end, v);
	return 1;
}

int parse_fdinfo(const char *text, struct record_file *f)
{
	const char *pos = status_field(text, "pos"), *flags = status_field(text, "flags"), *mnt = status_field(text, "mnt_id");
	if (!pos || !flags)
		return -EBADMSG;
	f->pos = strtoull(pos, NULL, 10);
	u32 bits = (u32)strtoul(flags, NULL, 8);
	f->cloexec = !!(bits & O_CLOEXEC);
	f->flags = bits & ~(u32)O_CLOEXEC;
	f->mnt_id = mnt ? (u32)strtoul(mnt, NULL, 10) : 0;
	f->locks = status_field(text, "lock") ? LOCKS_SOME : LOCKS_NONE;
	return 0;
}

/* time_namespaces(7): "monotonic  864000         0", by seconds and nanoseconds; the first kernels had the clock's number. */
static int parse_clock_offset(const char **line, const char *name, unsigned number, s64 *ret)
{
	char clock[12];
	long long seconds, nanoseconds;
	int read = 0;
	if (sscanf(*line, "%11s %lld %lld%n", clock, &seconds, &nanoseconds, &read) != 3 || nanoseconds < 0 ||
	    nanoseconds >= 1000000000 || llabs(seconds) > INT64_MAX / 1000000000 - 1 ||
	    (strcmp(clock, name) != 0 && strtoul(clock, NULL, 10) != number))
		return -EBADMSG;
	*ret = (s64)seconds * 1000000000 + (s64)nanoseconds;
	*line += read;
	return 0;
}

int parse_clock_offsets(const char *text, s64 *ret_monotonic, s64 *ret_boottime)
{
	int r = parse_clock_offset(&text, "monotonic", 1, ret_monotonic);
	return r < 0 ? r : parse_clock_offset(&text, "boottime", 7, ret_boottime);
}
