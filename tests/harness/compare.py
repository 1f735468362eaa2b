"""An independent comparison of two databases: it shares no code and no method with `midflight verify`.

`compare()` counts and sums two 64-bit hashes of each row's text on both servers; where they differ it fetches the rows'
texts and names the rows. Row text keeps what matters (trailing zeros, -0, NaN, '' or NULL, infinity), because every
setting that changes output is the same on both sides.

`schema()` describes what pg_dump would dump, from the catalogues, so that it works across versions whose dumps do not.
`catalog_fingerprint()` is everything a migration could leave behind.
"""
from __future__ import annotations

import collections
import re
import subprocess
import time
from dataclasses import dataclass, field

import psycopg

from .servers import ident, literal, wait_for

OURS = re.compile(r"^_?midflight")
SETTINGS = ("SET extra_float_digits = 3; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; SET timezone = 'UTC';"
            "SET bytea_output = 'hex'; SET lc_monetary = 'C'; SET search_path = ''; SET xmloption = content; SET row_security = off;"
            "SET client_encoding = 'UTF8'; SET default_transaction_read_only = off; SET statement_timeout = 0")
USER_SCHEMAS = ("n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname NOT LIKE 'pg\\_temp%' "
                "AND n.nspname NOT LIKE 'pg\\_toast\\_temp%'")


@dataclass
class Difference:
    object: str
    what: str

    def __str__(self):
        return f"{self.object}: {self.what}"


@dataclass
class Comparison:
    differences: list[Difference] = field(default_factory=list)
    tables: int = 0
    rows: int = 0

    @property
    def equal(self) -> bool:
        return not self.differences

    def add(self, object_: str, what: str) -> None:
        self.differences.append(Difference(object_, what))

    def __str__(self) -> str:
        if self.equal:
            return f"equal: {self.tables} tables, {self.rows} rows"
        return "\n".join(map(str, self.differences[:40]))


def open_snapshot(url: str) -> psycopg.Connection:
    connection = psycopg.connect(url, autocommit=True)
    connection.execute(SETTINGS)
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    return connection


class OneByte(str):
    """The name of a column of type "char": its text is another one since PostgreSQL 15 (a bare byte before, not UTF-8)."""


def tables(connection, unlogged: bool = True) -> dict[str, list[str]]:
    """Name → columns of every table with rows of its own (partitions, not their parents), extensions' tables left out
    unless they are configuration tables."""
    rows = connection.execute(f"""
        SELECT n.nspname, c.relname,
               coalesce((SELECT array_agg(attname::text ORDER BY attnum) FROM pg_catalog.pg_attribute a
                         WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped), '{{}}'::text[]),
               coalesce((SELECT array_agg(attname::text) FROM pg_catalog.pg_attribute a
                         WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND atttypid = 18), '{{}}'::text[])
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
        WHERE relkind = 'r' AND {USER_SCHEMAS} AND relpersistence IN ('p'{", 'u'" if unlogged else ''})
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
        ORDER BY 1, 2""").fetchall()
    return {f"{ident(schema)}.{ident(name)}": [OneByte(c) if c in bytes_ else c for c in columns]
            for schema, name, columns, bytes_ in rows if not OURS.match(schema)}


def _expression(columns: list[str]) -> str:
    # by name and in the source's order: a column's place may differ where one was dropped before it
    value = lambda c: f"mf_t_.{ident(c)}" + ("::int4" if isinstance(c, OneByte) else "")
    return "ROW(" + ", ".join(map(value, columns)) + ")::text" if columns else "'()'::text"


def _row_texts(connection, table: str, columns: list[str]):
    with connection.cursor(name="compare") as cursor:
        cursor.itersize = 5000
        cursor.execute(f"SELECT {_expression(columns)} FROM ONLY {table} mf_t_")
        for (text,) in cursor:
            yield text


