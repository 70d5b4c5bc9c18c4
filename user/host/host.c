// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what the probes of one run share: rights, type information, configuration, the two kinds of children. */
#include "host/config.h"
#include "host/probe.h"
#include "base/child.h"
#include <fcntl.h>
#include <linux/btf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

static u64 effective_capabilities(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { 0 };
	if (syscall(SYS_capget, &header, data) < 0)
		return 0;
	return data[0].effective | (u64)data[1].effective << 32;
}

void host_open(struct host *host)
{
	struct stat st;
	*host = (struct host){ .effective = effective_capabilities(), .euid = geteuid(), .seccomp = prctl(PR_GET_SECCOMP) };
	/* PROC_USER_INIT_INO, fixed by the kernel's ABI (include/linux/proc_ns.h) */
	bool told = stat("/proc/self/ns/user", &st) == 0;
	host->init_userns = !told || st.st_ino == 0xeffffffd;
	host->userns = told ? st.st_ino : 0;
}

void host_close(struct host *host)
{
	host_drop_tracee(host);
	kbtf_free(host->btf);
	text_free(&host->config);
}

bool host_capable(const struct host *host, int cap) { return host->effective >> cap & 1; }

const struct kbtf *host_btf(struct host *host)
{
	if (!host->btf_tried && kbtf_open(&host->btf, caps_btf()) < 0)
		host->btf = NULL;
	host->btf_tried = true;
	return host->btf;
}

const struct text *host_config(struct host *host)
{
	if (!host->config_tried)
		config_read(&host->config);
	host->config_tried = true;
	return host->config.len ? &host->config : NULL;
}

static enum cap_answer yes_or_no(bool yes) { return yes ? CAP_YES : CAP_NO; }

static enum cap_answer built_config(struct host *host, const char *name, char *note)
{
	const struct text *config = host_config(host);
	if (!config)
		return CAP_UNKNOWN;
	char value = config_value(config, name);
	if (value == 'n')
		snprintf(note, NOTE_BYTES, "%s is not set", name);
	else
		snprintf(note, NOTE_BYTES, "%s=%c", name, value);
	return yes_or_no(value != 'n');
}

static enum cap_answer built_btf(struct host *host, const char *kind, char *name, char *note)
{
#if defined(__x86_64__)
#define SYS_PREFIX "__x64_sys_"
#else
#define SYS_PREFIX "__arm64_sys_"
#endif
	static const struct {
		const char *word;
		u32 kind;
	} kinds[] = {
		{ "struct", BTF_KIND_STRUCT },
		{ "union", BTF_KIND_UNION },
		{ "func", BTF_KIND_FUNC },
		{ "typedef", BTF_KIND_TYPEDEF },
	};
	const struct kbtf *btf = host_btf(host);
	if (!btf)
		return CAP_UNKNOWN;
	bool has = false;
	char *field = strchr(name, '.');
	if (field)
		*field++ = 0;
	if (field && !strcmp(kind, "member"))
		has = kbtf_has_member(btf, name, field);
	else if (field && !strcmp(kind, "enum"))
		has = kbtf_has_value(btf, name, field);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kind, kinds[i].word))
			has = kbtf_find(btf, kinds[i].kind, name);
	if (!strcmp(kind, "sys")) {
		char symbol[80];
		snprintf(symbol, sizeof symbol, SYS_PREFIX "%s", name);
		has = kbtf_find(btf, BTF_KIND_FUNC, symbol);
	}
	snprintf(note, NOTE_BYTES, has ? "%s %s%s%s is in the kernel's BTF" : "no %s %s%s%s in the kernel's BTF",
		 strcmp(kind, "sys") ? kind : "system call", name, field ? "." : "", field ? field : "");
	return yes_or_no(has);
}

enum cap_answer host_built(struct host *host, const char *query, char *note)
{
	char parts[160], *rest = parts, *part;
	snprintf(parts, sizeof parts, "%s", query);
	while ((part = strsep(&rest, ","))) {
		while (*part == ' ')
			part++;
		char *name = strchr(part, ' ');
		if (name)
			*name++ = 0;
		enum cap_answer answer = !*part ? CAP_UNKNOWN
					 : name ? built_btf(host, part, name, note)
						: built_config(host, part, note);
		if (answer != CAP_UNKNOWN)
			return answer;
	}
	return CAP_UNKNOWN;
}

