"""The target's half of the PostgreSQL connector, driven without the rest of midflight (tests/drive/pgdrive.c)."""
from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


class Refused(Exception):
    def __init__(self, reply: dict):
        super().__init__(f"{reply['class']} {reply['code']}: {reply['text']} ({reply['hint']})")
        self.cls, self.code, self.text, self.hint, self.reply = (
            reply["class"], reply["code"], reply["text"], reply["hint"], reply)


class Drive:
    """One process, one database; commands are methods. Not for use from several threads."""

    def __init__(self, url: str, *, side: str = "target", migration: str = "test", direction: str = "forward",
                 other: str | None = None, state: str | None = None, fault: str | None = None):
        build = Path(os.environ.get("MIDFLIGHT_BUILD", TOP / "build"))
        arguments = [str(build / "tests/drive/pgdrive"), side, migration, direction, url]
        if other:
            arguments += [other] + ([str(state)] if state else [])
        environment = dict(os.environ) | ({"MIDFLIGHT_FAULT": fault} if fault else {})
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def send(self, op: str, **named) -> None:
        self.process.stdin.write(json.dumps({"op": op, **named}) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"pgdrive ended with {self.process.wait()}")
        reply = json.loads(line)
        if not reply["ok"]:
            raise Refused(reply)
        return reply

    def __call__(self, op: str, **named) -> dict:
        self.send(op, **named)
        return self.answer()

    def window(self, order: int, *tables, truncate=None, **named) -> dict:
        """One window of one batch."""
        batch = {"tables": list(tables)} if truncate is None else {"truncate": truncate}
        return self("window", order=order, batches=[batch], **named)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()

    def __enter__(self) -> "Drive":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def table(connection, name: str, schema: str = "public", identity: str = "key") -> dict:
    """The shape of a table as a catalogue gives it; its key is the primary key."""
    rows = connection.execute(
        "SELECT attname, atttypid::int8, atttypmod, attgenerated <> '',"
        " COALESCE(attnum = ANY (SELECT unnest(conkey) FROM pg_constraint WHERE conrelid = attrelid AND contype = 'p'), false)"
        " FROM pg_attribute WHERE attrelid = (quote_ident(%s) || '.' || quote_ident(%s))::regclass AND attnum > 0 AND NOT attisdropped"
        " ORDER BY attnum", (schema, name)).fetchall()
    columns = [{"name": r[0], "type_id": r[1], "type_mod": r[2], "generated": r[3]} for r in rows]
    key = [i for i, r in enumerate(rows) if r[4]] if identity == "key" else []
    return {"schema": schema, "name": name, "identity": identity, "columns": columns, "key": key}
