"""The two databases of the application, each behind the same few calls.

A side is a class with `visits(customer)` and `visit(customer, number)`. Another database is another class here and another
scheme in `SIDES`; the application does not change.
"""
from __future__ import annotations

from urllib.parse import urlsplit

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


SIDES = {"postgresql": PostgresSide, "postgres": PostgresSide}


def open_side(url: str, timeout: float):
    return SIDES[urlsplit(url).scheme](url, timeout)
