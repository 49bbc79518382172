# SPDX-License-Identifier: LGPL-2.1-or-later
"""The parts of the lab that need neither network nor guest."""

import gzip
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ["PERFCORE_SOURCE"])
sys.path.insert(0, str(SOURCE / "testdata/lab"))

from vmlab import Skip, compat, elf, initramfs, packages, scenarios  # noqa: E402
from vmlab.btf import Btf  # noqa: E402
from vmlab.kernel import vulnerable_kernels  # noqa: E402


class FakeArchive(packages.Packages):
    """Packages with a given list on offer."""

    def __init__(self, *names):
        super().__init__("/nonexistent")
        self.available = {name: "1-1" for name in names}


class Archive(unittest.TestCase):
    def setUp(self):
        self.archive = FakeArchive(
            "linux-image-6.1.0-56-amd64", "linux-image-6.1.0-9-amd64", "linux-image-6.12.95+deb12-amd64",
            "linux-image-6.12.117+deb12-amd64", "linux-image-6.12.117+deb12-cloud-amd64", "linux-image-6.12-amd64",
            "linux-image-6.12.117+deb12-amd64-dbg", "linux-image-6.18.12+deb13-amd64", "linux-binary-6.19.8+deb13-amd64",
            "linux-image-6.19.8+deb13-amd64", "linux-binary-unsigned-7.2.12+deb13-amd64", "linux-binary-7.2.12+deb13-amd64")

    def test_a_series_is_its_newest_kernel(self):
        self.assertEqual(self.archive.resolve("6.1"), "6.1.0-56-amd64")
        self.assertEqual(self.archive.resolve("6.12"), "6.12.117+deb12-amd64")
        self.assertEqual(self.archive.resolve("linux-binary-7.2.12+deb13-amd64"), "7.2.12+deb13-amd64")
        self.assertEqual(self.archive.resolve("6.12.95"), "6.12.95+deb12-amd64")

    def test_what_is_not_offered_is_skipped(self):
        for spec in ("5.10", "6.1.2", "6.12.11", "linux-image-rt-amd64"):
            with self.subTest(spec=spec), self.assertRaises(Skip):
                self.archive.resolve(spec)
        with self.assertRaises(Skip):
            self.archive.debug_vmlinux("6.1.0-56-amd64")

    def test_the_image_is_in_the_binary_package_where_there_is_one(self):
        self.assertEqual(self.archive.image_package("6.19.8+deb13-amd64"), "linux-binary-6.19.8+deb13-amd64")
        self.assertEqual(self.archive.image_package("6.1.0-56-amd64"), "linux-image-6.1.0-56-amd64")

    def test_kernels_that_may_have_null_events(self):
        self.assertEqual(vulnerable_kernels(self.archive), ["6.19.8+deb13-amd64", "6.18.12+deb13-amd64"])

    def test_mirrors_are_the_hosts(self):
        with tempfile.TemporaryDirectory() as directory:
            top = pathlib.Path(directory)
            self.assertEqual(packages.host_mirrors(top)["debian"], "http://deb.debian.org/debian")
            (top / "sources.list").write_text("# deb http://no.example/debian stable main\n"
                                              "deb [arch=amd64] https://one.example/debian/ bookworm main\n")
            (top / "sources.list.d").mkdir()
            (top / "sources.list.d/more.sources").write_text("Types: deb\nURIs: http://two.example/debian-security\n")
            self.assertEqual(packages.host_mirrors(top), {"debian": "https://one.example/debian",
                                                          "debian-security": "http://two.example/debian-security"})


