"""Tables for the MySQL benchmarks: sysbench's, and a wide one with the types applications use."""
from __future__ import annotations

from common import log
from harness.mysql_servers import MysqlDatabase
from harness.sysbench import Sysbench

WIDE = """CREATE TABLE wide (id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, made datetime(6) NOT NULL, seen timestamp NULL, kind int NOT NULL, price decimal(12,2) NOT NULL,
          ratio double, doc json NOT NULL, title varchar(200) NOT NULL, body text NOT NULL, note varchar(100) CHARACTER SET latin1, KEY kind (kind), KEY title (title))"""


def sbtest(database: MysqlDatabase, tables: int, rows: int) -> None:
    log(f"filling {tables} tables of sysbench with {rows:,} rows each")
    Sysbench(database).prepare(tables, rows)


def wide(database: MysqlDatabase, rows: int) -> None:
    """About 900 bytes a row: JSON, text, numbers, times, a null here and there. No double in the JSON is whole: 5.7 shows 10 where 8.0 shows
    10.0, which pt-table-checksum takes for a difference."""
    log(f"filling a wide table with {rows:,} rows")
    database.execute(WIDE)
    database.execute("CREATE TABLE wide_seed (n int PRIMARY KEY)")
    step = 10_000
    database.execute("INSERT INTO wide_seed VALUES " + ",".join(f"({i})" for i in range(step)))
    for first in range(0, rows, step):
        database.execute(f"""
            INSERT INTO wide SELECT {first} + n + 1, TIMESTAMPADD(MICROSECOND, n * 1001, '2024-01-01 00:00:00') , IF(n % 5, TIMESTAMPADD(SECOND, {first} + n, '2020-06-01'), NULL), n % 50, (n % 100000) / 7,
                   IF(n % 3, n / 3e0, NULL), JSON_OBJECT('id', {first} + n, 'name', MD5(n), 'tags', JSON_ARRAY(n % 7, n % 11, MD5(n + 1)), 'nested', JSON_OBJECT('a', n + 0.25e0, 'b', REPEAT(MD5(n % 97), 4))),
                   CONCAT('title ', MD5({first} + n)), CONCAT_WS(' ', MD5(n), SHA1({first} + n), 'un été à la mer', REPEAT(MD5(n + 7), 10)), IF(n % 3, MD5(n * 7), NULL)
            FROM wide_seed WHERE n < {min(step, rows - first)}""")
    database.execute("DROP TABLE wide_seed")


def size(database: MysqlDatabase) -> tuple[int, int]:
    """Bytes and rows. Also reads every table once: nobody is the first to read it from the disk."""
    tables = [t for t, in database.rows("SHOW TABLES")]
    rows = sum(database.value(f"SELECT COUNT(*) FROM `{t}`") for t in tables)
    for table in tables:
        database.rows(f"CHECKSUM TABLE `{table}`")
        database.rows(f"ANALYZE TABLE `{table}`")
    return int(database.value("SELECT SUM(data_length + index_length) FROM information_schema.tables WHERE table_schema = DATABASE()")), rows
