# SPDX-License-Identifier: LGPL-2.1-or-later
# make            builds ./ckpt                    make test     everything that a change must pass
# make demo       checkpoints a real program       make check    layers, generated docs, format, lint, unit tests
# make deps       installs what the build needs    make install  DESTDIR= PREFIX=
# Variables: ARCH=aarch64 CROSS_COMPILE=aarch64-linux-gnu- SYSROOT=DIR (else Debian's packages, unpacked below ~/.cache)
# SAN=1 (ASan, UBSan)  V=1  B=DIR
ARCH    ?= $(shell uname -m)
ifneq ($(ARCH),$(shell uname -m))
CROSS_COMPILE ?= $(ARCH)-linux-gnu-
ifndef SYSROOT
SYSROOT := $(shell tools/sysroot $(if $(filter aarch64,$(ARCH)),arm64,amd64))
endif
endif
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif
B       ?= build/$(ARCH)$(if $(SAN),-san)
PREFIX  ?= /usr/local
VERSION := 0.1.0
CC      := $(CROSS_COMPILE)gcc
LD      := $(CROSS_COMPILE)ld
OBJCOPY := $(CROSS_COMPILE)objcopy
CLANG   ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
PROTOCC ?= protoc-c
Q       := $(if $(V),,@)
say      = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2);)

