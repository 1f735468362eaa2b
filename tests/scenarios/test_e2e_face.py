"""What a user of a running migration sees: the terminal, signals, the state directory that remembers, the HTTP API."""
import fcntl
import json
import os
import pty
import signal
import socket
import subprocess
import termios
import urllib.error
import urllib.request

import pytest

from harness.midflight import FAILED, OK
from harness.servers import PASSWORD, free_port, wait_for


@pytest.fixture
def m(source, target, migration):
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, i FROM generate_series(1, 1000) i")
    return migration(source, target)


def bare(m, *arguments, expect=OK, cwd="/"):
    """A command that is told nothing but the state directory."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    done = subprocess.run([str(m.program), *arguments, "--state", str(m.state_dir)], capture_output=True, text=True, cwd=cwd,
                          env=env, timeout=120)
    assert done.returncode == expect, done.stdout + done.stderr
    return done


def test_the_state_directory_is_enough(m):
    m.start()
    m.wait_phase("synced")
    assert "synced" in bare(m, "status").stdout
    assert json.loads(bare(m, "verify", "--json").stdout)["rows_differing"] == 0
    assert m.stop() == OK
    assert "nothing runs" in bare(m, "status").stdout
    assert "midflight run" in bare(m, "verify", expect=FAILED).stderr
    m.process = None
    assert json.loads(bare(m, "cancel", "--json").stdout)["phase"] == "cancelled"
    assert "cancelled" in bare(m, "status").stdout


def test_urls_with_a_password_are_not_remembered(source, target, migration):
    m = migration(source, target)
    m.config_path.unlink()
    arguments = ["--source", source.url(), "--target", target.url()]
    source.execute("CREATE TABLE t (id int PRIMARY KEY)")
    run = [str(m.program), "run", "--until", "synced", "--state", str(m.state_dir), "--set", "copy.jobs=2"]
    subprocess.run(run + arguments, check=True, capture_output=True, timeout=120)
    kept = (m.state_dir / "config.json").read_text()
    assert PASSWORD not in kept and "copy.jobs=2" in kept
    assert "password, which is not kept" in bare(m, "cancel", expect=2).stderr
    env = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    done = subprocess.run([str(m.program), "cancel", "--state", str(m.state_dir), *arguments], capture_output=True, text=True,
                          env=env, timeout=120)
    assert done.returncode == OK, done.stderr


def test_a_url_without_its_password_is_remembered(source, target, migration):
    m = migration(source, target)
    source.execute("CREATE TABLE t (id int PRIMARY KEY)")
    env = os.environ | {"SECRET_ONE": PASSWORD}
    arguments = ["--source", source.url().replace(PASSWORD, "${SECRET_ONE}"),
                 "--target", target.url().replace(PASSWORD, "${SECRET_ONE}")]
    subprocess.run([str(m.program), "run", "--until", "synced", "--state", str(m.state_dir)] + arguments, check=True,
                   capture_output=True, env=env, timeout=120)
    assert "${SECRET_ONE}" in (m.state_dir / "config.json").read_text()
    done = subprocess.run([str(m.program), "cancel", "--state", str(m.state_dir)], capture_output=True, text=True, env=env,
                          timeout=120)
    assert done.returncode == OK, done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_and_run_goes_on(m, source, target, number):
    m.start()
    m.wait_phase("synced")
    m.process.send_signal(number)
    assert m.wait_exit() == OK
    source.execute("INSERT INTO t VALUES (5000, 'meanwhile')")
    m.start()
    wait_for(lambda: target.rows("SELECT v FROM t WHERE id = 5000") == [("meanwhile",)], 60, "the change")


def test_until_copied_stops_and_goes_on(m, target):
    m.start("--until", "copied")
    assert m.wait_exit() == OK
    assert target.value("SELECT count(*) FROM t") == 1000
    m.start("--until", "synced")
    assert m.wait_exit() == OK
    assert m.status()["phase"] == "synced"


def test_a_terminal_shows_progress_and_elsewhere_lines_are_json(m):
    m.start("--until", "synced")
    assert m.wait_exit() == OK
    for line in m.log_text().splitlines():
        assert {"time", "level", "message"} <= set(json.loads(line)), line
    main, worker = pty.openpty()
    process = subprocess.Popen(m.arguments("run"), stdin=subprocess.DEVNULL, stdout=worker, stderr=worker,
                               env=m._environment(), cwd=m.dir, start_new_session=True,
                               preexec_fn=lambda: fcntl.ioctl(worker, termios.TIOCSCTTY, 0))
    os.close(worker)
    seen = b""
    try:
        os.set_blocking(main, False)

        def read():
            nonlocal seen
            try:
                seen += os.read(main, 65536)
            except BlockingIOError:
                pass
            except OSError:
                return True
            return b"writes on the source" in seen and b"\r\x1b[K" in seen
        wait_for(read, 60, "a line of progress")
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: process.poll() is not None or read() and False, 60, "its end")
        assert process.returncode == OK
    finally:
        process.kill()
        process.wait()
        os.close(main)
    assert b'{"time"' not in seen


def sse(m):
    """A connection to /v1/events over the socket."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(90)
    s.connect(str(m.state_dir / "api.sock"))
    s.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return s


def test_events_tell_a_cutover_as_it_happens(m):
    m.start()
    m.wait_phase("synced")
    m.call("verify")
    with sse(m) as s:
        text = s.recv(65536)
        m.call("cutover")

        def read():
            nonlocal text
            text += s.recv(65536)
            return b'"phase":"cut_over"' in text.replace(b" ", b"")
        wait_for(read, 60, "the phase as an event")
    steps = [json.loads(line[6:]).get("step") for line in text.decode().rpartition("\n")[0].splitlines()
             if line.startswith("data: ") and "holds_after" in line]
    assert steps.index("hold") < steps.index("drain") < steps.index("decide") < steps.index("open"), steps
    m.call("rollback")


def test_tcp_asks_for_its_token(m):
    port = free_port()
    token = "a-token-of-some-length"
    m.configure(api={"listen": f"127.0.0.1:{port}", "token": token})
    m.start()
    m.wait_phase("synced")

    def get(path, **headers):
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
    assert get("/v1/status")[0] == 401
    assert get("/metrics")[0] == 401
    assert get("/readyz")[0] == 200
    status, text = get("/v1/status", Authorization=f"Bearer {token}")
    assert status == 200 and json.loads(text)["phase"] == "synced"
    assert token not in m.all_logs()


def test_complete_is_answered_before_the_run_ends(m):
    m.start()
    m.wait_phase("synced")
    m.call("verify")
    m.call("cutover")
    assert json.loads(m.call("complete", "--json").out)["phase"] == "completed"
    assert m.wait_exit() == OK
    assert not (m.state_dir / "api.sock").exists()