class Files(unittest.TestCase):
    def test_cpio_archive(self):
        archive = initramfs.Archive()
        archive.add("bin/tool", b"#!/bin/sh\n")
        archive.link("bin/sh", "tool")
        archive.add("a/b/c", b"12345")
        data = gzip.decompress(archive.packed())
        names, at = [], 0
        while True:
            fields = [int(data[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
            self.assertEqual(data[at:at + 6], b"070701")
            name = data[at + 110:at + 110 + fields[11] - 1].decode()
            names.append(name)
            if name == "TRAILER!!!":
                break
            at = (at + 110 + fields[11] + 3) & ~3
            if name == "a/b/c":
                self.assertEqual(data[at:at + fields[6]], b"12345")
            at = (at + fields[6] + 3) & ~3
        self.assertEqual(names, ["bin", "bin/tool", "bin/sh", "a", "a/b", "a/b/c", "TRAILER!!!"])

    def test_btf_offsets_are_those_of_the_compiler(self):
        source = """struct inner { char c; long idx; };
                    struct outer { int a; union { int b; struct { short x, y; }; }; struct inner hw; void *list[3]; int f:3; };
                    struct outer object;"""
        with tempfile.TemporaryDirectory() as directory:
            built = pathlib.Path(directory) / "o.o"
            subprocess.run(["gcc", "-g", "-c", "-x", "c", "-o", built, "-"], input=source, text=True, check=True)
            subprocess.run(["pahole", "-J", built], check=True)
            btf = Btf(elf.section(built, ".BTF"))
        self.assertEqual([btf.offset("outer", path) for path in ("a", "b", "y", "hw", "hw.idx", "list")],
                         [0, 4, 6, 8, 16, 24])
        self.assertEqual(btf.sizeof("outer"), 56)
        self.assertTrue(btf.has("outer", "x"))
        self.assertFalse(btf.has("outer", "idx"))
        with self.assertRaises(KeyError):
            btf.offset("outer", "hw.none")

    def test_a_core_of_qemu_is_laid_out_like_proc_vmcore(self):
        text, physical = 0xFFFFFFFF81000000, 0x1000000
        info = f"SYMBOL(_stext)={text:x}\nNUMBER(phys_base)=0\n"
        memory = bytes(range(256)) * 16
        with tempfile.TemporaryDirectory() as directory:
            raw, core = pathlib.Path(directory) / "raw", pathlib.Path(directory) / "core"
            header = b"\x7fELF\x02\x01\x01" + b"\0" * 9 + struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
            load = struct.pack("<IIQQQQQQ", elf.PT_LOAD, 7, 4096, 0, physical, len(memory), len(memory), 0)
            raw.write_bytes((header + load).ljust(4096, b"\0") + memory)
            self.assertFalse(elf.has_vmcoreinfo(raw))
            elf.write_kexec_core(raw, core, 0xFFFF888000000000, info)
            self.assertTrue(elf.has_vmcoreinfo(core))
            data = core.read_bytes()
            segments = [struct.unpack_from("<IIQQQQQQ", data, 64 + 56 * i) for i in range(3)]
        self.assertEqual([segment[3] for segment in segments], [0, text, 0xFFFF888000000000 + physical])
        for segment in segments[1:]:
            self.assertEqual(data[segment[2]:segment[2] + len(memory)], memory)


class Scenarios(unittest.TestCase):
    def test_each_says_what_it_is(self):
        self.assertGreaterEqual(len(scenarios.names()), 17)
        for name in scenarios.names():
            scenario = scenarios.load(name)
            self.assertTrue(scenario.SUMMARY)
            self.assertTrue(callable(scenario.run))

    def test_table_of_kernels(self):
        table = compat.table([("6.1-amd64", {"a": "a", "new": "old", "gone": None}, {"rule": (2, 3)}),
                              ("7.0-amd64", {"a": "a", "new": "new"}, {"rule": (2, 2)})])
        self.assertIn("| rule | 2/3 | 2/2 |", table)
        self.assertIn("| `new` | `old` | = |", table)
        self.assertIn("| `gone` | - |  |", table)
        self.assertIn("every kernel (1)\n\n`a`", table)


if __name__ == "__main__":
    unittest.main()
