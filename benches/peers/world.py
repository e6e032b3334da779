"""The world that is measured in: data, certificates, a server, and a line that delays."""

import fcntl
import getpass
import hashlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
# What a document's id starts with: the file behind it.
FILES = {"a": ("1k", KIB), "b": ("100k", 100 * KIB), "c": ("200m", 200 * MIB), "d": ("1g", GIB)}
SMALL, SMALL_BYTES = 1000, 50 * KIB
# The far end of the line that delays.
NEAR, FAR = "10.98.0.1", "10.98.0.2"
SERVERS = ("storage", "http2", "slow")
SIGNATURE = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=" + "0123456789abcdef" * 4


class Trouble(Exception):
    """What cannot go on: what, why, what next."""


def document(kind, number=1):
    """An id. Kinds are those of FILES; `e` is the small file of that number, `f` a sparse file of so
    many bytes."""
    return f"{kind}{number:015d}"


def need(*programs):
    for program in programs:
        if not which(program):
            raise Trouble(f"{program} is missing", "the server and its data need it",
                          "install nginx, openssl and curl")


def which(program):
    return shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def free_bytes(folder):
    return shutil.disk_usage(folder).free


def program(given, work):
    """The docfetch that is measured: a copy, so that no build meanwhile changes it, of the given one or
    of a release build of this folder."""
    if not given:
        if subprocess.run(["cargo", "build", "--release", "--locked"], cwd=ROOT).returncode:
            raise Trouble("docfetch cannot be built", "cargo says why above", "or give --docfetch PATH")
        given = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "release/docfetch"
    if not os.access(given, os.X_OK):
        raise Trouble(f"{given} cannot be run", "there is no such program",
                      "build it, or leave --docfetch out")
    copy = work / "docfetch"
    if not (copy.exists() and copy.samefile(given)):
        shutil.copy2(given, copy)
    return copy


def environment(work, server, place):
    """Nothing of the user's own configuration takes part. The state folder is where the files go."""
    bundle = str(work / "tls/bundle.pem")
    return {
        "PATH": os.environ["PATH"], "HOME": str(work / "home"), "LANG": "C.UTF-8", "NO_PROXY": "*",
        "CURL_CA_BUNDLE": bundle, "SSL_CERT_FILE": bundle, "REQUESTS_CA_BUNDLE": bundle,
        "ONE_CODEX_API_BASE": server.api(), "ONE_CODEX_API_KEY": "0123456789abcdef" * 2,
        "ONE_CODEX_NO_TELEMETRY": "1",
        "STANDARD_METRICS_API_BASE": server.api(), "STANDARD_METRICS_CLIENT_ID": "id",
        "STANDARD_METRICS_CLIENT_SECRET": "secret",
        "DOCFETCH_STATE_DIR": str(place / "state"), "DOCFETCH_RATE_LIMIT": "none",
    }


def work_folder():
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("DOCFETCH_BENCH") or Path(cache) / "docfetch-bench").resolve()
    (folder / "srv" / "small").mkdir(parents=True, exist_ok=True)
    for name in ("srv/sparse", "tls", "nginx", "lists", "home"):
        (folder / name).mkdir(exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)  # held until this process ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise Trouble(f"{folder} is in use", "two runs at the same time would harm each other's figures",
                      "wait for the other one") from error
    return folder


def whole(path, write):
    """Makes a file that is there whole or not at all."""
    if path.exists():
        return
    half = path.with_name(path.name + ".half")
    with open(half, "wb") as file:
        write(file)
    half.rename(path)


def make_data(work):
    def random(size):
        def write(file):
            for start in range(0, size, MIB):
                file.write(os.urandom(min(MIB, size - start)))
        return write

    if free_bytes(work) < 2 * GIB and not (work / "srv/1g").exists():
        raise Trouble(f"{work} has no room", "the data take 1.3 GiB, and what is fetched 1 GiB",
                      "set DOCFETCH_BENCH to a folder with 3 GiB")
    for name, size in FILES.values():
        whole(work / "srv" / name, random(size))
    for number in range(1, SMALL + 1):
        whole(work / "srv/small" / f"{number:04d}", random(SMALL_BYTES))
    whole(work / "srv/1g.sha256", lambda file: file.write(sha256(work / "srv/1g").encode()))


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(MIB):
            digest.update(piece)
    return digest.hexdigest()


