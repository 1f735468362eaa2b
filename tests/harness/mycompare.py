"""compare.py for MySQL and MariaDB: the same judge, and as independent of `midflight verify`.

A row's text is made of the hexadecimal bytes of each column as it is stored (its character set is part of the schema), of
exact decimals for numbers, of member numbers beside names for ENUM and SET; a FLOAT goes through a DOUBLE, since as itself the
server prints six digits of it. The rows of a table are counted and two halves of their MD5 summed; where that differs the rows
are fetched and named.
"""
from __future__ import annotations

import re

import MySQLdb

from .compare import Comparison, name_rows, wait_equal
from .mysql_servers import MysqlDatabase, fetch, ident
from .servers import wait_for

SYSTEM = "('mysql', 'information_schema', 'performance_schema', 'sys')"
# Settings that a server or a load changes by itself.
MOVING = re.compile(r"^(gtid_|last_|pseudo_|timestamp|rand_seed|identity|insert_id|innodb_thread_sleep|innodb_buffer_pool_(load|dump)_now|error_count|warning_count)")


def _open(database: MysqlDatabase) -> MySQLdb.Connection:
    connection = database.connect()
    cursor = connection.cursor()
    cursor.execute("SET time_zone = '+00:00', sql_mode = ''")
    cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
    return connection


def _rows(connection, sql: str, parameters=None) -> list[tuple]:
    return fetch(connection, sql, parameters, close=False)


def columns(connection) -> dict[str, list[tuple[str, str]]]:
    """Table → (name, type) of each column, in the order of the names."""
    found: dict[str, list[tuple[str, str]]] = {}
    for table, column, kind in _rows(connection, "SELECT c.table_name, c.column_name, c.data_type FROM information_schema.columns c"
                                     " JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name"
                                     " WHERE c.table_schema = database() AND t.table_type = 'BASE TABLE' ORDER BY 1, 2"):
        found.setdefault(table, []).append((column, kind.lower()))
    return found


def _value(column: str, kind: str) -> str:
    name = ident(column)
    exact = {"float": f"CAST({name} * 1e0 AS CHAR)", "double": f"CAST({name} AS CHAR)", "bit": f"CAST({name} + 0 AS CHAR)",
             "enum": f"CONCAT({name} + 0, ':', HEX({name}))", "set": f"CONCAT({name} + 0, ':', HEX({name}))", "json": f"HEX(CAST({name} AS CHAR))"}
    text = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob",
            "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection")
    return f"IFNULL({exact.get(kind) or (f'HEX({name})' if kind in text else f'CAST({name} AS CHAR)')}, 'NULL')"


def _text(of: list[tuple[str, str]]) -> str:
    return "CONCAT_WS('|', " + ", ".join(_value(c, k) for c, k in of) + ")"


def _digest(connection, table: str, text: str) -> tuple:
    half = lambda side: f"COALESCE(SUM(CAST(CONV({side}(m, 16), 16, 10) AS UNSIGNED)), 0)"
    return _rows(connection, f"SELECT COUNT(*), {half('LEFT')}, {half('RIGHT')} FROM (SELECT MD5({text}) m FROM {ident(table)}) s")[0]


def compare(source: MysqlDatabase, target: MysqlDatabase, skip: set[str] = frozenset()) -> Comparison:
    """Compares the rows of two databases that stand still."""
    result = Comparison()
    a, b = _open(source), _open(target)
    try:
        left, right = columns(a), columns(b)
        for table in sorted((set(left) | set(right)) - set(skip)):
            if table not in left or table not in right:
                result.add(table, f"is on the {'target' if table in right else 'source'} only")
                continue
            if [c for c, _ in left[table]] != [c for c, _ in right[table]]:
                result.add(table, f"columns differ: {left[table]} and {right[table]}")
                continue
            result.tables += 1
            # JSON is a LONGTEXT on MariaDB: both are asked the same way
            text = _text(left[table])
            one, two = _digest(a, table, text), _digest(b, table, text)
            result.rows += one[0]
            if one != two:
                texts = ([r[0] for r in _rows(c, f"SELECT {text} FROM {ident(table)}")] for c in (a, b))
                name_rows(*texts, table, result)
    finally:
        a.close()
        b.close()
    return result


def equal_at_last(m, source: MysqlDatabase, target: MysqlDatabase, timeout: float = 180) -> None:
    """Waits until both sides are equal, with the run alive."""
    def look() -> Comparison | None:
        try:
            return compare(source, target)
        except MySQLdb.Error as error:
            if error.args[0] not in (1412, 1146):  # a TRUNCATE or a rename under the snapshot
                raise
            return None
    wait_equal(m, look, timeout)


