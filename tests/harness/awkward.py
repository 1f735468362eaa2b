"""Rows for schema_awkward.sql, and changes to them of every kind that has broken a migration. All of it follows from
the seed, so that a failure can be run again."""
from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import psycopg
from psycopg import sql as _sql

SCHEMA = Path(__file__).with_name("schema_awkward.sql")
ODD_SEQUENCE = '"Sch.é ""q"""."Seq.é"'
ODD_TABLE = '"Sch.é ""q"""."Tab.lé ""x"" \\n"'

# For each column of awk.types: literals in SQL. One row takes one of each; NULL is added to all.
VALUES = {
    "c_int2": ["-32768", "32767", "0"],
    "c_int4": ["-2147483648", "2147483647", "0", "1"],
    "c_int8": ["-9223372036854775808", "9223372036854775807", "0"],
    "c_bool": ["true", "false"],
    "c_float4": ["'-0'", "'NaN'", "'Infinity'", "'-Infinity'", "1e-45", "3.4028235e38", "0.1", "16777217"],
    "c_float8": ["'-0'", "'NaN'", "'Infinity'", "'-Infinity'", "'4.9406564584124654e-324'", "'1.7976931348623157e308'", "0.1", "'2.2250738585072011e-308'", "9007199254740993"],
    "c_numeric": ["'NaN'", "0", "0.000", "1.10", "1.1", "'1e-16000'", "('9' || repeat('9', 5000) || '.' || repeat('1', 300))::numeric", "-0.5", "100000000000000000000000000000000000000", "1e10"],
    "c_numeric_ps": ["123456789012345.12345", "-0.00001", "1.50000", "'NaN'"],
    "c_money": ["'$1,234.56'", "'-$92,233,720,368,547,758.08'", "'$0.00'"],
    "c_text": ["''", "' '", "E'tab\\tnl\\ncr\\rbs\\\\'", "'\\N'", "'NULL'", "'\\.'", "'é ✓ 漢字 🦩'", "E'\\x01\\x1f\\x7f'", "repeat('long ', 3000)", "U&'e\\0301 \\00e9 \\feff \\200d'", "'{\"a\"}'", "'a,b;\"c\"''d'''"],
    "c_varchar": ["''", "'trailing   '", "'éééééééééééééééééééééééééééééééééééééééé'"],
    "c_char": ["''", "'x'", "'ten chars!'", "'é'"],
    "c_chr": ["'a'", "''", "'\\377'", "' '"],
    "c_name": ["'pg_class'", "''", "repeat('n', 63)"],
    "c_citext": ["'MiXeD'", "''"],
    "c_bytea": ["''", "'\\x00'", "'\\x00ff5c27220a0d09'", "decode(repeat('00ff', 4000), 'hex')", "'\\x5c5c'"],
    "c_bit": ["B'10101010101'", "B'00000000000'"],
    "c_varbit": ["B''", "B'1'", "repeat('10', 500)::varbit"],
    "c_date": ["'infinity'", "'-infinity'", "'4713-01-01 BC'", "'5874897-12-31'", "'2000-02-29'", "'0001-01-01 BC'"],
    "c_time": ["'00:00'", "'24:00'", "'23:59:59.999999'"],
    "c_timetz": ["'00:00+14'", "'24:00-15:59'", "'12:34:56.789+05:45'"],
    "c_ts": ["'infinity'", "'-infinity'", "'4713-01-01 00:00:00 BC'", "'294276-12-31 23:59:59.999999'", "'2024-02-29 12:00:00.000001'"],
    "c_tstz": ["'infinity'", "'-infinity'", "'4713-01-02 00:00:00+00 BC'", "'294276-12-31 23:59:59.999999+00'", "'2024-03-31 01:30:00+00'", "'1900-01-01 00:00:00+00:17:30'"],
    "c_ts0": ["'2024-01-01 12:00:01'"],
    "c_interval": ["'1 mon -1 days +00:00:00.000001'", "'178000000 years'", "'-178000000 years'", "'0'", "'1 year 2 mons 3 days 04:05:06.789'", "'24:00:00'", "'1 day'"],
    "c_uuid": ["'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"],
    "c_json": ["'{\"b\": 1,  \"a\":1.0, \"a\":2}'", "'null'", "'\"\\u0000\"'", "'[1e400, 12345678901234567890.0]'", "'\"\"'"],
    "c_jsonb": ["'{\"b\": 1, \"a\": 1.10}'", "'null'", "'[]'", "'\"\"'", "'{\"n\": 12345678901234567890.123456789}'", "jsonb_build_object('k', repeat('z', 9000))"],
    "c_jsonpath": ["'$.a[*] ? (@ > 1)'", "'strict $'"],
    "c_xml": ["'<a b=\"c\">é &amp; </a>'", "''", "'plain text'"],
    "c_hstore": ["''", "'a=>NULL, b=>\"\", \"c d\"=>\"e\\\"f\"'"],
    "c_inet": ["'0.0.0.0/0'", "'::1'", "'192.168.0.1/24'", "'::ffff:1.2.3.4/120'"],
    "c_cidr": ["'10.0.0.0/8'", "'::/0'"],
    "c_macaddr": ["'08:00:2b:01:02:03'"],
    "c_macaddr8": ["'08:00:2b:01:02:03:04:05'"],
    "c_point": ["'(0.1,-0)'", "'(NaN,Infinity)'"],
    "c_line": ["'{1,2,3}'"],
    "c_lseg": ["'[(0,0),(1e-300,1)]'"],
    "c_box": ["'(1,1),(0,0)'"],
    "c_path": ["'[(0,0),(1,1)]'", "'((0,0),(1,1),(2,0))'"],
    "c_polygon": ["'((0,0),(1,1),(2,0))'"],
    "c_circle": ["'<(0,0),1.5>'"],
    "c_tsvector": ["''", "'''quo''''ted'':1A fat:2B,4C rat:5'"],
    "c_tsquery": ["'fat & (rat | !cat)'", "'a <-> b'"],
    "c_oid": ["0", "4294967295"],
    "c_regclass": ["'awk.types'", "'pg_class'", "0"],
    "c_regtype": ["'awk.mood'", "'int4'"],
    "c_regproc": ["'awk.add_one'", "'pg_catalog.now'"],
    "c_regrole": ["'pg_monitor'"],
    "c_pg_lsn": ["'0/0'", "'FFFFFFFF/FFFFFFFF'", "'16/B374D848'"],
    "c_xid": ["'0'", "'4294967295'"],
    "c_tid": ["'(0,1)'", "'(4294967294,65535)'"],
    "c_snapshot": ["'10:20:10,14,15'"],
    "c_positive": ["1", "2147483647"],
    "c_label": ["'none'", "''", "'x'"],
    "c_mood": ["'sad'", "'between'", "'it''s \"é\"'", "''"],
    "c_pair": ["ROW(1, 'x')", "ROW(NULL, NULL)", "ROW(NULL, '')", "ROW(-1, 'q\"u,o)t(e\\')"],
    "c_nested": ["ROW(ROW(1, 'a'), ARRAY[ROW(2, 'b,\"'), NULL]::awk.pair[], 'happy', 1.50)", "ROW(NULL, '{}', NULL, 'NaN')"],
    "c_odd": ["'α'", "'β'"],
    "c_int4range": ["'empty'", "'[1,10)'", "'(,)'", "'[5,)'"],
    "c_numrange": ["'[1.10,2.0]'", "'(,NaN)'", "'empty'"],
    "c_tsrange": ["'[\"2020-01-01\",infinity)'", "'(-infinity,\"2020-01-01\"]'"],
    "c_tstzrange": ["'[\"2020-01-01 00:00+00\",\"2021-01-01 00:00+00\")'"],
    "c_daterange": ["'[2020-01-01,2020-02-01)'"],
    "c_floatrange": ["'[-0,1e-300]'", "'[-Infinity,NaN)'"],
    "a_int": ["'{}'", "'{1,NULL,3}'", "'[-2:0]={7,8,9}'", "'{{1,2},{3,4}}'"],
    "a_text": ["'{}'", "ARRAY['', NULL, 'NULL', '{', 'a\"b', 'c\\d', ',', ' ']"],
    "a_text2": ["'{{a,b},{NULL,\"\"}}'", "'{{{x}}}'"],
    "a_numeric": ["'{1.0,1.00,NaN}'"],
    "a_bytea": ["ARRAY['\\x00'::bytea, '\\x'::bytea]"],
    "a_mood": ["ARRAY['sad', '', 'it''s \"é\"']::awk.mood[]"],
    "a_pair": ["ARRAY[ROW(1, '{\"'), ROW(NULL, NULL), NULL]::awk.pair[]"],
    "a_jsonb": ["ARRAY['{\"a\": [1, 2.0]}', 'null', NULL]::jsonb[]"],
    "a_positive": ["'{1,2}'", "'{}'"],
    "a_box": ["'{(1,1),(0,0);(2,2),(1,1)}'"],
    "a_tstz": ["'{infinity,-infinity,NULL}'"],
}
VALUES_14 = {
    "c_numeric": ["'Infinity'", "'-Infinity'"],
    "c_multirange": ["'{}'", "'{[1,3),[5,7)}'", "'{(,)}'"],
    "a_multirange": ["ARRAY['{[2020-01-01,2020-02-01)}', '{}', NULL]::datemultirange[]"],
}
NOT_NULL = {"c_label"}


