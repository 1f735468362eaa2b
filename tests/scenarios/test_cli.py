"""The command line by itself: help, usage, exit statuses, and what commands make of the answers of a run, which is played
here by a server on the state directory's socket."""
import json
import os
import re
import socketserver
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from harness.midflight import DIFFERENT, FAILED, OK, REFUSED, USAGE, binary
from harness.servers import TOP, wait_for

SECRET = "hunter2hunter2"


def midflight(*arguments, cwd=None, env=None, timeout=120):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "MIDFLIGHT_"))} | (env or {})
    return subprocess.run([str(binary()), *map(str, arguments)], capture_output=True, text=True, cwd=cwd,
                          env=environment, timeout=timeout, stdin=subprocess.DEVNULL)


def expect(status, *arguments, **named):
    done = midflight(*arguments, **named)
    assert done.returncode == status, f"{arguments}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    assert SECRET not in done.stdout + done.stderr
    return done


def commands():
    page = midflight("reference", "commands").stdout
    return re.findall(r"^## midflight (\w+)", page, re.M)


# ---- help and usage ---------------------------------------------------------------------------------------------------

def test_every_command_explains_itself():
    names = commands()
    assert {"check", "plan", "run", "status", "verify", "reads", "cutover", "rollback", "freeze", "thaw", "complete",
            "cancel", "quarantine"} <= set(names)
    overview = expect(OK, "help").stdout
    page = midflight("reference", "commands").stdout
    for name in names:
        assert re.search(rf"^  {name} ", overview, re.M)
        text = expect(OK, name, "--help").stdout
        if name != "help":
            assert text == expect(OK, "help", name).stdout == expect(OK, name, "-h").stdout
        section = page.split(f"## midflight {name}", 1)[1].split("\n## ", 1)[0]
        for option in re.findall(r"^\| `(--[a-z-]+)", section, re.M):
            assert option in text
        assert "--state DIR" in text and ("exits:" in text or name == "help")
    assert "reference" not in overview


def test_help_is_found_every_way():
    assert expect(OK).stdout == expect(OK, "help").stdout == expect(OK, "--help").stdout == expect(OK, "-h").stdout
    assert "copy.jobs: a whole number from 1 to 64; default 4" in expect(OK, "help", "config").stdout


def test_version():
    assert re.fullmatch(r"midflight \d+\.\d+\.\d+\n", expect(OK, "version").stdout)
    assert expect(OK, "--version").stdout == expect(OK, "version").stdout
    assert json.loads(expect(OK, "version", "--json").stdout)["version"]


@pytest.mark.parametrize("arguments, words", [
    (["statsu"], ['no command "statsu"', '"status"']),
    (["qqqqqqqqqq"], ['no command "qqqqqqqqqq"']),
    (["help", "nothing"], ['no command "nothing"']),
    (["run", "--untli", "x"], ["no option --untli", "--until"]),
    (["run", "-x"], ["no option --x"]),
    (["status", "--until", "copied"], ["status: there is no option --until"]),
    (["run", "--until", "later"], ["copied or synced", "later"]),
    (["run", "--until"], ["--until needs a value"]),
    (["run", "--json=yes"], ["--json takes no value"]),
    (["reads"], ["usage: midflight reads PER_CENT"]),
    (["reads", "20", "30"], ["usage: midflight reads PER_CENT"]),
    (["reads", "101"], ["0 to 100"]),
    (["reads", "a few"], ["0 to 100"]),
    (["verify", "--sample", "2"], ["--sample"]),
    (["verify", "--sample", "0"], ["--sample"]),
    (["cutover", "--max-pause", "500"], ["--max-pause", "500ms"]),
    (["quarantine", "show"], ["quarantine"]),
    (["quarantine", "eat", "1"], ["quarantine"]),
    (["quarantine", "drop", "-1"], ["quarantine"]),
    (["quarantine", "drop", "--", "-1"], ["number"]),
    (["reference", "nothing"], ['no page "nothing"']),
    (["check", "--set", "copy.jobs"], ["KEY=VALUE"]),
], ids=lambda v: "_".join(v) if isinstance(v, list) else "")
def test_usage_errors(tmp_path, arguments, words):
    (tmp_path / "migration.yaml").write_text("source: mem://a\ntarget: mem://b\n")
    done = expect(USAGE, *arguments, cwd=tmp_path)
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr


# ---- configuration ----------------------------------------------------------------------------------------------------

def test_no_configuration_says_what_to_do(tmp_path):
    for command in ("check", "plan", "run", "complete", "cancel"):
        done = expect(USAGE, command, cwd=tmp_path)
        assert "migration.yaml" in done.stderr and "--source URL" in done.stderr


def test_unknown_key_has_line_and_nearest_name(tmp_path):
    (tmp_path / "migration.yaml").write_text("source: mem://a\ntarget: mem://b\ncopy:\n  jbos: 4\n")
    done = expect(USAGE, "check", cwd=tmp_path)
    assert 'migration.yaml:4: unknown key "copy.jbos"; did you mean "copy.jobs"?' in done.stderr
    done = expect(USAGE, "check", "--source", "mem://a", "--target", "mem://b", "--set", "copy.jbos=3", cwd=tmp_path)
    assert 'did you mean "copy.jobs"?' in done.stderr
    done = expect(USAGE, "check", "--source", "mem://a", "--target", "mem://b", "--set", "copy.jobs=0", cwd=tmp_path)
    assert "1 to 64" in done.stderr


def test_missing_variable_is_named(tmp_path):
    (tmp_path / "migration.yaml").write_text("source: postgresql://u:${NO_SUCH_THING}@h/d\ntarget: mem://b\n")
    assert "migration.yaml:1: source: the environment variable NO_SUCH_THING" in expect(USAGE, "check", cwd=tmp_path).stderr


def test_errors_show_no_secret(tmp_path):
    for text in (f"source: {SECRET}\n", f"source: postgresql://u:{SECRET}@h/d\ntarget: postgresql://u:{SECRET}@h/d\n",
                 f"source: [postgresql://u:{SECRET}@h/d]\n", f"api: {{ token: [{SECRET}] }}\n"):
        (tmp_path / "migration.yaml").write_text(text)
        expect(USAGE, "check", cwd=tmp_path)
    expect(USAGE, "check", "--source", f"u:{SECRET}@h/d", "--target", "mem://b", cwd=tmp_path)
    expect(USAGE, "check", "--source", f"oracle://u:{SECRET}@h/d", "--target", "mem://b", cwd=tmp_path)


def test_error_as_json(tmp_path):
    done = midflight("verify", "--json", "--state", tmp_path / "none")
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "MFNORUN" and "midflight run" in error["hint"]


@pytest.mark.parametrize("arguments", [["verify"], ["reads", "5"], ["cutover"], ["rollback"], ["freeze"], ["thaw"],
                                       ["quarantine"], ["quarantine", "drop", "1"]], ids=" ".join)
def test_without_a_run_it_says_what_to_do(tmp_path, arguments):
    done = expect(FAILED, *arguments, "--state", tmp_path)
    assert f"no migration runs in {tmp_path}" in done.stderr and "midflight run" in done.stderr


def test_status_without_a_migration(tmp_path):
    done = expect(FAILED, "status", "--state", tmp_path)
    assert "there is no migration" in done.stderr and "--state" in done.stderr


# ---- with a run -------------------------------------------------------------------------------------------------------

STATUS = {
    "migration": "shop", "phase": "copying", "writes": "source", "reads_percent": 0, "running": True, "step": "copy",
    "copy": {"rows_done": 250, "rows_total": 1000, "bytes_done": 2048, "bytes_total": 8192, "rows_per_second": 50.0,
             "eta_seconds": 15.0, "throttled": True},
    "stream": {"source_position": "0/1A", "spooled_position": "0/19", "applied_position": "0/18", "lag_bytes": 2048,
               "lag_seconds": 0.5, "changes_per_second": 12.0},
    "verify": {"state": "different", "tables_equal": 3, "tables_differing": 1, "rows_compared": 4000, "rows_differing": 2,
               "finished_at": 1700000000.5},
    "quarantine": {"rows": 3}, "pause_ms": 12.5, "last_error": "the server went away",
    "tables": [{"name": "public.a", "rows_done": 250, "rows_total": 1000, "state": "copying"}],
}