# -- schema ----------------------------------------------------------------------------------------------------------
SCHEMA_QUERIES = {
    "tables": "SELECT table_name, engine, row_format, table_collation, table_comment, create_options FROM information_schema.tables"
              " WHERE table_schema = database() AND table_type = 'BASE TABLE'",
    "columns": "SELECT table_name, column_name, ordinal_position, column_type, is_nullable, column_default, extra, character_set_name,"
               " collation_name, column_comment, COALESCE(generation_expression, '') FROM information_schema.columns WHERE table_schema = database()",
    "indexes": "SELECT table_name, index_name, seq_in_index, column_name, non_unique, sub_part, index_type FROM information_schema.statistics WHERE table_schema = database()",
    # InnoDB makes no difference between the two rules that refuse; 5.7 calls the default RESTRICT, 8.0 NO ACTION
    "foreign keys": "SELECT constraint_name, table_name, referenced_table_name, REPLACE(update_rule, 'RESTRICT', 'NO ACTION'), REPLACE(delete_rule, 'RESTRICT', 'NO ACTION') FROM information_schema.referential_constraints WHERE constraint_schema = database()",
    "views": "SELECT table_name FROM information_schema.views WHERE table_schema = database()",
    "triggers": "SELECT trigger_name, event_object_table, event_manipulation, action_timing, action_statement FROM information_schema.triggers WHERE trigger_schema = database()",
    "routines": "SELECT routine_name, routine_type, routine_definition FROM information_schema.routines WHERE routine_schema = database()",
    "events": "SELECT event_name, event_definition, status FROM information_schema.events WHERE event_schema = database()",
}


def _normal(value, other_kind: bool):
    if not isinstance(value, str):
        return value
    text = re.sub(r"\butf8\b", "utf8mb3", value)
    text = re.sub(r"\butf8_", "utf8mb3_", text)
    text = re.sub(r"\bdefault_generated ?", "", text, flags=re.I)
    if other_kind:  # what MariaDB prints otherwise, and how 5.7 and 8.0 print expressions
        text = re.sub(r"current_timestamp(\(\))?", "current_timestamp", text, flags=re.I)
        text = re.sub(r"_(utf8mb3|utf8mb4|latin1|binary)\\?'", "'", text)
        text = re.sub(r"[`'\\() ]", "", text).lower()
        text = text.replace("stats_persistent=1", "").replace("geomcollection", "geometrycollection")
        text = re.sub(r"\bucase", "upper", text)
        if text == "null":
            return None
    return text


def schema(database: MysqlDatabase, other_kind: bool) -> dict[str, set]:
    connection = database.connect()
    try:
        found = {kind: {tuple(_normal(v, other_kind) for v in row) for row in _rows(connection, query)} for kind, query in SCHEMA_QUERIES.items()}
        if other_kind:  # MariaDB's JSON is a text
            found["columns"] = {r if r[3] != "json" else (*r[:3], "longtext", *r[4:7], "utf8mb4", "utf8mb4_bin", *r[9:]) for r in found["columns"]}
        else:
            found["statements"] = {(t, re.sub(r" AUTO_INCREMENT=\d+", "", _rows(connection, f"SHOW CREATE TABLE {ident(t)}")[0][1])) for t in columns(connection)}
        return found
    finally:
        connection.close()


def schema_differences(source: MysqlDatabase, target: MysqlDatabase, ignore: tuple = ()) -> list[str]:
    other = source.server.version != target.server.version
    left, right = schema(source, other), schema(target, other)
    texts = []
    for kind in left:
        texts += [f"{kind}: only on the source: {row}" for row in sorted(left[kind] - right[kind], key=str)]
        texts += [f"{kind}: only on the target: {row}" for row in sorted(right[kind] - left[kind], key=str)]
    return [t for t in texts if not any(re.search(i, t) for i in ignore)]


def counters(database: MysqlDatabase) -> dict[str, int]:
    """Table → its next AUTO_INCREMENT."""
    connection = database.connect()
    try:
        if database.server.version == "8.0":
            connection.cursor().execute("SET information_schema_stats_expiry = 0")
        return {t: n or 1 for t, n in _rows(connection, "SELECT table_name, auto_increment FROM information_schema.tables WHERE table_schema = database() AND auto_increment IS NOT NULL")}
    finally:
        connection.close()


# -- what could be left behind ---------------------------------------------------------------------------------------
def fingerprint(database: MysqlDatabase) -> dict[str, list]:
    """Everything a migration could leave on the database's server. Compare one from before with one from after."""
    connection = database.server.connect()
    try:
        queries = {
            "databases": "SELECT schema_name, default_character_set_name, default_collation_name FROM information_schema.schemata",
            "tables": f"SELECT table_schema, table_name, table_type FROM information_schema.tables WHERE table_schema NOT IN {SYSTEM}",
            "triggers": f"SELECT trigger_schema, trigger_name, action_statement FROM information_schema.triggers WHERE trigger_schema NOT IN {SYSTEM}",
            "routines": f"SELECT routine_schema, routine_name FROM information_schema.routines WHERE routine_schema NOT IN {SYSTEM}",
            "events": "SELECT event_schema, event_name, status FROM information_schema.events",
            "users": "SELECT user, host FROM mysql.user",
            "sessions": "SELECT user, command FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND user NOT IN ('event_scheduler', 'system user')",
        }
        found = {kind: sorted(_rows(connection, query), key=str) for kind, query in queries.items()}
        found["settings"] = sorted(r for r in _rows(connection, "SHOW GLOBAL VARIABLES") if not MOVING.match(r[0].lower()))
        found["prepared transactions"] = sorted(_rows(connection, "XA RECOVER"), key=str)
        return found
    finally:
        connection.close()


def left_of_ours(database: MysqlDatabase) -> list[str]:
    return [f"{kind}: {row}" for kind, rows in fingerprint(database).items() for row in rows if "midflight" in str(row)
            and kind != "settings"]


def wait_no_sessions(database: MysqlDatabase, timeout: float = 90) -> None:
    """A server notices only when it next writes that nobody reads its log any more."""
    wait_for(lambda: not fingerprint(database)["sessions"], timeout, "no session")
