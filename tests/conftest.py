"""Fixtures of the scenario tests. Servers live as long as the session, one for each role and version; every test gets
databases of its own on them. A server that cannot be had fails the test: nothing is skipped."""
import itertools
import os
import re
import shutil
import tempfile

import pytest

from harness.cassandra import Cassandra
from harness.cassrun import Into
from harness.midflight import Midflight
from harness.mongo_servers import SERVERS as MONGO, MongoDatabase, MongoServer
from harness.mysql_servers import MysqlServer
from harness.pgdrive import Drive
from harness.servers import Server, throw_away

_numbers = itertools.count(1)
os.environ["MONGOC_DISABLE_SHM"] = "1"  # as the program itself: what is killed would leave counters in /dev/shm


def pytest_configure(config):
    """What runs keep (state, spools) lives where the servers do: in memory where there is plenty."""
    memory = throw_away()
    if memory and not config.option.basetemp and not hasattr(config, "workerinput"):
        config.option.basetemp = config.midflight_temp = tempfile.mkdtemp(prefix="midflight-tests-", dir=memory)


def pytest_unconfigure(config):
    shutil.rmtree(getattr(config, "midflight_temp", ""), ignore_errors=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """What a test kept is for reading after a failure: the memory is wanted by the next ones."""
    report = (yield).get_result()
    item.midflight_failed = report.failed or getattr(item, "midflight_failed", False)
    if report.when == "teardown" and not item.midflight_failed and "tmp_path" in item.funcargs:
        shutil.rmtree(item.funcargs["tmp_path"], ignore_errors=True)


class Servers:
    """Session-wide servers by role, version and settings; started when first asked for."""

    def __init__(self):
        self.known: dict = {}

    def get(self, role: str, version: int = 15, *, tls: bool = False, **settings) -> Server:
        key = (role, version, tls, tuple(sorted(settings.items())))
        server = self.known.get(key)
        if server is None:
            server = self.known[key] = Server(version, name=role, tls=tls, settings=settings)
        server.start()
        return server

    def close(self):
        for server in self.known.values():
            server.destroy()


@pytest.fixture(scope="session")
def servers():
    """servers.get('source', 15, setting=…) → a running Server shared by the session. Do not kill a shared one: make
    your own with own_server()."""
    all_ = Servers()
    yield all_
    all_.close()


@pytest.fixture
def own_server():
    """own_server(version, settings=…) → a running Server for this test alone."""
    made = []

    def make(version: int = 15, **named) -> Server:
        server = Server(version, **named)
        made.append(server)
        return server.start()

    yield make
    for server in made:
        server.destroy()


@pytest.fixture
def versions():
    """(source, target) major versions; a test overrides it with @pytest.mark.parametrize('versions', …)."""
    return 15, 15


@pytest.fixture
def database(servers, request):
    """database('source', 15) → an empty Database of its own for this test, dropped after it with its slots."""
    made = []

    def make(role: str = "source", version: int = 15, template: str | None = None, owner: str | None = None, **settings):
        name = f"t{os.getpid()}_{next(_numbers)}_" + re.sub(r"\W+", "_", request.node.name)[:30]
        made.append(servers.get(role, version, **settings).create_database(name, template, owner))
        return made[-1]

    yield make
    for one in made:
        if one.server.running():
            one.drop()


@pytest.fixture
def source(database, versions):
    return database("source", versions[0])


@pytest.fixture
def target(database, versions):
    return database("target", versions[1])


class MysqlServers(Servers):
    """The same for MySQL and MariaDB: the version is "5.7", "8.0" or "mariadb"."""

    def get(self, role: str, version: str = "8.0", *, gtid: bool = True, **settings) -> MysqlServer:
        key = (role, version, gtid, tuple(sorted(settings.items())))
        server = self.known.get(key)
        if server is None:
            server = self.known[key] = MysqlServer(version, name=role, gtid=gtid, settings=settings)
        return server.start()


@pytest.fixture(scope="session")
def mysql_servers():
    all_ = MysqlServers()
    yield all_
    all_.close()


@pytest.fixture
def own_mysql():
    """own_mysql(version, settings=…) → a running MysqlServer for this test alone."""
    made = []

    def make(version: str = "8.0", **named) -> MysqlServer:
        server = MysqlServer(version, **named)
        made.append(server)
        return server.start()

    yield make
    for server in made:
        server.destroy()


@pytest.fixture
def mysql_versions():
    """(source, target); a test overrides it with @pytest.mark.parametrize('mysql_versions', …)."""
    return "5.7", "8.0"


@pytest.fixture
def mysql_database(mysql_servers, request):
    """mysql_database('source', '8.0') → an empty MysqlDatabase of its own for this test, dropped after it with midflight's
    bookkeeping on its server. The name is the same on both sides only when it is given: a migration keeps names."""
    made = []

    def make(role: str = "source", version: str = "8.0", name: str | None = None, gtid: bool = True,
             charset: str = "utf8mb4", **settings):
        name = name or f"t{os.getpid()}_{next(_numbers)}_" + re.sub(r"\W+", "_", request.node.name)[:30]
        made.append(mysql_servers.get(role, version, gtid=gtid, **settings).create_database(name, charset))
        return made[-1]

    yield make
    for one in made:
        if one.server.running():
            one.drop()
            one.server.drop_book()


@pytest.fixture
def mysql_pair(mysql_database, mysql_versions):
    """(source, target): databases of one name on two servers; both empty."""
    source = mysql_database("source", mysql_versions[0])
    target = mysql_database("target", mysql_versions[1], name=source.name)
    return source, target


class CassandraServers(Servers):
    """The same for Cassandra; a role is a name for who shares one, the rest as Cassandra takes it."""

    def get(self, role: str = "target", nodes: int = 1, **named) -> Cassandra:
        key = (role, nodes, repr(sorted(named.items())))
        if key not in self.known:
            self.known[key] = Cassandra(nodes, **named)
        return self.known[key].start()


@pytest.fixture(scope="session")
def _cassandras():
    all_ = CassandraServers()
    yield all_
    all_.close()


@pytest.fixture(scope="module")
def cassandra_servers(_cassandras):
    """cassandra_servers.get(nodes=3, settings={…}) → a running Cassandra. One node is shared by the session; what is larger than that ends with
    the module, because every node keeps a gigabyte."""
    yield _cassandras
    for key in [k for k, one in _cassandras.known.items() if len(one.nodes) > 1]:
        _cassandras.known.pop(key).destroy()


@pytest.fixture
def own_cassandra():
    """own_cassandra(nodes=1, …) → a running Cassandra for this test alone."""
    made = []

    def make(nodes: int = 1, **named) -> Cassandra:
        made.append(Cassandra(nodes, **named))
        return made[-1].start()

    yield make
    for one in made:
        one.destroy()


@pytest.fixture
def keyspace(cassandra_servers, request):
    """keyspace() → (a running Cassandra, the name of an empty keyspace on it for this test); dropped after it."""
    made = []

    def make(role: str = "target", nodes: int = 1, **named) -> tuple[Cassandra, str]:
        name = f"t{os.getpid()}_{next(_numbers)}_" + re.sub(r"\W+", "_", request.node.name)[:20].lower()
        server = cassandra_servers.get(role, nodes, **named)
        made.append((server, server.create_keyspace(name)))
        return made[-1]

    yield make
    for server, name in made:
        if server.running():
            server.cql(f"DROP KEYSPACE IF EXISTS {name}")


@pytest.fixture
def into(keyspace):
    """into() → an empty keyspace of this test's, as a target."""
    def make(**named) -> Into:
        return Into(*keyspace(**named))

    return make


@pytest.fixture
def into_own(own_cassandra):
    """The same on a cluster of this test's own: into_own(nodes=1, …)."""
    def make(nodes: int = 1, **named) -> Into:
        server = own_cassandra(nodes, **named)
        return Into(server, server.create_keyspace("shop"))

    return make


class MongoServers(Servers):
    """The same for what speaks MongoDB's protocol: the kind is "ferretdb", "java", "nx" or "double"."""

    def get(self, kind: str, role: str = "mongo", **settings) -> MongoServer:
        key = (kind, role, tuple(sorted(settings.items())))
        if key not in self.known:
            self.known[key] = MONGO[kind](name=role, settings=settings)
        return self.known[key].start()


@pytest.fixture(scope="session")
def mongo_server():
    """mongo_server('ferretdb') → a running MongoServer shared by the session."""
    all_ = MongoServers()
    yield all_.get
    all_.close()


@pytest.fixture
def own_mongo():
    """own_mongo('ferretdb', settings=…) → a running MongoServer for this test alone."""
    made = []

    def make(kind: str, **named) -> MongoServer:
        made.append(MONGO[kind](**named))
        return made[-1].start()

    yield make
    for server in made:
        server.destroy()


@pytest.fixture
def mongo_database(mongo_server, request):
    """mongo_database('ferretdb') → a MongoDatabase whose name nobody else has; dropped after the test."""
    made = []

    def make(kind: str, role: str = "mongo", **settings) -> MongoDatabase:
        name = f"t{os.getpid()}_{next(_numbers)}_" + re.sub(r"\W+", "_", request.node.name)[:30]
        made.append(mongo_server(kind, role, **settings).create_database(name))
        return made[-1]

    yield make
    for one in made:
        if one.server.running():
            one.drop()


def said(findings) -> dict:
    """By code and object; without what is true of every MySQL server of the tests: they do not wait for the disk."""
    return {(f["code"], f["object"]): f for f in findings if f["code"] != "durability"}


@pytest.fixture
def check_target(tmp_path):
    """check_target(source, target) → what the target's connector says of it, by code and object."""
    made = []

    def run(source, target, **named):
        made.append(Drive(target if isinstance(target, str) else target.url(), other=source if isinstance(source, str) else source.url(), state=tmp_path))
        return said(made[-1]("check", **named)["findings"])

    yield run
    for one in made:
        one.close()


@pytest.fixture
def migration(tmp_path):
    """migration(source, target, config={…}) → a Midflight; killed after the test, its log shown when it failed."""
    made = []

    def make(source, target, **named) -> Midflight:
        url = lambda x: x if isinstance(x, str) else x.url()
        made.append(Midflight(url(source), url(target), tmp_path / f"midflight{len(made)}", **named))
        return made[-1]

    yield make
    for one in made:
        one.close()
        print(one.all_logs()[-20000:])
