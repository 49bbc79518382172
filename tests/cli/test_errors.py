# SPDX-License-Identifier: LGPL-2.1-or-later
"""Inputs that cannot be used: the exit code is 2, the message names the file and says what to do."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import tool


class Errors(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def check(self, arguments, *words):
        """One line on stderr with these words, nothing on stdout, exit code 2."""
        result = tool.run(*arguments)
        self.assertEqual(result.returncode, tool.EXIT_INPUT, result)
        self.assertEqual(result.stdout, "")
        self.assertTrue(result.stderr.startswith("perfcore: "), result.stderr)
        for word in words:
            self.assertIn(str(word), result.stderr)
        return result.stderr

    def file(self, name, content=b""):
        path = self.directory / name
        path.write_bytes(content)
        return path

    def test_no_such_file(self):
        for command in ("triage", "log", "info"):
            self.check([command, self.directory / "missing"], self.directory / "missing", "No such file")
        self.check(["show", self.directory / "missing", "pmu"], "missing")
        self.check(["print", self.directory / "missing", "1"], "missing")
        self.check(["extract", self.directory / "missing", "-o", self.directory / "mini"], "missing")
        self.assertFalse((self.directory / "mini").exists())

    def test_not_a_vmcore(self):
        for name, content in (("empty", b""), ("short", b"x"), ("text", b"hello world\n" * 1000),
                              ("zeros", bytes(100000)), ("gzip", b"\x1f\x8b\x08" + bytes(5000))):
            with self.subTest(name=name):
                path = self.file(name, content)
                self.check(["triage", path], path)

    def test_elf_that_is_no_vmcore(self):
        self.check(["triage", "/bin/true"], "/bin/true")

    def test_directory_without_vmcore(self):
        self.file("notes.txt", b"nothing here\n")
        message = self.check(["triage", self.directory], self.directory)
        self.assertIn("vmcore", message)

    def test_device_and_pipe_do_not_hang(self):
        self.check(["triage", "/dev/null"], "/dev/null")
        self.check(["triage", "/dev/zero"], "/dev/zero")
        pipe = self.directory / "pipe"
        os.mkfifo(pipe)
        self.check(["triage", pipe], pipe)

    def test_unreadable_file(self):
        if os.geteuid() == 0:
            self.skipTest("root may read everything")
        path = self.file("secret", bytes(5000))
        path.chmod(0)
        self.check(["triage", path], path, "Permission denied")

    def test_answer_cannot_be_written(self):
        dump = tool.some_dump("null-events")
        self.check(["triage", dump, "--output", self.directory / "no" / "where"], "no/where", "No such file")
        if pathlib.Path("/dev/full").exists():
            self.check(["log", dump, "--output", "/dev/full"], "/dev/full", "No space left")

    def test_terminal_escapes_in_file_names_do_not_get_through(self):
        self.assertNotIn("\x1b", self.check(["triage", "missing\x1b[31m"]))

    def test_debuginfo_that_does_not_exist(self):
        dump = tool.some_dump("null-events")
        self.check(["triage", dump, "--debuginfo", self.directory / "vmlinux"], self.directory / "vmlinux")

    def test_debuginfo_that_is_no_elf_file(self):
        dump = tool.some_dump("null-events")
        path = self.file("vmlinux", b"no ELF file\n" * 100)
        self.check(["triage", dump, "--debuginfo", path], path)

    def test_debuginfo_of_another_build_is_refused_with_both_build_ids(self):
        dump = tool.some_dump("null-events")
        if not shutil.which("gcc"):
            self.skipTest("gcc is not installed")
        source = self.file("other.c", b"int main(void) { return 0; }\n")
        other = self.directory / "vmlinux"
        subprocess.run(["gcc", "-g", "-Wl,--build-id=0x0123456789abcdef0123456789abcdef01234567", "-o", other, source],
                       check=True, timeout=60)
        _, info = tool.run_json("info", "info", dump)
        self.check(["triage", dump, "--debuginfo", other], other, "0123456789abcdef0123456789abcdef01234567",
                   info["kernel"]["build_id"])

    def test_bad_expression(self):
        dump = tool.some_dump("null-events")
        for expression in ("1 +", "(((", "a b", "@"):
            result = tool.run("print", dump, expression)
            self.assertEqual(result.returncode, tool.EXIT_USAGE, expression)
            self.assertIn("column", result.stderr)

    def test_cpu_that_does_not_exist(self):
        dump = tool.some_dump("null-events")
        result = tool.run("show", dump, "bt", "999")
        self.assertEqual(result.returncode, tool.EXIT_USAGE)
        self.assertIn("999", result.stderr)

    def test_extract_does_not_overwrite_its_input(self):
        copy = self.directory / "vmcore"
        shutil.copy(tool.some_dump("null-events").path, copy)
        before = copy.stat().st_size
        result = tool.run("extract", copy, "-o", copy)
        self.assertEqual(result.returncode, tool.EXIT_USAGE)
        self.assertEqual(copy.stat().st_size, before)

    def test_time_limit(self):
        dump = tool.some_dump("null-events")
        result = tool.run("triage", dump, "--no-debuginfo", "--time-limit", "0.001")
        self.assertEqual(result.returncode, tool.EXIT_INTERNAL, result)
        self.assertIn("--time-limit", result.stderr)
        self.assertEqual(result.stdout, "")


if __name__ == "__main__":
    unittest.main()
