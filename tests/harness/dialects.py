"""What the loads need to know about an engine: how to connect, what an error means, and the few statements that differ.

A dialect goes with a URL (`dialect_of`). `write` runs statements as one transaction and leaves the session usable or
closed, never in a transaction: what it raises before COMMIT was sent is certainly not committed."""
from __future__ import annotations

import uuid
from urllib.parse import unquote, urlsplit

import MySQLdb
import psycopg2
from MySQLdb.constants import CLIENT

READ_ONLY = "25006"  # what the gate answers, as an application's driver sees it
MYSQL_READ_ONLY = "1290"


class Postgres:
    Error = psycopg2.Error
    read_only = READ_ONLY
    event_key = "event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
    random_text = "md5(random()::text)"
    begin_snapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    alive = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND application_name = 'ledger' AND pid <> pg_backend_pid()"

    @staticmethod
    def table(schema: str | None, name: str) -> str:
        return f'"{schema or "public"}".{name}'

    @staticmethod
    def connect(url: str, name: str):
        connection = psycopg2.connect(url, connect_timeout=30, application_name=name)
        connection.autocommit = True
        return connection

    @staticmethod
    def session(connection) -> int:
        return connection.get_backend_pid()

    @staticmethod
    def code(error) -> str | None:
        return error.pgcode

    @staticmethod
    def lost(connection, error) -> bool:
        """The session is gone; whether it committed is not known."""
        return bool(connection.closed) or error.pgcode is None or error.pgcode.startswith(("57P", "08"))

    @staticmethod
    def write(connection, statements: list[str], parameters=None) -> int:
        """One transaction of statements that do not see each other's changes; the rows that the last one changed."""
        *first, last = statements
        first = ", ".join(f"e{i} AS ({s})" for i, s in enumerate(first))
        with connection.cursor() as cursor:
            cursor.execute(f"WITH {first} {last}", parameters)
            return cursor.rowcount

    @staticmethod
    def write_plain(connection, statements: list[str], parameters=None) -> None:
        with connection.cursor() as cursor:
            cursor.execute("; ".join(["BEGIN", *statements, "COMMIT"]), parameters)


class Mysql:
    Error = MySQLdb.Error
    read_only = MYSQL_READ_ONLY
    event_key = "event_id bigint AUTO_INCREMENT PRIMARY KEY, "
    random_text = "md5(rand())"
    begin_snapshot = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
    alive = "SELECT IS_USED_LOCK(%s) IS NOT NULL"
    LOST = {2002, 2003, 2006, 2013, 2055, 1053, 1152, 1153, 1158, 1159, 1160, 1161, 1317, 1927, 3169}

    @staticmethod
    def table(schema: str | None, name: str) -> str:
        return f"`{schema}`.{name}" if schema else name

    @staticmethod
    def connect(url: str, name: str):
        parts = urlsplit(url)
        return MySQLdb.connect(host=parts.hostname, port=parts.port, user=unquote(parts.username), passwd=unquote(parts.password), db=unquote(parts.path[1:]),
                               connect_timeout=30, charset="utf8mb4", autocommit=True, client_flag=CLIENT.MULTI_STATEMENTS | CLIENT.FOUND_ROWS)

    @staticmethod
    def session(connection) -> str:
        """A lock that lives as long as the session: its number comes again when the server has been killed."""
        name = f"session {uuid.uuid4()}"
        with connection.cursor() as cursor:
            cursor.execute("SELECT GET_LOCK(%s, 0)", (name,))
            cursor.fetchall()
        return name

    @staticmethod
    def code(error) -> str | None:
        number = error.args[0] if error.args else None
        if number == 1290 and "midflight: read-only" not in str(error):
            return "1290 of somebody else"
        return str(number) if number else None

    @classmethod
    def lost(cls, connection, error) -> bool:
        number = error.args[0] if error.args else None
        return not number or number in cls.LOST

    @classmethod
    def write(cls, connection, statements: list[str], parameters=None) -> int:
        cursor = connection.cursor()
        changed = 0
        try:
            cursor.execute("; ".join(["BEGIN", *statements, "COMMIT"]), parameters)
            for i in range(len(statements) + 1):
                cursor.nextset()
                if i + 1 == len(statements):
                    changed = cursor.rowcount
            return changed
        except MySQLdb.Error as error:
            if not cls.lost(connection, error):
                connection.rollback()
            raise
        finally:
            cursor.close()

    write_plain = write


def dialect_of(url: str):
    return Mysql if url.startswith(("mysql:", "mariadb:")) else Postgres


def values(rows) -> str:
    """Rows of plain values as the text behind VALUES, for tables that a load makes."""
    return ", ".join("(" + ", ".join("'" + v.replace("'", "''") + "'" if isinstance(v, str) else str(v) for v in row) + ")" for row in rows)