class Run:
    """Plays `midflight run`: answers is {(method, path): (status, document or bytes)}."""

    def __init__(self, state: Path, answers: dict):
        self.answers, self.asked = answers, []
        run = self

        class Handler(BaseHTTPRequestHandler):
            def reply(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                run.asked.append((self.command, self.path, json.loads(body) if body else None))
                status, document = run.answers[self.command, self.path]
                if document is None:
                    self.connection.close()
                    self.close_connection = True
                    return
                text = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = reply

            def address_string(self):
                return "socket"

            def log_message(self, *_):
                pass

        self.server = socketserver.ThreadingUnixStreamServer(str(state / "api.sock"), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def run(tmp_path):
    made = []

    def make(answers):
        made.append(Run(tmp_path, answers))
        return made[-1]

    yield make
    for r in made:
        r.close()


def test_status_is_one_screen(tmp_path, run):
    run({("GET", "/v1/status"): (200, STATUS)})
    text = expect(OK, "status", "--state", tmp_path).stdout
    for word in ("shop  copying", " 25 %", "250 of 1,000 rows", "15.0s left", "2.0 kB, 0.5 s behind", "different",
                 "2 differ", "2023-11-14T22:13:20", "3 rows: `midflight quarantine`", "12 ms", "the server went away",
                 "public.a", "held back"):
        assert word.replace("15.0s", "15 s") in text or word in text or word.replace("15.0s", "15s") in text, (word, text)
    assert len(text.splitlines()) <= 24
    assert json.loads(expect(OK, "status", "--json", "--state", tmp_path).stdout) == STATUS


def test_status_cuts_long_positions(tmp_path, run):
    tokens = {f"{name}_position": f"82{n}" + "6a0f" * 50 + f"end{n}" for n, name in enumerate(("source", "spooled", "applied"))}
    status = STATUS | {"stream": STATUS["stream"] | tokens}
    run({("GET", "/v1/status"): (200, status)})
    for mode in ({}, {"mode": "native"}):
        status.update(mode)
        text = expect(OK, "status", "--state", tmp_path).stdout
        line = next(one for one in text.splitlines() if "source at" in one)
        assert "820" in line and "end0" in line and "822" in line and "end2" in line and " … " in line
        assert not any(token in text for token in tokens.values())
        assert max(map(len, text.splitlines())) < 200
    assert json.loads(expect(OK, "status", "--json", "--state", tmp_path).stdout)["stream"]["applied_position"] == tokens["applied_position"]


@pytest.mark.parametrize("rows, state, share", [(500, "copying", " 50 %"), (1000, "live", "100 %"), (1000, "copying", " 25 %")])
def test_status_has_a_share_that_goes_with_the_rows(tmp_path, run, rows, state, share):
    """The bytes of documents and of their rows are not the same; they count where nothing says that rows are left."""
    copy = STATUS["copy"] | {"rows_done": rows, "bytes_done": 2048, "bytes_total": 8192}
    run({("GET", "/v1/status"): (200, STATUS | {"copy": copy, "tables": [STATUS["tables"][0] | {"state": state}]})})
    assert f"{share}  {rows:,} of 1,000 rows" in expect(OK, "status", "--state", tmp_path).stdout


def test_status_stays_one_screen_with_many_tables(tmp_path, run):
    tables = [{"name": f"public.t{n}", "rows_done": n, "rows_total": 9, "state": "waiting"} for n in range(500)]
    run({("GET", "/v1/status"): (200, STATUS | {"tables": tables})})
    text = expect(OK, "status", "--state", tmp_path).stdout
    assert len(text.splitlines()) < 40 and "480 more" in text


def test_status_watch_ends_with_the_migration(tmp_path, run):
    r = run({("GET", "/v1/status"): (200, STATUS)})
    p = subprocess.Popen([str(binary()), "status", "--watch", "--json", "--state", str(tmp_path)], stdout=subprocess.PIPE,
                         text=True)
    try:
        wait_for(lambda: len(r.asked) >= 2, 60, "two looks")
        r.answers[("GET", "/v1/status")] = (200, STATUS | {"phase": "completed"})
        assert p.wait(60) == OK
        assert json.loads(p.stdout.read().splitlines()[-1])["phase"] == "completed"
    finally:
        p.kill()
        p.wait()


def test_status_with_odd_answers(tmp_path, run):
    r = run({("GET", "/v1/status"): (200, b"not a document")})
    assert "not a document of ours" in expect(FAILED, "status", "--state", tmp_path).stderr
    r.answers[("GET", "/v1/status")] = (200, {})
    expect(OK, "status", "--state", tmp_path)
    r.answers[("GET", "/v1/status")] = (200, {"phase": 7, "copy": [], "stream": None, "verify": "x", "tables": {"a": 1}})
    expect(OK, "status", "--state", tmp_path)


def test_verify_names_the_rows_and_exits_4(tmp_path, run):
    reply = {"rows_compared": 1000, "rows_differing": 2, "rows_repaired": 0, "tables_equal": 1, "tables_differing": 1,
             "differences": [{"table": "public.a", "key": "id=7", "kind": "missing"},
                             {"table": "public.a", "key": "id=9\x1b[31m", "kind": "differs"}]}
    r = run({("POST", "/v1/verify"): (200, reply)})
    text = expect(DIFFERENT, "verify", "--state", tmp_path, "--table", "public.a", "--sample", "5%", "--repair").stdout
    assert r.asked == [("POST", "/v1/verify", {"table": "public.a", "sample": 0.05, "repair": True})]
    assert "id=7" in text and "missing" in text and "different: 1,000 rows of a sample compared, 2 differ" in text
    assert "\x1b" not in text
    assert json.loads(expect(DIFFERENT, "verify", "--json", "--state", tmp_path).stdout) == reply
    r.answers[("POST", "/v1/verify")] = (200, {"rows_compared": 1000, "rows_differing": 0})
    assert "equal: 1,000 rows" in expect(OK, "verify", "--state", tmp_path).stdout


def error(cls, code, text, hint=""):
    return {"error": {"class": cls, "code": code, "text": text, "hint": hint}}


@pytest.mark.parametrize("status, document, wanted", [
    (409, error("abandoned", "MFGUARD", "the stream is 2 GB behind", "wait"), REFUSED),
    (400, error("usage", "MFBODY", "wrong"), USAGE),
    (503, error("retry", "08006", "connection lost"), FAILED),
    (500, error("fatal", "XX000", "broken"), FAILED),
    (500, error("nonsense", "X", "broken"), FAILED),
    (500, {}, FAILED),
    (200, None, FAILED),
])
def test_cutover_exits(tmp_path, run, status, document, wanted):
    run({("POST", "/v1/cutover"): (status, document)})
    done = expect(wanted, "cutover", "--state", tmp_path)
    if document is None:
        assert "may be done or not" in done.stderr
    elif document:
        assert document["error"]["text"] in done.stderr and document["error"]["code"] in done.stderr
        assert document["error"]["hint"] in done.stderr


@pytest.mark.parametrize("arguments, path, body", [
    (["cutover", "--dry-run", "--max-pause", "1.5s"], "/v1/cutover", {"dry_run": True, "max_pause_ms": 1500}),
    (["rollback"], "/v1/rollback", {}),
    (["rollback", "--accept-differences"], "/v1/rollback", {"accept_differences": True}),
    (["reads", "20"], "/v1/reads", {"percent": 20}),
    (["freeze"], "/v1/freeze", {}),
    (["thaw"], "/v1/thaw", {}),
    (["complete"], "/v1/complete", {}),
    (["cancel"], "/v1/cancel", {}),
    (["quarantine", "retry", "7"], "/v1/quarantine/retry", {"id": 7}),
    (["quarantine", "retry", "all"], "/v1/quarantine/retry", {"all": True}),
    (["quarantine", "drop", "7"], "/v1/quarantine/drop", {"id": 7}),
], ids=lambda v: "_".join(v) if isinstance(v, list) else "")
def test_commands_ask_what_they_should(tmp_path, run, arguments, path, body):
    r = run({("POST", path): (200, {"pause_ms": 12.5, "writes": "target"})})
    text = expect(OK, *arguments, "--state", tmp_path).stdout
    assert r.asked == [("POST", path, body)]
    assert "pause_ms: 12.500" in text
    assert json.loads(expect(OK, *arguments, "--json", "--state", tmp_path).stdout)["writes"] == "target"


def test_quarantine_lists_and_shows(tmp_path, run):
    rows = [{"id": 7, "schema": "public", "table": "a", "key": "id=1", "column": None, "reason": "bad date", "code": "22008",
             "row": '{"id": 1}'}]
    run({("GET", "/v1/quarantine"): (200, {"rows": rows})})
    assert "public.a" in expect(OK, "quarantine", "--state", tmp_path).stdout
    assert "bad date" in expect(OK, "quarantine", "list", "--state", tmp_path).stdout
    assert '{"id": 1}' in expect(OK, "quarantine", "show", "7", "--state", tmp_path).stdout
    assert json.loads(expect(OK, "quarantine", "show", "7", "--json", "--state", tmp_path).stdout)["code"] == "22008"
    assert "no row 8" in expect(FAILED, "quarantine", "show", "8", "--state", tmp_path).stderr


def test_quarantine_of_many_reasons(tmp_path, run):
    """The id as it is typed; in the list a line each, in `show` a line a reason."""
    long = "x" * 5000
    id_, reasons = 7992621895823230997, [f"orders[{n}].total: \"zwölf\" (string): the map says a decimal" for n in range(9)]
    rows = [{"id": id_, "schema": "shop", "table": "users", "key": "_id=1", "reason": "\n".join(reasons) + "\n", "code": "MFDOC", "row": f'{{"a":"{long}"}}'},
            {"id": 2, "schema": "shop", "table": "users", "key": "_id=2", "reason": "a: 1 (int32): no\nb: 2 (int32): no\n", "code": "MFDOC", "row": "{}"}]
    run({("GET", "/v1/quarantine"): (200, {"rows": rows})})
    shown = expect(OK, "quarantine", "show", str(id_), "--state", tmp_path).stdout.splitlines()
    assert f"id: {id_}" in shown and f'row: {{"a":"{long}"}}' in shown
    at = shown.index("reason")
    assert [line.strip() for line in shown[at + 1:at + 10]] == reasons
    listed = expect(OK, "quarantine", "list", "--state", tmp_path).stdout.splitlines()
    assert len(listed) == 3 and listed[2].endswith("a: 1 (int32): no; b: 2 (int32): no")
    assert str(id_) in listed[1] and f"{reasons[0]}; {reasons[1]}" in listed[1] and listed[1].endswith("…") and len(listed[1]) < 260


def test_a_missing_variable_does_not_hide_a_run(tmp_path, run):
    """Looking at a migration from another shell, where its passwords are not set."""
    state = tmp_path / "midflight-state"
    state.mkdir()
    (tmp_path / "migration.yaml").write_text("source: postgresql://u:${NO_SUCH_THING}@h/d\ntarget: mem://b\n")
    r = Run(state, {("GET", "/v1/status"): (200, STATUS)})
    try:
        assert "copying" in expect(OK, "status", cwd=tmp_path).stdout
    finally:
        r.close()


def test_a_long_state_directory_works(tmp_path):
    state = tmp_path / ("x" * 120)
    state.mkdir()
    fd = os.open(state, os.O_PATH)
    try:
        r = Run(Path(f"/proc/self/fd/{fd}"), {("GET", "/v1/status"): (200, STATUS)})
        assert "copying" in expect(OK, "status", "--state", state).stdout
        r.close()
    finally:
        os.close(fd)


def test_the_process_title_shows_no_password(tmp_path, run):
    r = run({("GET", "/v1/status"): (200, STATUS)})
    p = subprocess.Popen([str(binary()), "status", "--watch", "--state", str(tmp_path), "--source",
                          f"postgresql://u:{SECRET}@h/d", f"--target=postgresql://u:{SECRET}@i/d?password={SECRET}",
                          "--set", f"api.token={SECRET}"], stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: r.asked, 60, "it to be up")
        title = Path(f"/proc/{p.pid}/cmdline").read_bytes().decode()
        assert SECRET not in title and "postgresql://u:***@h/d" in title and str(tmp_path) in title
    finally:
        p.kill()
        p.wait()


def test_reference_pages_are_what_the_program_prints():
    for page in ("config", "commands", "api", "metrics", "cutover"):
        stored = (TOP / "docs" / "reference" / f"{page}.md").read_text().split("\n", 1)[1]
        assert stored == expect(OK, "reference", page).stdout, f"make docs refreshes docs/reference/{page}.md"
