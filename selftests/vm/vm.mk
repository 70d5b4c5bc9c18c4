# SPDX-License-Identifier: LGPL-2.1-or-later
# Other kernels, under QEMU and offline. KERNELS="5.10 6.12 newest" TESTS="tree/programs" choose; V=1 shows all output.
VM_MATRIX := 5.10 6.1 6.12 6.18 newest
VM_TESTS  := resource/facts_differential
$(T)/vm/init: selftests/vm/init.c
	$(call say,CC,$<) mkdir -p $(@D) && $(CC) -std=gnu17 -D_GNU_SOURCE $(WARN) -O2 -static -o $@ $<
test-vm: tests-built ckpt $(T)/vm/init
	$(Q)selftests/vm/run $(abspath $(B)) "$(or $(KERNELS),$(VM_MATRIX))" "$(or $(TESTS),$(VM_TESTS))"
test-vm-quick: tests-built ckpt $(T)/vm/init
	$(Q)selftests/vm/run $(abspath $(B)) "5.10 newest" "$(or $(TESTS),$(VM_TESTS))"
.PHONY: test-vm test-vm-quick btf-check
