"""The keys of documents in tables that the user made, or that an older server has no better ones for: what MongoDB tells apart and the target takes for equal."""
from __future__ import annotations

from contextlib import closing

import pytest

from harness.mysql_servers import MysqlServer
from test_shred import Shown


BY_NAME = """
source: mongodb://nowhere/shop
target: %s
map:
  - collection: shop.users
    to: users
    columns: [{path: _id, column: id, type: string(20)}, {path: n, type: int32}]
    tables:
      - {path: tags, to: user_tags, missing: empty, columns: [{path: ".", column: tag, type: string(20)}]}
      - {path: settings, to: user_settings, kind: map, key: name, key_type: string(20), missing: empty, columns: [{path: ".", column: value, type: string(50)}]}
"""


@pytest.fixture(scope="module")
def server():
    with MysqlServer("8.0") as s:
        yield s


@pytest.mark.parametrize("collation", ["utf8mb4_general_ci", "utf8mb4_bin"])
def test_ids_and_keys_that_the_target_takes_for_equal_stay_apart(server, tmp_path, collation):
    """Tables that the user made: their keys have no regard to case, or to blanks at the end. What cannot be there beside another is refused, and takes no other's place."""
    with closing(Shown(server, tmp_path / "map.yaml", text=BY_NAME)) as shown:
        shown.database.execute("SET FOREIGN_KEY_CHECKS = 0;" + ";".join(
            f"ALTER TABLE {t} CONVERT TO CHARACTER SET utf8mb4 COLLATE {collation}" for t in ("user_settings", "user_tags", "users")))
        shown.reopen()
        other = "ANN" if collation.endswith("_ci") else "ann "
        ann = {"_id": "ann", "n": 1, "tags": ["a", "b"], "settings": {"k": "v"}}
        shown.load(ann)
        twin = {"_id": other, "n": 2, "tags": ["z"], "settings": {}}
        for change in ({"inserts": [twin]}, {"updates": [twin]}):
            shown.apply(**change, fuzzy=True, careful=True, keep=True)
            shown.expect(ann)
            assert [q["key"] for q in shown.quarantine()] == ['_id="%s"' % other]
        shown.apply(deletes=[twin], fuzzy=True)
        shown.expect(ann)
        assert shown.quarantine() == []
        both = {**ann, "settings": {"k": "v", "K" if other == "ANN" else "k ": "w"}}
        shown.apply(updates=[both], fuzzy=True, careful=True, keep=True)
        assert len(shown.quarantine()) == 1
        shown.expect()
        shown.apply(updates=[{**ann, "settings": {"K": "w"}}], fuzzy=True)
        shown.expect({**ann, "settings": {"K": "w"}})