def make_certificates(work):
    """A throw-away authority and a leaf; clients trust the system's roots and it, and so pay the
    price of a root store of the usual size."""
    tls = work / "tls"
    if (tls / "bundle.pem").exists():
        return

    def openssl(*arguments):
        done = subprocess.run(["openssl", *arguments], cwd=tls, capture_output=True, text=True)
        if done.returncode:
            raise Trouble("openssl failed", done.stderr.strip(), "is it version 1.1.1 or newer?")

    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ca.key")
    openssl("req", "-x509", "-new", "-key", "ca.key", "-sha256", "-days", "3650", "-out", "ca.pem",
            "-subj", "/CN=docfetch bench, throw-away",
            "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "leaf.key",
            "-subj", "/CN=localhost", "-out", "leaf.csr")
    (tls / "leaf.ext").write_text(
        f"subjectAltName=DNS:localhost,IP:127.0.0.1,IP:{FAR}\nextendedKeyUsage=serverAuth\n"
        "basicConstraints=critical,CA:FALSE\nkeyUsage=digitalSignature,keyEncipherment\n")
    openssl("x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-days", "3650", "-sha256", "-extfile", "leaf.ext", "-out", "leaf.pem")
    roots = [ssl.get_default_verify_paths().cafile, "/etc/ssl/certs/ca-certificates.crt",
             "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"]
    system = next((Path(path).read_bytes() for path in roots if path and Path(path).exists()), b"")
    whole(tls / "bundle.pem", lambda file: file.write(system + (tls / "ca.pem").read_bytes()))


def make(work):
    need("nginx", "openssl", "curl")
    make_certificates(work)
    make_data(work)


class Child:
    """A process that ends with this one, however that ends: its standard input does."""

    def __init__(self, argv, **options):
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True, **options)
        self.pid = self.process.pid

    def end(self):
        self.process.stdin.close()
        self.process.wait()


