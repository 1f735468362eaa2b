"""BSON as bytes, for mongo_double.py: what a document is must come back byte for byte, so nothing here decodes one as a whole.

An element is (name, type, payload), a value (type, payload), a document its bytes. Names and paths are bytes.

Orders and matches follow the manual's pages "Comparison/Sort Order" and "Query and Projection Operators" (type bracketing; $expr has none), updates
"Update Operators". What is not known here is an error, never ignored.
"""
from __future__ import annotations

import decimal
import re
import struct
import time

import bson
from bson import Decimal128, ObjectId
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

EMPTY = b"\x05\0\0\0\0"
NULL = (10, b"")
FALSE, TRUE = (8, b"\0"), (8, b"\1")
RAW = CodecOptions(document_class=RawBSONDocument)
FIXED = {1: 8, 6: 0, 7: 12, 8: 1, 9: 8, 10: 0, 16: 4, 17: 8, 18: 8, 19: 16, 127: 0, 255: 0}
_long = struct.Struct("<i").unpack_from


class Refused(Exception):
    """An error that the client gets, with MongoDB's code (src/mongo/base/error_codes.yml)."""

    def __init__(self, code: int, name: str, message: str, *, labels: tuple = (), more: dict | None = None):
        super().__init__(message)
        self.code, self.name, self.message, self.labels, self.more = code, name, message, labels, more or {}


def bad(message: str, code: int = 2, name: str = "BadValue") -> Refused:
    return Refused(code, name, message)


# ---- taken apart and put together ----------------------------------------------------------------------------------

def _end(raw: bytes, t: int, at: int) -> int:
    if t in FIXED:
        return at + FIXED[t]
    if t in (2, 13, 14):
        return at + 4 + _long(raw, at)[0]
    if t in (3, 4, 15):
        return at + _long(raw, at)[0]
    if t == 5:
        return at + 5 + _long(raw, at)[0]
    if t == 12:
        return at + 16 + _long(raw, at)[0]
    if t == 11:
        return raw.index(b"\0", raw.index(b"\0", at) + 1) + 1
    raise bad(f"Unrecognized BSON type: {t}", 22, "InvalidBSON")


def split(raw: bytes) -> list:
    """A document's elements, in order."""
    found, at, last = [], 4, len(raw) - 1
    while at < last:
        t = raw[at]
        stop = raw.index(b"\0", at + 1)
        end = _end(raw, t, stop + 1)
        found.append((raw[at + 1:stop], t, raw[stop + 1:end]))
        at = end
    if at != last:
        raise bad("invalid bson", 22, "InvalidBSON")
    return found


def join(elements) -> bytes:
    body = b"".join([bytes((t,)) + name + b"\0" + payload for name, t, payload in elements])
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def join_array(values) -> bytes:
    return join((str(n).encode(), t, v) for n, (t, v) in enumerate(values))


def field(raw: bytes, name: bytes):
    """The value of a document's field, or None."""
    at, last = 4, len(raw) - 1
    while at < last:
        t = raw[at]
        stop = raw.index(b"\0", at + 1)
        end = _end(raw, t, stop + 1)
        if raw[at + 1:stop] == name:
            return t, raw[stop + 1:end]
        at = end
    return None


def encode(document: dict) -> bytes:
    return bson.encode(document)


def value(thing):
    """A Python value as (type, payload)."""
    return field(bson.encode({"v": thing}), b"v")


def python(v):
    """(type, payload) as PyMongo gives it, documents as they are."""
    return bson.decode(join([(b"v", *v)]), RAW)["v"]


def document(v) -> RawBSONDocument:
    """A document's bytes as what `bson` can put into another."""
    return RawBSONDocument(v)


def raw_of(thing) -> bytes:
    if isinstance(thing, RawBSONDocument):
        return thing.raw
    return thing if isinstance(thing, bytes) else bson.encode(thing or {})


def text(payload: bytes) -> bytes:
    return payload[4:-1]


# ---- order ---------------------------------------------------------------------------------------------------------

