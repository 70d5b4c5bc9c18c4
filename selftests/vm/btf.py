# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: btf.py VMLINUZ OUT: takes the raw BTF out of a kernel image: an x86 bzImage, an arm64 Image, gzip of it, or an EFI
zboot image. The payload is found by the headers that the boot protocols define, not by searching for magic numbers."""
import lzma
import struct
import subprocess
import sys


def run(command, data):
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout


def unpack(data):
    """Decompresses a payload of any kind that the kernel's build knows; other bytes are returned as they are."""
    if data[:2] == b"\x1f\x8b":
        return run(["gzip", "-dc"], data)
    if data[:6] == b"\xfd7zXZ\x00":
        return lzma.LZMADecompressor().decompress(data)
    if data[:4] == b"\x28\xb5\x2f\xfd":
        return run(["zstd", "-dc"], data)
    if data[:4] == b"\x02\x21\x4c\x18":
        return run(["lz4", "-dc"], data)
    return data


def x86_payload(data):
    """Documentation/arch/x86/boot.rst: setup_sects at 0x1f1, payload_offset at 0x248, payload_length at 0x24c."""
    setup = (data[0x1F1] or 4) + 1
    offset, length = struct.unpack_from("<II", data, 0x248)
    start = setup * 512 + offset
    return unpack(data[start:start + length])


def zboot_payload(data):
    """drivers/firmware/efi/libstub/zboot-header.S: "zimg" at 4, payload offset at 8, size at 12."""
    offset, length = struct.unpack_from("<II", data, 8)
    return unpack(data[offset:offset + length])


def elf_btf(data):
    """The contents of .BTF by the section headers of a 64-bit ELF file."""
    table, = struct.unpack_from("<Q", data, 0x28)
    size, count, names = struct.unpack_from("<HHH", data, 0x3A)
    section = [struct.unpack_from("<IIQQQQ", data, table + i * size) for i in range(count)]
    strings = section[names][4]
    for name, _, _, _, offset, length in section:
        if data[strings + name:strings + name + 5] == b".BTF\0":
            return data[offset:offset + length]
    return None


def flat_btf(data):
    """An arm64 Image has no sections: the first BTF header whose lengths fit (a string table right behind the types)."""
    at = -1
    while (at := data.find(b"\x9f\xeb\x01\x00\x18\x00\x00\x00", at + 1)) >= 0:
        types, types_len, strings, strings_len = struct.unpack_from("<IIII", data, at + 8)
        end = at + 24 + strings + strings_len
        if types == 0 and strings == types_len > 1 << 20 and end <= len(data):
            return data[at:end]
    return None


def btf_of(data):
    if data[0x202:0x206] == b"HdrS" or data[0x1FE:0x200] == b"\x55\xaa":
        data = x86_payload(data)
    elif data[4:8] == b"zimg":
        data = zboot_payload(data)
    else:
        data = unpack(data)
    return elf_btf(data) if data[:4] == b"\x7fELF" else flat_btf(data)


def main():
    with open(sys.argv[1], "rb") as image:
        btf = btf_of(image.read())
    if not btf or btf[:2] != b"\x9f\xeb":
        sys.exit(f"btf.py: {sys.argv[1]}: no BTF was found")
    with open(sys.argv[2], "wb") as out:
        out.write(btf)


main()
