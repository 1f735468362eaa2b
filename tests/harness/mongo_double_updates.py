"""What an update makes of a document, and how the oplog and an update's event tell of it, for mongo_double.py.

The manual's "Update Operators" and "update Event"; the oplog's difference of version 2 ({$v: 2, diff: {d, u, i, s…}}, arrays {a, l, u0, s0}) as the
server's update_oplog_entry_serialization and document_diff_calculator describe it: $set and its like log the paths that they changed, pipelines the
difference of the documents.
"""
from __future__ import annotations

import struct

from harness.mongo_double_values import (BRACKET, EMPTY, NULL, TRUE, bad, Refused, evaluate, field, is_operators, join, join_array, matches, new_id, now_ms,
                                         number, order, split, text, value, document, encode)

PATH_CONFLICT = (40, "ConflictingUpdateOperators")


# ---- paths ---------------------------------------------------------------------------------------------------------

def put(container, parts, new, marks: list, trail: tuple = ()):
    """The container with the value at the path; the mark is the first part of it that was not there, or all of it."""
    t, v = container
    name, rest = parts[0], parts[1:]
    if t == 4:
        listed = [e[1:] for e in split(v)]
        if not name.isdigit():
            raise Refused(28, "PathNotViable", f"Cannot create field '{name.decode()}' in an array")
        n = int(name)
        here = (*trail, (name, True))
        if n >= len(listed):
            marks.append((here, "insert"))
            listed += [NULL] * (n - len(listed)) + [made(rest, new)]
        else:
            listed[n] = put(listed[n], rest, new, marks, here) if rest else new
            if not rest:
                marks.append((here, "update"))
        return 4, join_array(listed)
    if t != 3:
        raise Refused(28, "PathNotViable", f"Cannot create field '{name.decode()}' in element of type {t}")
    here = (*trail, (name, False))
    elements = split(v)
    for n, (ename, et, ev) in enumerate(elements):
        if ename == name:
            if rest:
                elements[n] = (name, *put((et, ev), rest, new, marks, here))
            elif (et, ev) != new:
                elements[n] = (name, *new)
                marks.append((here, "update"))
            return 3, join(elements)
    marks.append((here, "insert"))
    return 3, join([*elements, (name, *made(rest, new))])


def made(parts, new):
    for name in reversed(parts):
        new = 3, join([(name, *new)])
    return new


def take(container, parts, marks: list, trail: tuple = ()):
    """Without what is at the path; an array's element becomes null."""
    t, v = container
    if t not in (3, 4):
        return container
    elements = split(v)
    here = (*trail, (parts[0], t == 4))
    for n, (name, et, ev) in enumerate(elements):
        if name != parts[0]:
            continue
        if parts[1:]:
            elements[n] = (name, *take((et, ev), parts[1:], marks, here))
        elif t == 4:
            elements[n] = (name, *NULL)
            marks.append((here, "update"))
        else:
            del elements[n]
            marks.append((here, "delete"))
        return t, join(elements)
    return container


def look(v, parts):
    for name in parts:
        if v is None or v[0] not in (3, 4):
            return None
        v = field(v[1], name)
    return v


# ---- operators -----------------------------------------------------------------------------------------------------

def _sum(a, b, name: bytes):
    if BRACKET[a[0]] != 2 or BRACKET[b[0]] != 2:
        raise Refused(14, "TypeMismatch", f"Cannot apply $inc to a value of non-numeric type: '{name.decode()}'")
    if 19 in (a[0], b[0]):
        from bson import Decimal128
        return value(Decimal128(str(number(*a) + number(*b))))
    total = number(*a) + number(*b)
    if 1 in (a[0], b[0]):
        return 1, struct.pack("<d", total)
    wide = 18 in (a[0], b[0]) or not -2**31 <= total < 2**31
    if not -2**63 <= total < 2**63:
        raise bad("Failed to apply $inc operations to current value")
    return (18, struct.pack("<q", total)) if wide else (16, struct.pack("<i", total))


