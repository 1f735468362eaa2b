"""The rules a compiler does not check.

- A layer includes only itself and what stands below it; a connector only base, model, bson, change, map, the connector
  layer's own headers and its own folder; nobody but the registry and tests a connector's folder.
- A client library's header appears only where that library is at home.
- No include cycles; every header compiles alone, under gcc and clang.
- Files of at most 500 lines; clang-format agrees; shell scripts parse.
- No unbounded string function.
"""
from __future__ import annotations

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
SRC = TOP / "src"

LAYERS = ["base", "model", "bson", "change", "spool", "config", "connector", "state", "map", "pipeline", "verify", "cutover",
          "migration", "proxy", "web", "api", "cli"]
CONNECTOR_MAY = {"base", "model", "bson", "change", "map"}

# header (a regular expression on the included name): the only places it may appear in
CLIENT_LIBRARIES = {
    r"(libpq-fe|libpq/.*|postgres_ext|pg_config.*)\.h": ["connector/postgres/"],
    r"(mysql|mysqld_error|errmsg|ma_.*|mariadb_.*)\.h|(mysql|mariadb)/.*": ["connector/mysql/"],
    r"mongoc(/.*)?\.h": ["connector/mongodb/"],
    r"bson(/.*)?\.h": ["bson/", "connector/mongodb/"],
    r"cassandra\.h": ["connector/cassandra/"],
    r"(sql|sqlext|sqltypes|oci|dpi)\.h": ["connector/oracle/"],
    r"librdkafka/.*": ["connector/kafka/"],
    r"sqlite3\.h": ["state/"],
    r"yaml\.h": ["config/"],
    r"event2/.*": ["api/", "proxy/"],
    r"zstd.*\.h": ["spool/", "base/", "change/", "connector/mysql/"],
    r"lz4.*\.h": ["connector/cassandra/"],
    r"zlib\.h": ["connector/mysql/", "connector/cassandra/", "model/expr_value.c"],
}

MAX_LINES = 500
LONG_FILES: set[str] = set()  # kept empty: a file that needs to be here needs to be two files

BANNED = re.compile(r"(?<![\w.>])(strcpy|strcat|sprintf|vsprintf|gets|strtok|asctime|ctime|gmtime|localtime"
                    r"|tmpnam|mktemp|system|atoi|atol|atoll|alloca)\s*\(")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)
COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.S)


def files(*suffixes: str, under: Path = SRC) -> list[Path]:
    return sorted(p for p in under.rglob("*") if p.suffix in suffixes and p.is_file())


def includes(path: Path) -> list[tuple[str, str]]:
    return INCLUDE.findall(path.read_text())


def place(path: Path) -> str:
    return path.relative_to(SRC).as_posix()


def room(name: str) -> str | None:
    """The connector's own folder a path is in, if any: connector/postgres/decode.c -> postgres."""
    parts = name.split("/")
    return parts[1] if parts[0] == "connector" and len(parts) > 2 else None


def rule_layers() -> list[str]:
    bad = []
    for path in files(".c", ".h"):
        name = place(path)
        layer = name.split("/")[0]
        if layer not in LAYERS:
            if name != "main.c":
                bad.append(f"src/{name}: {layer} is no layer; add it to LAYERS in scripts/lint.py")
            continue
        for kind, included in includes(path):
            if kind == "<":
                continue
            if not (SRC / included).exists() and not included.endswith(".inc.h"):
                bad.append(f'src/{name}: includes "{included}", which is not a path from src/')
                continue
            other = included.split("/")[0]
            mine, theirs = room(name), room(included)
            if theirs and theirs != mine and name != "connector/registry.c":
                bad.append(f"src/{name}: includes {included}, which only {theirs} itself and the registry may")
            elif mine and other != "connector" and other not in CONNECTOR_MAY:
                bad.append(f"src/{name}: a connector may not include {included}")
            elif not mine and other in LAYERS and LAYERS.index(other) > LAYERS.index(layer):
                bad.append(f"src/{name}: {layer} stands below {other}, so it may not include {included}")
    return bad


def rule_client_libraries() -> list[str]:
    bad = []
    for path in files(".c", ".h"):
        name = place(path)
        for kind, included in includes(path):
            if kind == '"' and (SRC / included).exists():
                continue  # our own: bson/shred.h
            for pattern, homes in CLIENT_LIBRARIES.items():
                if re.fullmatch(pattern, included) and not any(name.startswith(h) for h in homes):
                    bad.append(f"src/{name}: <{included}> belongs in {' or '.join(homes)} only")
    return bad


def rule_no_cycles() -> list[str]:
    graph = {place(p): [i for k, i in includes(p) if k == '"'] for p in files(".h")}
    bad, done = [], set()

    def walk(name: str, trail: list[str]) -> None:
        if name in trail:
            bad.append("include cycle: " + " -> ".join(trail[trail.index(name):] + [name]))
        elif name not in done:
            for other in graph.get(name, []):
                walk(other, trail + [name])
            done.add(name)

    for name in graph:
        walk(name, [])
    return bad