def _lit(text: str | None) -> str:
    return "NULL" if text is None else _sql.Literal(text).as_string(None)


def _values(version: int) -> dict[str, list[str]]:
    values = {k: list(v) for k, v in VALUES.items()}
    if version >= 140000:
        for column, more in VALUES_14.items():
            values[column] = values.get(column, []) + more
    return values


def awkward_schema(connection: psycopg.Connection) -> None:
    connection.execute(SCHEMA.read_text())


def _made_on(connection: psycopg.Connection) -> int:
    """The version whose types the schema has: one that came from an older server lacks the newer ones."""
    has = connection.execute("SELECT count(*) FROM pg_catalog.pg_attribute WHERE attrelid = 'awk.types'::regclass AND attname = 'c_multirange'").fetchone()[0]
    return connection.info.server_version if has else min(connection.info.server_version, 139999)


def types_row(rng: random.Random, version: int, id_: int, which: int | None = None) -> str:
    """INSERT of one row of awk.types; `which` walks through every value of every column as it grows."""
    values = _values(version)
    columns, items = ["id"], [str(id_)]
    for column, choices in values.items():
        choices = choices + ([] if column in NOT_NULL else ["NULL"])
        columns.append(column)
        items.append(choices[which % len(choices)] if which is not None else rng.choice(choices))
    return f"INSERT INTO awk.types ({', '.join(columns)}) VALUES ({', '.join(items)})"