BRACKET = {255: 0, 6: 1, 10: 1, 1: 2, 16: 2, 18: 2, 19: 2, 2: 3, 14: 3, 3: 4, 4: 5, 5: 6, 7: 7, 8: 8, 9: 9, 17: 10, 11: 11, 12: 12, 13: 13, 15: 14,
           127: 15}
NAN = (2, 0, 0)


def number(t: int, v: bytes):
    """As Python compares numbers: exactly, whatever their types. None: NaN."""
    if t == 1:
        n = struct.unpack("<d", v)[0]
        return None if n != n else n
    if t == 19:
        with decimal.localcontext() as context:
            context.traps[decimal.InvalidOperation] = False
            n = Decimal128.from_bid(v).to_decimal()
        return None if n.is_nan() else n
    return int.from_bytes(v, "little", signed=True)


def order(t: int, v: bytes) -> tuple:
    """What compares as the value does; equal for equal values, good for a dict."""
    b = BRACKET[t]
    if b == 2:
        n = number(t, v)
        return NAN if n is None else (2, 1, n)
    if b == 3:
        return 3, text(v)
    if t == 3:
        return 4, tuple((BRACKET[et], name, order(et, ev)) for name, et, ev in split(v))
    if t == 4:
        return 5, tuple((BRACKET[et], order(et, ev)) for _, et, ev in split(v))
    if t == 5:
        return 6, len(v) - 5, v[4], v[5:]
    if b == 9:
        return 9, int.from_bytes(v, "little", signed=True)
    if b == 10:
        return 10, int.from_bytes(v, "little")
    if t == 11:
        return 11, *v.split(b"\0")[:2]
    return b, v


def key_of(v) -> tuple:
    return order(*v)


# ---- filters -------------------------------------------------------------------------------------------------------

ALIAS = {"double": 1, "string": 2, "object": 3, "array": 4, "binData": 5, "undefined": 6, "objectId": 7, "bool": 8, "date": 9, "null": 10, "regex": 11,
         "dbPointer": 12, "javascript": 13, "symbol": 14, "javascriptWithScope": 15, "int": 16, "timestamp": 17, "long": 18, "decimal": 19,
         "minKey": -1, "maxKey": 127}
NAMES = {n & 255: alias for alias, n in ALIAS.items()}


def at(v, parts):
    """The values at a path, through arrays; None where there is none."""
    if not parts:
        yield v
        return
    t, payload = v
    if t == 3:
        inner = field(payload, parts[0])
        if inner is None:
            yield None
        else:
            yield from at(inner, parts[1:])
    elif t == 4:
        if parts[0].isdigit():
            inner = field(payload, parts[0])
            if inner is not None:
                yield from at(inner, parts[1:])
        for _, et, ev in split(payload):
            if et == 3:
                yield from at((et, ev), parts)
    else:
        yield None


def _spread(found):
    """With the elements of arrays."""
    for v in found:
        yield v
        if v is not None and v[0] == 4:
            for _, et, ev in split(v[1]):
                yield et, ev


def compare(op: bytes, v, operand) -> bool:
    """$gt and its like, with type bracketing."""
    if v is None:
        v = NULL
    a, b = order(*v), order(*operand)
    if operand[0] in (127, 255):
        pass
    elif a[0] != b[0]:
        return False
    elif a[0] == 2 and (a == NAN) != (b == NAN):
        return False
    return {b"$gt": a > b, b"$gte": a >= b, b"$lt": a < b, b"$lte": a <= b}[op]


def _equals(v, wanted) -> bool:
    if v is None:
        return wanted[0] == 10
    return order(*v) == order(*wanted)


def _types(operand) -> set:
    listed = [v[1:] for v in split(operand[1])] if operand[0] == 4 else [operand]
    codes = set()
    for t, v in listed:
        if t == 2:
            name = text(v).decode()
            if name == "number":
                codes |= {1, 16, 18, 19}
            elif name in ALIAS:
                codes.add(ALIAS[name] & 255)
            else:
                raise bad(f"Unknown type name alias: {name}")
        else:
            codes.add(int(number(t, v)) & 255)
    return codes


def _regex(pattern: bytes, flags: bytes):
    return re.compile(pattern, sum({105: re.I, 109: re.M, 115: re.S, 120: re.X}.get(f, 0) for f in flags))


