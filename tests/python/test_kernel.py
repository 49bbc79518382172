# SPDX-License-Identifier: LGPL-2.1-or-later
"""Opening, names, memory, log and stacks."""

import pathlib
import subprocess
import sys

import pytest

import perfcore
from conftest import BUNDLED, TOOL, bundled, tool


def test_what_is_opened(healthy):
    info = tool("info", bundled("healthy-6.12.117"), "--no-debuginfo")
    assert healthy.release == info["kernel"]["release"]
    assert healthy.build_id == info["kernel"]["build_id"]
    assert healthy.kaslr_offset == int(info["kernel"]["kaslr_offset"], 16)
    assert healthy.path == str(bundled("healthy-6.12.117"))
    assert healthy.vmlinux == ""
    assert healthy.release in repr(healthy)


def test_paths_of_every_kind(tmp_path):
    path = bundled("healthy-6.12.117")
    for given in (str(path), pathlib.Path(path), [path]):
        assert perfcore.open(given, search_debuginfo=False).release.startswith("6.12.117")
    directory = tmp_path / "202611200419"
    directory.mkdir()
    (directory / "vmcore").symlink_to(path)
    assert perfcore.open(directory, search_debuginfo=False).release.startswith("6.12.117")


def test_what_cannot_be_opened_says_why(tmp_path):
    with pytest.raises(perfcore.InputError, match="nothing-here"):
        perfcore.open(tmp_path / "nothing-here")
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"not a vmcore at all" * 100)
    with pytest.raises(ValueError):
        perfcore.open(wrong)
    with pytest.raises(perfcore.InputError):
        perfcore.open(bundled("healthy-6.12.117"), debuginfo=[sys.executable])


def test_names(healthy):
    assert healthy["init_task"].comm.string_() == b"swapper/0"
    assert "init_task" in healthy and "no_such_name" not in healthy
    with pytest.raises(KeyError, match="no_such_name"):
        healthy["no_such_name"]
    for lookup in (healthy.variable, healthy.function, healthy.constant, healthy.type, healthy.symbol):
        with pytest.raises(LookupError):
            lookup("no_such_name")
    function = healthy["x86_pmu_enable"]
    assert function.address_ == healthy.symbol("x86_pmu_enable").address == healthy.function("x86_pmu_enable").address_
    assert healthy.constant("PERF_EVENT_STATE_ACTIVE").value_() == 1
    assert str(healthy["PERF_EVENT_STATE_DEAD"]) == "(enum perf_event_state)PERF_EVENT_STATE_DEAD"


def test_symbols(healthy):
    symbol = healthy.symbol("x86_pmu")
    assert (symbol.name, symbol.address) == ("x86_pmu", healthy["x86_pmu"].address_)
    assert healthy.symbol(healthy["x86_pmu_enable"].address_ + 1).name == "x86_pmu_enable"
    assert healthy.symbol(healthy["x86_pmu"].handle_irq).name == "amd_pmu_handle_irq"
    with pytest.raises(LookupError):
        healthy.symbol(4096)


def test_a_variable_of_unknown_type_says_where_it_is(healthy):
    """BTF has no types of global variables."""
    with pytest.raises(KeyError, match=f"{healthy.symbol('__start_BTF').address:#x}"):
        healthy["__start_BTF"]


def test_reads(healthy):
    address = healthy["init_task"].comm.address_
    assert healthy.read(address, 9) == b"swapper/0"
    assert healthy.read_c_string(address) == b"swapper/0"
    assert healthy.read_c_string(address, max_size=4) == b"swap"
    word = int.from_bytes(healthy.read(address, 8), "little")
    assert healthy.read_u64(address) == healthy.read_word(address) == word
    assert healthy.read_u32(address) == word & 0xffffffff
    assert healthy.read_u16(address) == word & 0xffff
    assert healthy.read_u8(healthy["init_task"].comm.address_of_()) == ord("s")
    assert healthy.read(address, 0) == b""
    with pytest.raises(perfcore.FaultError) as raised:
        healthy.read(0x10, 8)
    assert raised.value.address == 0x10
    assert "not map" in raised.value.reason
    with pytest.raises(ValueError):
        healthy.read(address, 1 << 40)
    with pytest.raises(OverflowError):
        healthy.read(1 << 70, 8)


def test_physical_reads(healthy):
    """A page of init_task is found by its physical address as well: the guest has less than 512 MiB."""
    page = healthy.read(healthy["init_task"].comm.address_ & ~0xfff, 4096)

    def same(address):
        try:
            return healthy.read(address, 4096, physical=True) == page
        except perfcore.FaultError:
            return False

    assert any(same(address) for address in range(0, 1 << 29, 1 << 12))


def test_log_is_the_command_lines(dump):
    k = perfcore.open(dump, search_debuginfo=False)
    log = k.log()
    answer = tool("log", dump, "--no-debuginfo")
    assert [record.text for record in log] == [record["text"] for record in answer["records"]]
    assert log.source == answer["source"]
    if len(log):
        assert log[-1].sequence == answer["records"][-1]["sequence"]
        assert str(log).splitlines()[0] == str(log[0]).splitlines()[0]
        assert round(log[0].timestamp_ns / 1e9, 6) == answer["records"][0]["time"]


def test_stacks_are_the_command_lines(dump):
    k = perfcore.open(dump, search_debuginfo=False)
    for cpu in tool("show", dump, "bt", "--no-debuginfo")["cpus"]:
        trace = k.stack_trace(cpu["cpu"])
        assert [frame.name for frame in trace] == [frame["function"] for frame in cpu["stack"]]
        assert [frame.pc for frame in trace] == [int(frame["address"], 16) for frame in cpu["stack"]]
        assert trace.method == cpu["method"]
        if len(trace):
            assert trace[0].name is None or trace[0].name in str(trace)
    with pytest.raises(ValueError, match="no CPU 9999"):
        k.stack_trace(9999)


def test_crashed_thread(broken):
    thread = broken.crashed_thread()
    assert (thread.cpu, thread.tid, thread.comm) == (1, 160, "pmu")
    assert thread.object.comm.string_() == b"pmu"
    names = [frame.name for frame in thread.stack_trace()]
    assert "x86_pmu_handle_irq" in names
    assert [frame.name for frame in broken.stack_trace(thread)] == names
    frame = next(frame for frame in thread.stack_trace() if frame.name == "x86_pmu_handle_irq")
    assert frame.symbol().name == "x86_pmu_handle_irq"
    assert frame.context == "nmi"


def test_objects_keep_their_kernel_alive():
    events = perfcore.per_cpu(perfcore.open(bundled("healthy-6.12.117"), search_debuginfo=False)["cpu_hw_events"], 1)
    assert events.n_events == 4


def test_import_is_light():
    """What only some scripts need is not imported with the package."""
    code = ("import sys, perfcore; "
            "print([name for name in ('json', 'dataclasses', 'inspect', 'drgn', 'perfcore.answers') "
            "if name in sys.modules])")
    out = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_version_is_the_command_lines():
    out = subprocess.run([TOOL, "--version", "--format", "json"], capture_output=True, text=True, check=True)
    assert f'"{perfcore.__version__}"' in out.stdout


def test_bundled_dumps_are_there():
    assert len(BUNDLED) >= 8