def _word(rng: random.Random) -> str:
    return "".join(rng.choice("abcXYZ éß漢 _%\\'\"") for _ in range(rng.randint(0, 12)))


def _big(rng: random.Random, size: int) -> str:
    """SQL for a text that does not compress well, so that it really goes out of line."""
    return f"(SELECT string_agg(md5({rng.randint(0, 10**9)}::text || i), '') FROM generate_series(1, {max(1, size // 32)}) i)"


def awkward_data(connection: psycopg.Connection, rows: int = 200, seed: int = 1) -> None:
    """Fills a fresh awkward schema: about `rows` rows in each ordinary table."""
    rng = random.Random(seed)
    version = _made_on(connection)
    run = connection.execute
    most = max(map(len, _values(version).values())) + 1
    for i in range(max(most * 2, min(rows, 300))):
        run(types_row(rng, version, i + 1, i if i < most * 2 else None))
    n = rows
    run(f"""
      INSERT INTO awk.key_text SELECT CASE WHEN i = 0 THEN '' ELSE chr(32 + (i * 37) % 90) || i END, repeat('v', i % 100) FROM generate_series(0, {n}) i;
      INSERT INTO awk.key_text VALUES ('é', 'e acute'), ('e' || U&'\\0301', 'combined'), ('漢', NULL), (E'new\\nline', ''), ('\\N', 'n');
      INSERT INTO awk.key_collated SELECT md5(i::text), i FROM generate_series(1, {n}) i;
      INSERT INTO awk.key_composite SELECT i % 10, 'b' || i % 7, '2020-01-01'::timestamptz + i * interval '1 hour', i FROM generate_series(1, {n}) i;
      INSERT INTO awk.key_composite VALUES (1, '', 'infinity', 'inf'), (1, '', '-infinity', 'minus inf');
      INSERT INTO awk.key_uuid SELECT md5(i::text)::uuid, i FROM generate_series(1, {n}) i;
      INSERT INTO awk.key_numeric SELECT i * 1.10, i FROM generate_series(1, {n}) i;
      INSERT INTO awk.key_numeric VALUES ('NaN', 'nan'), (-0.1, 'neg'), ('1e50', 'big'), ('1e-50', 'small');
      INSERT INTO awk.key_float SELECT i / 3.0, i FROM generate_series(1, {n}) i;
      INSERT INTO awk.key_float VALUES ('NaN', 'nan'), ('Infinity', 'inf'), ('-Infinity', '-inf'), ('-0', 'minus zero'), ('4.9406564584124654e-324', 'denormal');
      INSERT INTO awk.key_bytea SELECT decode(md5(i::text), 'hex'), i FROM generate_series(1, {n}) i;
      INSERT INTO awk.key_bytea VALUES ('', 'empty'), ('\\x00', 'zero'), ('\\x0000', 'two zeros');
      INSERT INTO awk.key_enum SELECT m, m::text FROM unnest(enum_range(NULL::awk.mood)) m;
      INSERT INTO awk.key_domain SELECT i, i FROM generate_series(1, {n}) i;
      INSERT INTO awk.key_sparse SELECT i, i FROM generate_series(1, {n}) i;
      INSERT INTO awk.key_sparse VALUES (-9223372036854775808, 'min'), (9223372036854775807, 'max'), (9223372036854775806, 'max-1'), (0, 'zero'), (-1, 'minus one');
      INSERT INTO awk.key_citext SELECT 'Key' || i, i FROM generate_series(1, {n}) i;
      INSERT INTO awk.key_deferred SELECT i, 'd' || i FROM generate_series(1, {n}) i;
      INSERT INTO awk.key_include SELECT i, repeat('e', i % 9), i FROM generate_series(1, {n}) i;
      INSERT INTO awk.key_late SELECT 'v' || i, i, i FROM generate_series(1, {n}) i;
      INSERT INTO awk.key_only SELECT i, -i FROM generate_series(1, {n}) i;
      INSERT INTO awk.nokey SELECT i % 5, CASE WHEN i % 3 = 0 THEN NULL WHEN i % 3 = 1 THEN '' ELSE 'dup' END FROM generate_series(1, {n}) i;
      INSERT INTO awk.nokey_full SELECT i % 5, CASE WHEN i % 2 = 0 THEN NULL ELSE 'd' END, (i % 3)::numeric(10,2) FROM generate_series(1, {n}) i;
      INSERT INTO awk.nokey_full VALUES (NULL, NULL, NULL), (NULL, NULL, NULL), (1, 'nan', 'NaN'), (1, 'nan', 'NaN');
      INSERT INTO awk.full_with_key SELECT i, 'a' || i, repeat(md5(i::text), 100) FROM generate_series(1, {n}) i;
      INSERT INTO awk.identity_index SELECT 'c' || i, i % 3, i FROM generate_series(1, {n}) i;
      INSERT INTO awk.unique_nulls SELECT i, CASE WHEN i % 2 = 0 THEN i END, i, CASE WHEN i % 3 > 0 THEN 'q' END FROM generate_series(1, {n}) i;
      INSERT INTO awk.unique_only SELECT CASE WHEN i % 4 > 0 THEN i END, 'u' FROM generate_series(1, {n}) i;
      INSERT INTO awk.nothing DEFAULT VALUES; INSERT INTO awk.nothing DEFAULT VALUES;
      INSERT INTO awk.unlogged SELECT i, i FROM generate_series(1, 10) i;
      INSERT INTO awk.swap SELECT i, i, 's' || i FROM generate_series(1, {n}) i;
      INSERT INTO awk.excluded SELECT i, i % 3, tsrange('2020-01-01'::timestamp + i * interval '1 day', '2020-01-01'::timestamp + (i + 1) * interval '1 day') FROM generate_series(1, {n}) i;
      INSERT INTO awk.generated (base, title) SELECT i, 'Title ' || i FROM generate_series(1, {n}) i;
      INSERT INTO awk.identities (v) SELECT 'i' || i FROM generate_series(1, {n}) i;
      INSERT INTO awk.dropped (id, v) SELECT i, 'v' FROM generate_series(1, {n}) i;
      INSERT INTO {ODD_TABLE} SELECT i, 's', 'q', 'b', 'ü' || i, 'sel', 'α' FROM generate_series(1, {n}) i;
      INSERT INTO awk."MixedCase" SELECT i, 'u' FROM generate_series(1, {n}) i;
      INSERT INTO awk.toast SELECT i, 's', (SELECT string_agg(md5(i * 1000 + j || ''), '') FROM generate_series(1, 100 + i % 400) j), repeat('external', 1000 + i % 50), decode(repeat(md5(i::text), 300), 'hex') FROM generate_series(1, {min(n, 500)}) i;
      INSERT INTO awk.toast_moving SELECT i, 0, (SELECT string_agg(md5(i * 7919 + j || ''), '') FROM generate_series(1, 120) j) FROM generate_series(1, {min(n, 500)}) i;
      INSERT INTO awk.wide (c1, c2, c3, c4, c1600) SELECT i, true, i, repeat('w', i), 'last' FROM generate_series(1, 20) i;
      INSERT INTO awk.part_list SELECT i, (ARRAY['eu', 'uk', 'us', 'jp', ''])[1 + i % 5], 'p' FROM generate_series(1, {n}) i;
      INSERT INTO awk.part_range SELECT i, '2019-06-01'::timestamptz + i * interval '3 days', 'r' FROM generate_series(1, {n}) i;
      INSERT INTO awk.part_range VALUES (-1, '-infinity', 'start'), (-2, 'infinity', 'end') ON CONFLICT DO NOTHING;
      INSERT INTO awk.parent SELECT i, 'parent' FROM generate_series(1, {n}) i;
      INSERT INTO awk.child SELECT i, 'child', 'x' FROM generate_series(1, {n}) i;  -- the same keys as the parent's own rows
      INSERT INTO awk.grandchild SELECT i, 'grandchild', 'x', i FROM generate_series(1, {n}) i;
      INSERT INTO awk.tree SELECT i, CASE WHEN i > 1 THEN i / 2 END, 't' FROM generate_series(1, {n}) i;
      BEGIN; INSERT INTO awk.cycle_a SELECT i, i FROM generate_series(1, {n}) i; INSERT INTO awk.cycle_b SELECT i, {n} + 1 - i FROM generate_series(1, {n}) i; COMMIT;
      INSERT INTO awk.cascade_top SELECT i, 't' FROM generate_series(1, {n}) i;
      INSERT INTO awk.cascade_mid SELECT i, 1 + i % {n}, 'm' FROM generate_series(1, {n} * 2) i;
      INSERT INTO awk.cascade_low SELECT i, 1 + i % ({n} * 2), 'l' FROM generate_series(1, {n} * 2) i;
      INSERT INTO awk.not_valid SELECT i, -i FROM generate_series(1, 10) i;
      INSERT INTO awk.part_ref SELECT i, i, (ARRAY['eu', 'uk', 'us', 'jp', ''])[1 + i % 5] FROM generate_series(1, {n}) i;
      INSERT INTO awk.audited (id, v) SELECT i, 'a' FROM generate_series(1, {n}) i;
      INSERT INTO awk.trigger_kinds SELECT i, 'k' FROM generate_series(1, {n}) i;
      INSERT INTO awk.ruled SELECT i, 'r' FROM generate_series(1, {n}) i;
      INSERT INTO awk.secured SELECT i, CASE i % 2 WHEN 0 THEN 'nobody' ELSE current_user END, 's' FROM generate_series(1, {n}) i;
      INSERT INTO awk.secured_forced SELECT i, 's' FROM generate_series(1, {n}) i;
      INSERT INTO awk.seq_owner (id) SELECT i FROM generate_series(1, 13) i;
      SELECT nextval('awk.seq_down'), nextval('awk.seq_cycle'), nextval('awk.seq_small'), setval('awk.seq_owned', 77, false), nextval({_lit(ODD_SEQUENCE)}) FROM generate_series(1, 11);
      ALTER TABLE awk.not_valid ADD CONSTRAINT not_valid_top FOREIGN KEY (top) REFERENCES awk.cascade_top NOT VALID;
      REFRESH MATERIALIZED VIEW awk.matview;
      ANALYZE;
    """)


