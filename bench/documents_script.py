"""The migration as guides show it: an export to JSON lines, then a program that inserts. For documents.py.

    documents_script.py MONGODB_URL MYSQL_URL DIRECTORY ROWS_AT_ONCE

Prints the seconds from the export's beginning to the COMMIT. The tables are made before. One transaction, so that no row waits for the disk.
"""
from __future__ import annotations

import sys
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import MySQLdb

import common  # noqa: F401  (the harness's path)
from harness.doccases import TABLES, rows_of_user
from harness.mongo_servers import driver

MADE = """
CREATE TABLE users (id char(24) PRIMARY KEY, name varchar(100) NOT NULL, email varchar(200), age bigint, balance double NOT NULL, has_address tinyint(1) NOT NULL,
  address_street varchar(100), address_city varchar(100), note varchar(500), has_note tinyint(1) NOT NULL, since datetime(3));
CREATE TABLE user_tags (users_id char(24), position int, tag varchar(40) NOT NULL, PRIMARY KEY (users_id, position));
CREATE TABLE user_orders (users_id char(24), position int, number int NOT NULL, placed datetime(3) NOT NULL, total double NOT NULL, PRIMARY KEY (users_id, position));
CREATE TABLE user_order_lines (users_id char(24), user_orders_position int, line int, sku varchar(40) NOT NULL, n int NOT NULL,
  PRIMARY KEY (users_id, user_orders_position, line));
CREATE TABLE user_settings (users_id char(24), name varchar(255), value varchar(100) NOT NULL, PRIMARY KEY (users_id, name)) COLLATE utf8mb4_bin;
CREATE TABLE ledger (id varchar(40) PRIMARY KEY, client int NOT NULL, version int NOT NULL, value varchar(100) NOT NULL)
"""
MOMENTS = {"placed", "since"}


def statement(table: str) -> str:
    columns = TABLES[table].split(", ")
    marks = ", ".join("from_unixtime(%s / 1000)" if c in MOMENTS else "%s" for c in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"


class Writer:
    """Row by row, or so many of a table with an executemany."""

    def __init__(self, cursor, at_once: int):
        self.cursor, self.at_once = cursor, at_once
        self.statements = {table: statement(table) for table in TABLES}
        self.waiting: dict[str, list] = {table: [] for table in TABLES}

    def row(self, table: str, row: tuple) -> None:
        if self.at_once == 1:
            self.cursor.execute(self.statements[table], row)
            return
        rows = self.waiting[table]
        rows.append(row)
        if len(rows) >= self.at_once:
            self.cursor.executemany(self.statements[table], rows)
            rows.clear()

    def end(self) -> None:
        for table, rows in self.waiting.items():
            if rows:
                self.cursor.executemany(self.statements[table], rows)
                rows.clear()


def main() -> int:
    source, target, directory, at_once = sys.argv[1:]
    driver()
    from bson import json_util
    from pymongo import MongoClient
    url = urlsplit(target)
    there = MySQLdb.connect(host=url.hostname, port=url.port, user=unquote(url.username or ""), passwd=unquote(url.password or ""), db=url.path.lstrip("/"),
                            charset="utf8mb4")
    cursor = there.cursor()
    for one in MADE.split(";"):
        cursor.execute(one)
    cursor.execute("SET time_zone = '+00:00'")
    client = MongoClient(source, directConnection=True)
    db = client[urlsplit(source).path.lstrip("/")]
    begun = time.monotonic()
    files = {name: Path(directory) / f"{name}.jsonl" for name in ("users", "ledger")}
    for name, path in files.items():
        with open(path, "w") as out:
            for document in db[name].find():
                out.write(json_util.dumps(document) + "\n")
    writer = Writer(cursor, int(at_once))
    with open(files["users"]) as lines:
        for line in lines:
            for table, rows in rows_of_user(json_util.loads(line)).items():
                for row in rows:
                    writer.row(table, row)
    with open(files["ledger"]) as lines:
        for line in lines:
            d = json_util.loads(line)
            writer.row("ledger", (d["_id"], d["client"], d["version"], d["value"]))
    writer.end()
    there.commit()
    print(f"{time.monotonic() - begun:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
