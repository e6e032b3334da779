"""Who is measured against whom at what: every row of the table of targets."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from measure import Contestant, files
from world import FILES, HERE, MIB, SMALL, document, which

MEMORY = Path("/dev/shm")
LIBRARY = """\
import sys, onecodex
api = onecodex.Api()
for id in open(sys.argv[1]).read().split():
    api.Documents.get(id).download(path=sys.argv[2] + "/" + id)
"""


@dataclass
class Row:
    """One line of the table: `subject` against `peer`. The "ratio" is that of each round; the "value" is
    the subject's alone; the "difference" is that of the medians."""

    name: str
    work: str
    versus: str
    target: float
    peer: str
    subject: str = "docfetch"
    figure: str = "wall"
    how: str = "ratio"


@dataclass
class Match:
    """Contestants that take turns at one work, and the rows that come of it."""

    title: str
    build: Callable  # adds the contestants to an Arena
    rows: list
    on_disk: bool = True
    line: tuple = ()  # to the server: milliseconds one way, Mbit/s
    room: int = 100 * MIB  # that the largest contestant writes
    memory: bool = field(init=False)

    def __post_init__(self):
        self.memory = any(row.figure == "peak" for row in self.rows)


class Arena:
    """Where the contestants of one match meet."""

    def __init__(self, match, work, docfetch, server, prefix):
        self.title, self.work, self.docfetch, self.server = match.title, work, docfetch, server
        self.prefix = prefix  # of a command: how it gets to its end of the line
        self.place = work if match.on_disk else MEMORY / "docfetch-bench"
        self.folder = self.place / "out"
        self.served, self.authority = work / "srv", work / "tls/bundle.pem"
        self.contestants = []
        # What one connection is called, where the build knows several.
        usage = subprocess.run([docfetch, "sm", "--help"], capture_output=True, text=True).stdout
        self.one_connection = ["-c", "1"] if "--connections" in usage else []

    def add(self, name, argv, check=lambda folder: None, before=(), needs=()):
        """A contestant; `{out}` in its words is its folder."""
        folder = self.folder / name.replace(" ", "-")
        absent = [program for program in needs or argv[:1] if not which(str(program))]

        def words(argv):
            argv = [str(word).replace("{out}", str(folder)) for word in argv]
            return [*self.prefix, which(argv[0]) or argv[0], *argv[1:]]

        self.contestants.append(Contestant(name, words(argv), folder, check,
                                           words(before) if before else [],
                                           f"{absent[0]} is not installed" if absent else ""))

    def fetch(self, provider, *arguments):
        """docfetch, as a script calls it."""
        return [self.docfetch, provider, "-q", *arguments]

    def list(self, name, lines):
        """A file for those who read one."""
        path = self.work / "lists" / f"{self.title.replace(' ', '-')}.{name}"
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    def official(self):
        """A script in the interpreter that the official client is installed for."""
        program = which("onecodex")
        interpreter = Path(program).read_text().splitlines()[0][2:].split() if program else ["onecodex"]
        return [*interpreter, "-c", LIBRARY]

    def one(self, kind, server="storage", peers=("curl", "aria2c", "wget2", "xh")):
        """Adds those who fetch one file whose URL is known."""
        name, _ = FILES[kind]
        url, check = self.server.storage(name, server), files([("file", self.served / name)])
        argv = {
            "curl": ["curl", "-sSf", "-o", "{out}/file", url],
            "aria2c": ["aria2c", "-q", f"--ca-certificate={self.authority}", "-d", "{out}", "-o", "file", url],
            "wget2": ["wget2", "-q", f"--ca-certificate={self.authority}", "-O", "{out}/file", url],
            "xh": ["xh", f"--verify={self.authority}", "-q", "-d", "-o", "{out}/file", "get", url],
        }
        for peer in peers:
            self.add(peer, argv[peer], check)
        return check

    def small_files(self):
        """A list of URLs for curl, one for aria2c and wget2, and the check."""
        names = [f"{number:04d}" for number in range(1, SMALL + 1)]
        urls = [self.server.storage(f"small/{name}") for name in names]
        out = self.folder / "curl"
        curl = self.list("curl", (f'url="{url}"\noutput="{out}/{name}"' for url, name in zip(urls, names)))
        return curl, self.list("urls", urls), files([(name, self.served / "small" / name) for name in names])


# The matches. Each adds its contestants.


def version(arena):
    arena.add("curl", ["curl", "--version"])
    arena.add("xh", ["xh", "--version"])
    arena.add("docfetch", [arena.docfetch, "--version"])


def script_and_client(arena, kind, check):
    arena.add("script", [HERE / "getdoc", document(kind), "{out}/file"], check, needs=["bash", "curl", "jq"])
    arena.add("official client",
              ["onecodex", "--no-telemetry", "documents", "download", document(kind), "-O", "{out}/file"], check)