def awkward_churn(connection: psycopg.Connection, seed: int, steps: int = 30, truncate: bool = True) -> int:
    """Changes of every kind, in transactions of one to a few statements; the number of transactions committed. Needs
    an autocommit connection. A statement that the schema's own constraints refuse rolls its transaction back, which
    is one more thing that must not be replayed."""
    rng = random.Random(seed)
    version = _made_on(connection)
    committed = 0
    moves = _moves(rng, version, truncate)
    for _ in range(steps):
        statements = [s for _ in range(rng.choice((1, 1, 2, 4))) for s in rng.choice(moves)()]
        rollback = rng.random() < 0.05
        savepoint = rng.random() < 0.15
        try:
            with connection.transaction():
                for statement in statements:
                    if savepoint and rng.random() < 0.5:
                        try:
                            with connection.transaction():
                                connection.execute(statement)
                                if rng.random() < 0.3:
                                    raise psycopg.Rollback()
                        except (psycopg.errors.IntegrityError, psycopg.errors.DataError):
                            pass
                    else:
                        connection.execute(statement)
                if rollback:
                    raise psycopg.Rollback()
            committed += not rollback
        except (psycopg.errors.IntegrityError, psycopg.errors.DataError, psycopg.errors.DeadlockDetected):
            pass
    return committed


