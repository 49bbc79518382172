# SPDX-License-Identifier: LGPL-2.1-or-later
"""Help, man pages, completion, version, and wrong command lines. Needs no dump."""

import json
import shutil
import subprocess
import unittest

import jsonschema

import tool


class Help(unittest.TestCase):
    def test_names_every_command_and_exit_code(self):
        result = tool.run("--help")
        self.assertEqual(result.returncode, tool.EXIT_DONE)
        for command in tool.COMMANDS:
            self.assertRegex(result.stdout, rf"(?m)^  {command} ")
        for code in (0, 1, 2, 3, 10, 11):
            self.assertRegex(result.stdout, rf"(?m)^  {code} +\S")

    def test_of_each_command_has_options_examples_and_exit_codes(self):
        for command in tool.COMMANDS:
            with self.subTest(command=command):
                for arguments in ([command, "--help"], [command, "-h"], [command, "some-dump", "--help"]):
                    result = tool.run(*arguments)
                    self.assertEqual(result.returncode, tool.EXIT_DONE, result.stderr)
                    self.assertTrue(result.stdout.startswith(f"Usage: perfcore {command} "), result.stdout)
                    for word in ("--format FORMAT", f"  perfcore {command} ", "Exit codes"):
                        self.assertIn(word, result.stdout)
                    self.assertEqual("--debuginfo PATH" in result.stdout, command != "report")

    def test_fits_its_width(self):
        for command in tool.COMMANDS:
            for line in tool.run(command, "--help").stdout.splitlines():
                self.assertLessEqual(len(line), 100)

    def test_only_triage_has_its_own_exit_codes(self):
        for command in tool.COMMANDS:
            codes = tool.run(command, "--help").stdout.partition("Exit codes")[2]
            self.assertEqual("  10 " in codes, command == "triage", command)


class ManPages(unittest.TestCase):
    def test_of_each_command(self):
        for command in ("perfcore", *tool.COMMANDS):
            with self.subTest(command=command):
                page = tool.run("--man", command).stdout
                self.assertTrue(page.startswith(".TH PERFCORE"), page[:40])
                for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS"):
                    self.assertIn(f".SH {section}\n", page)

    def test_groff_finds_nothing_wrong(self):
        if not shutil.which("groff"):
            self.skipTest("groff is not installed")
        for command in ("perfcore", *tool.COMMANDS):
            page = tool.run("--man", command).stdout
            checked = subprocess.run(["groff", "-man", "-ww", "-z"], input=page, text=True, capture_output=True,
                                     timeout=60, check=False)
            self.assertEqual(checked.stderr, "", command)

    def test_of_an_unknown_command(self):
        result = tool.run("--man", "nothing")
        self.assertEqual(result.returncode, tool.EXIT_USAGE)
        self.assertIn('"nothing"', result.stderr)


class Completion(unittest.TestCase):
    def complete(self, *words):
        """What bash offers for the last word."""
        script = tool.run("--completion", "bash").stdout
        script += "\nCOMP_WORDS=(" + " ".join(f"'{word}'" for word in words) + ")\n"
        script += f"COMP_CWORD={len(words) - 1}\n_perfcore\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
        result = subprocess.run(["bash", "-c", script], text=True, capture_output=True, timeout=60, check=True)
        self.assertEqual(result.stderr, "")
        return result.stdout.split()

    def test_commands(self):
        for command in tool.COMMANDS:
            self.assertIn(command, self.complete("perfcore", ""))
        self.assertEqual(self.complete("perfcore", "tri"), ["triage"])

    def test_options_and_their_values(self):
        self.assertIn("--debuginfo", self.complete("perfcore", "triage", "--"))
        self.assertNotIn("--elf", self.complete("perfcore", "triage", "--"))
        self.assertIn("--elf", self.complete("perfcore", "extract", "--"))
        self.assertEqual(self.complete("perfcore", "triage", "--format", ""), ["text", "json"])
        self.assertEqual(self.complete("perfcore", "log", "--color", "a"), ["auto", "always"])


class Version(unittest.TestCase):
    def test_text(self):
        result = tool.run("--version")
        self.assertEqual(result.returncode, tool.EXIT_DONE)
        self.assertRegex(result.stdout, r"^perfcore \d+\.\d+\.\d+\n")
        self.assertIn("libkdumpfile", result.stdout)

    def test_json_lists_every_schema_that_is_documented(self):
        version = json.loads(tool.run("--version", "--format", "json").stdout)
        jsonschema.Draft202012Validator(tool.schema("version")).validate(version)
        schemas = [tool.schema(path.name.removesuffix(".schema.json"))
                   for path in (tool.SOURCE / "docs" / "schema").glob("*.schema.json")]
        # An answer that is a list has no member to name its schema in.
        documented = {schema["properties"]["schema"]["const"] for schema in schemas if schema["type"] == "object"}
        self.assertEqual(set(version["schemas"]), documented)
        self.assertIn("zlib", version["codecs"])

    def test_schemas_are_schemas(self):
        for path in (tool.SOURCE / "docs" / "schema").glob("*.schema.json"):
            jsonschema.Draft202012Validator.check_schema(tool.schema(path.name.removesuffix(".schema.json")))


class WrongCommandLines(unittest.TestCase):
    def check(self, arguments, *words):
        result = tool.run(*arguments)
        self.assertEqual(result.returncode, tool.EXIT_USAGE, result)
        self.assertEqual(result.stdout, "")
        for word in words:
            self.assertIn(word, result.stderr)
        return result

    def test_nothing_at_all(self):
        self.check([], "Usage")

    def test_unknown_command_option_and_value(self):
        self.check(["frobnicate"], "frobnicate", "--help")
        self.check(["triage", "dump", "--colour"], "--colour", "perfcore triage --help")
        self.check(["triage", "dump", "--format", "xml"], "xml", "json")
        self.check(["triage", "dump", "--time-limit", "soon"], "soon")
        self.check(["triage", "dump", "--debuginfo"], "--debuginfo")

    def test_arguments_missing(self):
        for command in tool.COMMANDS:
            self.check([command], "text" if command == "report" else "dump", f"perfcore {command} --help")
        self.check(["show", "dump"], "show what?")
        self.check(["show", "dump", "everything"], "everything", "pmu")
        self.check(["show", "dump", "event"], "which event?")
        self.check(["show", "dump", "event", "xyz"], "xyz", "hexadecimal")
        self.check(["show", "dump", "pmu", "more"], "more")
        self.check(["print", "dump"], "print what?")
        self.check(["extract", "dump"], "-o")

    def test_terminal_escapes_in_arguments_do_not_get_through(self):
        result = self.check(["show", "dump", "\x1b[31mred"])
        self.assertNotIn("\x1b", result.stderr)


if __name__ == "__main__":
    unittest.main()
