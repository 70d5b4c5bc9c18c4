# SPDX-License-Identifier: LGPL-2.1-or-later
# A new selftests/unit/X.c (no root) or selftests/{resource,tree,refusal,rights,fault}/X.c (root) is built against all of ckpt but
# main.o and run; an executable X.sh there is run; each prints KTAP. selftests/programs/X.c are what gets checkpointed:
# X.static.c is linked statically, X.musl.c with musl, others dynamically. Nothing needs to be added here.
# With SAN=1 ckpt is sanitized too; its alternate stacks are off, since restored tasks would inherit them.
# TESTS="unit/text tree/sleep" runs only these; JOBS=N so many at once, else twice as many as processors: most of them wait.
T        := $(B)/selftests
JOBS     ?= $(shell expr $$(nproc) \* 2)
UNITC    := $(wildcard selftests/unit/*.c)
SELFC    := $(wildcard $(foreach room,resource tree refusal rights fault,selftests/$(room)/*.c))
PROGC    := $(wildcard selftests/programs/*.c)
HARNESS  := $(patsubst %.c,$(B)/%.o,$(filter-out selftests/harness/run.c,$(wildcard selftests/harness/*.c)))
UNITS    := $(UNITC:selftests/%.c=$(T)/%) $(wildcard selftests/unit/*.sh)
SELFS    := $(SELFC:selftests/%.c=$(T)/%) $(wildcard selftests/tree/*.sh)
MUSLSPEC := $(wildcard $(SYSROOT)/usr/lib/$(ARCH)-linux-musl/sysroot.specs)
MUSLCC   := $(if $(SYSROOT),$(MUSLSPEC:%=$(CC) -specs=%),$(shell command -v musl-gcc))
PROGRAMS := $(if $(MUSLCC),$(PROGC),$(filter-out %.musl.c,$(PROGC)))
PROGRAMS := $(PROGRAMS:selftests/%.c=$(T)/%) $(patsubst selftests/%,$(T)/%,$(wildcard selftests/programs/*.py))
pick      = $(if $(TESTS),$(foreach t,$(TESTS),$(filter %/$(t) %/$(t).sh,$(1))),$(1))
RUNTESTS  = $(if $(SAN),ASAN_OPTIONS=use_sigaltstack=0 )CKPT=$(abspath $(B))/ckpt B=$(abspath $(B)) $(T)/run $(if $(V),-k) -j $(JOBS)

unit: $(B)/ckpt $(UNITS) $(T)/run
	$(Q)$(RUNTESTS) -o $(B)/unit.ktap $(call pick,$(UNITS))
selftest: $(B)/ckpt $(UNITS) $(SELFS) $(PROGRAMS) $(T)/run
	$(Q)$(RUNTESTS) -o $(B)/selftest.ktap $(call pick,$(UNITS) $(filter-out $(UNITS),$(SELFS)))
# ckpt is killed at every single system call of dumps and restores and at every instruction of a hijack, and every call fails
# with every error. A sweep that is done leaves a mark in B/soak, so that a broken off soak goes on where it was.
SWEEPS   ?= 10
SOAKS    := $(foreach i,$(shell seq $(SWEEPS)),$(foreach s,kill kill_restore inject hijack,$(B)/soak/$(i).$(s)))
soak: tests-built
	$(Q)mkdir -p $(B)/soak && for mark in $(SOAKS); do test -e $$mark && continue; echo "  SOAK    $${mark##*/} of $(SWEEPS)"; \
	  case $$mark in *.hijack) HIJACK_STRIDE=1 HIJACK_RANDOM=100 $(RUNTESTS) -o $(B)/soak.ktap $(T)/fault/hijack;; \
	  *) SWEEP_TURN=$$(basename $${mark%.*}) CKPT=$(abspath $(B))/ckpt $(T)/fault/$${mark##*.} 'soak_*';; esac || exit 1; touch $$mark; done; rm -rf $(B)/soak
# BENCH_ROUNDS=N so many rounds (15), BENCH_ONLY=REGEX only programs whose name matches.
bench: tests-built
	$(Q)selftests/bench/run $(B)
# Does the cost of each open file, socket, lock and pipe stay the same up to 100 000 of them?
scale: tests-built
	$(Q)selftests/bench/scale $(B)
