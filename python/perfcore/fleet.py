# SPDX-License-Identifier: LGPL-2.1-or-later
"""`python3 -m perfcore.fleet PATH... --store postgresql://...` runs `perfcore batch` on the machines of a Dask cluster.

The files are cut into tasks. For each a worker runs the command line tool, which writes to the store and says what came of
it. Adding a crash that is in the store changes nothing, and a file whose outcome is in the store is not read again, so a
task may run twice, or half and then again on another worker. All retries rest on that, those after a worker was killed and
a second start after a first one that was stopped.

Workers need the tool, and the files under the same paths; not this package.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import contextlib
import importlib
import json
import logging
import os
import queue
import subprocess
import sys
import tempfile
import time
from typing import Any, Callable, Dict, List, NoReturn, Optional, Sequence, TextIO, Tuple

EXIT_DONE, EXIT_USAGE, EXIT_INPUT, EXIT_INTERNAL = 0, 1, 2, 3

FILES_PER_TASK = 128
"""At most: seconds of work, long against the start of a process, short against what a killed worker has to do again. As many
paths of 4096 bytes fit into a command line."""

TASKS_PER_THREAD = 2
"""Given out at any time: no worker waits for the next one, and a million files do not fill the scheduler's memory."""

RETRY_AFTER = (1, 4, 16)
"""Seconds. A store that is restarted is back within them."""

TASKS_GIVEN_UP = 3
"""In a row, each after all its retries: then it is not the dumps, and going on helps nobody."""

FAILURES_KEPT = 100
WAIT_FOR_WORKERS = 30  # seconds


class FleetError(Exception):
    """The run cannot begin, or go on."""

    def __init__(self, exit_code: int, why: str) -> None:
        super().__init__(why)
        self.exit_code = exit_code


