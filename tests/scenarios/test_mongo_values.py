"""Every BSON type with its extremes, through the whole pipe into tables, and back after another field of the same document was changed on the new side: what nobody
touched is the same bytes."""
from datetime import datetime, timezone

import pytest

from harness.docrun import begin, raw_documents
from harness.mongo_servers import driver
from harness.servers import wait_for

driver()
import bson  # noqa: E402
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp  # noqa: E402

DAY = 86_400_000
FIRST, LAST = -62_135_596_800_000, 253_402_300_799_999  # the year 1, and the last millisecond of 9999
OID = ObjectId("65a1b2c3d4e5f60718293a4b")
LEGACY, UUID = bytes(range(16)), bytes(range(16, 32))


def moment(ms: int):
    return bson.datetime_ms.DatetimeMS(ms)


# column: (type, values that a document may have there, and on PostgreSQL alone)
COLUMNS = {
    "i32": ("int32", [0, -1, 2**31 - 1, -2**31], []),
    "i64": ("int64", [Int64(0), Int64(2**63 - 1), Int64(-2**63)], []),
    "either": ("int", [1, Int64(1), Int64(2**40), -2**31], []),
    "dbl": ("double", [0.0, -0.0, 5e-324, 1.7976931348623157e308, 0.1, 1e16], [float("nan"), float("inf"), float("-inf")]),
    "dec": ("decimal(20,4)", [Decimal128("1.50"), Decimal128("1.5000"), Decimal128("-9999999999999999.9999"), Decimal128("0E+3"), Decimal128("1E+2")], []),
    "txt": ("string", ["", "é漢😀", "a" * 70_000, "end blank ", "\\ ' \" % _"], []),
    "yes": ("bool", [True, False], []),
    "day": ("date", [moment(0), moment(FIRST), moment(LAST), moment(-1), moment(DAY * 20_000 + 999)], []),
    "oid": ("objectid", [OID, ObjectId("0" * 24), ObjectId("f" * 24)], []),
    "uid": ("uuid", [Binary(UUID, 4)], []),
    "old": ("uuid_legacy", [Binary(LEGACY, 3)], []),
    "bin": ("binary", [b"", b"\0\xff\0", b"x" * 70_000], []),
    "stamp": ("timestamp", [Timestamp(0, 1), Timestamp(2**32 - 1, 2**32 - 1), Timestamp(1, 0)], []),
    "any": ("json", [None, 1, Int64(1), 1.0, float("nan"), float("-inf"), -0.0, "s", True, Decimal128("1.50"), Decimal128("-0"), Decimal128("NaN"), Decimal128("-Infinity"),
                     MinKey(), MaxKey(), Regex("^a/b", "imx"), Code("f()"), Code("g()", {"x": 1}), Timestamp(5, 6), moment(2**62), moment(-2**62), OID, Binary(b"z", 2),
                     Binary(LEGACY, 3), Binary(UUID, 4), Binary(b"user", 128), Binary(b"md5", 5), {}, [], {"": 1, "a.b": 2, "$c": {"$oid": "x"}}, [[1, [Int64(2)]], {}],
                     bson.DBRef("c", OID), {"z": 1, "a": 2}], []),
}


def values_map(database: str) -> list[dict]:
    return [{"collection": f"{database}.all", "to": "everything",
             "columns": [{"path": "_id", "column": "id", "type": "objectid", "as": "binary", "time": "made"}, {"path": "touch", "type": "int32"},
                         *({"path": c, "type": t, "missing": "null", **({"as": "binary"} if c == "oid" else {})} for c, (t, *_) in COLUMNS.items())]},
            {"collection": f"{database}.ids", "to": "ids", "columns": [{"path": "_id", "column": "id", "type": "id(200)"}, {"path": "touch", "type": "int32"}]}]


IDS = [1, Int64(2**60), 0.5, Decimal128("0.30"), "a", "1", OID, True, moment(5), Timestamp(1, 2), Binary(UUID, 4), Binary(LEGACY, 3), Binary(b"\0", 0), {"b": 1, "a": "x"}, None, ""]


@pytest.fixture
def target(request, mysql_database, database):
    made = mysql_database("target", "8.0") if request.param == "mysql" else database("target", 15)
    made.kind = request.param
    return made