def digest(connection, table: str, columns: list[str]) -> tuple:
    text = _expression(columns)
    return connection.execute(
        f"SELECT count(*), coalesce(sum(pg_catalog.hashtextextended(mf_r_, 0)::numeric), 0), coalesce(sum(pg_catalog.hashtextextended(mf_r_, 42)::numeric), 0) "
        f"FROM (SELECT {text} AS mf_r_ FROM ONLY {table} mf_t_) mf_s_").fetchone()


def compare(source: str, target: str, *, include: re.Pattern | str = ".*", sequences: str = "exact", skip: set[str] = frozenset(),
            large_objects: bool = False, unlogged: bool = True, max_named: int = 10) -> Comparison:
    """Compares two databases that stand still. `sequences`: exact | at_least (the target's may be ahead) | skip."""
    result = Comparison()
    with open_snapshot(source) as a, open_snapshot(target) as b:
        left, right = tables(a, unlogged), tables(b, unlogged)
        wanted = lambda name: re.search(include, name) and name not in skip
        for name in sorted(set(left) | set(right)):
            if not wanted(name):
                continue
            if name not in right:
                result.add(name, "is not on the target")
                continue
            if name not in left:
                result.add(name, "is on the target only")
                continue
            if sorted(left[name]) != sorted(right[name]):
                result.add(name, f"columns differ: {sorted(set(left[name]) ^ set(right[name]))[:5]}")
                continue
            result.tables += 1
            one, two = digest(a, name, left[name]), digest(b, name, left[name])
            result.rows += one[0]
            if one != two and max(one[0], two[0]) > 3_000_000:
                result.add(name, f"rows differ ({one[0]} and {two[0]} rows)")
            elif one != two:
                name_rows(_row_texts(a, name, left[name]), _row_texts(b, name, left[name]), name, result, max_named)
        if sequences != "skip":
            _compare_sequences(a, b, sequences, wanted, result)
        if large_objects:
            query = "SELECT oid::int8, md5(pg_catalog.lo_get(oid)) FROM pg_catalog.pg_largeobject_metadata ORDER BY 1"
            if a.execute(query).fetchall() != b.execute(query).fetchall():
                result.add("large objects", "differ")
    return result


def name_rows(left, right, name: str, result: Comparison, max_named: int = 10) -> None:
    """Adds what only one of two bags of row texts has."""
    rows = collections.Counter(left)
    rows.subtract(right)
    only_source = [(text, n) for text, n in rows.items() if n > 0]
    only_target = [(text, -n) for text, n in rows.items() if n < 0]
    for side, found in (("only on the source", only_source), ("only on the target", only_target)):
        if found:
            shown = "; ".join(f"{text[:200]}{f' ×{n}' if n > 1 else ''}" for text, n in found[:max_named])
            result.add(name, f"{sum(n for _, n in found)} rows {side}: {shown}")
    if not only_source and not only_target:
        result.add(name, "digests differ but no row does")


def sequences_of(connection) -> dict[str, tuple]:
    names = connection.execute(
        f"SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace WHERE relkind = 'S' AND {USER_SCHEMAS} "
        "AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') ORDER BY 1, 2"
    ).fetchall()
    found = {}
    for schema, name in names:
        if not OURS.match(schema):
            qualified = f"{ident(schema)}.{ident(name)}"
            increment = connection.execute("SELECT seqincrement FROM pg_catalog.pg_sequence WHERE seqrelid = %s::regclass", (qualified,)).fetchone()[0]
            found[qualified] = (*connection.execute(f"SELECT last_value, is_called FROM {qualified}").fetchone(), increment)
    return found


def _compare_sequences(a, b, mode, wanted, result: Comparison) -> None:
    left, right = sequences_of(a), sequences_of(b)
    for name in sorted(set(left) | set(right)):
        if not wanted(name):
            continue
        if name not in left or name not in right:
            result.add(name, f"sequence is on the {'target' if name in right else 'source'} only")
            continue
        (value_a, called_a, increment), (value_b, called_b, _) = left[name], right[name]
        if (value_a, called_a) == (value_b, called_b):
            continue
        next_a = value_a + (increment if called_a else 0)
        next_b = value_b + (increment if called_b else 0)
        if mode == "at_least" and (next_b >= next_a if increment > 0 else next_b <= next_a):
            continue
        result.add(name, f"sequence is at {value_a} ({called_a}) and {value_b} ({called_b})")


