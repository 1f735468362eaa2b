"""The target's half of the MySQL connector, driven without the rest of midflight (tests/drive/pgdrive.c)."""
from __future__ import annotations

from harness.mysql_servers import fetch
from harness.pgdrive import Drive, Refused

__all__ = ["Drive", "Refused", "table"]


def table(connection, name: str, identity: str = "key") -> dict:
    """The shape of a table of the connection's database as a catalogue gives it; its key is the primary key."""
    rows = fetch(connection, "SELECT column_name, column_type, character_set_name, extra, column_key, database()"
                 " FROM information_schema.columns WHERE table_schema = database() AND table_name = %s ORDER BY ordinal_position",
                 (name,), close=False)
    columns = [{"name": r[0], "type": r[1] + (f" charset {r[2]}" if r[2] else ""), "generated": "GENERATED" in r[3].replace("DEFAULT_GENERATED", "")}
               for r in rows]
    key = [i for i, r in enumerate(rows) if r[4] == "PRI"] if identity == "key" else []
    return {"schema": rows[0][5], "name": name, "identity": identity, "columns": columns, "key": key}