def _operator(op: bytes, operand, found: list, whole: bytes) -> bool:
    if op in (b"$gt", b"$gte", b"$lt", b"$lte"):
        return any(compare(op, v, operand) for v in _spread(found) if v is not None or operand[0] == 10)
    if op == b"$eq":
        return any(_equals(v, operand) for v in _spread(found))
    if op == b"$ne":
        return not any(_equals(v, operand) for v in _spread(found))
    if op in (b"$in", b"$nin"):
        if operand[0] != 4:
            raise bad(f"{op.decode()} needs an array")
        wanted = {order(t, v) for _, t, v in split(operand[1])}
        there = any((order(*v) if v is not None else (1, b"")) in wanted for v in _spread(found))
        return there == (op == b"$in")
    if op == b"$exists":
        return any(v is not None for v in found) == (operand not in (FALSE, NULL) and operand[1].strip(b"\0") != b"")
    if op == b"$type":
        codes = _types(operand)
        return any(v is not None and v[0] in codes for v in _spread(found))
    if op == b"$not":
        return not all(_operator(n, (t, v), found, whole) for n, t, v in split(operand[1]))
    if op == b"$size":
        return any(v is not None and v[0] == 4 and len(split(v[1])) == number(*operand) for v in found)
    if op == b"$all":
        return all(any(_equals(v, (t, w)) for v in _spread(found)) for _, t, w in split(operand[1]))
    if op == b"$elemMatch":
        return any(v is not None and v[0] == 4 and any(et == 3 and matches(operand[1], ev) for _, et, ev in split(v[1])) for v in found)
    if op == b"$regex":
        pattern = _regex(*operand[1].split(b"\0")[:2]) if operand[0] == 11 else _regex(text(operand[1]), field(whole, b"$options") and
                                                                                      text(field(whole, b"$options")[1]) or b"")
        return any(v is not None and v[0] == 2 and pattern.search(text(v[1])) for v in _spread(found))
    if op == b"$options":
        return True
    raise bad(f"unknown operator: {op.decode(errors='replace')}")


def is_operators(t: int, v: bytes) -> bool:
    return t == 3 and len(v) > 5 and v[5:6] == b"$" and not v[5:].startswith((b"$ref\0", b"$id\0", b"$db\0"))


def matches(filter_: bytes, doc: bytes) -> bool:
    for name, t, v in split(filter_):
        if name in (b"$and", b"$or", b"$nor"):
            if t != 4 or len(v) == 5:
                raise bad(f"{name.decode()} must be a nonempty array")
            each = (matches(ev, doc) for _, _, ev in split(v))
            if not {b"$and": all, b"$or": any, b"$nor": lambda one: not any(one)}[name](each):
                return False
        elif name == b"$expr":
            if not truth(evaluate((t, v), doc)):
                return False
        elif name == b"$comment":
            continue
        elif name[:1] == b"$":
            raise bad(f"unknown top level operator: {name.decode()}")
        else:
            found = list(at((3, doc), name.split(b".")))
            if is_operators(t, v):
                if not all(_operator(op, (ot, ov), found, v) for op, ot, ov in split(v)):
                    return False
            elif t == 11:
                if not _operator(b"$regex", (t, v), found, v):
                    return False
            elif not any(_equals(w, (t, v)) for w in _spread(found)):
                return False
    return True


# ---- the part of the _id's order that a filter asks for ------------------------------------------------------------

LOWEST, HIGHEST = (-1,), (99,)


def _bracket(b: int) -> tuple:
    return (b,), False, (b + 1,), False