# -- schema ---------------------------------------------------------------------------------------------------------
_NOT_EXTENSION = "NOT EXISTS (SELECT FROM pg_catalog.pg_depend d_ WHERE d_.classid = '{catalog}'::regclass AND d_.objid = {oid} AND d_.deptype = 'e')"


def _no_ext(catalog: str, oid: str) -> str:
    return _NOT_EXTENSION.format(catalog="pg_catalog." + catalog, oid=oid)


SCHEMA_QUERIES = {
    "schemas": f"SELECT nspname, pg_catalog.obj_description(n.oid, 'pg_namespace') FROM pg_catalog.pg_namespace n WHERE {USER_SCHEMAS}",
    "extensions": "SELECT extname FROM pg_catalog.pg_extension",
    "relations": f"""SELECT n.nspname, relname, relkind, relpersistence, relreplident, relrowsecurity, relforcerowsecurity, relispartition,
          pg_catalog.pg_get_expr(relpartbound, c.oid), CASE WHEN relkind = 'p' THEN pg_catalog.pg_get_partkeydef(c.oid) END, reloptions,
          CASE WHEN relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(c.oid) END, pg_catalog.obj_description(c.oid, 'pg_class'), relispopulated
          FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND {USER_SCHEMAS} AND {_no_ext('pg_class', 'c.oid')}""",
    "columns": f"""SELECT n.nspname, relname, attname, row_number() OVER (PARTITION BY c.oid ORDER BY attnum), pg_catalog.format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated,
          attstorage, attstattarget IS NULL OR attstattarget = -1,
          (SELECT array_agg(o ORDER BY o) FROM unnest(attoptions) o WHERE o NOT LIKE 'pg_attver=%'), (SELECT collname FROM pg_catalog.pg_collation co WHERE co.oid = attcollation),
          pg_catalog.pg_get_expr(adbin, adrelid), pg_catalog.col_description(c.oid, attnum), attislocal, attinhcount
          FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = attrelid JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace LEFT JOIN pg_catalog.pg_attrdef ON adrelid = attrelid AND adnum = attnum
          WHERE attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND {USER_SCHEMAS} AND {_no_ext('pg_class', 'c.oid')}""",
    "inheritance": f"SELECT inhrelid::regclass::text, inhparent::regclass::text, inhseqno FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = inhrelid AND relkind IN ('r', 'p')",
    "constraints": f"""SELECT n.nspname, conrelid::regclass::text, contypid::regtype::text, conname, contype, condeferrable, condeferred, convalidated, pg_catalog.pg_get_constraintdef(c.oid), pg_catalog.obj_description(c.oid, 'pg_constraint')
          FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_namespace n ON n.oid = connamespace WHERE {USER_SCHEMAS} AND contype <> 'n' AND {_no_ext('pg_constraint', 'c.oid')}""",
    "indexes": f"""SELECT n.nspname, c.relname, pg_catalog.pg_get_indexdef(c.oid), indisprimary, indisunique, indisreplident, indisclustered, indisvalid, pg_catalog.obj_description(c.oid, 'pg_class')
          FROM pg_catalog.pg_index JOIN pg_catalog.pg_class c ON c.oid = indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {USER_SCHEMAS} AND {_no_ext('pg_class', 'c.oid')}""",
    "sequences": f"""SELECT n.nspname, relname, seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle, format_type(seqtypid, NULL),
          (SELECT refobjid::regclass::text || '.' || attname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attribute ON attrelid = refobjid AND attnum = refobjsubid WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass AND deptype IN ('a', 'i'))
          FROM pg_catalog.pg_sequence JOIN pg_catalog.pg_class c ON c.oid = seqrelid JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace WHERE {USER_SCHEMAS} AND {_no_ext('pg_class', 'c.oid')}""",
    "functions": f"""SELECT n.nspname, proname, pg_catalog.pg_get_function_identity_arguments(p.oid), CASE WHEN prokind <> 'a' THEN pg_catalog.pg_get_functiondef(p.oid) END, pg_catalog.obj_description(p.oid, 'pg_proc')
          FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = pronamespace WHERE {USER_SCHEMAS} AND {_no_ext('pg_proc', 'p.oid')}""",
    "triggers": f"""SELECT tgrelid::regclass::text, tgname, tgenabled, pg_catalog.pg_get_triggerdef(t.oid) FROM pg_catalog.pg_trigger t WHERE NOT tgisinternal""",
    "event triggers": "SELECT evtname, evtevent, evtfoid::regproc::text, evtenabled, evttags FROM pg_catalog.pg_event_trigger",
    "rules": f"SELECT ev_class::regclass::text, rulename, ev_enabled, pg_catalog.pg_get_ruledef(r.oid) FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = ev_class JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace WHERE rulename <> '_RETURN' AND {USER_SCHEMAS} AND {_no_ext('pg_class', 'c.oid')}",
    "policies": "SELECT polrelid::regclass::text, polname, polcmd, polpermissive, polroles::regrole[]::text[], pg_catalog.pg_get_expr(polqual, polrelid), pg_catalog.pg_get_expr(polwithcheck, polrelid) FROM pg_catalog.pg_policy",
    "types": f"""SELECT n.nspname, typname, typtype, typnotnull, typdefault, format_type(typbasetype, typtypmod), (SELECT array_agg(enumlabel::text ORDER BY enumsortorder) FROM pg_catalog.pg_enum WHERE enumtypid = t.oid),
          (SELECT rngsubtype::regtype::text FROM pg_catalog.pg_range WHERE rngtypid = t.oid), pg_catalog.obj_description(t.oid, 'pg_type')
          FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = typnamespace WHERE typtype IN ('d', 'e', 'r') AND {USER_SCHEMAS} AND {_no_ext('pg_type', 't.oid')}""",
    "statistics": f"SELECT n.nspname, stxname, pg_catalog.pg_get_statisticsobjdef(s.oid) FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = stxnamespace WHERE {USER_SCHEMAS}",
    "collations": f"SELECT n.nspname, collname, collprovider, collcollate, collctype, collisdeterministic FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = collnamespace WHERE {USER_SCHEMAS} AND {_no_ext('pg_collation', 'c.oid')}",
}
PRIVILEGE_QUERIES = {
    "owners and privileges of relations": f"SELECT n.nspname, relname, relkind, relowner::regrole::text, relacl::text[] FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {USER_SCHEMAS} AND {_no_ext('pg_class', 'c.oid')}",
    "owners and privileges of functions": f"SELECT n.nspname, proname, pg_catalog.pg_get_function_identity_arguments(p.oid), proowner::regrole::text, proacl::text[] FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = pronamespace WHERE {USER_SCHEMAS} AND {_no_ext('pg_proc', 'p.oid')}",
    "owners and privileges of schemas": f"SELECT nspname, nspowner::regrole::text, nspacl::text[] FROM pg_catalog.pg_namespace n WHERE {USER_SCHEMAS} AND nspname <> 'public'",
    "column privileges": f"SELECT attrelid::regclass::text, attname, attacl::text[] FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = attrelid JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace WHERE attacl IS NOT NULL AND {USER_SCHEMAS}",
    "default privileges": "SELECT defaclrole::regrole::text, defaclnamespace::regnamespace::text, defaclobjtype, defaclacl::text[] FROM pg_catalog.pg_default_acl",
}


