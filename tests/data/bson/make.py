#!/usr/bin/env python3
"""Writes the files beside it with PyMongo's bson (pip install pymongo): one document after another."""
import datetime
import uuid
from pathlib import Path

import bson
from bson import (Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, SON, Timestamp)

HERE = Path(__file__).parent
OID = ObjectId("0123456789abcdef01234567")
U = uuid.UUID("123e4567-e89b-12d3-a456-426614174000")

FILES = {
    "scalars": [
        {"_id": OID, "s": "text", "empty": "", "nul": "a\0b", "emoji": "\U0001f600", "t": True, "f": False, "n": None},
        {"_id": 1, "date": datetime.datetime(2026, 11, 28, 1, 2, 3, 456000), "epoch": datetime.datetime(1970, 1, 1)},
        {"_id": "x", "uuid4": Binary.from_uuid(U), "uuid3": Binary.from_uuid(U, 3), "bytes": b"\0\xff", "old": Binary(b"abc", 2),
         "user": Binary(b"", 128)},
    ],
    "nested": [
        {"_id": SON([("b", 1), ("a", "x")]), "a": {"b": {"c": [1, [2, [3, {}]], []]}}, "": {"": ""}, "a.b": 1, "$x": 2},
        {"_id": 2, "deep": __import__("functools").reduce(lambda d, _: {"d": d}, range(90), 1)},
        {"_id": 3, "list": [None, True, 1, Int64(1), 1.0, "1", {"1": 1}]},
    ],
    "rare": [
        {"_id": 1, "re": Regex("a.*b", "imx"), "code": Code("f()"), "scope": Code("g()", {"x": 1, "$oid": "y"}), "min": MinKey(), "max": MaxKey(),
         "ts": Timestamp(4294967295, 1), "ref": DBRef("c", OID, "db")},
        {"_id": 2, "like": {"$oid": "no objectid"}, "date": {"$date": 5, "more": 1}, "document": {"$document": {}}},
    ],
    "numbers": [
        {"_id": 1.5, "i": -2147483648, "l": -9223372036854775808, "d": [0.1, -0.0, 5e-324, 1.7976931348623157e308, float("inf"), float("nan")]},
        {"_id": Decimal128("1E-6176"), "q": [Decimal128(t) for t in ("1.50", "-0", "0E+6000", "NaN", "-Infinity", "9.999999999999999999999999999999999E+6144")]},
    ],
}

for name, documents in FILES.items():
    (HERE / f"{name}.bson").write_bytes(b"".join(bson.encode(d) for d in documents))