class Server:
    """nginx: three storages over TLS (HTTP/1.1 as object stores are, HTTP/2, 20 MiB/s a request), and
    for each an API of both providers whose links point at it: another origin, as in life. `prefix` is
    how a command gets to where it runs."""

    def __init__(self, work, address="127.0.0.1", prefix=()):
        self.host = "localhost" if address == "127.0.0.1" else address
        ports = iter(free_ports(2 * len(SERVERS)))
        self.storage_ports = {name: next(ports) for name in SERVERS}
        self.api_ports = {name: next(ports) for name in SERVERS}
        config = work / "nginx" / f"{address}.conf"
        config.write_text(self.config(work, address))
        self.log = work / "nginx" / f"{address}.log"
        # The shell holds nginx, and its standard input tells it when this process is gone.
        hold = '"$@" & read -r _; kill "$!"; wait'
        nginx = [which("nginx"), "-c", str(config), "-g", "daemon off;"]
        with open(self.log, "wb") as log:
            self.child = Child([*prefix, "sh", "-c", hold, "sh", *nginx], stdout=log, stderr=log)

    def storage(self, path, name="storage"):
        return f"https://{self.host}:{self.storage_ports[name]}/{path}"

    def api(self, name="storage"):
        return f"https://{self.host}:{self.api_ports[name]}"

    def connect(self, line, work):
        """Waits until it answers to a client at that end of the line; returns the round trip in
        seconds."""
        argv = [*line, "curl", "-sSf", "-o", "/dev/null", "-w", "%{time_connect}",
                "--cacert", str(work / "tls/ca.pem"), self.storage("1k")]
        for _ in range(50):
            done = subprocess.run(argv, capture_output=True, text=True)
            if done.returncode == 0:
                return float(done.stdout)
            time.sleep(0.1)
        raise Trouble("nginx does not answer", done.stderr.strip(), f"look into {self.log}")

    def end(self):
        self.child.end()

    def config(self, work, address):
        version = subprocess.run([which("nginx"), "-v"], capture_output=True, text=True).stderr
        version = tuple(map(int, re.search(r"(\d+)\.(\d+)\.(\d+)", version).groups()))
        new = version >= (1, 25, 1)
        listen = f"listen {address}:%d ssl%s backlog=4096;%s"
        http1 = lambda port: listen % (port, "", "")
        http2 = lambda port: listen % (port, "" if new else " http2", " http2 on;" if new else "")
        ports, apis = self.storage_ports, self.api_ports
        user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
        temporary = "".join(f"{kind}_temp_path {work}/nginx/{kind};" for kind in
                            ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        files = "".join(f'"~^{kind}" "{name}"; ' for kind, (name, _) in FILES.items())
        sizes = "".join(f'"~^{kind}" {size}; ' for kind, (_, size) in FILES.items())
        links = "".join(f"{apis[name]} {self.storage('', name)[:-1]}; " for name in SERVERS)
        return f"""
{user} worker_processes 2; error_log stderr warn; pid {work}/nginx/{address}.pid;
events {{ worker_connections 4096; }}
http {{
  default_type application/octet-stream; access_log off; server_tokens off;
  sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000; {temporary}
  ssl_certificate {work}/tls/leaf.pem; ssl_certificate_key {work}/tls/leaf.key;
  ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:S:10m; output_buffers 2 512k;
  http2_max_concurrent_streams 256; open_file_cache max=2000 inactive=60s;
  geo $dollar {{ default "$"; }}
  map $id $file {{ {files} "~^e.{{11}}(?<four>.{{4}})$" "small/$four"; "~^f0*(?<bytes>.+)$" "sparse/$bytes"; }}
  map $id $size {{ {sizes} "~^e" {SMALL_BYTES}; "~^f0*(?<length>.+)$" $length; }}
  map $id $name {{ default $id; "~^e.{{11}}(?<last>.{{4}})$" $last; }}
  map $server_port $storage {{ {links} }}
  server {{ {http1(ports["storage"])} root {work}/srv; }}
  server {{ {http2(ports["http2"])} root {work}/srv; }}
  server {{ {http1(ports["slow"])} root {work}/srv; limit_rate 20m; }}
  server {{
    {" ".join(http2(apis[name]) for name in SERVERS)}
    default_type application/json;
    location ~ "^/api/v1/documents/(?<id>[a-f][0-9]{{15}})/download_uri$" {{
      return 200 '{{"download_uri":"$storage/$file?{SIGNATURE}","expires_in_hours":1}}';
    }}
    location ~ "^/api/v1/documents/(?<id>[a-f][0-9]{{15}})$" {{
      return 200 '{{"${{dollar}}uri":"/api/v1/documents/$id","created_at":"2026-01-01T00:00:00.000000+00:00","filename":"$name","size":$size,"uploader":{{"${{dollar}}ref":"/api/v1/users/5891ee65711c4d5e"}},"downloaders":[]}}';
    }}
    location = /o/token/ {{
      return 200 '{{"access_token":"{"token" * 6}","expires_in":36000,"token_type":"Bearer","scope":"read"}}';
    }}
    location ~ "^/v1/documents/(?<id>[a-f][0-9]{{15}})/download/$" {{
      return 302 $storage/$file?{SIGNATURE};
    }}
  }}
}}
"""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Line:
    """Two network namespaces without a name, and a line between them that delays; all of it goes with
    this process. netem where the kernel has it, else `delay` beside this file."""

    def __init__(self, one_way_ms, mbit=None):
        self.children = []
        if os.geteuid() != 0:
            raise Trouble("no line that delays", "only root can make one", "run it as root")
        for program in ("ip", "tc", "nsenter", "unshare"):
            if not which(program):
                raise Trouble("no line that delays", f"{program} is missing",
                              "install iproute2 and util-linux")
        near, far = (f"df{side}{os.getpid()}" for side in "nf")
        try:
            self.kind = self.join(near, far, one_way_ms, mbit)
            holders = [self.start(["unshare", "-n", "cat"]) for _ in (near, far)]
            own = os.readlink("/proc/self/ns/net")
            for holder in holders:
                while os.readlink(f"/proc/{holder.pid}/ns/net") == own:
                    time.sleep(0.01)
            self.near, self.far = (["nsenter", "-t", str(h.pid), "-n", "--"] for h in holders)
            for device, holder, inside, address in ((near, holders[0], self.near, NEAR),
                                                    (far, holders[1], self.far, FAR)):
                ip("link", "set", device, "netns", str(holder.pid))
                ip("link", "set", "lo", "up", inside=inside)
                ip("addr", "add", f"{address}/30", "dev", device, inside=inside)
                ip("link", "set", device, "mtu", "1500", "txqueuelen", "10000", "up", inside=inside)
                if self.kind == "netem":
                    netem(device, one_way_ms, mbit, inside)
        except BaseException:
            self.end()
            raise

    def join(self, near, far, one_way_ms, mbit):
        ip("link", "add", near, "type", "veth", "peer", "name", far)
        try:
            netem(near, one_way_ms, mbit, [])
            return "netem"
        except Trouble:
            ip("link", "del", near)
        if not Path("/dev/net/tun").exists():
            raise Trouble("no line that delays", "the kernel has neither netem nor TUN devices",
                          "load the modules sch_netem or tun")
        rate = [str(mbit)] if mbit else []
        child = self.start([sys.executable, str(HERE / "delay"), near, far, str(one_way_ms), *rate],
                           stdout=subprocess.PIPE)
        if child.process.stdout.readline() != b"up\n":
            raise Trouble("no line that delays", "TUN devices cannot be made here",
                          "run it outside of a container")
        return "user space"

    def start(self, argv, **options):
        self.children.append(Child(argv, **options))
        return self.children[-1]

    def end(self):
        for child in self.children:
            child.end()


def ip(*arguments, inside=()):
    tool("ip", *arguments, inside=inside)


def netem(device, one_way_ms, mbit, inside):
    # Packets: what is on its way at 1 Gbit/s, and a queue of 2 MiB.
    rate = ["rate", f"{mbit}mbit", "limit", "3200"] if mbit else ["limit", "100000"]
    tool("tc", "qdisc", "replace", "dev", device, "root", "netem", "delay", f"{one_way_ms}ms", *rate,
         inside=inside)


def tool(program, *arguments, inside):
    done = subprocess.run([*inside, which(program), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise Trouble("no line that delays", f"{program}: {done.stderr.strip()}",
                      "see whether this machine permits network namespaces")