def small(arena):
    check = arena.one("a", peers=("curl",))
    script_and_client(arena, "a", check)
    arena.add("docfetch", arena.fetch("onecodex", document("a"), "-o", "{out}/file"), check)
    arena.add("docfetch sm", arena.fetch("sm", document("a"), "-o", "{out}/file"), check)


def small_far(arena):
    check = arena.one("a", peers=())
    script_and_client(arena, "a", check)
    docfetch = arena.fetch("onecodex", document("a"), "-o", "{out}/file")
    arena.add("docfetch", docfetch, check)
    other = arena.fetch("onecodex", document("a", 2), "-o", arena.work / "out/other", "--if-exists", "overwrite")
    arena.add("docfetch known", docfetch, check, before=other)


def large(arena):
    check = arena.one("d")
    script_and_client(arena, "d", check)
    docfetch = arena.fetch("onecodex", document("d"), "-o", "{out}/file")
    arena.add("docfetch", docfetch, check)
    arena.add("docfetch one", [*docfetch, *arena.one_connection], check)


def large_disk(arena):
    check = arena.one("d", peers=("curl", "aria2c"))
    arena.add("docfetch", arena.fetch("onecodex", document("d"), "-o", "{out}/file"), check)


def http2(arena):
    check = arena.one("c", "http2", peers=("curl",))
    api = f"ONE_CODEX_API_BASE={arena.server.api('http2')}"
    docfetch = arena.fetch("onecodex", document("c"), "-o", "{out}/file")
    arena.add("docfetch", ["env", api, *docfetch], check)


def digest(arena):
    check = arena.one("d", peers=())
    url, sha256 = arena.server.storage("1g"), (arena.served / "1g.sha256").read_text()
    both = 'curl -sSf -o "$1" "$2" && echo "$3  $1" | sha256sum -c --quiet'
    arena.add("curl, sha256sum", ["sh", "-c", both, "sh", "{out}/file", url, sha256], check)
    arena.add("aria2c", ["aria2c", "-q", f"--ca-certificate={arena.authority}", "-d", "{out}", "-o", "file",
                         f"--checksum=sha-256={sha256}", url], check)
    arena.add("docfetch", arena.fetch("onecodex", document("d"), "-o", "{out}/file", "--sha256", sha256), check)


def many(arena):
    curl, urls, check = arena.small_files()
    ids = arena.list("ids", (document("e", number) for number in range(1, SMALL + 1)))
    arena.add("curl", ["curl", "-sSf", "--parallel", "--parallel-max", "8", "-K", curl], check)
    arena.add("wget2", ["wget2", "-q", f"--ca-certificate={arena.authority}", "--max-threads=8", "-P", "{out}",
                        "-i", urls], check)
    arena.add("aria2c", ["aria2c", "-q", f"--ca-certificate={arena.authority}", "-j8", "-d", "{out}", "-i", urls],
              check)
    for name, provider in (("docfetch", "sm"), ("docfetch onecodex", "onecodex")):
        arena.add(name, arena.fetch(provider, "--from-file", ids, "-d", "{out}", "-j", "8"), check)


def many_far(arena):
    curl, urls, check = arena.small_files()
    ids = arena.list("ids", (document("e", number) for number in range(1, SMALL + 1)))
    arena.add("curl", ["curl", "-sSf", "--parallel", "--parallel-max", "50", "-K", curl], check)
    arena.add("aria2c", ["aria2c", "-q", f"--ca-certificate={arena.authority}", "-j16", "-d", "{out}", "-i", urls],
              check)
    for name, provider in (("docfetch", "sm"), ("docfetch onecodex", "onecodex")):
        arena.add(name, arena.fetch(provider, "--from-file", ids, "-d", "{out}", "-j", "64"), check)


def slow(arena):
    url, check = arena.server.storage("200m", "slow"), arena.one("c", "slow", peers=("curl",))
    arena.add("aria2c", ["aria2c", "-q", f"--ca-certificate={arena.authority}", "-x16", "-s16", "-k1M", "-d",
                         "{out}", "-o", "file", url], check)
    api = f"ONE_CODEX_API_BASE={arena.server.api('slow')}"
    arena.add("docfetch", ["env", api, *arena.fetch("onecodex", document("c"), "-o", "{out}/file")], check)


def far(arena):
    check = arena.one("c", peers=("curl", "aria2c"))
    arena.add("docfetch", arena.fetch("onecodex", document("c"), "-o", "{out}/file"), check)


def ids(arena):
    for name, count in (("1,000 ids", 1000), ("docfetch", 100_000)):
        lines = arena.list(f"{count}", (document("a", number) for number in range(1, count + 1)))
        arena.add(name, arena.fetch("sm", "--from-file", lines, "-d", "{out}", "--name", "{id}", "--dry-run"))