def _moves(rng: random.Random, version: int, truncate: bool) -> list:
    r = lambda top=200: rng.randint(1, top)
    values = _values(version)

    def types_update():
        column = rng.choice(list(values))
        choices = values[column] + ([] if column in NOT_NULL else ["NULL"])
        return [f"UPDATE awk.types SET {column} = {rng.choice(choices)} WHERE id = {r(60)}"]

    def types_new():
        return [types_row(rng, version, rng.randint(10**6, 10**9))]

    def types_delete():
        return [f"DELETE FROM awk.types WHERE id = (SELECT max(id) FROM awk.types WHERE id > {r(60)})"]

    def key_change():
        table, key, new = rng.choice([
            ("awk.key_text", "k", lambda: _lit(_word(rng) + str(r(10**6)))),
            ("awk.key_uuid", "k", lambda: f"md5('{r(10**6)}')::uuid"),
            ("awk.key_numeric", "k", lambda: f"{r(10**6)}.10"),
            ("awk.key_float", "k", lambda: f"{r(10**6)} / 7.0"),
            ("awk.key_bytea", "k", lambda: f"decode(md5('{r(10**6)}'), 'hex')"),
            ("awk.key_sparse", "k", lambda: str(rng.randint(-2**63, 2**63 - 1))),
            ("awk.key_citext", "k", lambda: _lit("K" + str(r(10**6)))),
            ("awk.key_late", "k", lambda: str(r(10**6))),
            ("awk.key_only", "a", lambda: str(r(10**6))),
            ("awk.toast_moving", "id", lambda: str(r(10**6))),
            ("awk.toast", "id", lambda: str(r(10**6))),
            ("awk.full_with_key", "id", lambda: str(r(10**6))),
            ("awk.identity_index", "code", lambda: _lit("c" + str(r(10**6)))),
            (ODD_TABLE, '"Id"', lambda: str(r(10**6))),
        ])
        return [f"UPDATE {table} SET {key} = {new()} WHERE {key} = (SELECT {key} FROM {table} ORDER BY {key} OFFSET {r(100)} LIMIT 1)"]

    def key_case():  # equal under citext, different bytes
        return [f"UPDATE awk.key_citext SET k = upper(k::text) WHERE k = 'key{r()}'"]

    def numeric_scale():  # equal numbers, different text; the key's own text changes and the key does not
        return [f"UPDATE awk.key_numeric SET k = k * 1.0, v = 'scaled' WHERE k = {r()} * 1.10"]

    def zero_sign():
        return ["UPDATE awk.key_float SET k = -k WHERE k = 0"]

    def swap_places():
        a, b = r(), r()
        return [f"UPDATE awk.swap SET place = -place WHERE id = {a}", f"UPDATE awk.swap SET place = {10**6 + r(10**6)} WHERE id = {b} AND id <> {a}",
                f"UPDATE awk.swap SET place = (SELECT -place FROM awk.swap WHERE id = {a} AND place < 0) WHERE id = {b} AND id <> {a} AND EXISTS (SELECT FROM awk.swap WHERE id = {a} AND place < 0)",
                f"UPDATE awk.swap SET place = {2 * 10**6 + r(10**8)} WHERE id = {a}"]

    def swap_deferred():
        a, b = r(), r()
        return ["SET CONSTRAINTS ALL DEFERRED", f"UPDATE awk.key_deferred SET k = CASE k WHEN {a} THEN {b} ELSE {a} END WHERE k IN ({a}, {b})",
                f"UPDATE awk.key_deferred SET v = CASE k WHEN {a} THEN 'd{b}' ELSE 'd{a}' END WHERE k IN ({a}, {b})"]

    def shift_keys():
        return ["SET CONSTRAINTS ALL DEFERRED", f"UPDATE awk.key_deferred SET k = k + 1 WHERE k BETWEEN {r(50)} AND {r(100)}"]

    def reuse_key():  # delete and insert of one key in one transaction, and back
        k = r()
        return [f"DELETE FROM awk.key_domain WHERE k = {k}", f"INSERT INTO awk.key_domain VALUES ({k}, {_lit(_word(rng))})"]

    def partition_move():
        return rng.choice([
            [f"UPDATE awk.part_list SET region = '{rng.choice(['eu', 'uk', 'us', 'jp', 'cn'])}' WHERE id = {r()}"],
            [f"UPDATE awk.part_range SET at = '{rng.choice(['2019-01-05', '2020-05-05', '2023-03-03'])}'::timestamptz + {r(10**6)} * interval '1 second' WHERE id = {r()}"],
            [f"INSERT INTO awk.part_range VALUES ({rng.randint(10**6, 10**9)}, '{rng.choice(['1999-01-01', '2020-02-02', '2030-01-01'])}', 'new')"],
        ])

    def toast_untouched():
        return rng.choice([
            [f"UPDATE awk.toast SET small = {_lit(_word(rng))} WHERE id = {r()}"],
            [f"UPDATE awk.toast_moving SET counter = counter + 1 WHERE id = {r()}"],
            [f"UPDATE awk.toast_moving SET counter = counter + 1, id = id + 100000 WHERE id = {r()}"],
            [f"UPDATE awk.full_with_key SET a = {_lit(_word(rng))} WHERE id = {r()}"],
        ])

    def toast_changed():
        return rng.choice([
            [f"UPDATE awk.toast SET big = {_big(rng, rng.randint(100, 60000))} WHERE id = {r()}"],
            [f"UPDATE awk.toast SET external = NULL, raw = '' WHERE id = {r()}"],
            [f"UPDATE awk.toast SET external = external || 'x' WHERE id = {r()}"],
            [f"INSERT INTO awk.toast VALUES ({rng.randint(10**6, 10**9)}, NULL, {_big(rng, 200000)}, repeat('e', 9000), '\\x00')"],
        ])

    def empty_null():
        return rng.choice([
            [f"UPDATE awk.key_text SET v = NULL WHERE v = '' AND length(k) > {r(4)}"],
            [f"UPDATE awk.key_collated SET v = CASE WHEN v IS NULL THEN '' WHEN v = '' THEN NULL ELSE '' END WHERE k < '{rng.choice('123456')}'"],
            [f"UPDATE awk.full_with_key SET a = CASE WHEN a IS NULL THEN '' ELSE NULL END WHERE id = {r()}"],
        ])

    def keyless():
        return rng.choice([
            [f"DELETE FROM awk.nokey_full WHERE ctid = (SELECT min(ctid) FROM awk.nokey_full WHERE a = {r(5)})"],  # one of several equal rows
            [f"UPDATE awk.nokey_full SET c = c + 1.00 WHERE ctid = (SELECT min(ctid) FROM awk.nokey_full WHERE a = {r(5)})"],
            ["UPDATE awk.nokey_full SET b = '' WHERE b IS NULL AND a = 2"],
            [f"INSERT INTO awk.nokey_full VALUES ({r(5)}, 'd', 1.00), ({r(5)}, 'd', 1.00)"],
            [f"INSERT INTO awk.nokey VALUES ({r(5)}, 'dup'), ({r(5)}, NULL)"],
            [f"UPDATE awk.unique_only SET u = NULL WHERE u = {r()}"],
            [f"DELETE FROM awk.ruled_log WHERE id = {r()}"],
        ])

    def references():
        return rng.choice([
            [f"DELETE FROM awk.cascade_top WHERE id = {r()}"],
            [f"UPDATE awk.cascade_top SET id = id + 1000000 WHERE id = {r()}"],
            [f"DELETE FROM awk.cascade_mid WHERE id = {r()}"],
            [f"DELETE FROM awk.tree WHERE id = (SELECT max(id) FROM awk.tree)"],
            [f"INSERT INTO awk.cycle_a VALUES ({(k := rng.randint(10**6, 10**9))}, {k})", f"INSERT INTO awk.cycle_b VALUES ({k}, {k})"],
            [f"DELETE FROM awk.part_list WHERE id = {r()}"],
        ])

    def triggers():
        return rng.choice([
            [f"UPDATE awk.audited SET v = {_lit(_word(rng))} WHERE id = {r()}"],
            [f"INSERT INTO awk.audited (id, v) VALUES ({rng.randint(10**6, 10**9)}, 'new')"],
            [f"DELETE FROM awk.audited WHERE id = {r()}"],
            [f"INSERT INTO awk.ruled VALUES ({rng.randint(10**6, 10**9)}, 'new')"],
        ])

    def plain():
        return rng.choice([
            ["INSERT INTO awk.generated (base, title) VALUES (1, 'A New Title')"],
            [f"UPDATE awk.generated SET base = base + 1 WHERE id = {r()}"],
            ["INSERT INTO awk.identities (v) VALUES ('more')"],
            [f"UPDATE awk.dropped SET later = later + 1 WHERE id = {r()}"],
            [f"UPDATE awk.wide SET c1598 = NOT coalesce(c1598, false), c7 = {_lit(_word(rng))} WHERE c1 = {r(20)}"],
            [f"UPDATE {ODD_TABLE} SET \"ünï.cödé\" = {_lit(_word(rng))}, \" \" = 'β' WHERE \"Id\" = {r()}"],
            [f"UPDATE awk.unique_nulls SET u = NULL WHERE id = {r()}"],
            [f"UPDATE ONLY awk.parent SET v = {_lit(_word(rng))} WHERE id = {r()}"],
            [f"UPDATE awk.child SET v = {_lit(_word(rng))} WHERE id = {r()}"],
            [f"DELETE FROM awk.grandchild WHERE id = {r()}"],
            [f"UPDATE awk.excluded SET room = room + 3 WHERE id = {r()}"],
            [f"UPDATE awk.secured SET v = {_lit(_word(rng))} WHERE id = {r()}"],
            ["SELECT nextval('awk.seq_free'), nextval('awk.seq_down'), nextval('awk.seq_cycle')"],
        ])

    def truncates():
        return rng.choice([
            ["TRUNCATE awk.trigger_kinds", f"INSERT INTO awk.trigger_kinds SELECT i, 'again' FROM generate_series(1, {r(20)}) i"],
            ["TRUNCATE awk.part_ref, awk.part_list", "INSERT INTO awk.part_list SELECT i, 'us', 'p' FROM generate_series(1, 50) i"],
            ["TRUNCATE awk.identities RESTART IDENTITY", "INSERT INTO awk.identities (v) VALUES ('first')"],
            ["TRUNCATE ONLY awk.child"],
        ])

    moves = [types_update, types_update, types_new, types_delete, key_change, key_change, key_case, numeric_scale, zero_sign, swap_places, swap_deferred,
             shift_keys, reuse_key, partition_move, partition_move, toast_untouched, toast_untouched, toast_changed, empty_null, keyless, keyless, references, triggers, plain, plain]
    return moves + [truncates] if truncate else moves


