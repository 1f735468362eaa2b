"""The servers a benchmark runs on: a source and a target, durable, with the same settings on both sides.

A stage per engine; what scripts that run on both engines need of it has the same name in both. Everything is in one throw-away
directory, on a disk and not in memory, and gone at the end, whatever happened.
"""
from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import common  # noqa: F401  (the harness's path)
from harness.cassandra import Cassandra
from harness.midflight import Midflight
from harness.mongo_servers import Double
from harness.mysql_servers import APP, MysqlDatabase, MysqlServer
from harness.servers import PASSWORD, Database, Server, wait_for

# A server as a careful DBA of a small machine sets it: durable, with room for a bulk load. Both sides have the same.
POSTGRES_SETTINGS = {
    "shared_buffers": "1GB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "30min",
    "wal_compression": "off",
    "max_parallel_maintenance_workers": 2,
    "autovacuum": "off",
    "fsync": "on",
    "max_logical_replication_workers": 8,
}

# innodb_flush_log_at_trx_commit and sync_binlog are 1 (the harness's `fsync`); doublewrite and checksums are on as they come; the binary
# log is on on both sides, with replicated changes in it.
MYSQL_SETTINGS = {
    "innodb-buffer-pool-size": "1G",
    "innodb-log-file-size": "1G",
    "innodb-flush-method": "O_DIRECT",
    "innodb-use-native-aio": "1",
    "innodb-io-capacity": "2000",
    "innodb-io-capacity-max": "4000",
    "innodb-flush-neighbors": "0",
    "max-allowed-packet": "64M",
    "character-set-server": "utf8mb4",
    "innodb-buffer-pool-dump-at-shutdown": "OFF",
}


# One node as a careful operator of a small machine sets it: memtables and a commit log with room for a bulk load, the JVM as a server has it.
# What was acknowledged is on the disk after commitlog_sync_period at the latest, as Cassandra comes.
CASSANDRA_SETTINGS = {
    "commitlog_total_space": "2048MiB",
    "memtable_heap_space": "512MiB",
    "memtable_offheap_space": "512MiB",
    "file_cache_size": "128MiB",
    "key_cache_size": "32MiB",
    "concurrent_compactors": 2,
    "auto_snapshot": False,
    "batch_size_warn_threshold": "64KiB",
    "batch_size_fail_threshold": "640KiB",
}


class Stage:
    """What both engines' stages do alike."""

    def __init__(self, arguments):
        self.dir = Path(tempfile.mkdtemp(prefix="midflight-bench-", dir=arguments.dir))
        os.chmod(self.dir, 0o755)
        self.servers: list = []
        self.migrations: list[Midflight] = []
        self.jobs = arguments.jobs
        self.count = 0
        given = (arguments.versions or self.default_versions).split(",")
        self.source_version, self.target_version = given[0], given[-1]

    def midflight(self, source: str, target: str, **config) -> Midflight:
        self.count += 1
        copy = {"jobs": self.jobs, "max_load": 0, **config.pop("copy", {})}
        m = Midflight(source, target, self.dir / f"midflight{self.count}", config={"migration": "bench", "copy": copy, **config})
        self.migrations.append(m)
        return m

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for part in self.migrations:
            part.kill()
        for server in self.servers:
            server.destroy()
        shutil.rmtree(self.dir, ignore_errors=True)


class PostgresStage(Stage):
    default_versions = "15"
    app = ("app", "app")  # the application's account and its password

    def __init__(self, arguments, **settings):
        super().__init__(arguments)
        self.source = self._start(self.source_version, "source", settings)
        self.target = self._start(self.target_version, "target", settings)

    def _start(self, version, name, settings) -> Server:
        server = Server(int(version), name=f"bench-{name}-", settings={**POSTGRES_SETTINGS, **settings}, fsync=True, directory=self.dir)
        self.servers.append(server)
        return server.start()

    def versions(self) -> dict:
        return {side: "PostgreSQL " + getattr(self, side).connect().execute("SHOW server_version").fetchone()[0] for side in ("source", "target")}

    def fresh_target(self, name: str = "bench") -> Database:
        """An empty database on the target, with the last one's files and dirty pages out of the way."""
        with self.target.connect() as c:
            c.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            c.execute("CHECKPOINT")
        database = self.target.create_database(name)
        self.settle()
        return database

    def settle(self) -> None:
        """What was done so far is on the disk and nobody's business any more."""
        for server in self.servers:
            with server.connect() as c:
                c.execute("CHECKPOINT")
        os.sync()

    def application(self, name: str) -> tuple[Database, Database]:
        """A database on both sides that an account without special powers (`app`) works in."""
        for server in (self.source, self.target):
            with server.connect() as c:
                c.execute("CREATE ROLE app LOGIN PASSWORD 'app'")
        return self.source.create_database(name, owner="app"), self.target.create_database(name, owner="app")

    def owner(self, database: Database):
        """A session that makes the application's tables."""
        return database.connect(user="app", password="app")