def _added(argument) -> list:
    t, v = argument
    each = field(v, b"$each") if is_operators(t, v) else None
    return [e[1:] for e in split(each[1])] if each else [argument]


def _array(v, operator: bytes) -> list:
    if v is None:
        return []
    if v[0] != 4:
        raise bad(f"The field must be an array for {operator.decode()}")
    return [e[1:] for e in split(v[1])]


def _pulled(e, argument) -> bool:
    t, v = argument
    if is_operators(t, v):
        return matches(join([(b"v", t, v)]), join([(b"v", *e)]))
    if t == 3 and e[0] == 3:
        return matches(v, e[1])
    return order(*e) == order(t, v)


def _apply_one(op: bytes, doc, name: bytes, argument, marks: list, inserting: bool):
    parts = name.split(b".")
    if op == b"$set" or (op == b"$setOnInsert" and inserting):
        return put(doc, parts, argument, marks)
    if op == b"$setOnInsert":
        return doc
    if op == b"$unset":
        return take(doc, parts, marks)
    there = look(doc, parts)
    if op == b"$inc":
        return put(doc, parts, argument if there is None else _sum(there, argument, name), marks)
    if op in (b"$min", b"$max"):
        better = there is None or (order(*argument) < order(*there) if op == b"$min" else order(*argument) > order(*there))
        return put(doc, parts, argument, marks) if better else doc
    if op == b"$currentDate":
        return put(doc, parts, (9, struct.pack("<q", now_ms())), marks)
    if op == b"$rename":
        return doc if there is None else put(take(doc, parts, marks), text(argument[1]).split(b"."), there, marks)
    listed = _array(there, op)
    if op in (b"$push", b"$addToSet"):
        new = _added(argument)
        if op == b"$addToSet":
            known = {order(*e) for e in listed}
            new = [e for e in new if not (order(*e) in known or known.add(order(*e)))]
        if not new:
            return doc
        if there is None:
            return put(doc, parts, (4, join_array(new)), marks)
        for e in new:
            doc = put(doc, [*parts, str(len(listed)).encode()], e, marks)
            listed.append(e)
        return doc
    if there is None:
        return doc
    if op == b"$pull":
        kept = [e for e in listed if not _pulled(e, argument)]
    elif op == b"$pullAll":
        gone = {order(*e) for e in _array(argument, op)}
        kept = [e for e in listed if order(*e) not in gone]
    elif op == b"$pop":
        kept = listed[1:] if number(*argument) < 0 else listed[:-1]
    else:
        raise Refused(9, "FailedToParse", f"Unknown modifier: {op.decode(errors='replace')}")
    return put(doc, parts, (4, join_array(kept)), marks)


def modified(doc: bytes, update: bytes, inserting: bool = False):
    """The document after the operators, and its difference for the oplog (None: nothing changed)."""
    marks: list = []
    result = (3, doc)
    seen: list = []
    for op, t, v in split(update):
        if t != 3:
            raise Refused(9, "FailedToParse", f"Modifiers operate on fields but we found type {t} instead")
        for name, at_, av in split(v):
            path = name.split(b".")
            if any(part[:1] == b"$" for part in path):
                raise Refused(238, "NotImplemented", "positional updates are not known here")
            if any(path[:len(p)] == p or p[:len(path)] == path for p in seen):
                raise Refused(*PATH_CONFLICT, f"Updating the path '{name.decode()}' would create a conflict at '{name.decode()}'")
            seen.append(path)
            result = _apply_one(op, result, name, (at_, av), marks, inserting)
    if result[1] == doc:
        return doc, None
    return result[1], _difference_of(marks, result)


