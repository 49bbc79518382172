# SPDX-License-Identifier: LGPL-2.1-or-later
"""perfcore.fleet on a real Dask cluster, with a real PostgreSQL server: whatever is killed, the store is as if nothing had been."""

import json
import os
import pathlib
import pty
import random
import signal
import subprocess
import sys
import threading
import time

import jsonschema
import pytest

from conftest import BUNDLED, SOURCE, TOOL
from dump_copies import copy_of_another_time
from perfcore import fleet
from postgres import Server

COPIES = 6
LOGS = 60
LOG = """[    1.000000] BUG: kernel NULL pointer dereference, address: 0000000000000010
[    1.000001] Oops: 0000 [#1] PREEMPT SMP NOPTI
[    1.000002] CPU: 1 PID: {pid} Comm: cat Not tainted 6.1.0-56-amd64 #1
[    1.000003] RIP: 0010:victim_{function}+0x10/0x40
[    1.000004] Kernel panic - not syncing: Fatal exception
"""
FILES = COPIES * len(BUNDLED) + LOGS + 1
SCHEMA = json.loads((SOURCE / "docs" / "schema" / "fleet.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def store(server, request):
    return server.database(request.node.name.lower())


@pytest.fixture(scope="module")
def dumps(tmp_path_factory):
    """Dumps and console text, and a file that is neither."""
    top = tmp_path_factory.mktemp("dumps")
    for number, dump in enumerate(BUNDLED):
        content = dump.read_bytes()
        for copy in range(COPIES):
            copy_of_another_time(content, 1_700_000_000 + 86_400 * copy + number, top / f"{copy}-{dump.name}")
    for number in range(LOGS):
        (top / f"{number:02}.log").write_text(LOG.format(pid=number, function=number % 7), encoding="ascii")
    (top / "broken.vmcore").write_bytes(b"KDUMP   and then nothing that makes sense")
    return top


@pytest.fixture(scope="module")
def undisturbed(dumps, server):
    """What a store holds after `perfcore batch`, without a fleet."""
    store = server.database("undisturbed")
    subprocess.run([TOOL, "batch", "--store", store, dumps], check=True, capture_output=True, timeout=600)
    crashes, buckets = contents(store)
    assert len(crashes) == FILES - 1
    return crashes, buckets


def contents(store):
    """All crashes, as they are exported, and all buckets, without the time of the export."""
    def ask(*arguments):
        return subprocess.run([TOOL, "buckets", *arguments, "--store", store], check=True, capture_output=True, text=True,
                              timeout=120).stdout
    buckets = json.loads(ask("export", "--format", "json"))
    del buckets["generated"]
    return ask("export").splitlines(), buckets


def command(*arguments, tool=TOOL):
    return [sys.executable, "-m", "perfcore.fleet", "--tool", str(tool), *map(str, arguments)]


def start(*arguments, **options):
    """python3 -m perfcore.fleet, on two processes."""
    return subprocess.Popen(command("--format", "json", "--workers", 2, *arguments, **options),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    out, err = process.communicate(timeout=600)
    answer = json.loads(out) if out else None
    if answer:
        jsonschema.Draft202012Validator(SCHEMA).validate(answer)
    return process.returncode, answer, err


def descendants(pid):
    """(PID, command line) of all processes below one."""
    found = []
    for children in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in map(int, children.read_text().split()):
                found += [(child, pathlib.Path(f"/proc/{child}/cmdline").read_text()), *descendants(child)]
        except OSError:  # it has ended
            continue
    return found


def dask_workers(pid):
    return [child for child, words in descendants(pid) if "dask_worker" in words]


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def test_store_equals_that_of_a_batch(dumps, undisturbed, store):
    code, answer, err = finish(start(dumps, "--store", store))
    assert (code, err) == (0, "")
    assert (answer["done"], answer["failed"], answer["given_up"]) == (FILES - 1, 1, 0)
    assert [pathlib.Path(failure["path"]).name for failure in answer["failures"]] == ["broken.vmcore"]
    assert answer["new_buckets"] == {bucket["id"]: bucket["count"] for bucket in undisturbed[1]["buckets"]}
    assert contents(store) == undisturbed

    # Once more: what failed is tried again, the rest is not.
    code, answer, _ = finish(start(dumps, "--store", store))
    assert (answer["found"], answer["skipped"], answer["done"], answer["failed"]) == (FILES, FILES - 1, 0, 1)
    assert (answer["new_buckets"], answer["grown_buckets"]) == ({}, {})
    assert contents(store) == undisturbed


@pytest.mark.parametrize("seed", range(2))
def test_killed_workers_lose_nothing(dumps, undisturbed, store, seed):
    moments = random.Random(seed)
    process = start(dumps, "--store", store)
    killed = 0
    while process.poll() is None and killed < 4:
        # Any moment from that on when a worker first runs the tool on dumps.
        busy = [worker for worker in dask_workers(process.pid) if any("--jobs" in words for _, words in descendants(worker))]
        if busy:
            time.sleep(moments.uniform(0, 0.3))
            kill(moments.choice(busy))
            killed += 1
        time.sleep(0.02)
    code, answer, err = finish(process)
    assert killed, "the run was over before a worker could be killed"
    assert code == 0, err
    assert (answer["done"], answer["failed"], answer["given_up"]) == (FILES - 1, 1, 0)
    assert answer["new_buckets"] == {bucket["id"]: bucket["count"] for bucket in undisturbed[1]["buckets"]}
    assert contents(store) == undisturbed


def test_killed_tools_and_a_killed_run_lose_nothing(dumps, undisturbed, store):
    process = start(dumps, "--store", store)
    tools = []
    while process.poll() is None and len(tools) < 2:
        for child, words in descendants(process.pid):
            if TOOL in words and "--jobs" in words and child not in tools:
                kill(child)
                tools.append(child)
                break
        time.sleep(0.05)
    assert tools
    process.kill()
    finish(process)
    code, answer, err = finish(start(dumps, "--store", store))
    assert code == 0, err
    assert answer["given_up"] == 0
    assert contents(store) == undisturbed


def test_a_scheduler_elsewhere(dumps, undisturbed, store, tmp_path, monkeypatch):
    """Workers as on another machine: they do not have the package."""
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "3s")  # until a lost connection is given up

    def dask(program, *arguments):
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.Popen([sys.executable, "-m", f"distributed.cli.{program}", *map(str, arguments)], cwd=tmp_path,
                                env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    file = tmp_path / "scheduler.json"
    scheduler = dask("dask_scheduler", "--host", "127.0.0.1", "--port", 0, "--no-dashboard", "--scheduler-file", file)
    workers = []
    try:
        deadline = time.monotonic() + 60
        while not file.exists() or not file.read_text():
            assert time.monotonic() < deadline and scheduler.poll() is None
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        workers = [dask("dask_worker", address, "--nthreads", 1, "--no-dashboard") for _ in range(2)]
        run = subprocess.run(command("--scheduler", address, "--store", store, dumps), capture_output=True, text=True,
                             timeout=120, check=False)
        assert (run.returncode, run.stderr) == (0, "")
        assert f"{FILES - 1} done, 1 failed, 0 without a crash, 0 skipped" in run.stdout
        assert "broken.vmcore" in run.stdout
        assert contents(store) == undisturbed

        # It goes away.
        process = subprocess.Popen(command("--scheduler", address, "--store", store, "--again", dumps), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        while not any("--jobs" in words for worker in workers for _, words in descendants(worker.pid)):
            assert process.poll() is None
            time.sleep(0.02)
        scheduler.kill()
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out) == (fleet.EXIT_INTERNAL, "")
        assert "connection to the scheduler was lost" in err
    finally:
        for process in [*workers, scheduler]:
            process.terminate()
        for process in [*workers, scheduler]:
            process.wait(timeout=60)


def refused(*arguments, tool=TOOL):
    run = subprocess.run(command(*arguments, tool=tool), capture_output=True, text=True, timeout=120, check=False)
    assert run.stdout == ""
    assert len(run.stderr.splitlines()) == 1, run.stderr
    return run.returncode, run.stderr


def test_what_is_missing_is_said(dumps, store, tmp_path):
    file = tmp_path / "crashes.db"
    code, said = refused(dumps, "--store", "postgresql://tester@/crashes?host=/nowhere")
    assert code == fleet.EXIT_INPUT and "/nowhere" in said
    code, said = refused(dumps / "missing", "--store", file)
    assert code == fleet.EXIT_INPUT and "missing" in said
    code, said = refused(dumps, "--store", file, tool="/nowhere/perfcore")
    assert code == fleet.EXIT_USAGE and "--tool" in said
    code, said = refused(dumps, "--store", file, "--scheduler", "tcp://127.0.0.1:1")
    assert code == fleet.EXIT_USAGE and "postgresql://" in said
    code, said = refused(dumps, "--store", file, "--workers", 0)
    assert code == fleet.EXIT_USAGE
    code, said = refused(dumps)
    assert code == fleet.EXIT_USAGE and "--store" in said


def test_no_scheduler(dumps, store, monkeypatch):
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "1s")
    code, said = refused(dumps, "--store", store, "--scheduler", "tcp://127.0.0.1:1")
    assert code == fleet.EXIT_INTERNAL and "tcp://127.0.0.1:1" in said


def test_no_distributed(dumps, store, tmp_path, monkeypatch):
    (tmp_path / "distributed.py").write_text("raise ImportError('No module named distributed')\n", encoding="ascii")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ['PYTHONPATH']}")
    code, said = refused(dumps, "--store", store)
    assert code == fleet.EXIT_USAGE and "python3-distributed" in said


def test_a_worker_that_cannot_do_it():
    assert "--tool" in fleet.try_worker(fleet.Tool("/nowhere/perfcore", "crashes.db"), "vmcore")
    other = fleet.Tool(TOOL, "crashes.db")
    other.version = "0.0.1"
    assert "0.0.1" in fleet.try_worker(other, "vmcore")
    assert "/nowhere/vmcore is not there" in fleet.try_worker(fleet.Tool(TOOL, "crashes.db"), "/nowhere/vmcore")
    assert "/nowhere" in fleet.try_worker(fleet.Tool(TOOL, "postgresql://tester@/crashes?host=/nowhere"), BUNDLED[0])


def test_what_fails_again_and_again_is_given_up(dumps, store, tmp_path):
    """A tool that cannot do its work, on one file."""
    tool = tmp_path / "perfcore"
    tool.write_text(f'#!/bin/sh\ncase "$*" in *--jobs*03.log*) echo "the disk is gone" >&2; exit 3;; esac\nexec {TOOL} "$@"\n',
                    encoding="ascii")
    tool.chmod(0o755)
    code, answer, _ = finish(start(dumps, "--store", store, "--retries", 1, tool=tool))
    assert code == fleet.EXIT_INTERNAL
    assert answer["retried"] == 1
    assert answer["given_up"] + answer["done"] + answer["failed"] == FILES
    assert 0 < answer["given_up"] < FILES / 2
    assert any("the disk is gone" in failure["why"] for failure in answer["failures"])


def test_files_that_go_away(tmp_path, dumps):
    tool = fleet.Tool(TOOL, str(tmp_path / "crashes.db"))
    answer = fleet.run_task(tool, [str(dumps / "00.log"), str(dumps / "gone.log")], 0)
    assert (answer["done"], answer["failed"]) == (1, 1)
    assert answer["failures"] == [{"path": str(dumps / "gone.log"), "why": "the file is gone"}]
    with pytest.raises(RuntimeError, match="mounted"):
        fleet.run_task(tool, ["/nowhere/1", "/nowhere/2"], 0)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 1000, 100_000])
def test_tasks_hold_everything_once(count):
    files = [str(number) for number in range(count)]
    tasks = fleet.tasks_of(files, 4)
    assert sum(tasks, []) == files
    assert len(tasks) >= min(count, 8)
    assert max(map(len, tasks)) <= fleet.FILES_PER_TASK


def test_progress_on_a_terminal(dumps, tmp_path):
    main, terminal = pty.openpty()
    seen = bytearray()

    def read():
        try:
            while data := os.read(main, 4096):
                seen.extend(data)
        except OSError:  # its end
            pass

    reader = threading.Thread(target=read)
    reader.start()
    subprocess.run(command("--workers", 2, "--store", tmp_path / "crashes.db", dumps), stdout=subprocess.DEVNULL, stderr=terminal,
                   check=True, timeout=120)
    os.close(terminal)
    reader.join()
    os.close(main)
    text = seen.decode()
    assert f"of {FILES}" in text and "/s, 0:00:" in text and " left" in text
    assert text.endswith("\r\x1b[K")
