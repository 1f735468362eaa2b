"""The two databases of the application, each behind the same few calls.

A side is a class with `visits(customer)` and `visit(customer, number)`. Another database is another class here and another
scheme in `SIDES`; the application does not change.
"""
from __future__ import annotations

from urllib.parse import unquote, urlsplit

import psycopg


class Refused(Exception):
    """This side did not do it, or cannot say whether it did: ask the flags again, and try again."""


class PostgresSide:
    SCHEMA = """CREATE TABLE IF NOT EXISTS visit (customer int, number int, PRIMARY KEY (customer, number))"""

    def __init__(self, url: str, timeout: float):
        self.url, self.timeout = url, timeout
        self.connection: psycopg.Connection | None = None

    def _run(self, statement: str, parameters: tuple, fetch: bool):
        try:
            if self.connection is None:
                self.connection = psycopg.connect(self.url, autocommit=True, connect_timeout=max(2, int(self.timeout)),
                                                  options=f"-c statement_timeout={int(self.timeout * 1000)}")
            cursor = self.connection.execute(statement, parameters)
            return cursor.fetchone() if fetch else None
        except psycopg.Error as error:
            if self.connection is not None:
                self.connection.close()
            self.connection = None
            raise Refused(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__) from error

    def visits(self, customer: int) -> int:
        return self._run("SELECT count(*) FROM visit WHERE customer = %s", (customer,), True)[0]

    def visit(self, customer: int, number: int) -> None:
        """Twice is as good as once, so that an attempt whose end nobody knows may be made again, on either side."""
        self._run("INSERT INTO visit VALUES (%s, %s) ON CONFLICT DO NOTHING", (customer, number), False)


class CassandraSide:
    """cassandra://user:password@host:port,host:port/keyspace. The driver is loaded where such a side is used."""

    SCHEMA = """CREATE TABLE IF NOT EXISTS visit (customer int, number int, PRIMARY KEY (customer, number))"""

    def __init__(self, url: str, timeout: float):
        self.url, self.timeout = url, timeout
        self.session = None

    def _connect(self):
        from cassandra import ConsistencyLevel
        from cassandra.auth import PlainTextAuthProvider
        from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
        parts = urlsplit(self.url)
        account, _, hosts = parts.netloc.rpartition("@")
        user, _, password = account.partition(":")
        addresses = [host.rpartition(":") if ":" in host else (host, ":", "9042") for host in hosts.split(",")]
        # A quorum writes and a quorum reads, so that who has written finds it.
        profile = ExecutionProfile(consistency_level=ConsistencyLevel.LOCAL_QUORUM, request_timeout=self.timeout)
        self.cluster = Cluster([host for host, _, _ in addresses], port=int(addresses[0][2]), connect_timeout=self.timeout,
                               auth_provider=PlainTextAuthProvider(unquote(user), unquote(password)) if user else None,
                               execution_profiles={EXEC_PROFILE_DEFAULT: profile})
        self.session = self.cluster.connect(parts.path.lstrip("/"))
        self.session.use_client_timestamp = False  # of two writes the later one stays: by the servers' clocks, not by ours
        self.count = self.session.prepare("SELECT count(*) FROM visit WHERE customer = ?")
        self.insert = self.session.prepare("INSERT INTO visit (customer, number) VALUES (?, ?)")

    def _run(self, statement: str, parameters: tuple):
        from cassandra import DriverException
        from cassandra.cluster import NoHostAvailable
        try:
            if self.session is None:
                self._connect()
            return self.session.execute(getattr(self, statement), parameters).one()
        except (DriverException, NoHostAvailable) as error:
            raise Refused(str(error).splitlines()[0] if str(error) else type(error).__name__) from error

    def visits(self, customer: int) -> int:
        return self._run("count", (customer,))[0]

    def visit(self, customer: int, number: int) -> None:
        self._run("insert", (customer, number))


class MysqlSide:
    """mysql://user:password@host:port/database. The driver (mysqlclient) is loaded where such a side is used."""

    SCHEMA = """CREATE TABLE IF NOT EXISTS visit (customer int, number int, PRIMARY KEY (customer, number))"""

    def __init__(self, url: str, timeout: float):
        self.url, self.timeout = url, timeout
        self.connection = None

    def _run(self, statement: str, parameters: tuple):
        import MySQLdb
        try:
            if self.connection is None:
                parts, bound = urlsplit(self.url), max(1, int(self.timeout))
                self.connection = MySQLdb.connect(host=parts.hostname, port=parts.port or 3306, user=unquote(parts.username or ""),
                                                  passwd=unquote(parts.password or ""), db=unquote(parts.path.lstrip("/")), autocommit=True,
                                                  connect_timeout=bound, read_timeout=bound, write_timeout=bound)
            cursor = self.connection.cursor()
            cursor.execute(statement, parameters)
            return cursor.fetchone()
        except MySQLdb.Error as error:
            if self.connection is not None:
                self.connection.close()
            self.connection = None
            raise Refused(str(error)) from error

    def visits(self, customer: int) -> int:
        return self._run("SELECT count(*) FROM visit WHERE customer = %s", (customer,))[0]

    def visit(self, customer: int, number: int) -> None:
        self._run("INSERT INTO visit VALUES (%s, %s) ON DUPLICATE KEY UPDATE number = number", (customer, number))


class MongoSide:
    """mongodb://user:password@host:port/database. The driver is loaded where such a side is used. A visit is a document without anything but its _id, so
    that a map makes the same table of it that the others have: columns of `_id.customer` and `_id.number`."""

    def __init__(self, url: str, timeout: float):
        self.url, self.timeout = url, timeout
        self.collection = None

    def _run(self, what):
        from pymongo import MongoClient
        from pymongo.errors import PyMongoError
        try:
            if self.collection is None:
                bound = int(self.timeout * 1000)
                self.collection = MongoClient(self.url, serverSelectionTimeoutMS=bound, socketTimeoutMS=bound, w="majority").get_default_database().visit
            return what(self.collection)
        except PyMongoError as error:
            raise Refused(str(error).splitlines()[0] if str(error) else type(error).__name__) from error

    def visits(self, customer: int) -> int:
        return self._run(lambda c: c.count_documents({"_id.customer": customer}))

    def visit(self, customer: int, number: int) -> None:
        one = {"_id": {"customer": customer, "number": number}}
        self._run(lambda c: c.replace_one(one, one, upsert=True))


SIDES = {"postgresql": PostgresSide, "postgres": PostgresSide, "cassandra": CassandraSide, "mysql": MysqlSide, "mongodb": MongoSide,
         "mongodb+srv": MongoSide}


def open_side(url: str, timeout: float):
    return SIDES[urlsplit(url).scheme](url, timeout)