def _difference_of(marks: list, result) -> bytes:
    whole = {m[0] for m in marks}
    tree: dict = {}
    for path, kind in marks:
        if any(path[:n] in whole for n in range(1, len(path))):
            continue
        node = tree
        for step in path[:-1]:
            node = node.setdefault(("s", *step), {})
        now = look(result, [name for name, _ in path])
        for old in ("u", "i", "d"):
            node.pop((old, *path[-1]), None)
        node[("d" if now is None else {"update": "u"}.get(kind, "i"), *path[-1])] = now
    return _encode_difference(tree)


def _encode_difference(node: dict) -> bytes:
    if any(is_index for _, _, is_index in node):
        return _encode_array(None, [(int(name), kind, v) for (kind, name, _), v in node.items()])
    found = []
    groups = {k: [(name, v) for (kind, name, _), v in node.items() if kind == k] for k in "duis"}
    if groups["d"]:
        found.append((b"d", 3, join((name, 8, b"\0") for name, _ in groups["d"])))
    for kind in "ui":
        if groups[kind]:
            found.append((kind.encode(), 3, join((name, *v) for name, v in groups[kind])))
    return join(found + [(b"s" + name, 3, v if isinstance(v, bytes) else _encode_difference(v)) for name, v in groups["s"]])


def _encode_array(length, changes: list) -> bytes:
    found = [(b"a", *TRUE)] + ([] if length is None else [(b"l", 16, struct.pack("<i", length))])
    for n, kind, v in sorted(changes, key=lambda one: one[0]):
        name = str(n).encode()
        found.append((b"s" + name, 3, v if isinstance(v, bytes) else _encode_difference(v)) if kind == "s" else (b"u" + name, *v))
    return join(found)


# ---- pipelines -----------------------------------------------------------------------------------------------------

def piped(doc: bytes, pipeline: list):
    """$set, $addFields, $unset, $replaceWith, $replaceRoot."""
    result = doc
    for stage in pipeline:
        name, t, v = split(stage)[0]
        if name in (b"$set", b"$addFields"):
            for n, et, ev in split(v):
                new = evaluate((et, ev), result)
                if new is not None:
                    result = put((3, result), n.split(b"."), new, [])[1]
        elif name in (b"$unset", b"$project"):
            names = [text(e[2]) for e in split(v)] if t == 4 else [text(v)] if t == 2 else None
            if names is None:
                raise bad("Update pipelines know $unset, not $project")
            for n in names:
                result = take((3, result), n.split(b"."), [])[1]
        elif name in (b"$replaceWith", b"$replaceRoot"):
            new = evaluate((t, v) if name == b"$replaceWith" else field(v, b"newRoot"), result)
            result = new[1] if field(new[1], b"_id") else join([(b"_id", *field(doc, b"_id")), *split(new[1])])
        else:
            raise Refused(40324, "Location40324", f"Unrecognized pipeline stage name: '{name.decode()}'")
    return result, None if result == doc else _compared(doc, result)


def _compared(before: bytes, after: bytes) -> bytes:
    old, new = split(before), split(after)
    was, now = {n: (t, v) for n, t, v in old}, {n: (t, v) for n, t, v in new}
    node: dict = {("d", n, False): None for n, _, _ in old if n not in now}
    for n, t, v in new:
        if n not in was:
            node[("i", n, False)] = (t, v)
        elif was[n] != (t, v):
            deep = _deep(was[n], (t, v))
            node[("u", n, False) if deep is None else ("s", n, False)] = (t, v) if deep is None else deep
    return _encode_difference(node)


def _deep(a, b):
    """The difference of two values, or None when the new value itself is no longer than it."""
    if a[0] != b[0] or a[0] not in (3, 4):
        return None
    if a[0] == 3:
        found = _compared(a[1], b[1])
    else:
        old, new = [e[1:] for e in split(a[1])], [e[1:] for e in split(b[1])]
        changes = []
        for n, v in enumerate(new):
            if n >= len(old) or old[n] != v:
                deep = _deep(old[n], v) if n < len(old) else None
                changes.append((n, "u" if deep is None else "s", v if deep is None else deep))
        found = _encode_array(len(new) if len(new) < len(old) else None, changes)
    return found if len(found) < len(b[1]) else None


