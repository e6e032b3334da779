"""Runs commands in turns, and tells how long they took, what CPU and what memory."""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

TIMEOUT = 900  # seconds for one run


class Wrong(Exception):
    """A run that gives no figure: it failed, or what it left is not what it should be."""


@dataclass
class Figures:
    """One run: seconds, CPU seconds of it and its children, MiB."""

    wall: float
    cpu: float
    peak: float


@dataclass
class Contestant:
    """A command that takes part. What is fetched goes below its folder, which is empty before."""

    name: str
    argv: list
    folder: Path
    check: Callable = lambda folder: None  # says what is wrong, or nothing
    before: list = field(default_factory=list)  # a command that is not measured
    missing: str = ""  # why it cannot take part


def run(argv, environment, log, memory=False):
    """Runs a command to its end, measured. `memory` looks at its peak every millisecond, for the
    kernel's figure of a finished child has the peak of this process in it, too."""
    actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
               (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
               (os.POSIX_SPAWN_DUP2, 1, 2)]
    program = shutil.which(argv[0], path=environment["PATH"]) or argv[0]
    peak = Peak()
    start = time.perf_counter()
    try:
        child = os.posix_spawn(program, argv, environment, file_actions=actions, setpgroup=0)
    except OSError as error:
        raise Wrong(f"cannot be run: {error}") from error
    late = threading.Timer(TIMEOUT, os.killpg, (child, signal.SIGKILL))
    late.daemon = True
    late.start()
    try:
        if memory:
            peak.watch(child)
        _, status, usage = os.wait4(child, 0)
    except BaseException:
        os.killpg(child, signal.SIGKILL)
        raise
    finally:
        late.cancel()
    wall = time.perf_counter() - start
    peak.stop()
    if memory and not peak.bytes:
        raise Wrong("it was over before its memory was looked at")
    code = os.waitstatus_to_exitcode(status)
    if code:
        lines = Path(log).read_text(errors="replace").strip().splitlines() or ["it says nothing"]
        raise Wrong(f"exit {code}: {lines[-1][:160]}")
    return Figures(wall, usage.ru_utime + usage.ru_stime, peak.bytes / (1 << 20))


class Peak:
    """The largest resident memory of a process, watched from a thread."""

    def __init__(self):
        self.bytes = 0
        self.over = threading.Event()
        self.thread = None

    def watch(self, child):
        self.look(child)
        self.thread = threading.Thread(target=self.keep_looking, args=(child,), daemon=True)
        self.thread.start()

    def keep_looking(self, child):
        while not self.over.wait(0.001) and self.look(child):
            pass

    def look(self, child):
        """Whether there was something to see."""
        try:
            with open(f"/proc/{child}/status", encoding="utf-8") as status:
                found = [line.split()[1] for line in status if line.startswith("VmHWM:")]
        except OSError:
            return False
        self.bytes = max([self.bytes, *(int(kibibytes) * 1024 for kibibytes in found)])
        return bool(found)

    def stop(self):
        self.over.set()
        if self.thread:
            self.thread.join()


def once(contestant, environment, work, memory):
    """One run of one contestant, from nothing to a look at what it left."""
    shutil.rmtree(contestant.folder, ignore_errors=True)
    shutil.rmtree(environment["DOCFETCH_STATE_DIR"], ignore_errors=True)
    contestant.folder.mkdir(parents=True)
    if contestant.before:
        done = subprocess.run(contestant.before, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise Wrong(f"cannot be prepared: {done.stderr.strip()[-160:]}")
    os.sync()  # nobody waits for what another one wrote
    try:
        figures = run(contestant.argv, environment, str(work / "log"), memory)
        wrong = contestant.check(contestant.folder)
    finally:
        shutil.rmtree(contestant.folder, ignore_errors=True)
    if wrong:
        raise Wrong(wrong)
    return figures


def take_turns(title, contestants, rounds, warmups, environment, work, memory=False):
    """Every contestant once a round, forth and back. Returns the figures and the failures by name; who
    failed once takes no further part."""
    figures = {one.name: [] for one in contestants}
    failures = {}
    for number in range(-warmups, rounds):
        for one in contestants if number % 2 == 0 else reversed(contestants):
            if one.name in failures:
                continue
            say(f"{title}: {'warm-up' if number < 0 else f'round {number + 1} of {rounds}'}, {one.name}")
            try:
                found = once(one, environment, work, memory)
                if number >= 0:
                    figures[one.name].append(found)
            except Wrong as wrong:
                failures[one.name] = str(wrong)
    say("")
    return figures, failures


def say(text):
    """What happens, on a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def spread(values):
    return statistics.median(values), min(values), max(values)


def difference(one, original):
    """How a file differs from what it should be; nothing where it does not."""
    if not one.is_file():
        return f"{one.name} is missing"
    length = one.stat().st_size
    if length != original.stat().st_size:
        return f"{one.name} has {length} bytes, not {original.stat().st_size}"
    with open(one, "rb") as left, open(original, "rb") as right:
        at = 0
        while piece := left.read(1 << 20):
            if piece != (wanted := right.read(1 << 20)):
                at += next(i for i, (a, b) in enumerate(zip(piece, wanted)) if a != b)
                return f"{one.name} is wrong from byte {at} on"
            at += len(piece)
    return None


def files(pairs):
    """A check that a folder holds these files, name and original, and nothing else."""
    def check(folder):
        for name, original in pairs:
            if wrong := difference(folder / name, original):
                return wrong
        others = {path.name for path in folder.rglob("*")} - {name for name, _ in pairs}
        return f"{min(others)} should not be there" if others else None
    return check
