"""Throw-away Apache Cassandra: one node, or a ring on 127.0.0.1, 127.0.0.2, …

The server and what it needs come from Maven, the Python driver from PyPI; both are fetched once into one ignored folder. So is an archive of
the server's classes (class data sharing), made by one start and stop: with it a node starts in about five seconds.

A node runs as a user who is not root, in a directory of its own (in memory where there is plenty). All nodes of a ring have the same ports, on their
own addresses. It is stopped by its pid, and when this process ends in whatever way.

A node that is killed may lose what it acknowledged: by default Cassandra writes its commit log every ten seconds. With durable=True it does before it
answers.
"""
from __future__ import annotations

import atexit
import ctypes
import fcntl
import importlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

import yaml

from harness.packages import packages
from harness.servers import PASSWORD, _own, _user_arguments, cache_dir, is_alive, throw_away, wait_for

VERSION = "5.0.6"
PYTHON_PACKAGES = ("cassandra-driver==3.30.1", "lz4==4.4.5")
ADMIN, APP = "admin", "app"  # with auth=True; both have PASSWORD; APP has no rights until a test grants some
STORE_PASSWORD = "of-the-key-store"

# What the server reaches into that the JDK has closed.
OPENED = """java.base/java.io java.base/java.lang java.base/java.lang.module java.base/java.lang.reflect java.base/java.net java.base/java.nio
    java.base/java.util java.base/java.util.concurrent java.base/java.util.concurrent.atomic java.base/jdk.internal.loader
    java.base/jdk.internal.math java.base/jdk.internal.misc java.base/jdk.internal.module java.base/jdk.internal.ref
    java.base/jdk.internal.reflect java.base/jdk.internal.util.jar java.base/sun.nio.ch
    java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.registry java.rmi/sun.rmi.server java.rmi/sun.rmi.transport.tcp
    jdk.management/com.sun.management.internal java.sql/java.sql""".split()

OPENS = [f"--add-{what}={name}=ALL-UNNAMED" for name in OPENED for what in ("opens", "exports")]
JAVA = ["-XX:MaxDirectMemorySize=256M", "-Djdk.attach.allowAttachSelf=true", "-Djava.net.preferIPv4Stack=true", "-XX:+ExitOnOutOfMemoryError",
        "-Dcassandra-foreground=yes", "-Dcassandra.skip_wait_for_gossip_to_settle=0", "-Dcassandra.ring_delay_ms=1000",
        "-Dcassandra.superuser_setup_delay_ms=0",
        *OPENS]
QUICK = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]  # starts sooner; steady work is slower
ARCHIVING = ["-XX:+UnlockDiagnosticVMOptions", "-XX:+AllowArchivingWithJavaAgent"]

DEFAULT_SETTINGS = {
    "cluster_name": "midflight",
    "num_tokens": 16,
    "auto_bootstrap": False,  # nobody has data yet
    "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
    "endpoint_snitch": "GossipingPropertyFileSnitch",
    "commitlog_sync": "periodic",
    "commitlog_sync_period": "10000ms",
    "commitlog_total_space": "256MiB",
    "memtable_heap_space": "96MiB",
    "memtable_offheap_space": "96MiB",
    "file_cache_size": "32MiB",
    "networking_cache_size": "32MiB",
    "key_cache_size": "1MiB",
    "counter_cache_size": "0MiB",
    "concurrent_compactors": 1,
    "hinted_handoff_enabled": True,
}

LOGBACK = """<configuration scan="false">
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level [%thread] %date{ISO8601} %F:%L - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="out"/></root>
</configuration>
"""

_live: set["Node"] = set()


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


