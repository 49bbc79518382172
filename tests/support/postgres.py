# SPDX-License-Identifier: LGPL-2.1-or-later
"""A PostgreSQL server for a test."""

import os
import pathlib
import shutil
import subprocess
import tempfile


class Server:
    """On a UNIX socket in a directory of its own. initdb refuses to run as root: then it is the package's user that runs it."""

    def __init__(self):
        self._directory = pathlib.Path(tempfile.mkdtemp(prefix="perfcore-"))
        self._programs = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        if os.geteuid() == 0:
            shutil.chown(self._directory, "postgres")
        data = self._directory / "data"
        self._run("initdb", "-U", "tester", "-A", "trust", "-N", "-D", data)
        self._run("pg_ctl", "-w", "-D", data, "-l", data / "log",
                  "-o", f"-k {self._directory} -c listen_addresses='' -c fsync=off", "start")

    def _run(self, program, *arguments):
        as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        # The server keeps what it inherits: a pipe would never end.
        with open(self._directory / "out", "ab") as out:
            subprocess.run([*as_user, self._programs / program, *map(str, arguments)], check=True, cwd="/", timeout=60,
                           stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def database(self, name):
        """Makes one; its URL."""
        subprocess.run(["createdb", "-h", self._directory, "-U", "tester", name], check=True, timeout=60)
        return f"postgresql://tester@/{name}?host={self._directory}"

    def stop(self):
        self._run("pg_ctl", "-D", self._directory / "data", "-m", "immediate", "stop")
        shutil.rmtree(self._directory)
