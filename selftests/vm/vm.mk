# SPDX-License-Identifier: LGPL-2.1-or-later
# Other kernels, under QEMU and offline. KERNELS="5.10 6.12 newest" TESTS="tree/programs" USERS="bookworm sid" choose; V=1 shows all
# output. The results are kept, and make docs/kernels.md.
VM_MATRIX := 5.10 6.1 6.12 6.18 7.2 newest pre
# With each user space; and what it does not matter to, with one. Programs judge themselves after dumps and restores; alone, and by the
# command line of criu(8), they do what they do on any kernel.
VM_PARTS  := !(*alone|*by_criu)
VM_TESTS  := tree/programs:$(VM_PARTS) tree/trees:python_$(VM_PARTS),loop_$(VM_PARTS),pty_$(VM_PARTS) \
             tree/redis:redis tree/resources:rseq_own_$(VM_PARTS)
VM_ONCE   := $(addprefix resource/,bpf_stores capabilities creds facts_differential files:*_dump_restore,*_without_bpf seccomp) \
             $(addprefix tree/,resources:*_dump_restore calls:*_dump_restore clocks:a_*,clock_*,its_* kin:leader* sockets:*_dump_restore,ss_* vdso why) \
             $(addprefix rights/,capable:sleeper_*,rights_*,zombies_* container:filters_*,hidden_*,as_* disabled:*_tells*,rseq_*,no_* types \
               user:sleeper,threads,supplementary_*,ids_*,filters_*,hidden_*,no_*) \
             $(addprefix unit/,rearm registers rseq vdso)
VM_USERS  := bookworm trixie sid
# What every change must pass: a sleeping program, a static one, one with an rseq area of its own, and the facts.
both       = $(1)_dump_restore,$(1)_leave_running
VM_QUICK  := resource/capabilities resource/facts_differential tree/programs:$(call both,sleeper),$(call both,sleeper_static) \
             tree/resources:$(call both,rseq_own)
# And on arm64, with one kernel: that, and all sets of registers.
VM_ARM    := tree/programs:$(call both,sleeper),$(call both,sleeper_static) tree/resources:$(call both,rseq_own),registers_dump_restore
VM_ENV    := VM_ARCH=$(if $(filter aarch64,$(ARCH)),arm64,amd64) CROSS_COMPILE=$(CROSS_COMPILE) SYSROOT=$(SYSROOT)
$(T)/vm/init: selftests/vm/init.c
	$(call say,CC,$<) mkdir -p $(@D) && $(CC) -std=gnu17 -D_GNU_SOURCE $(WARN) -O2 -static $(if $(SYSROOT),--sysroot=$(SYSROOT)) -o $@ $<
# Both architectures, unless ARCH= is one.
VM_ALSO  = $(if $(filter command,$(firstword $(origin ARCH))),,selftests/vm/arm $(1);)
vm-built: tests-built $(T)/vm/init
test-vm: vm-built
	$(Q){ $(VM_ENV) selftests/vm/run $(abspath $(B)) "$(or $(KERNELS),$(VM_MATRIX))" "$(or $(USERS),$(VM_USERS))" \
	  "$(or $(TESTS),$(VM_TESTS))" "$(if $(TESTS),,$(VM_ONCE))"; $(call VM_ALSO,vm-built test-vm) } | selftests/vm/total
kernels:
	$(Q)python3 selftests/vm/table.py $(sort $(wildcard $(foreach kind,ktap run cross,build/*/vm/*.$(kind)))) > docs/kernels.md
# Only what the slice needs is built: arm64 is built for this alone.
VM_SLICE  := $(B)/ckpt $(T)/run $(T)/vm/init $(addprefix $(T)/,$(foreach t,$(VM_QUICK) $(VM_ARM),$(firstword $(subst :, ,$(t)))) \
             programs/sleeper programs/sleeper.static programs/rseq_own programs/registers)
vm-slice: $(VM_SLICE)
test-vm-quick: $(VM_SLICE)
	$(Q){ $(VM_ENV) selftests/vm/run $(abspath $(B)) "$(or $(KERNELS),5.10 6.12 newest)" build "$(or $(TESTS),$(VM_QUICK))"; \
	  $(call VM_ALSO,vm-slice test-vm-quick KERNELS=newest TESTS="$(VM_ARM)") } | selftests/vm/total
# From each kernel to each other with images that were made there: KERNELS="5.10 6.12 newest", USERS=bookworm, PROGRAMS_CROSS=.
VM_LEGS  := 5.10 6.1 6.12 6.18 7.2 newest
VM_CROSS := clock.static+ python.py+ redis.py+ threads+
$(T)/vm/leg: selftests/vm/leg.c
	$(call say,CC,$<) mkdir -p $(@D) && $(CC) -std=gnu17 -D_GNU_SOURCE $(WARN) -O2 -static $(if $(SYSROOT),--sysroot=$(SYSROOT)) -o $@ $<
test-cross: tests-built $(T)/vm/init $(T)/vm/leg
	$(Q)$(VM_ENV) selftests/vm/cross $(abspath $(B)) "$(or $(KERNELS),$(VM_LEGS))" "$(or $(USERS),bookworm)" "$(or $(PROGRAMS_CROSS),$(VM_CROSS))"
# Kernels that were booted locked down: each mode skips the tests of the other.
test-lockdown: tests-built $(T)/vm/init
	$(Q)for mode in integrity confidentiality; do $(VM_ENV) VM_APPEND=lockdown=$$mode selftests/vm/run $(abspath $(B)) \
	  "$(or $(KERNELS),6.12)" build rights/lockdown || exit 1; done
# The answers that resource/capabilities compares: after a new row of caps.def, or for a new kernel.
tables: $(B)/ckpt $(T)/vm/init
	$(Q)$(VM_ENV) selftests/vm/tables $(abspath $(B)) "$(or $(KERNELS),$(VM_MATRIX))"
.PHONY: kernels tables vm-built test-vm test-vm-quick vm-slice test-cross test-lockdown btf-check

# Every BPF object against the type information of every kernel of the matrix, without booting it.
BTF_SERIES := 5.10 6.1 6.12 6.18 7.2 newest
STRICT     := $(BPFS:bpf/%.bpf.c=$(B)/strict/%.bpf.o)
$(B)/strict/%.bpf.o: bpf/%.bpf.c $(wildcard vmlinux/*.h bpf/*.h)
	$(Q)mkdir -p $(@D) && $(CLANG) -g -O2 -Wall -Werror -DCKPT_STRICT -target bpf -Ivmlinux -Ibpf -I/usr/include -c -o $@ $<
$(T)/vm/btf_check: selftests/vm/btf_check.c $(B)/user/base/vector.o | $(B)/linkage
	$(call say,CC,$<) mkdir -p $(@D) && $(CC) -std=gnu17 -D_GNU_SOURCE $(WARN) -Iuser -O2 -o $@ $^ $(LIBS)
btf-check: $(T)/vm/btf_check $(STRICT)
	$(Q)selftests/vm/btf-check $< "$(BTF_SERIES)" $(STRICT)