class Tool:
    """How `perfcore batch` is called, here and on the workers, which get a copy.

    :param name: path of the tool, or its name for $PATH
    :param options: of batch, besides those that are given here
    """

    def __init__(self, name: str, store: str, options: Sequence[str] = ()) -> None:
        self.name = name
        self.store = store
        self.options = list(options)
        self.version = ""  # that workers must have; empty: any

    def run(self, *arguments: str) -> Tuple[int, str, str]:
        """(exit code, what it wrote, the last line it said on standard error). Raises RuntimeError: a class of this package
        would be unknown to the workers."""
        try:
            result = subprocess.run([self.name, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                    errors="replace", check=False)
        except OSError as error:
            raise RuntimeError(f"cannot run {self.name}: {error.strerror}; name the tool with --tool") from None
        said = result.stderr.strip().splitlines()
        return result.returncode, result.stdout, said[-1] if said else "it said nothing"

    def check_version(self) -> str:
        """The version. Raises RuntimeError when it is not the one that is wanted."""
        code, out, said = self.run("--version", "--format", "json")
        if code != 0:
            raise RuntimeError(f"{self.name} --version ended with {code}: {said}")
        version = str(json.loads(out)["version"])
        if self.version and version != self.version:
            raise RuntimeError(f"{self.name} is version {version} here, and {self.version} where the run was started")
        return version

    def list(self, paths: Sequence[str]) -> Tuple[int, str, str]:
        """As run(): the files below paths that are not done."""
        return self.run("batch", *self.options, "--store", self.store, "--list", "--format", "json", "--", *paths)

    def batch(self, paths: Sequence[str]) -> Dict[str, Any]:
        """The summary of a batch (docs/schema/batch.schema.json). Raises RuntimeError when there is none."""
        code, out, said = self.run("batch", *self.options, "--store", self.store, "--jobs", "1", "--format", "json", "--", *paths)
        try:
            answer: Dict[str, Any] = json.loads(out)
            return answer
        except ValueError:
            # Without an answer it was killed, or cannot use the store.
            raise RuntimeError(f"{self.name} batch ended with {code}: {said}") from None

    def buckets(self) -> Dict[str, int]:
        """id -> crashes, of all buckets in the store. Raises FleetError."""
        code, out, said = self.run("buckets", "list", "--store", self.store, "--format", "json")
        if code != 0:
            raise FleetError(code, said)
        return {bucket["id"]: bucket["count"] for bucket in json.loads(out)["buckets"]}


def run_task(tool: Tool, paths: Sequence[str], pause: float) -> Dict[str, Any]:
    """On a worker: the summary of a batch of files. What it raises makes the task run again, elsewhere if possible."""
    time.sleep(pause)
    tool.check_version()
    there = [path for path in paths if os.path.isfile(path)]
    if not there:
        raise RuntimeError("none of its files is there: is the file system mounted?")
    answer = tool.batch(there)
    missing = sorted(set(paths) - set(there))
    answer["failed"] += len(missing)
    answer["failures"] += [{"path": path, "why": "the file is gone"} for path in missing]
    return answer


def try_worker(tool: Tool, path: str) -> str:
    """On a worker: why it cannot do this work, empty if it can."""
    try:
        tool.check_version()
        if not os.path.isfile(path):
            return f"{path} is not there: workers need the files under the same paths"
        code, _, said = tool.list([path])
        return said if code != 0 else ""
    except RuntimeError as error:
        return str(error)


def tasks_of(files: Sequence[str], threads: int) -> List[List[str]]:
    """The files in tasks. A few are spread over all threads too."""
    size = max(1, min(FILES_PER_TASK, len(files) // (TASKS_PER_THREAD * max(threads, 1))))
    return [list(files[i:i + size]) for i in range(0, len(files), size)]


class Summary:
    """What came of the run so far. A mapping as in docs/schema/fleet.schema.json."""

    def __init__(self, skipped: int, files: int) -> None:
        self.counts = {"found": skipped + files, "skipped": skipped, "done": 0, "empty": 0, "failed": 0, "given_up": 0}
        self.failures: List[Dict[str, str]] = []
        self.workers = self.tasks = self.retried = 0
        self.new_buckets: Dict[str, int] = {}
        self.grown_buckets: Dict[str, int] = {}
        self.started = time.monotonic()
        self.seconds = 0.0

    def finished(self) -> int:
        """Files of this run that have been dealt with."""
        return sum(self.counts[name] for name in ("done", "empty", "failed", "given_up"))

    def add(self, answer: Dict[str, Any]) -> None:
        # No file was done when the run began. One that the batch skips was done by a worker that died before it said so.
        self.counts["done"] += answer["done"] + answer["skipped"]
        self.counts["empty"] += answer["empty"]
        self.counts["failed"] += answer["failed"]
        self.failures += answer["failures"][:FAILURES_KEPT - len(self.failures)]

    def give_up(self, files: Sequence[str], why: str) -> None:
        self.counts["given_up"] += len(files)
        if len(self.failures) < FAILURES_KEPT:
            more = f" (and {len(files) - 1} more files)" if len(files) > 1 else ""
            self.failures.append({"path": files[0], "why": why + more})

    def finish(self, before: Dict[str, int], after: Dict[str, int]) -> None:
        """Takes what buckets gained from the store: workers that died have not said it."""
        self.seconds = time.monotonic() - self.started
        for bucket, crashes in sorted(after.items()):
            if bucket not in before:
                self.new_buckets[bucket] = crashes
            elif crashes > before[bucket]:
                self.grown_buckets[bucket] = crashes - before[bucket]

    def to_dict(self) -> Dict[str, Any]:
        return {"schema": "perfcore.fleet/1", **self.counts, "failures": sorted(self.failures, key=lambda failure: str(failure["path"])),
                "new_buckets": self.new_buckets, "grown_buckets": self.grown_buckets, "workers": self.workers,
                "tasks": self.tasks, "retried": self.retried, "seconds": round(self.seconds, 3)}

    def exit_code(self) -> int:
        if self.counts["given_up"]:
            return EXIT_INTERNAL
        # Nothing at all could be used: something is wrong with the input as a whole.
        return EXIT_INPUT if 0 < self.counts["failed"] == self.counts["found"] else EXIT_DONE


class LocalWorkers:
    """Worker processes on this machine, as many at any time.

    LocalCluster could start them too, by way of a nanny for each. That of distributed 2022.12 may wait for ever when its
    worker is killed within moments of its start: its loop in WorkerProcess._wait_until_connected() then takes the messages
    of the next worker.
    """

    def __init__(self, address: str, count: int) -> None:
        self.count = count
        # Their files. A worker that is killed leaves them behind.
        self._directory = tempfile.TemporaryDirectory(prefix="perfcore-fleet-")
        # One thread each: it is the tool that does the work.
        self._command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny",
                         "--no-dashboard", "--memory-limit", "0", "--local-directory", self._directory.name]
        self._processes = [self._start() for _ in range(count)]

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def replace_dead(self) -> None:
        self._processes = [self._start() if process.poll() is not None else process for process in self._processes]

    def close(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
        self._directory.cleanup()


def check_workers(client: Any, tool: Tool, path: str, count: int = 1) -> int:
    """Number of workers, at least `count`. Raises FleetError when there is none, or one that cannot do the work."""
    try:
        client.wait_for_workers(count, timeout=WAIT_FOR_WORKERS)
    except OSError:
        raise FleetError(EXIT_INTERNAL, f"the scheduler had not {count} worker{'s' if count > 1 else ''} within "
                         f"{WAIT_FOR_WORKERS} s; dask-worker ADDRESS starts them") from None
    troubles = {worker: why for worker, why in sorted(client.run(try_worker, tool, path).items()) if why}
    workers = len(client.scheduler_info()["workers"])
    if troubles:
        worker, why = next(iter(troubles.items()))
        raise FleetError(EXIT_INPUT, f"{len(troubles)} of {workers} workers cannot do the work; {worker}: {why}")
    return workers


def run(client: Any, files: Sequence[str], tool: Tool, summary: Summary, *, retries: int = len(RETRY_AFTER),
        each: Callable[[Summary], None] = lambda summary: None) -> None:
    """Runs `perfcore batch` on all files on the workers of a distributed.Client.

    A task that fails, or whose worker dies, runs again on any worker, at most `retries` times. `each` is called in this
    thread, at least once a second. Raises FleetError.
    """
    distributed = importlib.import_module("distributed")
    ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
    given: Dict[Any, Tuple[List[str], int]] = {}
    given_up_in_a_row = 0

    def give(part: List[str], attempt: int, pause: float) -> None:
        future = client.submit(run_task, tool, part, pause, pure=False)
        given[future] = (part, attempt)
        future.add_done_callback(ended.put)

    threads = sum(client.nthreads().values())
    asked = time.monotonic()
    waiting = collections.deque(tasks_of(files, threads))
    summary.tasks = len(waiting)
    while waiting or given:
        while waiting and len(given) < TASKS_PER_THREAD * threads:
            give(waiting.popleft(), 0, 0)
        each(summary)
        if time.monotonic() - asked > 2:  # workers come and go
            try:
                threads, asked = sum(client.nthreads().values()), time.monotonic()
            except (OSError, AttributeError):  # while it reconnects; cancelled tasks tell the rest
                pass
        try:
            future = ended.get(timeout=1)
        except queue.Empty:
            continue
        part, attempt = given.pop(future)
        try:
            summary.add(future.result(timeout=1))
            given_up_in_a_row = 0
            continue
        except distributed.TimeoutError:
            # Its worker died before it handed the result over, and the task has to run again. Meanwhile workers are replaced.
            given[future] = (part, attempt)
            future.add_done_callback(ended.put)
            continue
        except concurrent.futures.CancelledError:
            raise FleetError(EXIT_INTERNAL, "the connection to the scheduler was lost; what was done is stored, and the same "
                             "command goes on from there") from None
        except distributed.KilledWorker as error:
            # Dask itself ran it again after the first deaths (distributed.scheduler.allowed-failures).
            why, pause = f"its workers died: {error}", 0
        except Exception as error:  # whatever the task raised
            why, pause = str(error), RETRY_AFTER[min(attempt, len(RETRY_AFTER) - 1)]
        if attempt < retries:
            summary.retried += 1
            give(part, attempt + 1, pause)
            continue
        summary.give_up(part, why)
        given_up_in_a_row += 1
        if given_up_in_a_row == TASKS_GIVEN_UP:
            raise FleetError(EXIT_INTERNAL, f"{given_up_in_a_row} tasks in a row failed {retries + 1} times, the last one with: {why}")


class Progress:
    """A line that is written over, on a terminal only."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._next = time.monotonic() + 0.3
        self._shown = False

    def __call__(self, summary: Summary) -> None:
        now = time.monotonic()
        if now < self._next or not self._out.isatty():
            return
        self._next = now + 0.1
        self._shown = True
        all_files = summary.counts["found"] - summary.counts["skipped"]
        finished = summary.finished()
        rate = finished / max(now - summary.started, 1e-9)
        part = finished / max(all_files, 1)
        line = f"fleet [{'#' * int(30 * part):30}] {100 * part:3.0f}%  {finished} of {all_files}, {rate:.0f}/s"
        if rate > 0:
            left = int((all_files - finished) / rate)
            line += f", {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"
        if summary.counts["failed"] or summary.counts["given_up"]:
            line += f", {summary.counts['failed'] + summary.counts['given_up']} failed"
        self._out.write(f"\r{line}\x1b[K")
        self._out.flush()

    def end(self) -> None:
        if self._shown:
            self._out.write("\r\x1b[K")
            self._out.flush()


def to_text(summary: Dict[str, Any]) -> str:
    worked = sum(summary[name] for name in ("done", "empty", "failed"))
    text = ("{done} done, {failed} failed, {empty} without a crash, {skipped} skipped (done before); {seconds:.1f} s, "
            "{rate:.0f} files/s.\n").format(rate=worked / max(summary["seconds"], 1e-3), **summary)
    text += "{tasks} tasks on {workers} workers, {retried} retried.\n".format(**summary)
    if summary["given_up"]:
        text += "{given_up} files were given up; the same command tries them again.\n".format(**summary)
    for title, buckets in (("New buckets", summary["new_buckets"]), ("Grown buckets", summary["grown_buckets"])):
        if buckets:
            text += f"\n{title}\n" + "".join(f"  {bucket}  +{crashes}\n" for bucket, crashes in buckets.items())
    if summary["failures"]:
        text += "\nFailed\n" + "".join(f"  {failure['path']}: {failure['why']}\n" for failure in summary["failures"][:20])
    more = summary["failed"] + summary["given_up"] - min(len(summary["failures"]), 20)
    return text + (f"  ... and {more} more files\n" if more > 0 else "")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # argparse would end with 2, which says something else here.
        raise FleetError(EXIT_USAGE, f"{message}; --help tells how it is used")


def _options(arguments: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = _Parser(
        prog="python3 -m perfcore.fleet", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Puts the crashes of many machines into buckets: `perfcore batch` on the workers of a Dask cluster. What was\n"
        "stopped goes on where it was: files that were done are passed over until they change.",
        epilog="""examples:
  python3 -m perfcore.fleet --store postgresql://db/crashes /srv/crashes
      on the CPUs of this machine
  python3 -m perfcore.fleet --store postgresql://db/crashes --scheduler tcp://head:8786 /srv/crashes
      on a cluster

exit codes:
  0   Done.
  1   The command line is wrong, or Dask's distributed is not installed.
  2   Nothing was found to work on or all of it failed, the store cannot be used, or a worker lacks the
      tool or the files; the message says why.
  3   No scheduler or no worker, or tasks were given up: the same command goes on where it stopped.""")
    parser.add_argument("paths", nargs="+", metavar="PATH",
                        help="a dump, recording, console text, or directory; workers see it under the same path")
    parser.add_argument("--store", required=True, metavar="URL",
                        help="postgresql://USER@HOST/DATABASE; passwords belong into ~/.pgpass of the workers. A file (SQLite) only "
                        "without --scheduler")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--scheduler", metavar="ADDRESS", help="a running Dask scheduler, such as tcp://head:8786")
    where.add_argument("--workers", type=int, metavar="N", help="without a scheduler: processes on this machine; default: one for each CPU")
    parser.add_argument("--tool", default="perfcore", metavar="PATH", help="the command line tool on the workers and here; default: perfcore in $PATH")
    parser.add_argument("--retries", type=int, default=len(RETRY_AFTER), metavar="N", help="of a task that fails; default: %(default)s")
    parser.add_argument("--again", action="store_true", help="read files that were done before as well")
    parser.add_argument("--debuginfo", action="append", default=[], metavar="PATH", help="as of perfcore batch, on the workers")
    parser.add_argument("--time-limit", metavar="SECONDS", help="as of perfcore batch: of each dump")
    parser.add_argument("--format", default="text", choices=("text", "json"), help="text for people (default) or json for programs")
    options = parser.parse_args(arguments)
    if options.retries < 0 or (options.workers is not None and options.workers < 1):
        parser.error("--workers takes 1 or more, --retries 0 or more")
    if options.scheduler and not options.store.startswith(("postgresql://", "postgres://")):
        parser.error(f"--store {options.store} is a file of one machine; with --scheduler it takes postgresql://...")
    return options


def _work(options: argparse.Namespace, progress: Progress) -> Summary:
    try:
        distributed = importlib.import_module("distributed")
        cloudpickle = importlib.import_module("cloudpickle")
    except ImportError as error:
        raise FleetError(EXIT_USAGE, f"{error}; install Dask's distributed (Debian: python3-distributed)") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what is wrong is said by us
    # What runs on workers goes there as code, not as a name in a package that they may not have.
    if __name__ != "__main__":
        cloudpickle.register_pickle_by_value(sys.modules[__name__])

    extra = [*(["--again"] if options.again else []), *(["--time-limit", options.time_limit] if options.time_limit else [])]
    for path in options.debuginfo:
        extra += ["--debuginfo", os.path.abspath(path)]
    tool = Tool(os.path.abspath(options.tool) if os.sep in options.tool else options.tool, options.store, extra)
    if "://" not in tool.store:  # a worker has another working directory
        tool.store = "sqlite:" + os.path.abspath(tool.store.removeprefix("sqlite:"))
    try:
        tool.version = tool.check_version()
        code, out, said = tool.list([os.path.abspath(path) for path in options.paths])
    except RuntimeError as error:
        raise FleetError(EXIT_USAGE, str(error)) from None
    if code != 0:
        raise FleetError(code, said)
    found = json.loads(out)
    files: List[str] = found["files"]
    summary = Summary(found["skipped"], len(files))
    if not files:
        return summary
    before = tool.buckets()

    local: Optional[LocalWorkers] = None

    def each(summary: Summary) -> None:
        if local:
            local.replace_dead()
        progress(summary)

    with contextlib.ExitStack() as stack:
        scheduler = options.scheduler
        try:
            if not scheduler:
                scheduler = stack.enter_context(distributed.LocalCluster(
                    n_workers=0, dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL))
                local = LocalWorkers(scheduler.scheduler_address, options.workers or os.cpu_count() or 1)
                stack.callback(local.close)
            client = stack.enter_context(distributed.Client(scheduler))
        except (OSError, ValueError) as error:
            raise FleetError(EXIT_INTERNAL, f"the scheduler {options.scheduler or 'of this machine'} does not answer: {error}") from None
        summary.workers = check_workers(client, tool, files[0], local.count if local else 1)
        summary.started = time.monotonic()
        try:
            run(client, files, tool, summary, retries=options.retries, each=each)
        finally:
            progress.end()
        summary.finish(before, tool.buckets())
    return summary


def main(arguments: Optional[Sequence[str]] = None) -> int:
    try:
        options = _options(arguments)
        summary = _work(options, Progress(sys.stderr))
    except FleetError as error:
        print(f"perfcore.fleet: {str(error).removeprefix('perfcore: ')}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("perfcore.fleet: interrupted; what was done is stored, and the same command goes on from there", file=sys.stderr)
        return EXIT_INTERNAL
    answer = summary.to_dict()
    print(json.dumps(answer, indent=1) if options.format == "json" else to_text(answer), end="\n" if options.format == "json" else "")
    return summary.exit_code()


if __name__ == "__main__":
    sys.exit(main())