def _normal(value):
    # 16 and later leave out qualifications in view and rule texts that 15 and earlier print
    return value.strip() if isinstance(value, str) else (tuple(map(_normal, value)) if isinstance(value, (list, tuple)) else value)


def schema(connection, privileges: bool = True) -> dict[str, set]:
    """The schema as sets of rows by kind of object. The connection must be in no transaction."""
    connection.execute(SETTINGS)
    queries = SCHEMA_QUERIES | (PRIVILEGE_QUERIES if privileges else {})
    found = {}
    for kind, query in queries.items():
        rows = {tuple(_normal(v) for v in row) for row in connection.execute(query).fetchall()}
        found[kind] = {r for r in rows if not any(isinstance(v, str) and (OURS.match(v) or v.startswith("_midflight.")) for v in r[:2])}
    connection.execute("RESET ALL")
    return found


# What another major version makes of the same statements: names of partitions' constraints, ranges' multiranges, one more
# privilege, views printed otherwise.
OTHER_VERSION = (r"floatmultirange", r"part_ref_list_id_region_fkey", r"arwdDxt", r"matview_empty")


def schema_differences(source: psycopg.Connection, target: psycopg.Connection, privileges: bool = True, ignore: tuple = ()) -> list[str]:
    left, right = schema(source, privileges), schema(target, privileges)
    texts = []
    loose = lambda row: tuple(re.sub(r"\b[a-z_0-9]+\.|[\s()]", "", v) if isinstance(v, str) and len(v) > 40 else v for v in row)
    versions_differ = source.info.server_version // 10000 != target.info.server_version // 10000
    for kind in left:
        a, b = left[kind], right[kind]
        if versions_differ:  # texts of views and rules are printed differently: compare them without their decoration
            a, b = {loose(r) for r in a}, {loose(r) for r in b}
        texts += [f"{kind}: only on the source: {row}" for row in sorted(a - b, key=str)]
        texts += [f"{kind}: only on the target: {row}" for row in sorted(b - a, key=str)]
    if versions_differ:
        ignore += OTHER_VERSION
    return [t for t in texts if not any(re.search(i, t) for i in ignore)]