# ---- an update as a whole ------------------------------------------------------------------------------------------

def with_id(doc: bytes, _id) -> bytes:
    """_id stands first, as the server puts it."""
    elements = split(doc)
    if elements and elements[0][0] == b"_id":
        return doc
    return join([(b"_id", *_id), *(e for e in elements if e[0] != b"_id")])


def updated(doc: bytes, update):
    """(document, difference, or "replace", or None for no change). The update is a document, or a list of them for a pipeline."""
    _id = field(doc, b"_id")
    if isinstance(update, list):
        result, difference = piped(doc, update)
    elif update[5:6] == b"$":
        result, difference = modified(doc, update)
    else:
        given = field(update, b"_id")
        if given is not None and order(*given) != order(*_id):
            raise Refused(66, "ImmutableField", "After applying the update, the (immutable) field '_id' was found to have been altered")
        result = join([(b"_id", *_id), *(e for e in split(update) if e[0] != b"_id")])
        return result, None if result == doc else "replace"
    now = field(result, b"_id")
    if now is None or order(*now) != order(*_id):
        raise Refused(66, "ImmutableField", "Performing an update on the path '_id' would modify the immutable field '_id'")
    return result, difference


def upserted(filter_: bytes, update) -> bytes:
    """The document of an upsert that found none: the filter's equalities, then the update."""
    base = (3, EMPTY)

    def take_from(f: bytes):
        nonlocal base
        for name, t, v in split(f):
            if name == b"$and":
                for _, _, inner in split(v):
                    take_from(inner)
            elif name[:1] != b"$":
                if is_operators(t, v):
                    equal = field(v, b"$eq")
                    if equal is None:
                        continue
                    t, v = equal
                base = put(base, name.split(b"."), (t, v), [])

    take_from(filter_)
    if isinstance(update, list):
        result = piped(base[1], update)[0]
    elif update[5:6] == b"$":
        result = modified(base[1], update, True)[0]
    else:
        _id = field(update, b"_id") or field(base[1], b"_id")
        result = with_id(update, _id) if _id else update
    return with_id(result, field(result, b"_id") or new_id())


# ---- the event's words for it --------------------------------------------------------------------------------------

def description(difference: bytes, expanded: bool) -> bytes:
    """updateDescription of a difference. Arrays' indices are numbers in disambiguatedPaths."""
    updated_, removed, truncated, ambiguous = [], [], [], []

    def tell(path: list) -> bytes:
        dotted = b".".join(name for name, _ in path)
        if any(not is_index and (b"." in name or (n > 0 and name.isdigit())) for n, (name, is_index) in enumerate(path)):
            ambiguous.append((dotted, 4, join_array(value(int(name)) if is_index else value(name.decode()) for name, is_index in path)))
        return dotted

    def walk(diff: bytes, path: list) -> None:
        elements = split(diff)
        if elements and elements[0][:2] == (b"a", 8):
            for name, t, v in elements[1:]:
                if name == b"l":
                    truncated.append((3, encode({"field": tell(path).decode(), "newSize": number(t, v)})))
                elif name[:1] == b"u":
                    updated_.append((tell([*path, (name[1:], True)]), t, v))
                else:
                    walk(v, [*path, (name[1:], True)])
            return
        for kind, t, v in elements:
            if kind in (b"u", b"i"):
                updated_.extend((tell([*path, (name, False)]), et, ev) for name, et, ev in split(v))
            elif kind == b"d":
                removed.extend(value(tell([*path, (name, False)]).decode()) for name, _, _ in split(v))
            else:
                walk(v, [*path, (kind[1:], False)])

    walk(difference, [])
    return join([(b"updatedFields", 3, join(updated_)), (b"removedFields", 4, join_array(removed)), (b"truncatedArrays", 4, join_array(truncated))] +
                ([(b"disambiguatedPaths", 3, join(ambiguous))] if expanded else []))
