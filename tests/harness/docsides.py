"""The two sides of the documents' application (harness/doccases.py), behind the same few calls: documents in MongoDB, rows in MySQL or PostgreSQL,
and whichever of them the flag `midflight.writes` names.

Each call may be made again: an attempt whose end nobody knows is one more reason to ask, and to write the same.
"""
from __future__ import annotations

import http.client
import json
from datetime import timezone

from harness.mongo_servers import driver

TABLES_OF_A_USER = ("user_order_lines", "user_orders", "user_tags", "user_settings", "users")


class Unanswered(Exception):
    """Nobody says who may write."""


class MongoSide:
    def __init__(self, database):
        driver()
        from pymongo.errors import DuplicateKeyError, PyMongoError
        self.errors, self.twice = (PyMongoError,), DuplicateKeyError
        self.db = database.connect(serverSelectionTimeoutMS=2000, socketTimeoutMS=5000, retryWrites=False)

    def insert(self, d: dict) -> None:
        try:
            self.db.users.insert_one(d)
        except self.twice:
            pass  # an earlier try did it

    def replace(self, d: dict) -> None:
        self.db.users.replace_one({"_id": d["_id"]}, d)

    def delete(self, id_) -> None:
        self.db.users.delete_one({"_id": id_})

    def count(self, entry: dict) -> None:
        self.db.ledger.update_one({"_id": entry["_id"]}, {"$set": {"version": entry["version"], "value": entry["value"]}})

    def close(self) -> None:
        self.db.client.close()


class SqlSide:
    """A user is rows of several tables, written in one transaction. rows_of_user: as doccases has it; columns: each table's."""

    def __init__(self, database, rows_of_user, columns: dict[str, str], **account):
        self.connect, self.rows_of_user, self.columns = lambda: database.connect(autocommit=False, **account), rows_of_user, columns
        self.connection, self.mysql = None, "mysql" in type(database).__name__.lower()
        self.errors = self._errors()

    def _errors(self) -> tuple:
        if self.mysql:
            import MySQLdb
            return (MySQLdb.Error,)
        import psycopg
        return (psycopg.Error,)

    def _do(self, *statements: tuple[str, tuple]) -> None:
        try:
            if self.connection is None:
                self.connection = self.connect()
                if self.mysql:
                    self.connection.cursor().execute("SET time_zone = '+00:00'")
            cursor = self.connection.cursor()
            for statement, parameters in statements:
                cursor.execute(statement, parameters)
            self.connection.commit()
        except self.errors:
            self.close()
            raise

    def _value(self, column: str, value):
        if column in ("placed", "since") and value is not None:
            from harness.doccases import EPOCH, timedelta
            moment = EPOCH + timedelta(milliseconds=value)
            return moment.astimezone(timezone.utc).replace(tzinfo=None) if self.mysql else moment
        return value

    def _gone(self, id_, tables=TABLES_OF_A_USER) -> list:
        return [(f"DELETE FROM {t} WHERE {'id' if t == 'users' else 'users_id'} = %s", (str(id_),)) for t in tables]

    def _come(self, d: dict, tables) -> list:
        rows, found = self.rows_of_user(d), []
        for table in tables:
            names = self.columns[table].split(", ")
            for row in rows[table]:
                found.append((f"INSERT INTO {table} ({self.columns[table]}) VALUES ({', '.join(['%s'] * len(names))})",
                              tuple(self._value(n, v) for n, v in zip(names, row))))
        return found

    def insert(self, d: dict) -> None:
        self._do(*self._gone(d["_id"]), *self._come(d, reversed(TABLES_OF_A_USER)))

    def replace(self, d: dict) -> None:
        """The user's own row is updated, the others come anew."""
        names = self.columns["users"].split(", ")[1:]
        row = self.rows_of_user(d)["users"][0][1:]
        self._do(*self._gone(d["_id"], TABLES_OF_A_USER[:-1]),
                 (f"UPDATE users SET {', '.join(f'{n} = %s' for n in names)} WHERE id = %s",
                  (*(self._value(n, v) for n, v in zip(names, row)), str(d["_id"]))),
                 *self._come(d, TABLES_OF_A_USER[-2::-1]))

    def delete(self, id_) -> None:
        self._do(*self._gone(id_))

    def count(self, entry: dict) -> None:
        self._do(("UPDATE ledger SET version = %s, value = %s WHERE id = %s", (entry["version"], entry["value"], entry["_id"])))

    def close(self) -> None:
        if self.connection is not None:
            try:
                self.connection.close()
            except self.errors:
                pass
        self.connection = None


class Flagged:
    """Asks before each attempt who may write (OpenFeature's remote evaluation protocol); without an answer nothing is written.
    touched: every id that was ever tried on the target. stay: the side that is written to when nobody is to be asked any more."""

    def __init__(self, port: int, token: str, sides: dict, touched: set):
        self.port, self.token, self.sides, self.touched = port, token, sides, touched
        self.stay: str | None = None
        self.asking: http.client.HTTPConnection | None = None
        self.errors = tuple({e for side in sides.values() for e in side.errors}) + (Unanswered,)

    def _ask(self) -> str:
        if self.stay:
            return self.stay
        try:
            self.asking = self.asking or http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            self.asking.request("POST", "/ofrep/v1/evaluate/flags/midflight.writes", json.dumps({"context": {"targetingKey": "shop"}}),
                                {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"})
            answer = self.asking.getresponse()
            said = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            if self.asking:
                self.asking.close()
            self.asking = None
            raise Unanswered(str(error)) from error
        if answer.status != 200 or said.get("value") not in self.sides:
            raise Unanswered(said.get("errorDetails") or f"status {answer.status}")
        return said["value"]

    def _write(self, what: str, id_, argument) -> None:
        where = self._ask()
        if where == "target":
            self.touched.add(id_)
        getattr(self.sides[where], what)(argument)

    def insert(self, d: dict) -> None:
        self._write("insert", d["_id"], d)

    def replace(self, d: dict) -> None:
        self._write("replace", d["_id"], d)

    def delete(self, id_) -> None:
        self._write("delete", id_, id_)

    def count(self, entry: dict) -> None:
        self._write("count", entry["_id"], entry)

    def close(self) -> None:
        for side in self.sides.values():
            side.close()
        if self.asking:
            self.asking.close()
