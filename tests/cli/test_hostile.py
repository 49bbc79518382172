# SPDX-License-Identifier: LGPL-2.1-or-later
"""Damaged dumps: never a signal, a hang or a wrong proof, and still an answer where there can be one."""

import json
import random
import resource
import pathlib
import subprocess
import tempfile
import unittest

import tool

TRUNCATIONS = 200
FLIPS = 500
LONGEST = 10  # seconds of one run
MOST_MEMORY = 1 << 20  # KiB


class Hostile(unittest.TestCase):
    def setUp(self):
        self.dump = tool.some_dump("null-events")
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.file = pathlib.Path(directory.name) / "vmcore"
        self.random = random.Random(20260435)  # always the same damage, so that a failure can be repeated

    def triage(self, what):
        """Runs a triage of self.file; returns its exit code."""
        result = subprocess.run([tool.TOOL, "triage", self.file, "--no-debuginfo", "--format", "json"],
                                capture_output=True, timeout=LONGEST, check=False)
        self.assertIn(result.returncode, (tool.EXIT_DONE, tool.EXIT_ROOT_CAUSE, tool.EXIT_DEFECT, tool.EXIT_INPUT),
                      f"{what}: {result.stderr.decode(errors='replace')}")
        return result

    def damage(self, dump, changes):
        content = bytearray(dump.path.read_bytes())
        for offset, value in changes:
            content[offset] ^= value
        self.file.write_bytes(content)

    def test_truncated_anywhere(self):
        size = self.dump.path.stat().st_size
        content = self.dump.path.read_bytes()
        offsets = [0, 1, 100, 4096, size - 1] + [self.random.randrange(size) for _ in range(TRUNCATIONS - 5)]
        for offset in offsets:
            self.file.write_bytes(content[:offset])
            result = self.triage(f"cut at {offset} of {size}")
            if result.returncode == tool.EXIT_INPUT:
                continue
            # This kernel died. What is left may not say why, but nothing can say that it did not.
            self.assertNotEqual(json.loads(result.stdout)["crash"]["class"], "none", f"cut at {offset} of {size}")
        self.assertLess(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, MOST_MEMORY)

    def test_bytes_flipped_anywhere(self):
        size = self.dump.path.stat().st_size
        answered = 0
        for _ in range(FLIPS):
            # A third of them in the headers, where lengths and offsets are.
            limit = self.random.choice((8192, size, size))
            offset = self.random.randrange(limit - 8)
            changes = [(offset + i, self.random.randrange(1, 256)) for i in range(8)]
            self.damage(self.dump, changes)
            answered += self.triage(f"flipped {changes}").returncode != tool.EXIT_INPUT
        self.assertGreater(answered, FLIPS // 2, "most damage must not keep a dump from being answered")
        self.assertLess(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, MOST_MEMORY)

    def test_damage_proves_nothing(self):
        """A dump without the defect never gets it proven by damage."""
        dump = tool.some_dump("lookalike-corruption")
        size = dump.path.stat().st_size
        for _ in range(FLIPS // 5):
            offset = self.random.randrange(size - 8)
            self.damage(dump, [(offset + i, self.random.randrange(1, 256)) for i in range(8)])
            self.assertNotIn(b'"verdict": "proven"', self.triage(f"flipped at {offset}").stdout)


if __name__ == "__main__":
    unittest.main()