def _of_condition(t: int, v: bytes):
    """Intervals (from, with it, to, with it) that have all that a condition on _id can match; None: everything."""
    if t == 11:
        return None
    if not is_operators(t, v):
        k = order(t, v)
        return [(k, True, k, True)]
    low, high = (LOWEST, True), (HIGHEST, True)
    lists = None
    for op, ot, ov in split(v):
        k = order(ot, ov) if op in (b"$eq", b"$gt", b"$gte", b"$lt", b"$lte") else None
        if op == b"$eq":
            return [(k, True, k, True)]
        if op == b"$in":
            lists = [(k, True, k, True) for k in sorted({order(et, ev) for _, et, ev in split(ov)})]
        elif op == b"$type":
            lists = [_bracket(b) for b in sorted({BRACKET[c] for c in _types((ot, ov))})]
        elif k is not None:
            bracketed = ot not in (127, 255)
            if op in (b"$gt", b"$gte"):
                low = max(low, (k, op == b"$gte"))
                high = min(high, ((k[0] + 1,), False)) if bracketed else high
            else:
                high = min(high, (k, op == b"$lte"))
                low = max(low, ((2, 1) if k[0] == 2 and k != NAN else (k[0],), True)) if bracketed else low  # NaN is not less
    if lists is not None:
        return lists
    return None if (low[0], high[0]) == (LOWEST, HIGHEST) else [(*low, *high)]


def _of_expr(t: int, v: bytes):
    if t != 3 or not is_operators(t, v):
        return None
    op, ot, ov = split(v)[0]
    listed = [e[1:] for e in split(ov)] if ot == 4 else []
    if op == b"$and":
        for one in listed:
            found = _of_expr(*one)
            if found is not None:
                return found
    if op not in (b"$gt", b"$gte", b"$lt", b"$lte", b"$eq") or len(listed) != 2 or listed[0] != value("$_id"):
        return None
    k = order(*evaluate(listed[1], EMPTY))
    return {b"$gt": [(k, False, HIGHEST, True)], b"$gte": [(k, True, HIGHEST, True)], b"$lt": [(LOWEST, True, k, False)],
            b"$lte": [(LOWEST, True, k, True)], b"$eq": [(k, True, k, True)]}[op]


def intervals(filter_: bytes):
    for name, t, v in split(filter_):
        found = None
        if name == b"_id":
            found = _of_condition(t, v)
        elif name == b"$expr":
            found = _of_expr(t, v)
        elif name == b"$and":
            found = next((one for one in (intervals(ev) for _, _, ev in split(v)) if one is not None), None)
        elif name == b"$or":
            each = [intervals(ev) for _, _, ev in split(v)]
            if None not in each:
                found = sorted(one for several in each for one in several)
        if found is not None:
            return found
    return None


def exact(filter_: bytes) -> bool:
    """All that is in the filter's intervals matches it: no look at the documents is needed."""
    conditions = split(filter_)
    if len(conditions) != 1 or conditions[0][0] != b"_id":
        return False
    _, t, v = conditions[0]
    if not is_operators(t, v):
        return t != 11
    ops = split(v)
    if len(ops) == 1 and ops[0][0] == b"$in":
        return all(et != 11 for _, et, _ in split(ops[0][2]))
    return all(op in (b"$gt", b"$gte", b"$lt", b"$lte") and order(ot, ov) != NAN for op, ot, ov in ops)


# ---- expressions ---------------------------------------------------------------------------------------------------

def truth(v) -> bool:
    return v is not None and v[0] not in (6, 10) and not (v[0] == 8 and v[1] == b"\0") and not (BRACKET[v[0]] == 2 and number(*v) == 0)


