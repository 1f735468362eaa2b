"""Unique indexes of mongo_double.py: nothing is found by them, but what they forbid is refused ("Unique Indexes", "Sparse Indexes" and "Partial Indexes" in
the manual; arrays have an entry for each element)."""
from __future__ import annotations

from itertools import product


from harness.mongo_double_values import EMPTY, NULL, Refused, _spread, at, document, encode, join, matches, order, python


class Unique:
    def __init__(self, spec: dict):
        self.spec = spec
        self.paths = [name.encode().split(b".") for name in spec["key"]]
        self.partial = encode(spec["partialFilterExpression"]) if spec.get("partialFilterExpression") else EMPTY
        self.entries: dict = {}  # whose, by the order of _id

    def keys(self, raw) -> dict:
        """What the index has of a document, with the values."""
        if raw is None or not matches(self.partial, raw):
            return {}
        each = []
        for path in self.paths:
            found = [v for v in _spread(at((3, raw), path)) if v is None or v[0] != 4]
            each.append(found or [None])
        if self.spec.get("sparse") and all(found == [None] for found in each):
            return {}
        return {tuple(order(*(v or NULL)) for v in values): values for values in product(*each)}

    def refuse(self, ns: str, values) -> None:
        key_value = join((name.encode(), *(v or NULL)) for name, v in zip(self.spec["key"], values))
        said = ", ".join(f"{name}: {python(v or NULL)!r}" for name, v in zip(self.spec["key"], values))
        raise Refused(11000, "DuplicateKey", f"E11000 duplicate key error collection: {ns} index: {self.spec['name']} dup key: {{ {said} }}",
                      more={"keyPattern": self.spec["key"], "keyValue": document(key_value)})

    def fill(self, ns: str, records: dict) -> None:
        for key, record in records.items():
            for k, values in self.keys(record.now()).items():
                if self.entries.setdefault(k, key) != key:
                    self.refuse(ns, values)

    def take(self, key: tuple, before, after) -> None:
        for k in self.keys(before):
            if self.entries.get(k) == key:
                del self.entries[k]
        for k in self.keys(after):
            self.entries[k] = key


def uniques(specs: list) -> list:
    return [Unique(spec) for spec in specs if spec.get("unique")]


def check(collection, key: tuple, raw: bytes, transaction) -> None:
    """A document that is about to be written: as everybody else sees the others, and the transaction its own."""
    for index in collection.unique:
        mine = index.keys(raw)
        for k, values in mine.items():
            owner = index.entries.get(k)
            if owner is None or owner == key:
                continue
            changed = transaction and transaction.writes.get((collection.ui, owner))
            if not changed or k in index.keys(changed[1]):
                index.refuse(collection.ns, values)
        for (ui, other), (_, there) in (transaction.writes.items() if transaction else ()):
            if ui == collection.ui and other != key:
                for k in set(mine) & set(index.keys(there)):
                    index.refuse(collection.ns, mine[k])


def refused_since(collection, transaction) -> bool:
    """Somebody else has committed what the transaction's documents may not share."""
    for index in collection.unique:
        for (ui, key), (_, raw) in transaction.writes.items():
            if ui == collection.ui:
                owners = {index.entries.get(k, key) for k in index.keys(raw)} - {key}
                if any((ui, owner) not in transaction.writes for owner in owners):
                    return True
    return False