def hundred(arena):
    numbers = [document("b", number) for number in range(1, 101)]
    check, ids = files([(id, arena.served / "100k") for id in numbers]), arena.list("ids", numbers)
    script = 'xargs -P8 -I{} "$1" {} "$2/{}" <"$3"'
    arena.add("script", ["sh", "-c", script, "sh", HERE / "getdoc", "{out}", ids], check, needs=["xargs", "curl", "jq"])
    arena.add("official library", [*arena.official(), ids, "{out}"], check)
    arena.add("docfetch", arena.fetch("onecodex", "--from-file", ids, "-d", "{out}", "--name", "{id}", "-j", "8"), check)


ONE, GIB = "one 1 KiB document", "1 GiB over TLS"
MANY = "1,000 × 50 KiB, -j 8"
FAR, FAST = (20,), (20, 1000)
SPACE = 1200 * MIB

MATCHES = [
    Match("version", version, [
        Row("version", "`--version`", "`curl --version`", 0.4, "curl")]),
    Match("small", small, [
        Row("small-curl", f"{ONE}, fresh state", "one `curl` of the bare URL", 0.25, "curl"),
        Row("small-curl-sm", f"{ONE}, fresh state, with a token", "one `curl` of the bare URL", 0.25, "curl",
            "docfetch sm"),
        Row("small-script", f"{ONE}, fresh state", "the script", 0.06, "script"),
        Row("small-official", f"{ONE}, fresh state", "the official client", 0.015, "official client")]),
    Match("small at 40 ms", small_far, [
        Row("small-40ms", f"{ONE} at 40 ms, fresh state", "the script", 0.62, "script"),
        Row("small-40ms-known", f"{ONE} at 40 ms, state of another one", "the script", 0.43, "script",
            "docfetch known")], line=FAR),
    Match("large", large, [
        Row("large-wall", f"{GIB}, wall, to memory", "`curl`", 0.75, "curl"),
        Row("large-cpu", f"{GIB}, one connection, CPU", "`curl`", 0.75, "curl", "docfetch one", "cpu"),
        Row("large-memory", f"{GIB}, one connection, peak MiB", "absolute", 10, "curl", "docfetch one", "peak",
            "value"),
        Row("large-official", f"{GIB}, wall, to memory", "the official client", 0.11, "official client")],
        on_disk=False, room=SPACE),
    Match("large on disk", large_disk, [
        Row("large-disk", f"{GIB}, wall, durable on disk", "`curl`, which does not wait for the disk", 0.75,
            "curl")], room=SPACE),
    Match("large with sha256", digest, [
        Row("large-sha256", f"{GIB}, with its SHA-256", "`curl`, then `sha256sum`", 0.30, "curl, sha256sum")],
        on_disk=False, room=SPACE),
    Match("http2", http2, [
        Row("http2", "200 MiB from a storage with HTTP/2", "`curl`", None, "curl")], on_disk=False,
        room=300 * MIB),
    Match("many", many, [
        Row("many", f"{MANY}, in memory, each resolved (sm)", "`curl --parallel-max 8`, URLs given", 0.8, "curl"),
        Row("many-onecodex", f"{MANY}, in memory, each resolved (onecodex)",
            "`curl --parallel-max 8`, URLs given", 0.8, "curl", "docfetch onecodex")], on_disk=False),
    Match("many on disk", many, [
        Row("many-disk", f"{MANY}, durable on disk (sm)", "`curl --parallel-max 8`, URLs given", 2.5, "curl"),
        Row("many-disk-onecodex", f"{MANY}, durable on disk (onecodex)", "`curl --parallel-max 8`, URLs given",
            2.5, "curl", "docfetch onecodex")]),
    Match("slow", slow, [
        Row("slow", "200 MiB, 20 MiB/s a request, `-c auto`", "`aria2c -x16 -s16 -k1M`", 0.95, "aria2c")],
        on_disk=False, room=300 * MIB),
    Match("far", far, [
        Row("far", "200 MiB at 40 ms, 1 Gbit/s, `-c auto`", "`curl`", 0.72, "curl")], on_disk=False, line=FAST,
        room=300 * MIB),
    Match("ids", ids, [
        Row("ids", "100,000 ids in one dry run, peak MiB", "the same with 1,000", 8, "1,000 ids", figure="peak",
            how="difference")]),
    Match("hundred", hundred, [
        Row("hundred-script", "100 × 100 KiB by id, `-j 8`", "the script, `xargs -P8`", 0.01, "script"),
        Row("hundred-official", "100 × 100 KiB by id, `-j 8`", "the official library, one process", 0.02,
            "official library")]),
    Match("many at 40 ms", many_far, [
        Row("many-40ms", "1,000 × 50 KiB at 40 ms, `-j 64` (sm)", "`curl --parallel-max 50`, URLs given", 0.6,
            "curl"),
        Row("many-40ms-onecodex", "1,000 × 50 KiB at 40 ms, `-j 64` (onecodex)",
            "`curl --parallel-max 50`, URLs given", 0.6, "curl", "docfetch onecodex")], on_disk=False, line=FAR),
]