tests-built: $(B)/ckpt $(UNITS) $(SELFS) $(PROGRAMS) $(T)/run
# As kselftest takes them (selftests/Makefile): without the scripts, which look at the sources.
BINARIES := $(filter-out %.sh,$(UNITS) $(SELFS))
install-tests: tests-built
	$(Q)CROSS_COMPILE=$(CROSS_COMPILE) selftests/kselftest/install $(B) "$(INSTALL_PATH)" $(BINARIES:$(B)/%=%)
list-tests:
	$(Q)printf '%s\n' $(BINARIES:$(B)/%=%)
.PHONY: soak scale tests-built install-tests list-tests

$(B)/selftests/%.o: ALLCFLAGS += -Iselftests
$(filter $(T)/%,$(UNITS) $(SELFS)): $(T)/%: $(T)/%.o $(HARNESS) $(OBJS) | $(B)/linkage
	$(call say,LINK,$@) mkdir -p $(@D) && $(CC) $(LINK) -o $@ $^ $(LIBS)
$(T)/run: $(T)/harness/run.o
	$(call say,LINK,$@) $(CC) $(LINK) $(if $(SAN),,-static) -o $@ $^

PROGFLAGS := $(ZEROED) -std=gnu17 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Werror -Iselftests/programs
$(T)/programs/%.static: selftests/programs/%.static.c
	$(call say,PROG,$@) mkdir -p $(@D) && $(CC) $(if $(SYSROOT),--sysroot=$(SYSROOT)) $(PROGFLAGS) -static -o $@ $< -MMD -lpthread
$(T)/programs/%.musl: selftests/programs/%.musl.c
	$(call say,PROG,$@) mkdir -p $(@D) && $(MUSLCC) $(PROGFLAGS) -static -o $@ $< -MMD
$(T)/programs/%: selftests/programs/%.c
	$(call say,PROG,$@) mkdir -p $(@D) && $(CC) $(if $(SYSROOT),--sysroot=$(SYSROOT)) $(PROGFLAGS) -o $@ $< -MMD -lpthread -lutil -lm

$(T)/programs/%.py: selftests/programs/%.py
	$(Q)mkdir -p $(@D) && cp $< $@

# Fuzz targets: all of the C that they need is compiled again with clang's sanitizers.
FUZZ_SECONDS ?= 600
FUZZC   := $(wildcard selftests/fuzz/*.c)
FUZZERS := $(FUZZC:selftests/fuzz/%.c=$(B)/fuzz/%)
FUZZSRC := $(filter user/base/% user/diag/% user/host/% user/model/% user/image/%,$(SRCS)) $(filter arch/%,$(SRCS)) $(ASMS) $(GENC)
FUZZBPF := $(addprefix user/collect/,facts.c bpf_run.c bpf_tasks.c bpf_timers.c bpf_vmas.c bpf_files.c bpf_decode.c bpf_fields.c bpf_interpret.c merge.c) user/task/scan.c
$(B)/fuzz/proc: FUZZMORE = user/collect/proc_text.c
$(B)/fuzz/records: FUZZMORE = $(FUZZBPF)
$(B)/fuzz/proc: user/collect/proc_text.c
$(B)/fuzz/records: $(FUZZBPF)
$(B)/fuzz/%: selftests/fuzz/%.c $(FUZZSRC) | $(GENH) $(B)/linkage
	$(call say,FUZZ,$@) mkdir -p $(@D) && $(CLANG) $(filter-out -MMD -MP -Werror $(ZEROED),$(ALLCFLAGS)) -Iselftests -O1 -g \
	  -fsanitize=fuzzer,address,undefined -o $@ $< $(FUZZSRC) $(FUZZMORE) $$(sed s/-static// $(B)/linkage)
fuzz: $(FUZZERS)
	$(Q)for f in $^; do mkdir -p $(B)/fuzz/corpus/$${f##*/} && echo "  FUZZ    $$f $(FUZZ_SECONDS) s" && \
	  $$f -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -print_final_stats=0 -verbosity=0 \
	  -artifact_prefix=$(B)/fuzz/ $(B)/fuzz/corpus/$${f##*/} $(wildcard selftests/fuzz/seeds) || exit 1; done
-include $(wildcard $(T)/*/*.d)