class AwkwardLoad:
    """awkward_churn in a thread until it is stopped. Follows no switch: for one side of a migration."""

    def __init__(self, url: str, seed: int = 1, truncate: bool = True, pause: float = 0.0):
        self.url, self.seed, self.truncate, self.pause_between = url, seed, truncate, pause
        self.stopping = threading.Event()
        self.committed = 0
        self.failure: BaseException | None = None

    def start(self) -> "AwkwardLoad":
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        return self

    def _run(self) -> None:
        try:
            self._churn()
        except BaseException as error:  # told by stop()
            self.failure = error

    def _churn(self) -> None:
        with psycopg.connect(self.url, autocommit=True, application_name="awkward") as connection:
            self._until_stopped(lambda: awkward_churn(connection, self.seed, steps=5, truncate=self.truncate))

    def _until_stopped(self, churn) -> None:
        while not self.stopping.is_set():
            begun = time.monotonic()
            self.committed += churn()
            self.seed += 1
            # Where servers are slow (a machine's disk, many at once) the load is too: the other side has to keep up with it.
            self.stopping.wait(min(1.0, max(self.pause_between, time.monotonic() - begun)))

    def stop(self) -> None:
        self.stopping.set()
        self.thread.join(90)
        if self.failure:
            raise self.failure
        assert not self.thread.is_alive(), "the awkward load did not end in 90 s"

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        try:
            self.stop()
        except BaseException:
            if kind is None:
                raise
