# SPDX-License-Identifier: LGPL-2.1-or-later
"""perfcore beside drgn and inside of it, on the same dumps."""

import functools
import os
import pathlib
import shutil
import subprocess
import sys
import traceback
import types

import pytest

import perfcore
from conftest import BUNDLED, bundled, open_bundled, tool

drgn = pytest.importorskip("drgn")

HERE = pathlib.Path(__file__).parent
FULL = sorted(path for path in pathlib.Path(os.environ.get("PERFCORE_TEST_DUMPS", "/nonexistent")).glob("*/vmcore*")
              if path.suffix in (".elf", ".kdump"))

VARIABLES = {"cpu_hw_events": "struct cpu_hw_events cpu_hw_events", "x86_pmu": "struct x86_pmu x86_pmu",
             "__cpu_present_mask": "struct cpumask __cpu_present_mask", "nr_cpu_ids": "unsigned int nr_cpu_ids",
             "__per_cpu_offset": "unsigned long __per_cpu_offset[8192]"}

#: What the script looks at.
MEMBERS = {"cpu_hw_events": ("events", "active_mask", "n_events", "assign", "event_list"),
           "perf_event": ("hw", "state", "attr", "group_leader", "owner"), "hw_perf_event": ("idx", "state"),
           "perf_event_attr": ("config", "pinned"), "task_struct": ("comm",), "x86_pmu": ("name",),
           "cpumask": ("bits",)}


class Source:
    """C source of the types above as the dump has them: the bundled dumps hold no other part of their BTF."""

    def __init__(self, k):
        self.k, self.text, self.done = k, "", set()

    def declare(self, type, name):
        """A declaration; what it needs is written before."""
        if type.kind == "pointer":
            target = type.type
            if target.kind in ("struct", "union"):
                return f"{target.type_name()} *{name}"
            return self.declare(target, f"*{name}")
        if type.kind == "array":
            return self.declare(type.type, f"{name}[{type.length or ''}]")
        if type.kind == "typedef":
            self.once(type.name, lambda: f"typedef {self.declare(type.type, type.name)};\n")
            return f"{type.name} {name}"
        if type.kind == "enum":
            body = ", ".join(f"{key} = {value}" for key, value in type.enumerators)
            self.once(type.type_name(), lambda: f"{type.type_name()} {{ {body} }};\n")
        elif type.kind == "struct":
            self.struct(type.tag)
        return f"{type.type_name()} {name}"

    def once(self, key, make):
        if key not in self.done:
            self.done.add(key)
            self.text += make()

    def struct(self, tag):
        if tag in self.done:
            return
        self.done.add(tag)
        type = self.k.type(f"struct {tag}")
        body, end = "", 0
        for member in sorted((type.member(name) for name in MEMBERS[tag]), key=lambda member: member.bit_offset):
            start = member.bit_offset // 64 * 64 if member.bit_field_size else member.bit_offset
            if start > end:
                body += f"\tchar pad_{end}[{(start - end) // 8}];\n"
            if member.bit_field_size:
                bits = member.bit_offset - start
                body += f"\tunsigned long pad_{start}_bits : {bits};\n\t{self.declare(member.type, member.name)} : 1;\n" \
                        f"\tunsigned long pad_{start}_rest : {63 - bits};\n"
                end = start + 64
            else:
                body += f"\t{self.declare(member.type, member.name)};\n"
                end = start + 8 * member.type.size
        body += f"\tchar pad_{end}[{type.size - end // 8}];\n"
        self.text += f"struct {tag} {{\n{body}}} __attribute__((packed));\n"