class MysqlStage(Stage):
    default_versions = "5.7,8.0"
    app = (APP, PASSWORD)

    def __init__(self, arguments, **settings):
        super().__init__(arguments)
        self.settings = settings
        self.source = self.server(self.source_version, "source")
        self.target = self.server(self.target_version, "target")

    def server(self, version: str, name: str, **settings) -> MysqlServer:
        server = MysqlServer(version, name=f"bench-{name}-", settings=MYSQL_SETTINGS | self.settings | settings, fsync=True, directory=self.dir)
        self.servers.append(server)
        return server.start()

    def versions(self) -> dict:
        return {side: "MySQL " + getattr(self, side).version_text() for side in ("source", "target")}

    def fresh_target(self, name: str = "bench") -> MysqlDatabase:
        """An empty database on the target, nothing of ours beside it, and no dirty pages of the last one."""
        for database in (name, "midflight"):
            self.target.execute(f"DROP DATABASE IF EXISTS `{database}`")
        self.settle()
        return self.target.create_database(name)

    def settle(self) -> None:
        """No dirty pages, no undo that waits: what was done so far is nobody's business any more."""
        for server in (s for s in self.servers if s.running()):
            server.execute("SET GLOBAL innodb_max_dirty_pages_pct = 0")
            wait_for(lambda: int(server.rows("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'")[0][1]) < 50, 120, "clean pages", 0.05)
            server.execute("SET GLOBAL innodb_max_dirty_pages_pct = 75")
        os.sync()

    def application(self, name: str) -> tuple[MysqlDatabase, MysqlDatabase]:
        return self.source.create_database(name), self.target.create_database(name)

    def owner(self, database: MysqlDatabase):
        return database.connect()


class CassandraStage(PostgresStage):
    """A PostgreSQL source and one node of Cassandra."""

    def __init__(self, arguments, heap: str, **settings):
        Stage.__init__(self, arguments)
        self.source = self._start(self.source_version, "source", settings)
        self.target = Cassandra(1, heap=heap, quick=False, directory=self.dir, settings=CASSANDRA_SETTINGS)
        self.servers.append(self.target)
        self.target.start()
        self.node = self.target.nodes[0]

    def versions(self) -> dict:
        return {"source": "PostgreSQL " + self.source.connect().execute("SHOW server_version").fetchone()[0],
                "target": "Cassandra " + self.target.cql("SELECT release_version FROM system.local")[0][0]}

    def fresh_keyspace(self, name: str = "bench") -> str:
        """An empty keyspace, and nothing that compaction still has to do."""
        for keyspace in (name, "midflight"):
            self.target.cql(f"DROP KEYSPACE IF EXISTS {keyspace}", timeout=300)
        self.settle()
        return self.target.create_keyspace(name)

    def settle(self) -> None:
        with self.source.connect() as c:
            c.execute("CHECKPOINT")
        wait_for(lambda: not self.target.cql("SELECT * FROM system_views.sstable_tasks"), 300, "compaction to end", 0.2)
        os.sync()


class DocumentStage(MysqlStage):
    """The double of a MongoDB replica set, all in memory, and a MySQL 8.0."""

    default_versions = "8.0"

    def __init__(self, arguments, **settings):
        Stage.__init__(self, arguments)
        self.settings = settings
        self.source = Double(directory=self.dir)
        self.servers.append(self.source)
        self.source.start()
        self.target = self.server(self.target_version, "target")

    def versions(self) -> dict:
        return {"source": "the double of a replica set (tests/harness/mongo_double.py)", "target": "MySQL " + self.target.version_text()}

    def settle(self) -> None:
        self.servers, kept = self.servers[1:], self.servers  # the source has nothing on a disk
        super().settle()
        self.servers = kept


STAGES = {"postgres": PostgresStage, "mysql": MysqlStage}


def open_stage(arguments, **settings):
    return STAGES[arguments.engine](arguments, **settings)
