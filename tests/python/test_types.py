# SPDX-License-Identifier: LGPL-2.1-or-later
"""The stubs are right: mypy finds no fault with them, nor with what a user would write, and they name what is there."""

import ast
import pathlib
import subprocess
import sys

import pytest

import perfcore
from conftest import SOURCE

PACKAGE = SOURCE / "python" / "perfcore"


def mypy(*arguments, cwd, env=None):
    if subprocess.run([sys.executable, "-c", "import mypy"], check=False, capture_output=True).returncode:
        pytest.skip("mypy is not installed")
    return subprocess.run([sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--cache-dir=/dev/null",
                           *map(str, arguments)], capture_output=True, text=True, check=False, cwd=cwd, env=env)


def test_package_is_strict():
    result = mypy("perfcore", cwd=PACKAGE.parent)
    assert result.returncode == 0, result.stdout


USER = '''
import perfcore
from perfcore.helpers.linux.percpu import per_cpu

k: perfcore.Kernel = perfcore.open("vmcore", debuginfo=["vmlinux"])
for cpu in perfcore.for_each_present_cpu(k):
    state: int = per_cpu(k["cpu_hw_events"], cpu).event_list[0].hw.state.value_()
cause = k.triage().root_cause
if cause is not None:
    print(cause.summary.upper(), cause.cpus[0] + 1)

@perfcore.rule(id="mine", needs=["cpu_hw_events"])
def mine(kernel: perfcore.Kernel, crash: perfcore.Crash, perf: perfcore.PerfState) -> perfcore.Finding:
    return perfcore.Finding(verdict="likely")

k.triage(rules=[mine])
'''


def test_user_code_is_checked(tmp_path):
    script = tmp_path / "user.py"
    script.write_text(USER, encoding="utf-8")
    env = {"MYPYPATH": str(PACKAGE.parent), "PATH": "/usr/bin:/bin"}
    result = mypy(script, cwd=tmp_path, env=env)
    assert result.returncode == 0, result.stdout
    script.write_text(USER + "k.triage().root_cause.no_such\n", encoding="utf-8")
    assert mypy(script, cwd=tmp_path, env=env).returncode != 0


def test_stubs_name_what_is_there():
    tree = ast.parse((PACKAGE / "_perfcore.pyi").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            there = getattr(perfcore._perfcore, node.name)
            named = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
            for name in named:
                assert hasattr(there, name), f"{node.name}.{name}"
            if node.name != "InputError":
                public = {name for name in vars(there) if not name.startswith("_")}
                assert public <= named | {"address", "reason"}, node.name
        elif isinstance(node, ast.FunctionDef):
            assert callable(getattr(perfcore._perfcore, node.name))


def test_everything_public_has_a_docstring():
    for name in perfcore.__all__:
        if name != "__version__":
            assert (getattr(perfcore, name).__doc__ or "").strip(), name
    assert pathlib.Path(PACKAGE / "py.typed").exists()