def evaluate(expression, doc: bytes):
    """The few of the manual's "Aggregation Expressions" that are needed; None: missing."""
    t, v = expression
    if t == 2 and text(v).startswith(b"$$"):
        path = text(v)[2:].split(b".")
        if path[0] not in (b"ROOT", b"CURRENT"):
            raise bad(f"Use of undefined variable: {path[0].decode()}", 17276, "Location17276")
        return next(at((3, doc), path[1:]))
    if t == 2 and v[4:5] == b"$":
        return next(at((3, doc), text(v)[1:].split(b".")), None)
    if t == 4:
        return 4, join_array(evaluate(e[1:], doc) or NULL for e in split(v))
    if t != 3:
        return t, v
    if not is_operators(t, v):
        inner = ((n, evaluate((et, ev), doc)) for n, et, ev in split(v))
        return 3, join((n, *w) for n, w in inner if w is not None)
    op, ot, ov = split(v)[0]
    if op == b"$literal":
        return ot, ov
    given = [evaluate(e[1:], doc) for e in split(ov)] if ot == 4 else [evaluate((ot, ov), doc)]
    if op == b"$and":
        return TRUE if all(map(truth, given)) else FALSE
    if op == b"$or":
        return TRUE if any(map(truth, given)) else FALSE
    if op == b"$not":
        return FALSE if truth(given[0]) else TRUE
    if op == b"$type":
        return value("missing" if given[0] is None else NAMES[given[0][0]])
    if op == b"$bsonSize":
        return NULL if given[0] is None else value(len(given[0][1]))
    if op == b"$size":
        return value(len(split(given[0][1])))
    if op == b"$slice":
        listed = [e[1:] for e in split(given[0][1])]
        n = int(number(*given[1]))
        return 4, join_array(listed[:n] if n >= 0 else listed[n:])
    if op == b"$ifNull":
        return next((g for g in given if g is not None and g[0] != 10), given[-1])
    if op in (b"$add", b"$sum"):
        return value(sum(number(*g) for g in given))
    a, b = ((LOWEST if g is None else order(*g)) for g in (given + [None])[:2])
    known = {b"$gt": a > b, b"$gte": a >= b, b"$lt": a < b, b"$lte": a <= b, b"$eq": a == b, b"$ne": a != b}
    if op not in known:
        raise Refused(168, "InvalidPipelineOperator", f"Unrecognized expression '{op.decode(errors='replace')}'")
    return TRUE if known[op] else FALSE


def project(spec: bytes, doc: bytes) -> bytes:
    """Inclusion or exclusion; computed fields are included ones."""
    wanted = split(spec)
    if not wanted:
        return doc
    off = lambda t, v: not truth((t, v)) if BRACKET[t] in (2, 8) else False
    others = [(n, t, v) for n, t, v in wanted if n != b"_id"]
    keep_id = next((not off(t, v) for n, t, v in wanted if n == b"_id"), True)
    exclusion = all(off(t, v) for _, t, v in others) if others else not keep_id
    if exclusion:
        gone = [n.split(b".") for n, _, _ in others] + ([] if keep_id else [[b"_id"]])
        return _without(doc, gone)
    kept = [n.split(b".") for n, t, _ in others if BRACKET[t] in (2, 8)] + ([[b"_id"]] if keep_id else [])
    elements = split(_only(doc, kept))
    for n, t, v in others:
        if BRACKET[t] not in (2, 8):
            result = evaluate((t, v), doc)
            elements = [e for e in elements if e[0] != n] + ([] if result is None else [(n, *result)])
    return join(elements)


def _deeper(t: int, v: bytes, paths: list, change) -> bytes:
    if t == 3:
        return change(v, paths)
    return join((n, et, _deeper(et, ev, paths, change) if et in (3, 4) else ev) for n, et, ev in split(v))


def _without(doc: bytes, gone: list) -> bytes:
    kept = []
    for n, t, v in split(doc):
        mine = [p[1:] for p in gone if p[0] == n]
        if [] in mine:
            continue
        kept.append((n, t, _deeper(t, v, mine, _without) if mine and t in (3, 4) else v))
    return join(kept)


def _only(doc: bytes, wanted: list) -> bytes:
    kept = []
    for n, t, v in split(doc):
        mine = [p[1:] for p in wanted if p[0] == n]
        if [] in mine:
            kept.append((n, t, v))
        elif mine and t in (3, 4):
            kept.append((n, t, _deeper(t, v, mine, _only)))
    return join(kept)


def sorted_by(spec: bytes, docs: list) -> list:
    for n, t, v in reversed(split(spec)):
        parts = n.split(b".")
        backwards = number(t, v) < 0
        docs = sorted(docs, key=lambda d: _sort_key(d, parts, backwards), reverse=backwards)
    return docs


def _sort_key(doc: bytes, parts: list, backwards: bool) -> tuple:
    keys = [order(*(v or NULL)) for v in _spread(at((3, doc), parts)) if v is None or v[0] != 4]
    return (max(keys) if backwards else min(keys)) if keys else (1, b"")


def new_id():
    return 7, ObjectId().binary


def now_ms() -> int:
    return time.time_ns() // 1_000_000