/* A filter for PTRACE_SECCOMP_GET_FILTER to find; where it cannot be set, that probe says so. */
static void allow_everything(void)
{
	struct sock_filter code[] = { { .code = BPF_RET | BPF_K, .k = SECCOMP_RET_ALLOW } };
	struct sock_fprog filter = { ARRAY_SIZE(code), code };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

static pid_t start_tracee(void)
{
	int ready[2];
	if (pipe2(ready, O_CLOEXEC) < 0)
		return neg_errno();
	_cleanup_close_ int reading = ready[0];
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		allow_everything();
		close(ready[1]);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (pid < 0)
		return neg_errno();
	char none;
	int status, r = read(reading, &none, 1) < 0 ? neg_errno() : 0; /* until the child has closed its end */
	if (r == 0 && (ptrace(PTRACE_SEIZE, pid, 0, 0) < 0 || ptrace(PTRACE_INTERRUPT, pid, 0, 0) < 0))
		r = neg_errno();
	if (r == 0)
		r = child_wait(pid, &status);
	if (r == 0 && !WIFSTOPPED(status))
		return -ESRCH;
	if (r < 0)
		child_end(pid);
	return r < 0 ? r : pid;
}

pid_t host_tracee(struct host *host)
{
	if (host->tracee == 0 && host->tracee_err == 0) {
		pid_t pid = start_tracee();
		if (pid < 0)
			host->tracee_err = pid;
		else
			host->tracee = pid;
	}
	return host->tracee ? host->tracee : host->tracee_err;
}

void host_drop_tracee(struct host *host)
{
	if (host->tracee > 0)
		child_end(host->tracee);
	host->tracee = host->tracee_err = 0;
}

struct guarded {
	struct host *host;
	const struct probe *probe;
	struct {
		int result;
		char note[NOTE_BYTES];
	} * shared;
};

static int run_guarded(void *arg)
{
	struct guarded *g = arg;
	g->host->tracee = g->host->tracee_err = 0;
	g->shared->result = g->probe->run(g->host, g->probe, g->shared->note);
	host_drop_tracee(g->host);
	return 0;
}

/* Under a seccomp filter an unknown call may kill the caller: ask in a child. */
static int run_in_child(struct host *host, const struct probe *probe, char *note)
{
	struct guarded g = { host, probe, NULL };
	void *shared = mmap(NULL, sizeof *g.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return PROBE_UNKNOWN;
	g.shared = shared;
	int r = child_try(run_guarded, &g);
	if (r == 0) {
		r = g.shared->result;
		memcpy(note, g.shared->note, NOTE_BYTES);
	} else if (r == -EPERM) {
		snprintf(note, NOTE_BYTES, "the seccomp filter kills who asks");
	}
	munmap(shared, sizeof *g.shared);
	return r == -ETIMEDOUT ? PROBE_UNKNOWN : r;
}

static void explain_no(struct cap_state *state, enum cap_answer built, const char *told)
{
	const char *name = strerrorname_np(state->err);
	if (*state->note)
		return;
	if (built == CAP_NO)
		snprintf(state->note, sizeof state->note, "%.90s", told);
	else if (state->err == EPERM || state->err == EACCES)
		snprintf(state->note, sizeof state->note, "not permitted here (%s)", name);
	else if (state->err == ENOSYS && built == CAP_YES)
		snprintf(state->note, sizeof state->note, "built into the kernel, but refused here (%s)", name);
	else
		snprintf(state->note, sizeof state->note, "the kernel does not know it (%s)", name ? name : "?");
}

u32 host_btf_id(struct host *host, const struct probe *probe, u32 kind)
{
	struct known *known = &host->known[probe - probes];
	if (!known->btf_id && host_btf(host)) {
		known->btf_id = kbtf_find(host_btf(host), kind, probe->name);
		host->learned = true;
	}
	return known->btf_id;
}

/* From memory when it was asked before in this boot: reading the kernel's BTF takes milliseconds. */
static enum cap_answer known_built(struct host *host, enum cap_id id, char *told)
{
	struct known *known = &host->known[id];
	if (!known->asked) {
		known->built = (u8)host_built(host, probes[id].built, told);
		known->asked = true;
		host->learned = true;
	} else if (known->built == CAP_NO) {
		snprintf(told, NOTE_BYTES, "not built into this kernel");
	}
	return known->built;
}

static struct cap_state judge_unasked(struct host *host, enum cap_id id)
{
	const struct probe *probe = &probes[id];
	struct cap_state state = { 0 };
	char told[NOTE_BYTES] = "";
	int r = PROBE_UNKNOWN;
	if (probe->run)
		r = host->seccomp ? run_in_child(host, probe, state.note) : probe->run(host, probe, state.note);
	state.asked = r != PROBE_UNKNOWN;
	if (r == PROBE_YES) {
		state.answer = CAP_YES;
		return state;
	}
	enum cap_answer built = known_built(host, id, told);
	if (r < 0) {
		state.answer = CAP_NO;
		state.err = -r;
		explain_no(&state, built, told);
		return state;
	}
	state.answer = probe->run && built == CAP_YES ? CAP_UNKNOWN : built;
	if (!*state.note)
		snprintf(state.note, sizeof state.note, "%s",
			 *told ? told : "neither the kernel's BTF nor its configuration can be read");
	return state;
}

struct cap_state host_judge(struct host *host, enum cap_id id)
{
	struct known *known = &host->known[id];
	if (known->answer != CAP_UNKNOWN)
		return (struct cap_state){ .answer = known->answer };
	struct cap_state state = judge_unasked(host, id);
	/* A "no" that policy gave may become a "yes" at any time; what was not built stays away. */
	bool lasting = state.answer == CAP_YES || (state.answer == CAP_NO && known->built == CAP_NO);
	if (lasting) {
		known->answer = (u8)state.answer;
		host->learned = true;
	}
	return state;
}