def debug_info(dump, directory):
    """A vmlinux for drgn, made of the dump's own BTF: its types as DWARF, its variables where the kernel has them.

    drgn reads no BTF, and a real vmlinux is too large to bundle. Of a full dump pahole reads the BTF, so that perfcore's
    reader is held against another one.
    """
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    k = perfcore.open(dump, search_debuginfo=False)
    try:
        start, stop = k.symbol("__start_BTF").address, k.symbol("__stop_BTF").address
        (directory / "vmlinux.btf").write_bytes(k.read(start, stop - start))
        if shutil.which("pahole") is None:
            pytest.skip("pahole is not installed")
        made = subprocess.run(["pahole", "-F", "btf", "--compile", str(directory / "vmlinux.btf")],
                              capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
        types = made.stdout
    except perfcore.FaultError:
        assert dump not in FULL
        source = Source(k)
        for tag in MEMBERS:
            source.struct(tag)
        types = source.text
    (directory / "vmlinux.c").write_text(types + "".join(
        f'__attribute__((section(".v.{name},\\"aw\\",@nobits#"))) {declaration};\n'
        for name, declaration in VARIABLES.items())
        + 'void start(void) __attribute__((section(".init.text")));\nvoid start(void) {}\n', encoding="utf-8")
    # The segments are in the order in which a kernel has them: drgn takes what is between the first and the last one
    # for the kernel image, which per-CPU variables are not in before 6.15.
    places = sorted((link_address(k, name), name) for name in VARIABLES)
    sections = "".join(f" .v.{name} {address:#x} : {{ *(.v.{name}) }} :{'data' if address >> 63 else 'percpu'}\n"
                       for address, name in places)
    (directory / "vmlinux.ld").write_text(
        "PHDRS { text PT_LOAD; data PT_LOAD; percpu PT_LOAD; last PT_LOAD; note PT_NOTE; }\nSECTIONS {\n"
        " .init.text 0xffffffff81000000 : { *(.init.text) } :text\n" + sections
        + " .note.gnu.build-id 0xffffffff8ff00000 : { *(.note.gnu.build-id) } :last :note\n"
        " /DISCARD/ : { *(.eh_frame) *(.comment) }\n}\n", encoding="utf-8")
    vmlinux = directory / "vmlinux"
    made = subprocess.run(["gcc", "-g", "-O0", "-w", "-fno-pie", "-no-pie", "-static", "-nostdlib", "-mcmodel=large",
                           f"-Wl,-T,{directory / 'vmlinux.ld'},-e,start,--build-id=0x{k.build_id}", "-o", str(vmlinux),
                           str(directory / "vmlinux.c")], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return vmlinux


def link_address(k, name):
    """Without the KASLR slide; per-CPU variables had no slide before 6.15."""
    address = k.symbol(name).address
    return address - k.kaslr_offset if address >= 1 << 63 else address


def run(script, *arguments):
    result = subprocess.run([sys.executable, str(script), *map(str, arguments)], capture_output=True, text=True,
                            timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("dump", BUNDLED + FULL, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_drgn_script_runs_with_import_and_open_changed(dump, tmp_path):
    vmlinux = debug_info(dump, tmp_path)
    theirs = (HERE / "pmu_state_drgn.py").read_text(encoding="utf-8")
    ours = theirs.replace("import drgn\n", "import perfcore\n").replace("from drgn", "from perfcore")
    opening = 'prog = drgn.Program()\nprog.set_core_dump(sys.argv[1])\nprog.load_debug_info(sys.argv[2:])\n'
    assert opening in ours
    ours = ours.replace(opening, "prog = perfcore.open(sys.argv[1], search_debuginfo=False)\n")
    script = tmp_path / "pmu_state_perfcore.py"
    script.write_text(ours, encoding="utf-8")
    expected = run(HERE / "pmu_state_drgn.py", dump, vmlinux)
    assert "CPU 3: active_mask" in expected
    assert run(script, dump) == expected


#: Programs are never closed: kdump_free() of libkdumpfile 0.5.1, which drgn closes dumps with, uses memory that it has
#: freed, and now and then that is fatal.
PROGRAMS = []


def program(name):
    PROGRAMS.append(drgn.Program())
    PROGRAMS[-1].set_core_dump(str(bundled(name)))
    return PROGRAMS[-1]


def alone(test):
    """Runs a test in a process of its own, so that only its programs are open."""
    @functools.wraps(test)
    def run(*arguments, **fixtures):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                test(*arguments, **fixtures)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return run


@alone
def test_a_session_gives_the_command_lines_findings(dump):
    prog = program(dump.stem)
    k = perfcore.from_drgn(prog)
    expected = tool("triage", dump, "--no-debuginfo")
    answer = k.triage().to_dict()
    assert answer["findings"] == expected["findings"]
    assert answer["crash"] == expected["crash"]
    assert answer["known"] == expected["known"]
    assert answer["unread"] == expected["unread"]
    assert k.path is None


@alone
def test_memory_is_drgns():
    """What drgn is told to say is what perfcore sees."""
    prog = program("healthy-6.12.117")
    k = open_bundled("healthy-6.12.117")
    comm = k["init_task"].comm.address_

    def read(address, count, offset, physical):
        return b"changed\0"[offset - comm:][:count]

    prog.add_memory_segment(comm, 8, lambda address, count, offset, physical: b"changed\0"[:count], False)
    assert perfcore.from_drgn(prog)["init_task"].comm.string_() == b"changed"
    assert k["init_task"].comm.string_() == b"swapper/0"


@alone
def test_physical_memory_is_drgns():
    prog = program("healthy-6.12.117")
    assert perfcore.from_drgn(prog).read(0x1000000, 64, physical=True) == prog.read(0x1000000, 64, True) \
        if readable(prog, 0x1000000) else True


def readable(prog, address):
    try:
        prog.read(address, 64, True)
        return True
    except drgn.FaultError:
        return False


@alone
def test_what_drgn_cannot_read_is_unread():
    k = perfcore.from_drgn(program("healthy-6.12.117"))
    with pytest.raises(perfcore.FaultError) as raised:
        k.read(0x10, 8)
    assert raised.value.address == 0x10


@alone
def test_control_c_in_drgns_reader_comes_through():
    prog = program("healthy-6.12.117")
    k = perfcore.from_drgn(prog)

    def interrupted(address, count, offset, physical):
        raise KeyboardInterrupt

    prog.add_memory_segment(0xffff800000000000, 1 << 47, interrupted, False)
    with pytest.raises(KeyboardInterrupt):
        k.triage()


@alone
def test_the_dump_and_vmcoreinfo_may_be_named():
    k = open_bundled("healthy-6.12.117")
    prog = program("healthy-6.12.117")
    assert perfcore.from_drgn(prog, core=bundled("healthy-6.12.117")).build_id == k.build_id
    other = program("healthy-6.1.192")  # now it is not known which dump is meant
    with pytest.raises(ValueError, match="core="):
        perfcore.from_drgn(prog)
    assert perfcore.from_drgn(other, core=bundled("healthy-6.1.192")).release.startswith("6.1.")
    text = "OSRELEASE=6.12.117-named\n"
    assert perfcore.from_drgn(prog, vmcoreinfo=text).release == "6.12.117-named"


def test_only_kernels():
    prog = drgn.Program()
    prog.set_pid(os.getpid())
    with pytest.raises(ValueError, match="no Linux kernel"):
        perfcore.from_drgn(prog)


@alone
def test_objects_go_back(tmp_path):
    name = "healthy-6.12.117"
    prog = program(name)
    prog.load_debug_info([str(debug_info(bundled(name), tmp_path))])
    k = perfcore.from_drgn(prog, core=bundled(name))
    event = perfcore.per_cpu(k["cpu_hw_events"], 1).event_list[0]
    theirs = perfcore.to_drgn(event, prog)
    assert isinstance(theirs, drgn.Object)
    assert repr(theirs) == repr(event)
    assert theirs.hw.idx.value_() == event.hw.idx.value_()
    assert perfcore.to_drgn(event.attr.pinned, prog).value_() == event.attr.pinned.value_()
    assert perfcore.to_drgn(event + 1, prog).value_() == (event + 1).value_()


@alone
def test_the_plugin_is_registered_and_adds_a_command_where_drgn_has_commands(monkeypatch, capsys):
    from importlib import metadata

    entry_points = metadata.entry_points()
    group = entry_points.select(group="drgn.plugins")
    plugin = next(entry_point for entry_point in group if entry_point.name == "perfcore").load()
    prog = program("null-events-6.18.12")
    plugin.drgn_prog_set(prog)  # 0.0.22 has no commands
    commands = types.ModuleType("drgn.commands")
    registered = {}

    def command(*, description):
        def register(function):
            registered[function.__name__] = (description, function)
            return function
        return register

    commands.command = command
    monkeypatch.setitem(sys.modules, "drgn.commands", commands)
    monkeypatch.setattr(plugin, "_registered", [])
    plugin.drgn_prog_set(prog)
    plugin.drgn_prog_set(prog)
    assert list(registered) == ["_cmd_perfcore"]
    answer = registered["_cmd_perfcore"][1](prog, "perfcore", "")
    assert answer.root_cause.rule == "perf-x86-null-events"
    assert answer.root_cause.summary.split()[0] in capsys.readouterr().out