def _fetch(arguments: list[str], what: str, cwd: Path) -> None:
    done = subprocess.run(arguments, cwd=cwd, capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        raise RuntimeError(f"{arguments[0]} could not fetch {what}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def jars() -> Path:
    """The folder of the server's jars; fetched when it is not there yet."""
    home = cache_dir() / "cassandra" / VERSION
    with _made_once(home, VERSION) as wanted:
        if wanted:
            if not shutil.which("mvn"):
                raise RuntimeError("Cassandra comes from Maven, which is not installed: apt-get install maven")
            shutil.rmtree(home / "lib", ignore_errors=True)
            (home / "pom.xml").write_text(f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>test</groupId><artifactId>cassandra</artifactId><version>1</version>
  <dependencies><dependency>
    <groupId>org.apache.cassandra</groupId><artifactId>cassandra-all</artifactId><version>{VERSION}</version>
  </dependency></dependencies>
</project>
""")
            _fetch(["mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={home / 'lib'}"],
                   f"Cassandra {VERSION}", home)
    return home / "lib"


def driver():
    """The Python driver's package, as `import cassandra` gives it; fetched when it is not there yet. Its modules are imported as usual afterwards."""
    home = packages(f"cassandra-python{sys.version_info.major}.{sys.version_info.minor}", PYTHON_PACKAGES)
    if str(home) not in sys.path:
        sys.path.append(str(home))
    return importlib.import_module("cassandra")


def _class_path() -> str:
    return ":".join(str(jar) for jar in sorted(jars().glob("*.jar")))


def _class_archive() -> Path:
    """The server's classes as one file that the JVM maps; a JVM that finds it does not fit goes on without."""
    java = subprocess.run(["java", "-version"], capture_output=True, text=True).stderr
    if '"17.' not in java:
        raise RuntimeError(f"Cassandra needs Java 17: apt-get install openjdk-17-jre-headless (found: {java.splitlines()[:1]})")
    home = cache_dir() / "cassandra" / "classes"
    with _made_once(home, VERSION + java) as wanted:
        if wanted:
            (home / "server.jsa").unlink(missing_ok=True)
            with tempfile.TemporaryDirectory(prefix="midflight-classes-", dir=throw_away()) as folder:
                os.chmod(folder, 0o755)
                made = Path(folder) / "out"
                made.mkdir()
                _own(made)
                with Cassandra(directory=Path(folder), java=[*ARCHIVING, f"-XX:ArchiveClassesAtExit={made / 'server.jsa'}"], archive=False) as one:
                    one.cql("SELECT * FROM system.local")
                    one.stop()
                shutil.copy(made / "server.jsa", home / "server.jsa")
                os.chmod(home / "server.jsa", 0o644)
    return home / "server.jsa"


# ---- servers -------------------------------------------------------------------------------------------------------

def _die_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def free_port_of(addresses: list[str], taken: set[int]) -> int:
    """A port that is free on all of them, below the kernel's ephemeral range: a stopped node's must not be taken meanwhile."""
    rng = random.Random(os.getpid() ^ time.monotonic_ns())
    for _ in range(1000):
        port = rng.randint(15000, 31999)
        if port not in taken and all(_is_free(a, port) for a in addresses):
            taken.add(port)
            return port
    raise RuntimeError("no free port")


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as s:
        try:
            s.bind((address, port))
            return True
        except OSError:
            return False


class Node:
    """One node of a Cassandra. Not for use from several threads at once."""

    def __init__(self, ring: "Cassandra", number: int, datacenter: str):
        self.ring, self.number, self.datacenter = ring, number, datacenter
        self.address = f"127.0.0.{number + 1}"
        self.dir = ring.dir / f"node{number + 1}"
        self.log = self.dir / "server.log"
        self.process: subprocess.Popen | None = None
        self._began = 0  # where in the log the current start begins
        self._sessions: dict = {}
        self.dir.mkdir()

    # -- running it ----------------------------------------------------------------------------------------------
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def _configure(self, joins: bool) -> None:
        """joins: takes its rows from the others before it serves; a seed never does."""
        ring, d = self.ring, self.dir
        seeds = [n for n in ring.nodes if not (joins and n is self)][:3]
        (d / "tmp").mkdir(exist_ok=True)
        settings = {
            **ring.settings, **({"auto_bootstrap": True} if joins else {}),
            "seed_provider": [{"class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
                               "parameters": [{"seeds": ",".join(f"{n.address}:{ring.storage_port}" for n in seeds)}]}],
            "listen_address": self.address, "rpc_address": self.address,
            "native_transport_port": ring.port, "storage_port": ring.storage_port,
            "data_file_directories": [str(d / "data")], "commitlog_directory": str(d / "commitlog"),
            "saved_caches_directory": str(d / "saved"), "hints_directory": str(d / "hints"),
        }
        if "initial_token" not in settings:
            # The ring cut evenly, so that where rows are does not differ from run to run.
            per = settings["num_tokens"]
            step = 2**64 // (per * len(ring.nodes))
            settings["initial_token"] = ",".join(str(-2**63 + (i * len(ring.nodes) + self.number) * step) for i in range(per))
        (d / "cassandra.yaml").write_text(yaml.safe_dump({k: v for k, v in settings.items() if v is not None}))
        (d / "logback.xml").write_text(LOGBACK)
        (d / "rackdc.properties").write_text(f"dc={self.datacenter}\nrack=rack1\n")
        _own(d)

    def _arguments(self, java: list[str]) -> list[str]:
        ring, d, lib = self.ring, self.dir, jars()
        return ["java", f"-Xms{ring.heap}", f"-Xmx{ring.heap}", *JAVA, *(QUICK if ring.quick else []), *ring.java, *java,
                f"-javaagent:{next(lib.glob('jamm-*.jar'))}", f"-Djava.io.tmpdir={d / 'tmp'}", f"-Djna.tmpdir={d / 'tmp'}",
                f"-Dcassandra.config=file://{d / 'cassandra.yaml'}", f"-Dlogback.configurationFile={d / 'logback.xml'}",
                f"-Dcassandra-rackdc.properties=file://{d / 'rackdc.properties'}", f"-Dcassandra.storagedir={d}", f"-Dcassandra.logdir={d}",
                f"-Dcassandra.jmx.local.port={ring.jmx_ports[self.number]}", "-cp", _class_path(), "org.apache.cassandra.service.CassandraDaemon"]

    def launch(self, java: list[str] = (), joins: bool = False) -> None:
        """Begins to start it; ready() waits."""
        self._configure(joins)
        arguments = self._arguments(list(java))
        self._began = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            guard = _die_with_parent if threading.current_thread() is threading.main_thread() else None
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir, start_new_session=True,
                                            preexec_fn=guard, env=dict(os.environ) | {"LC_ALL": "C.UTF-8", "TZ": "UTC"}, **_user_arguments())
        _live.add(self)

    def ready(self, timeout: float = 300.0) -> None:
        def listens():
            log = self.log_text()
            if self.process.poll() is not None:
                raise RuntimeError(f"Cassandra did not start on {self.address}:\n{log[-6000:]}")
            return "Starting listening for CQL clients" in log and "Startup complete" in log
        wait_for(listens, timeout, f"Cassandra on {self.address} ready", interval=0.05)

    def start(self, java: list[str] = (), joins: bool = False) -> "Node":
        if not self.running():
            self.launch(java, joins)
            self.ready()
        return self

    def _forget(self) -> None:
        for cluster, _ in self._sessions.values():
            cluster.shutdown()
        self._sessions.clear()

    def stop(self, timeout: float = 120.0) -> None:
        """A clean shutdown; kills what has not ended after the timeout."""
        self._forget()
        if self.running():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """kill -9."""
        self._forget()
        if self.running():
            self.process.kill()
            self.process.wait()
            wait_for(lambda: not is_alive(self.process.pid), 60, "the node's process gone")

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: a host that no longer answers but whose sockets are open."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def wipe(self) -> None:
        """Takes all it has from a node that does not run: started again it is another one at the same address."""
        for name in ("data", "commitlog", "saved", "hints"):
            shutil.rmtree(self.dir / name, ignore_errors=True)

    def replace(self) -> "Node":
        """The node is lost, and another takes its place under its address: its rows come from the others."""
        self.kill()
        self.ring.wait_down(self)  # the others refuse one that takes the place of a node they see
        self.wipe()
        return self.start([f"-Dcassandra.replace_address_first_boot={self.address}"], joins=True)

    # -- using it ------------------------------------------------------------------------------------------------
    def log_text(self) -> str:
        """Of this start."""
        if not self.log.exists():
            return ""
        with open(self.log, errors="replace") as log:
            log.seek(self._began)
            return log.read()

    def sees(self, other: "Node") -> bool | None:
        """Whether it takes another one for up; None before it has said."""
        said = re.findall(rf"/{re.escape(other.address)}:\d+ is now (UP|DOWN)", self.log_text())
        return said[-1] == "UP" if said else None

    def nodetool(self, *arguments: str) -> str:
        done = subprocess.run(["java", *QUICK, *OPENS, "-cp", _class_path(), "-Dcassandra.config=file://" + str(self.dir / "cassandra.yaml"),
                               f"-Dlogback.configurationFile={self.dir / 'logback.xml'}", f"-Dcassandra.logdir={self.dir}",
                               "org.apache.cassandra.tools.NodeTool", "-h", "127.0.0.1", "-p", str(self.ring.jmx_ports[self.number]), *arguments],
                              capture_output=True, text=True, timeout=300, cwd=self.dir, env=dict(os.environ) | {"HOME": str(self.dir)})
        if done.returncode != 0:
            raise RuntimeError(f"nodetool {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def cql(self, statement: str, parameters=None, *, timeout: float = 60.0, **options):
        """The rows of one statement, asked of this node as coordinator. Options are those of Cassandra.connect."""
        key = tuple(sorted(options.items()))
        if key not in self._sessions:
            cluster = self.ring.connect([self], **options)
            self._sessions[key] = cluster, cluster.connect()
        return list(self._sessions[key][1].execute(statement, parameters, timeout=timeout))


class Cassandra:
    """One node, or several.

    datacenters: of each node, where they are not all in "datacenter1"; settings: of cassandra.yaml, None takes one away; durable: what was
    acknowledged survives kill -9; quick=False: the JVM as a server has it, for what is measured; auth: PasswordAuthenticator and
    CassandraAuthorizer, with ADMIN and APP; tls: "server", or "mutual" where clients need a certificate too (files tls-*.pem in dir)."""

    def __init__(self, nodes: int = 1, *, datacenters: list[str] | None = None, settings: dict | None = None, auth: bool = False,
                 tls: str | None = None, durable: bool = False, heap: str = "512M", quick: bool = True, java: list[str] = (),
                 directory: Path | None = None, archive: bool = True):
        self.auth, self.tls, self.heap, self.quick = auth, tls, heap, quick
        self.java = [*java, *([*ARCHIVING, f"-XX:SharedArchiveFile={_class_archive()}"] if archive else [])]
        self.dir = Path(tempfile.mkdtemp(prefix="midflight-cassandra-", dir=directory or throw_away()))
        os.chmod(self.dir, 0o755)
        self.settings = dict(DEFAULT_SETTINGS)
        if durable:
            self.settings |= {"commitlog_sync": "batch", "commitlog_sync_period": None}
        if auth:
            self.settings |= {"authenticator": "PasswordAuthenticator", "authorizer": "CassandraAuthorizer", "role_manager": "CassandraRoleManager"}
        if tls:
            self._make_certificates()
        self.settings |= settings or {}
        names = datacenters or ["datacenter1"] * nodes
        self.nodes = [Node(self, i, name) for i, name in enumerate(names)]
        self._choose_ports()
        self._accounts = False

    def _choose_ports(self) -> None:
        taken: set[int] = set()
        addresses = [n.address for n in self.nodes]
        self.port, self.storage_port = free_port_of(addresses, taken), free_port_of(addresses, taken)
        self.jmx_ports = [free_port_of(["127.0.0.1"], taken) for _ in self.nodes]

    def _make_certificates(self) -> None:
        """A throw-away authority, and certificates of it for the nodes and for a client."""
        def openssl(*arguments: str) -> None:
            subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=self.dir)
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=midflight tests", "-keyout", "tls-ca.key", "-out", "tls-ca.pem")
        names = "DNS:localhost," + ",".join(f"IP:127.0.0.{i}" for i in range(1, 10))
        for who in ("server", "client"):
            (self.dir / f"{who}.ext").write_text(f"subjectAltName={names}\n")
            openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={who}", "-keyout", f"tls-{who}.key", "-out", f"{who}.csr")
            openssl("x509", "-req", "-in", f"{who}.csr", "-CA", "tls-ca.pem", "-CAkey", "tls-ca.key", "-CAcreateserial", "-days", "2",
                    "-extfile", f"{who}.ext", "-out", f"tls-{who}.pem")
            openssl("pkcs12", "-export", "-inkey", f"tls-{who}.key", "-in", f"tls-{who}.pem", "-passout", f"pass:{STORE_PASSWORD}", "-out", f"{who}.p12")
        subprocess.run(["keytool", "-importcert", "-noprompt", "-alias", "ca", "-file", "tls-ca.pem", "-keystore", "trust.p12", "-storetype", "PKCS12",
                        "-storepass", STORE_PASSWORD], check=True, capture_output=True, cwd=self.dir)
        _own(self.dir)
        self.settings["client_encryption_options"] = {
            "enabled": True, "optional": False, "keystore": str(self.dir / "server.p12"), "keystore_password": STORE_PASSWORD, "store_type": "PKCS12",
            **({"require_client_auth": True, "truststore": str(self.dir / "trust.p12"), "truststore_password": STORE_PASSWORD} if self.tls == "mutual" else {}),
        }

    # -- running it ----------------------------------------------------------------------------------------------
    def running(self) -> bool:
        return any(n.running() for n in self.nodes)

    def start(self) -> "Cassandra":
        """All nodes that do not run; returns when each one takes all others for up."""
        first = not any(n.log.exists() for n in self.nodes)
        for attempt in range(5):
            if attempt:  # another process took a port between the look and the start
                self._choose_ports()
            try:
                for node in self.nodes:
                    if not node.running():
                        node.launch()
                for node in self.nodes:
                    node.ready()
                break
            except RuntimeError as error:
                if not first or "in use" not in str(error) or attempt == 4:
                    raise
                for node in self.nodes:
                    node.kill()
                    node.wipe()
        self.wait_up()
        if self.auth and not self._accounts:
            self._make_accounts()
            self._accounts = True
        return self

    def _make_accounts(self) -> None:
        driver()
        from cassandra.cluster import NoHostAvailable

        def made():
            try:
                for name in (ADMIN, APP):
                    self.nodes[0].cql(f"CREATE ROLE IF NOT EXISTS {name} WITH PASSWORD = '{PASSWORD}' AND LOGIN = true AND SUPERUSER = {name == ADMIN}",
                                      user="cassandra", password="cassandra")
                return True
            except NoHostAvailable:  # the first account is made in the background
                return False
        wait_for(made, 120, "the server's first account", interval=0.2)
        self.nodes[0]._forget()

    def wait_up(self, timeout: float = 120.0) -> None:
        """Until every running node takes every other running one for up."""
        there = [n for n in self.nodes if n.running()]
        wait_for(lambda: all(a.sees(b) for a in there for b in there if a is not b), timeout, "the nodes to see each other", interval=0.1)

    def wait_down(self, node: Node, timeout: float = 120.0) -> None:
        """Until all other running nodes take this one for down: some 25 s after it was killed or paused."""
        there = [n for n in self.nodes if n.running() and n is not node]
        wait_for(lambda: all(a.sees(node) is False for a in there), timeout, f"{node.address} to be taken for down", interval=0.1)

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def destroy(self) -> None:
        for node in self.nodes:
            if node.running():
                node.kill()
            _live.discard(node)
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self) -> "Cassandra":
        try:
            return self.start()
        except BaseException:
            self.destroy()
            raise

    def __exit__(self, *_) -> None:
        self.destroy()

    # -- using it ------------------------------------------------------------------------------------------------
    def url(self, keyspace: str = "", user: str | None = ADMIN, password: str | None = PASSWORD, **options) -> str:
        """All nodes; the user only where there are accounts."""
        auth = f"{quote(user, safe='')}:{quote(password or '', safe='')}@" if self.auth and user else ""
        query = "?" + urlencode({k.replace("_", "-"): v for k, v in options.items()}) if options else ""
        return f"cassandra://{auth}{','.join(f'{n.address}:{self.port}' for n in self.nodes)}/{quote(keyspace, safe='')}{query}"

    def connect(self, nodes: list[Node] | None = None, user: str = ADMIN, password: str = PASSWORD, **options):
        """A cassandra.cluster.Cluster of these nodes only, not connected yet; options are its own."""
        driver()
        import ssl
        from cassandra.auth import PlainTextAuthProvider
        from cassandra.cluster import Cluster, ExecutionProfile, EXEC_PROFILE_DEFAULT
        from cassandra.policies import WhiteListRoundRobinPolicy
        addresses = [n.address for n in (nodes or self.nodes)]
        if self.auth:
            options["auth_provider"] = PlainTextAuthProvider(user, password)
        if self.tls:
            context = ssl.create_default_context(cafile=self.dir / "tls-ca.pem")
            context.check_hostname = False
            if self.tls == "mutual":
                context.load_cert_chain(self.dir / "tls-client.pem", self.dir / "tls-client.key")
            options["ssl_context"] = context
        options.setdefault("execution_profiles", {EXEC_PROFILE_DEFAULT: ExecutionProfile(WhiteListRoundRobinPolicy(addresses), request_timeout=60)})
        # Without heartbeats: one that a busy machine answers late takes the only node for dead, and a closed connection is noticed anyway.
        return Cluster(addresses, **{"port": self.port, "protocol_version": 5, "connect_timeout": 60, "control_connection_timeout": 60,
                                     "idle_heartbeat_interval": 0,
                                     "schema_metadata_enabled": False, "token_metadata_enabled": False, **options})

    def cql(self, statement: str, parameters=None, **options):
        """Of the first node that runs."""
        return next(n for n in self.nodes if n.running()).cql(statement, parameters, **options)

    def create_keyspace(self, name: str, replication: int | None = None) -> str:
        """With as many copies as there are nodes, at most three. Every node knows it then."""
        copies = replication or min(3, len(self.nodes))
        self.cql(f"CREATE KEYSPACE IF NOT EXISTS {name} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': {copies}}}")
        if len(self.nodes) > 1:
            look = f"SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = '{name}'"
            wait_for(lambda: all(list(node.cql(look)) for node in self.nodes), 60, "the keyspace on every node")
        return name


@atexit.register
def _destroy_all() -> None:
    for node in list(_live):
        node.ring.destroy()