def dump(url: str) -> str:
    """pg_dump --schema-only without what differs between runs (servers up to 15)."""
    done = subprocess.run(["/usr/lib/postgresql/15/bin/pg_dump", "--schema-only", "-d", url], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    lines = [l for l in done.stdout.splitlines() if l and not l.startswith("--") and not l.startswith(("\\restrict", "\\unrestrict"))]
    return "\n".join(lines)


# -- what could be left behind --------------------------------------------------------------------------------------
def catalog_fingerprint(connection) -> dict[str, list]:
    """Everything a migration could leave in a database or its server. Compare one from before with one from after."""
    connection.execute("SET search_path = ''")
    queries = {
        "slots": "SELECT slot_name, plugin, slot_type, database FROM pg_replication_slots",
        "publications": "SELECT pubname, puballtables, pubinsert, pubupdate, pubdelete, pubtruncate FROM pg_publication",
        "publication tables": "SELECT p.pubname, prrelid::regclass::text FROM pg_publication_rel JOIN pg_publication p ON p.oid = prpubid",
        "subscriptions": "SELECT subname FROM pg_subscription",
        "origins": "SELECT roname FROM pg_replication_origin",
        "schemas": "SELECT nspname, nspowner::regrole::text, nspacl::text[] FROM pg_namespace WHERE nspname NOT LIKE 'pg_temp%' AND nspname NOT LIKE 'pg_toast_temp%'",
        "roles": "SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolconnlimit, rolbypassrls, rolconfig FROM pg_roles",
        "memberships": "SELECT roleid::regrole::text, member::regrole::text FROM pg_auth_members",
        "settings of roles and databases": "SELECT coalesce(datname, ''), coalesce(setrole::regrole::text, ''), setconfig FROM pg_db_role_setting LEFT JOIN pg_database d ON d.oid = setdatabase",
        "databases": "SELECT datname, datallowconn, datconnlimit, datacl::text[] FROM pg_database WHERE datname = current_database()",
        "server settings": "SELECT name, setting FROM pg_file_settings WHERE sourcefile LIKE '%auto.conf'",
        "relations": "SELECT c.oid::regclass::text, relkind, relreplident, relrowsecurity, relforcerowsecurity, relowner::regrole::text, relacl::text[], relpersistence, reloptions FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema') AND nspname NOT LIKE 'pg_temp%' AND nspname NOT LIKE 'pg_toast_temp%'",
        "columns": "SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull, attacl::text[] FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace WHERE attnum > 0 AND NOT attisdropped AND nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema') AND nspname NOT LIKE 'pg_temp%' AND nspname NOT LIKE 'pg_toast_temp%'",
        "indexes": "SELECT indexrelid::regclass::text, indisvalid, indisreplident, pg_get_indexdef(indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = indexrelid JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema') AND nspname NOT LIKE 'pg_temp%' AND nspname NOT LIKE 'pg_toast_temp%'",
        "constraints": "SELECT conname, conrelid::regclass::text, contype, convalidated, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)",
        "functions": "SELECT p.oid::regprocedure::text, md5(prosrc), proowner::regrole::text, proacl::text[] FROM pg_proc p WHERE pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)",
        "types": "SELECT t.oid::regtype::text, typtype FROM pg_type t WHERE typnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) AND typnamespace::regnamespace::text !~ '^pg_(temp|toast)'",
        "triggers": "SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal",
        "constraint triggers": "SELECT tgrelid::regclass::text, tgenabled, count(*) FROM pg_trigger WHERE tgisinternal GROUP BY 1, 2",
        "event triggers": "SELECT evtname, evtenabled FROM pg_event_trigger",
        "rules": "SELECT ev_class::regclass::text, rulename, ev_enabled FROM pg_rewrite WHERE ev_class >= 16384",
        "policies": "SELECT polrelid::regclass::text, polname FROM pg_policy",
        "extensions": "SELECT extname, extversion FROM pg_extension",
        "prepared transactions": "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()",
        "foreign servers": "SELECT srvname FROM pg_foreign_server",
        "large objects": "SELECT count(*) FROM pg_largeobject_metadata",
        "sessions": "SELECT application_name, state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name ILIKE '%midflight%'",
        "advisory locks": "SELECT classid, objid FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    }
    found = {kind: sorted(connection.execute(query).fetchall(), key=str) for kind, query in queries.items()}
    connection.execute("RESET search_path")
    return found


def fingerprint_differences(before: dict[str, list], after: dict[str, list]) -> list[str]:
    texts = []
    for kind in before:
        gone = [r for r in before[kind] if r not in after[kind]]
        new = [r for r in after[kind] if r not in before[kind]]
        texts += [f"{kind}: gone: {r}" for r in gone] + [f"{kind}: left behind: {r}" for r in new]
    return texts


def nothing_at_last(look, timeout: float = 60) -> list:
    """What look() finds once it finds nothing, or when the time is over: a session that was left ends, and lets its locks go, a moment later."""
    end = time.monotonic() + timeout
    while (found := look()) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def equal_at_last(m, source, target, timeout: float = 180, **options) -> None:
    """Waits until both sides are equal, sequences left out, with the run alive."""
    def look() -> Comparison | None:
        try:
            return compare(source.url(), target.url(), sequences="skip", **options)
        except psycopg.errors.DeadlockDetected:  # with a TRUNCATE
            return None
    wait_equal(m, look, timeout)


def wait_equal(m, look, timeout: float) -> None:
    """Waits until look() gives a Comparison that is equal; the run must be alive all the while."""
    last = None

    def equal() -> bool:
        nonlocal last
        last = look()
        return bool(last and last.equal) or not m.running()

    try:
        wait_for(equal, timeout, "both sides equal", interval=0.3)
    except TimeoutError:
        pass
    assert last and last.equal and m.running(), f"{last}\n{m.tail()}"