def flags() -> list[str]:
    found = []
    for package in ("libpq", "libmariadb", "libevent", "jansson", "yaml-0.1", "sqlite3", "libmongoc-1.0"):
        done = subprocess.run(["pkg-config", "--cflags", package], capture_output=True, text=True)
        found += done.stdout.split()
    return found


def rule_headers_alone() -> list[str]:
    # A table meant to be included inside a definition says so in its first comment.
    headers = [p for p in files(".h") if "No include guard" not in p.read_text()]
    compilers = [c for c in ("gcc", shutil.which("clang-14") or "clang") if shutil.which(c)]
    common = ["-std=c17", "-D_GNU_SOURCE", '-DMIDFLIGHT_VERSION="x"', "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
              f"-I{SRC}", *flags(), "-x", "c", "-"]

    def compile_one(job: tuple[str, Path]) -> str | None:
        compiler, path = job
        text = f'#include "{place(path)}"\n#include "{place(path)}"\nint mf_lint_;\n'
        done = subprocess.run([compiler, *common], input=text, capture_output=True, text=True)
        return f"src/{place(path)} does not compile alone ({compiler}):\n{done.stderr}" if done.returncode else None

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [r for r in pool.map(compile_one, [(c, p) for c in compilers for p in headers]) if r]


def rule_length() -> list[str]:
    bad = []
    for path in files(".c", ".h", ".py") + files(".c", ".h", ".py", under=TOP / "tests"):
        name = path.relative_to(TOP).as_posix()
        count = path.read_text().count("\n")
        limit = MAX_LINES if path.suffix != ".py" else 2 * MAX_LINES
        if count > limit and name not in LONG_FILES:
            bad.append(f"{name}: {count} lines; at most {limit}: it has become two files")
    return bad


def rule_format() -> list[str]:
    done = subprocess.run(["scripts/format.sh", "--check"], cwd=TOP, capture_output=True, text=True)
    if done.returncode == 0:
        return []
    wrong = sorted(set(re.findall(r"^(\S+?):\d+:\d+: ", done.stderr, re.M)))
    return [f"{name}: run make format" for name in wrong] or [done.stderr]


def rule_banned() -> list[str]:
    bad = []
    for path in files(".c", ".h"):
        text = COMMENT_OR_STRING.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), path.read_text())
        for m in BANNED.finditer(text):
            line = text.count("\n", 0, m.start()) + 1
            bad.append(f"src/{place(path)}:{line}: {m.group(1)} is unbounded, not thread-safe or hides errors")
    return bad


def rule_guards() -> list[str]:
    bad = []
    for path in files(".h"):
        text = path.read_text()
        want = "MF_" + re.sub(r"[^A-Za-z0-9]", "_", place(path)).upper()
        if "No include guard" not in text and f"#ifndef {want}\n#define {want}\n" not in text:
            bad.append(f"src/{place(path)}: the include guard should be {want}")
    return bad


def rule_sources_listed() -> list[str]:
    bad = []
    for path in files(".c"):
        listed = path.parent / "meson.build"
        if place(path) != "main.c" and f"'{path.name}'" not in (listed.read_text() if listed.exists() else ""):
            bad.append(f"src/{place(path)} is in no meson.build, so nobody compiles it")
    for path in files(".c", under=TOP / "tests" / "unit"):
        listed = path.parent / "meson.build"
        where = path.parent.relative_to(TOP / "tests" / "unit")
        what = f"'{where}/{path.stem.removeprefix('test_')}'"
        if path.stem.startswith("test_") and what not in (listed.read_text() if listed.exists() else ""):
            bad.append(f"{path.relative_to(TOP)} is in no meson.build, so nobody runs it")
    listed = (TOP / "tests" / "fuzz" / "meson.build").read_text()
    for path in files(".c", under=TOP / "tests" / "fuzz"):
        if path.stem.startswith("fuzz_") and f"'{path.stem.removeprefix('fuzz_')}'" not in listed:
            bad.append(f"{path.relative_to(TOP)} is in no meson.build, so nobody runs it")
    return bad


def rule_scripts() -> list[str]:
    bad = []
    for path in sorted(TOP.glob("scripts/*.sh")) + sorted(TOP.glob(".ci/*")):
        done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True)
        if done.returncode:
            bad.append(done.stderr)
    for path in files(".py", under=TOP / "tests") + files(".py", under=TOP / "scripts"):
        try:
            compile(path.read_text(), str(path), "exec")
        except SyntaxError as e:
            bad.append(f"{path.relative_to(TOP)}: {e}")
    return bad


def main() -> int:
    rules = {k.removeprefix("rule_"): v for k, v in globals().items() if k.startswith("rule_")}
    chosen = sys.argv[1:] or list(rules)
    failed = 0
    for name in chosen:
        found = rules[name]()
        failed += bool(found)
        print(f"{'FAIL' if found else 'ok  '} {name}")
        for line in found:
            print("     " + line.rstrip().replace("\n", "\n     "))
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