@pytest.mark.parametrize("target", ["mysql", "postgres"], indirect=True)
def test_what_nobody_touched_is_the_same_bytes(target, mongo_database, migration):
    source = mongo_database("double")
    db = source.connect()
    documents = []
    for column, (_, values, postgres) in COLUMNS.items():
        for value in values + (postgres if target.kind == "postgres" else []):
            documents.append({"_id": ObjectId(), column: value, "touch": 0})  # a field's place is kept, too
    live = documents[1::2]  # half of them come by the stream
    db.all.insert_many(documents[::2])
    db.ids.insert_many([{"_id": i, "touch": 0} for i in IDS])
    m = begin(migration, source, target, values_map(source.name), quarantine={"max_rows": 1000})
    try:
        m.start()
        m.wait_phase("synced")
        db.all.insert_many(live)
        refused = lambda: m.call("quarantine", "--json").json["rows"]  # noqa: E731
        wait_for(lambda: refused() or target.value("SELECT count(*) FROM everything") == len(documents), 60, "all rows")
        assert not refused(), str([(q["key"], q["reason"]) for q in refused()])
        said = m.call("verify", "--json").json
        assert (said["rows_compared"], said["rows_differing"]) == (len(documents) + len(IDS), 0), said
        made = {bytes(i).hex(): t for i, t in target.rows("SELECT id, made FROM everything")}
        for d in documents:
            t = made[str(d["_id"])]
            assert t.replace(tzinfo=t.tzinfo or timezone.utc) == d["_id"].generation_time
        before, before_ids = raw_documents(source, "all"), raw_documents(source, "ids")
        m.call("cutover")
        target.execute("UPDATE everything SET touch = 7")
        target.execute("UPDATE ids SET touch = 7")
        seven, zero = b"\x10touch\0\7\0\0\0", b"\x10touch\0\0\0\0\0"
        wait_for(lambda: refused() or (db.all.count_documents({"touch": 7}) == len(documents) and db.ids.count_documents({"touch": 7}) == len(IDS)), 20, "the changes to come back")
        assert not refused(), str([(q["key"], q["reason"]) for q in refused()])
        after, after_ids = raw_documents(source, "all"), raw_documents(source, "ids")
        assert after == {i: raw.replace(zero, seven) for i, raw in before.items()}
        assert sorted(after_ids.values()) == sorted(raw.replace(zero, seven) for raw in before_ids.values())
        assert m.call("verify", "--json").json["rows_differing"] == 0
        m.call("rollback")
        assert raw_documents(source, "all") == after
    finally:
        db.client.close()


@pytest.mark.parametrize("target", ["mysql", "postgres"], indirect=True)
def test_what_has_no_place_is_refused_with_its_reason(target, mongo_database, migration):
    source = mongo_database("double")
    db = source.connect()
    wrong = {
        "i32": [Int64(1), 1.0, "1", None], "i64": [1, Int64(5) + 0.5], "dec": [Decimal128("1.00001"), Decimal128("NaN"), Decimal128("-0"), Decimal128("Infinity"), 1, Decimal128("1E+17")],
        "day": [moment(FIRST - 1), moment(LAST + 1), moment(2**62), Timestamp(1, 1)], "uid": [Binary(LEGACY, 3), UUID], "old": [Binary(UUID, 4)], "bin": [Binary(b"x", 128), "x"],
        "yes": [1, "true"], "oid": ["65a1b2c3d4e5f60718293a4b"], "txt": [1, Regex("a")], "stamp": [datetime(2026, 1, 1), Int64(1)], "dbl": [1, Decimal128("1")] + ([float("nan"), float("inf")] if target.kind == "mysql" else []),
    }
    documents = [{"_id": ObjectId(), "touch": 0, c: v} for c, some in wrong.items() for v in some]
    db.all.insert_many(documents)
    db.create_collection("ids")
    m = begin(migration, source, target, values_map(source.name), quarantine={"max_rows": 1000})
    try:
        m.start()
        m.wait_phase("synced")
        told = {q["key"]: q["reason"] for q in m.call("quarantine", "--json").json["rows"]}
        for d in documents:
            (column,) = d.keys() - {"_id", "touch"}
            assert column in told.get(f'_id=ObjectId("{d["_id"]}")', ""), (d, told.get(f'_id=ObjectId("{d["_id"]}")'))
        assert target.value("SELECT count(*) FROM everything") == 0 and len(told) == len(documents)
        assert m.call("verify", "--json", expect=4).json["rows_differing"] == len(documents)
        db.all.delete_many({})
        wait_for(lambda: not m.call("quarantine", "--json").json["rows"], 60, "an empty quarantine")
    finally:
        db.client.close()