WARN    := -Wall -Wextra -Werror -Wno-missing-field-initializers
INCLUDE := -Iuser -I. -Ibpf -Iparasite -I$(B)/gen
CFLAGS  ?= -O2 -g
# What is not named in a union is zero, as the kernel wants it (bpf(2)): since gcc 15 that has to be said.
ZEROED  := $(shell $(CC) -fzero-init-padding-bits=unions -E -x c /dev/null >/dev/null 2>&1 && echo -fzero-init-padding-bits=unions)
ALLCFLAGS = -std=gnu17 -D_GNU_SOURCE -DCKPT_VERSION='"$(VERSION)"' $(WARN) $(INCLUDE) $(ZEROED) -ffunction-sections $(CFLAGS) -MMD -MP \
            $(if $(SYSROOT),--sysroot=$(SYSROOT) -isystem $(SYSROOT)/usr/include/$(ARCH)-linux-gnu) \
            $(if $(SAN),-fsanitize=address$(,)undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
LINK     = $(if $(SAN),-fsanitize=address$(,)undefined) $(if $(SYSROOT),--sysroot=$(SYSROOT))
LIBS    := @$(B)/linkage
# What small dumps and restores run through lies together (tools/order); GNU ld adds such a list to its own script.
FIRST   := $(if $(SAN),,-Wl,-T,tools/first.lds)
, := ,

PROTOS  := $(wildcard images/*.proto)
BPFS    := $(wildcard bpf/*.bpf.c)
SRCS    := $(wildcard user/*/*.c) $(wildcard arch/$(ARCH)/*.c)
GENC    := $(PROTOS:images/%.proto=$(B)/gen/%.pb-c.c)
GENH    := $(GENC:.c=.h) $(B)/gen/syscall_names.h $(BPFS:bpf/%.bpf.c=$(B)/gen/%.skel.h)
ASMS    := $(wildcard arch/$(ARCH)/*.S)
OBJS    := $(SRCS:%.c=$(B)/%.o) $(ASMS:%.S=$(B)/%.S.o) $(GENC:.c=.o) $(B)/parasite/blob.inc.o $(B)/parasite/reaper.inc.o
MAIN    := $(B)/user/main.o

ckpt: $(B)/ckpt
	$(Q)cp $< $@
$(B)/ckpt: $(MAIN) $(OBJS) tools/first.lds | $(B)/linkage
	$(call say,LINK,$@) $(CC) $(LINK) $(FIRST) -Wl,-Map=$@.map -o $@ $(filter %.o,$^) $(LIBS)
$(B)/linkage: tools/linkage
	$(Q)mkdir -p $(@D) && tools/linkage $(CC) $(LINK) >$@.new && mv $@.new $@
$(B)/%.o: %.c | $(GENH)
	$(call say,CC,$<) mkdir -p $(@D) && $(CC) $(ALLCFLAGS) -c -o $@ $<
$(B)/%.S.o: %.S
	$(call say,AS,$<) mkdir -p $(@D) && $(CC) -c -o $@ $<
$(B)/gen/%.pb-c.o: $(B)/gen/%.pb-c.c
	$(call say,CC,$<) $(CC) $(ALLCFLAGS) -c -o $@ $<
$(B)/gen/%.pb-c.c $(B)/gen/%.pb-c.h &: images/%.proto
	$(call say,PROTO,$<) mkdir -p $(B)/gen && $(PROTOCC) -Iimages --c_out=$(B)/gen $<

# Names of system calls, for plans and diagnostics.
$(B)/gen/syscall_names.h:
	$(Q)mkdir -p $(@D) && echo '#include <sys/syscall.h>' | $(CC) $(if $(SYSROOT),--sysroot=$(SYSROOT)) -E -dM - | \
	  sed -n 's/^#define SYS_\([a-z0-9_]*\) .*/[SYS_\1] = "\1",/p' > $@

# BPF objects: CO-RE, so one object serves every kernel and architecture; no BTF of this machine is needed.
$(B)/bpf/%.bpf.o: bpf/%.bpf.c $(wildcard vmlinux/*.h bpf/*.h)
	$(call say,BPF,$<) mkdir -p $(@D) && $(CLANG) -g -O2 -Wall -Werror -Wno-missing-declarations -target bpf -Ivmlinux -Ibpf \
	  -I$(if $(SYSROOT),$(SYSROOT))/usr/include -c -o $@ $<
$(B)/gen/%.skel.h: $(B)/bpf/%.bpf.o Makefile
	$(call say,SKEL,$<) mkdir -p $(@D) && $(BPFTOOL) gen skeleton $< name $*_bpf > $@.tmp && \
	  echo "#define $*_bpf__hash 0x$$(sha256sum < $< | cut -c1-16)ull" >> $@.tmp && mv $@.tmp $@

# The blob runs inside of targets: no libc, no relocation, no GOT, no data, no hardening that needs any of them.
BLOBFLAGS := -Os -std=gnu17 -Wall -Wextra -Werror -ffreestanding -fpie -fno-plt -fno-stack-protector -fno-jump-tables \
             -fno-asynchronous-unwind-tables -fomit-frame-pointer -fno-builtin -Iparasite -Iarch/$(ARCH) \
             $(if $(filter x86_64,$(ARCH)),-fcf-protection=none -mgeneral-regs-only,-mgeneral-regs-only -mbranch-protection=none -mno-outline-atomics)
$(B)/parasite/blob.o: parasite/blob.c parasite/wire.h parasite/machine.h arch/$(ARCH)/blob.h arch/$(ARCH)/syscall.h
	$(call say,BLOB,$<) mkdir -p $(@D) && $(CC) $(BLOBFLAGS) -c -o $@ $<
$(B)/parasite/blob.bin: $(B)/parasite/blob.o parasite/blob.lds
	$(Q)$(LD) -T parasite/blob.lds -nostdlib -o $(@:.bin=.elf) $< && $(OBJCOPY) -O binary -j .blob $(@:.bin=.elf) $@
$(B)/parasite/blob.inc.o: parasite/blob.S $(B)/parasite/blob.bin
	$(Q)$(CC) -I$(B)/parasite -c -o $@ $<
# Pid 1 of a restored tree's pid namespace: a program of one page.
$(B)/parasite/reaper: parasite/reaper.c parasite/reaper.h arch/$(ARCH)/start.h arch/$(ARCH)/syscall.h
	$(call say,REAPER,$@) mkdir -p $(@D) && $(CC) $(filter-out -fpie,$(BLOBFLAGS)) -fno-pie -no-pie -static -nostdlib -s \
	  -Wl,--build-id=none,-z,noexecstack,-z,norelro,-z,noseparate-code,-z,max-page-size=65536 -o $@ $<
$(B)/parasite/reaper.inc.o: parasite/reaper.S $(B)/parasite/reaper
	$(Q)$(CC) -I$(B)/parasite -c -o $@ $<

.SECONDARY:
include selftests/tests.mk
include selftests/vm/vm.mk

deps:
	$(Q)tools/deps
demo:
	$(Q)tools/deps build && $(MAKE) --no-print-directory ckpt && tools/demo
layers: $(MAIN) $(OBJS)
	$(Q)tools/layers $(B)
docs: ckpt
	$(Q)tools/gendocs
# What needs no running of tests; then with the unit tests; then everything, after installing what is missing.
static: ckpt
	$(Q)s=0; tools/layers $(B) || s=1; tools/gendocs --check || s=1; tools/tested || s=1; tools/format --check || s=1; tools/lint $(B) || s=1; exit $$s
check: static
	$(Q)$(MAKE) --no-print-directory unit
test: deps
	$(Q)$(MAKE) --no-print-directory static && $(MAKE) --no-print-directory selftest
# aarch64, against the libraries of Debian's arm64 packages, which are unpacked below ~/.cache.
cross:
	$(Q)tools/deps cross && $(MAKE) --no-print-directory ARCH=aarch64 build/aarch64/ckpt
install: $(B)/ckpt
	$(Q)install -Dm755 $< $(DESTDIR)$(PREFIX)/sbin/ckpt
	$(Q)mkdir -p $(DESTDIR)$(PREFIX)/lib/systemd/system && sed 's|@SBIN@|$(PREFIX)/sbin|' tools/ckpt-pin.service.in \
	  >$(DESTDIR)$(PREFIX)/lib/systemd/system/ckpt-pin.service
	$(Q)for m in docs/man/*.8; do install -Dm644 $$m $(DESTDIR)$(PREFIX)/share/man/man8/$${m##*/}; done
# The command line of criu(8): not installed unless asked for.
install-criu: install
	$(Q)ln -sf ckpt $(DESTDIR)$(PREFIX)/sbin/criu
clean:
	$(Q)rm -rf build ckpt
.PHONY: deps demo layers docs static check test cross install install-criu clean unit selftest bench fuzz test-vm soak
-include $(OBJS:.o=.d) $(MAIN:.o=.d)
