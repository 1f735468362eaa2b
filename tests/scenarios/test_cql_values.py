"""CQL's values and messages against a real server and a second driver: what our codec encodes, cassandra-driver reads, and the other way, for every
type with its nulls, empties and extremes; and a connection whose every byte our codec makes and reads, in both versions of the protocol, with
and without LZ4."""
import datetime
import ipaddress
import uuid
from decimal import Decimal

import pytest

from harness.cassandra import ADMIN, driver
from harness.cqldrive import CqlDrive
from harness.pgdrive import Refused
from harness.servers import PASSWORD

driver()
from cassandra.metadata import Murmur3Token  # noqa: E402
from cassandra.protocol import ProtocolHandler, ResultMessage  # noqa: E402
from cassandra.util import Date, Duration, OrderedMapSerializedKey, SortedSet, Time  # noqa: E402


class RawResult(ResultMessage):
    """Rows as the bytes that came."""

    def recv_results_rows(self, f, protocol_version, user_type_map, result_metadata, column_encryption_policy):
        self.recv_results_metadata(f, user_type_map)
        columns = self.column_metadata or result_metadata
        count = int.from_bytes(f.read(4), "big", signed=True)
        self.parsed_rows = [self.recv_row(f, len(columns)) for _ in range(count)]
        self.column_names = [c[2] for c in columns]
        self.column_types = [c[3] for c in columns]


class RawHandler(ProtocolHandler):
    message_types_by_opcode = {**ProtocolHandler.message_types_by_opcode, RawResult.opcode: RawResult}


@pytest.fixture(scope="module")
def drive():
    one = CqlDrive()
    one.udt(name="address", fields=[["street", "text"], ["No", "int"], ["tags", "frozen<set<text>>"]])
    yield one
    one.close()


class Table:
    """One table of one value column: written and read as bytes, and as the driver has it."""

    def __init__(self, server, keyspace):
        self.server, self.keyspace, self.made = server, keyspace, {}
        self.cluster = server.connect()
        self.session, self.raw = self.cluster.connect(keyspace), self.cluster.connect(keyspace)
        self.raw.client_protocol_handler = RawHandler
        self.session.execute('CREATE TYPE address (street text, "No" int, tags frozen<set<text>>)')

    def of(self, type_: str) -> dict:
        if type_ not in self.made:
            name = f"v{len(self.made)}"
            self.session.execute(f"CREATE TABLE {name} (k int PRIMARY KEY, v {type_})")
            self.made[type_] = {"put": self.session.prepare(f"INSERT INTO {name} (k, v) VALUES (?, ?)"),
                                "get": f"SELECT v FROM {name} WHERE k = 1"}
        return self.made[type_]

    def put_bytes(self, type_: str, value: bytes | None) -> None:
        bound = self.of(type_)["put"].bind((1, None))
        bound.values[1] = value
        self.session.execute(bound)

    def put(self, type_: str, value) -> None:
        self.session.execute(self.of(type_)["put"], (1, value))

    def get(self, type_: str):
        return self.session.execute(self.of(type_)["get"]).one()[0]

    def get_bytes(self, type_: str):
        return self.raw.execute(self.of(type_)["get"]).one()[0]

    def stored_type(self, type_: str) -> str:
        name = f"v{list(self.made).index(type_)}"
        return self.session.execute("SELECT type FROM system_schema.columns WHERE keyspace_name = %s AND table_name = %s AND column_name = 'v'",
                                    (self.keyspace, name)).one()[0]


@pytest.fixture(scope="module")
def table(cassandra_servers):
    server = cassandra_servers.get()
    name = server.create_keyspace("cql_values")
    one = Table(server, name)
    yield one
    one.cluster.shutdown()
    server.cql(f"DROP KEYSPACE {name}")


U = uuid.UUID("123e4567-e89b-12d3-a456-426614174000")
IP = ipaddress.ip_address
EPOCH = datetime.datetime(1970, 1, 1)
# type, our text, what the driver takes for the same value (None: it has no such value, only the bytes are compared)
VALUES = [
    ("ascii", "", ""), ("ascii", "a~\x01", "a~\x01"),
    ("text", "", ""), ("text", "it's \u20ac \U0001f600 \x00 \n", "it's \u20ac \U0001f600 \x00 \n"), ("text", "x" * 200000, "x" * 200000),
    ("int", "-2147483648", -2**31), ("int", "2147483647", 2**31 - 1), ("int", "0", 0), ("int", "", None),
    ("bigint", "-9223372036854775808", -2**63), ("bigint", "9223372036854775807", 2**63 - 1), ("bigint", "", None),
    ("smallint", "-32768", -2**15), ("smallint", "32767", 2**15 - 1), ("tinyint", "-128", -128), ("tinyint", "127", 127),
    ("varint", "0", 0), ("varint", "-1", -1), ("varint", "128", 128), ("varint", "-128", -128), ("varint", "-129", -129),
    ("varint", str(2**64), 2**64), ("varint", str(-(10**4000)), -(10**4000)), ("varint", str(7**4000), 7**4000), ("varint", "", None),
    ("decimal", "0", Decimal(0)), ("decimal", "1.50", Decimal("1.50")), ("decimal", "-0.0001", Decimal("-0.0001")), ("decimal", "0.00", Decimal("0.00")),
    ("decimal", "15e3", Decimal("15e3")), ("decimal", "1e-20001", Decimal("1e-20001")), ("decimal", "9" * 3000 + "." + "1" * 3000, None),
    ("decimal", "", None),
    ("float", "0.1", 0.10000000149011612), ("float", "-0", -0.0), ("float", "Infinity", float("inf")), ("float", "1e-45", 1.401298464324817e-45),
    ("float", "3.4028235e38", 3.4028234663852886e38), ("float", "NaN", None), ("float", "", None),
    ("double", "0.1", 0.1), ("double", "-Infinity", float("-inf")), ("double", "5e-324", 5e-324), ("double", "1.7976931348623157e308", 1.7976931348623157e308),
    ("double", "NaN", None), ("double", "", None),
    ("boolean", "true", True), ("boolean", "false", False), ("boolean", "", None),
    ("blob", "0x", b""), ("blob", "0x00ff10", b"\x00\xff\x10"),
    ("uuid", str(U), U), ("uuid", "ffffffff-ffff-ffff-ffff-ffffffffffff", uuid.UUID(int=2**128 - 1)), ("uuid", "", None), ("timeuuid", str(U), U),
    ("inet", "127.0.0.1", "127.0.0.1"), ("inet", "255.255.255.255", "255.255.255.255"), ("inet", "::", "::"), ("inet", "2001:db8::1", "2001:db8::1"),
    ("inet", "", None),
    ("timestamp", "1970-01-01T00:00:00.000Z", EPOCH), ("timestamp", "2026-11-28T01:02:03.500Z", datetime.datetime(2026, 11, 28, 1, 2, 3, 500000)),
    ("timestamp", "1969-12-31T23:59:59.999Z", EPOCH - datetime.timedelta(milliseconds=1)),
    ("timestamp", "9999-12-31T23:59:59.999Z", None),  # the driver reads it through a double
    ("timestamp", "-292275055-05-16T16:47:04.192Z", None), ("timestamp", "292278994-08-17T07:12:55.807Z", None), ("timestamp", "", None),
    ("date", "1970-01-01", Date(0)), ("date", "2024-02-29", Date(datetime.date(2024, 2, 29))), ("date", "-5877641-06-23", Date(-2**31)),
    ("date", "5881580-07-11", Date(2**31 - 1)),
    ("time", "00:00:00.000000000", Time(0)), ("time", "23:59:59.999999999", Time(86399999999999)),
    ("duration", "0s", Duration(0, 0, 0)), ("duration", "1y2mo3d4h5m6s7ms8us9ns", Duration(14, 3, 14706007008009)),
    ("duration", "-1mo1d1ns", Duration(-1, -1, -1)),
    ("duration", "178956970y7mo2147483647d2562047h47m16s854ms775us807ns", Duration(2**31 - 1, 2**31 - 1, 2**63 - 1)),
    ("list<int>", "[1, 1, -2]", [1, 1, -2]), ("set<text>", "{'', 'a', 'it''s'}", SortedSet(["", "a", "it's"])),
    ("map<text, int>", "{'a': 1, 'b': 2}", {"a": 1, "b": 2}), ("map<inet, timestamp>", "{'::1': '1970-01-01T00:00:00.000Z'}", {"::1": EPOCH}),
    ("frozen<list<text>>", "[]", []), ("frozen<set<int>>", "{}", SortedSet()), ("frozen<map<int, int>>", "{}", {}),
    ("frozen<map<text, frozen<list<int>>>>", "{'a': [1, 2], 'b': []}", {"a": [1, 2], "b": []}),
    ("list<frozen<tuple<int, text>>>", "[(1, 'a'), (null, null)]", [(1, "a"), (None, None)]),
    ("frozen<tuple<int, text, boolean>>", "(1, null, true)", (1, None, True)), ("tuple<duration, blob>", "(1d, 0x00)", (Duration(0, 1, 0), b"\x00")),
    ("frozen<address>", "{street: 'x, y', \"No\": null, tags: {'a', 'b'}}", None), ("address", "{street: '', \"No\": 5, tags: null}", None),
    ("vector<float, 3>", "[0.5, -1, 0.1]", [0.5, -1.0, 0.10000000149011612]), ("vector<text, 2>", "['', 'ab']", ["", "ab"]),
    ("vector<bigint, 2>", "[1, -9223372036854775808]", [1, -2**63]), ("vector<boolean, 2>", "[true, false]", [True, False]),
    ("vector<smallint, 2>", "[1, -2]", [1, -2]), ("vector<tinyint, 2>", "[1, -2]", [1, -2]), ("vector<varint, 2>", "[1, 1000000000000]", [1, 10**12]),
    ("vector<date, 2>", "['1970-01-01', '2024-02-29']", None), ("vector<time, 1>", "['00:00:00.000000001']", None), ("vector<uuid, 1>", f"[{U}]", [U]),
    ("vector<decimal, 2>", "[1.50, 2]", [Decimal("1.50"), Decimal(2)]), ("vector<inet, 1>", "['127.0.0.1']", ["127.0.0.1"]),
    ("vector<timestamp, 1>", "['1970-01-01T00:00:00.000Z']", [EPOCH]), ("vector<duration, 1>", "[1d]", [Duration(0, 1, 0)]),
    ("vector<frozen<vector<int, 2>>, 2>", "[[1, 2], [3, 4]]", [[1, 2], [3, 4]]), ("vector<frozen<list<int>>, 2>", "[[1], []]", [[1], []]),
    ("list<frozen<vector<double, 1>>>", "[[0.1]]", [[0.1]]),
]


def plain(value):
    """The driver's own containers as Python's."""
    if isinstance(value, OrderedMapSerializedKey):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return value


@pytest.mark.parametrize("type_,text,value", VALUES, ids=[f"{t} {x[:20]}" for t, x, _ in VALUES])
def test_what_we_write_the_driver_reads_and_the_other_way(drive, table, type_, text, value):
    """Texts are those that the server's bytes have, so a collection is written in its order."""
    ours = drive.bytes_of(type_, text)
    table.put_bytes(type_, ours)
    stored = table.get_bytes(type_)
    if stored is None:
        assert text in ("[]", "{}")  # an empty collection that is not frozen is none
    else:
        assert drive.text_of(type_, stored) == text
    if value is None:
        return
    assert plain(table.get(type_)) == value
    table.put(type_, value)
    assert drive.text_of(type_, table.get_bytes(type_)) == text


@pytest.mark.parametrize("type_", sorted({t for t, _, _ in VALUES}))
def test_null_is_no_value_and_the_schema_names_the_type(drive, table, type_):
    table.put_bytes(type_, None)
    assert table.get_bytes(type_) is None
    assert drive.text_of(table.stored_type(type_), drive.bytes_of(type_, next(x for t, x, _ in VALUES if t == type_))) is not None


@pytest.mark.parametrize("type_,text", [("int", "2147483648"), ("date", "2023-02-29"), ("tinyint", ""), ("list<int>", "[1")])
def test_what_the_server_would_refuse_is_refused_before(drive, type_, text):
    with pytest.raises(Refused) as refused:
        drive.bytes_of(type_, text)
    assert refused.value.code == "MFVALUE"


def test_tokens_are_the_servers(drive, table):
    table.session.execute("CREATE TABLE IF NOT EXISTS tokens (a text, b int, c blob, PRIMARY KEY ((a, b, c)))")
    table.session.execute("CREATE TABLE IF NOT EXISTS token1 (a text PRIMARY KEY)")
    for n in range(40):
        a, b, c = "\u20ac" * (n % 17) + "k", n * 7919 - 5, bytes(range(256))[n * 3:n * 5]
        table.session.execute("INSERT INTO tokens (a, b, c) VALUES (%s, %s, %s)", (a, b, c))
        table.session.execute("INSERT INTO token1 (a) VALUES (%s)", (a,))
    for token, a, b, c in table.session.execute("SELECT token(a, b, c), a, b, c FROM tokens"):
        parts = [drive.bytes_of("text", a), drive.bytes_of("int", str(b)), c]
        assert drive.token(parts=[p.hex() for p in parts])["token"] == token
    for token, a in table.session.execute("SELECT token(a), a FROM token1"):
        assert drive.token(parts=[a.encode().hex()])["token"] == token == Murmur3Token.hash_fn(a.encode())


# ---- messages -------------------------------------------------------------------------------------------------------

WAYS = [(4, False), (4, True), (5, False), (5, True)]


@pytest.fixture(params=WAYS, ids=lambda w: f"v{w[0]}{' lz4' if w[1] else ''}")
def wire(request, drive, keyspace):
    """A connection, and a keyspace for the test."""
    server, name = keyspace()
    version, lz4 = request.param
    options, ready = drive.connect("127.0.0.1", server.port, version, lz4)
    assert "lz4" in options["compression"] and ready["opcode"] == 2 and ready["version"] == version
    assert drive.ask(what="query", cql=f'USE {name}')["keyspace"] == name
    drive.keyspace, drive.version = name, version
    yield drive
    drive.hang_up()


def i32(n: int) -> str:
    return n.to_bytes(4, "big", signed=True).hex()


def i64(n: int) -> str:
    return n.to_bytes(8, "big", signed=True).hex()


def test_statements_there_and_back(wire):
    change = wire.ask(what="query", cql="CREATE TABLE t (k int, c int, v text, w int, PRIMARY KEY (k, c))")
    assert change["schema"] == ["CREATED", "TABLE", wire.keyspace, "t"]
    put = wire.ask(what="prepare", cql="INSERT INTO t (k, c, v, w) VALUES (?, ?, ?, ?) USING TIMESTAMP ?")
    assert put["pk"] == [0] and [b[2:] for b in put["binds"]] == [["k", "int"], ["c", "int"], ["v", "text"], ["w", "int"], ["[timestamp]", "bigint"]]
    n = put["prepared"]
    for c in range(100):
        done = wire.ask(what="execute", prepared=n, values=[i32(1), i32(c), b"x".hex(), "unset", i64(1000)], stream=c)
        assert done["kind"] == 1 and done["stream"] == c
    older = {"prepared": n, "values": [i32(1), i32(0), b"old".hex(), i32(7), i64(999)]}
    newer = {"prepared": n, "values": [i32(1), i32(1), b"new".hex(), None, i64(1001)]}
    plain_ = {"cql": "INSERT INTO t (k, c, v) VALUES (1, 2, ?)", "values": [b"by default".hex()]}
    assert wire.ask(what="batch", items=[older, newer, plain_], timestamp=2000)["kind"] == 1
    got = wire.ask(what="query", cql="SELECT c, v, w, writetime(v) FROM t WHERE k = 1 AND c < 3", values=[])
    assert [x[2] for x in got["columns"]] == ["c", "v", "w", "writetime(v)"]
    assert got["rows"] == [[i32(0), b"x".hex(), i32(7), i64(1000)], [i32(1), b"new".hex(), None, i64(1001)],
                           [i32(2), b"by default".hex(), None, i64(2000)]]
    named = wire.ask(what="query", cql="SELECT v FROM t WHERE k = :k AND c = :c", names=["c", "k"], values=[i32(1), i32(1)])
    assert named["rows"] == [[b"new".hex()]]

    select = wire.ask(what="prepare", cql="SELECT c FROM t WHERE k = ?")["prepared"]
    seen, state = [], {}
    for _ in range(4):
        page = wire.ask(what="execute", prepared=select, values=[i32(1)], page_size=30, skip_metadata=True, **state)
        assert page["none"] and len(page["rows"]) <= 30
        seen += [int(r[0], 16) for r in page["rows"]]
        state = {"paging_state": page["paging_state"]}
    assert seen == list(range(100)) and page["paging_state"] is None


def test_many_in_flight_and_large_ones(wire):
    """Frames that share segments, and frames of several; answers in any order, in pieces of any size."""
    wire.ask(what="query", cql="CREATE TABLE big (k int PRIMARY KEY, v blob)")
    n = wire.ask(what="prepare", cql="INSERT INTO big (k, v) VALUES (?, ?)")["prepared"]
    sizes = [0, 1, 1000, 131062, 131072, 400000, 1000000]
    bodies = {k: (bytes(k + i * i % 251 for i in range(500)) * (size // 500 + 1))[:size] for k, size in enumerate(sizes)}
    wire.send(*({"what": "execute", "prepared": n, "values": [i32(k), v.hex()], "stream": k} for k, v in bodies.items()))
    assert sorted(a["stream"] for a in wire.receive(len(sizes)) if a["kind"] == 1) == list(range(len(sizes)))
    wire.send(*({"what": "query", "cql": f"SELECT v FROM big WHERE k = {k}", "stream": k} for k in bodies))
    got = {a["stream"]: a["rows"][0][0] for a in wire.receive(len(sizes), step=9973)}
    assert {k: bytes.fromhex(v) for k, v in got.items()} == bodies


def test_errors_say_what_they_are_about(wire):
    assert wire.ask(what="query", cql="SELEC")["error"]["name"] == "syntax error"
    invalid = wire.ask(what="query", cql="SELECT * FROM nothing")["error"]
    assert invalid["code"] == 0x2200 and "nothing" in invalid["message"]
    wire.ask(what="query", cql="CREATE TABLE t (k int PRIMARY KEY)")
    exists = wire.ask(what="query", cql="CREATE TABLE t (k int PRIMARY KEY)")["error"]
    assert (exists["code"], exists["keyspace"], exists["object"]) == (0x2400, wire.keyspace, "t")
    n = wire.ask(what="prepare", cql="SELECT * FROM t WHERE k = ?")["prepared"]
    wire.ask(what="query", cql="DROP TABLE t")
    gone = wire.ask(what="execute", prepared=n, values=[i32(1)])["error"]
    assert gone["code"] == 0x2500 and gone["id"]
    wrong = wire.ask(what="query", cql="SELECT * FROM system.local WHERE key = ?", values=["ff"])["error"]
    assert wrong["code"] == 0x2200
    wire.ask(what="query", cql=f"CREATE KEYSPACE {wire.keyspace}_wide WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 3}}")
    wire.ask(what="query", cql=f"CREATE TABLE {wire.keyspace}_wide.t (k int PRIMARY KEY)")
    try:
        few = wire.ask(what="query", cql=f"INSERT INTO {wire.keyspace}_wide.t (k) VALUES (1) IF NOT EXISTS")["error"]
        assert (few["code"], few["required"], few["got"]) == (0x1000, 2, 1)
    finally:
        wire.ask(what="query", cql=f"DROP KEYSPACE {wire.keyspace}_wide")


def test_events_come_by_themselves(wire):
    assert wire.ask(what="register", events=7)["opcode"] == 2
    wire.send({"what": "query", "cql": "CREATE TYPE u (a int)", "stream": 5})
    answers = sorted(wire.receive(2), key=lambda a: a["stream"])
    assert answers[0]["stream"] == -1 and answers[0]["event"] == 4 and answers[0]["change"] == ["CREATED", "TYPE", wire.keyspace, "u"]
    assert answers[1]["schema"] == ["CREATED", "TYPE", wire.keyspace, "u"]


def test_an_answer_past_the_bound_is_refused(drive, keyspace):
    server, name = keyspace()
    server.cql(f"CREATE TABLE {name}.t (k int PRIMARY KEY, v blob)")
    server.cql(f"INSERT INTO {name}.t (k, v) VALUES (1, %s)", (bytes(300000),))
    for version, lz4 in WAYS:
        drive.connect("127.0.0.1", server.port, version, lz4, max_frame=200000)
        with pytest.raises(Refused) as refused:
            drive.ask(what="query", cql=f"SELECT v FROM {name}.t")
        assert refused.value.code == "MFBIG"


def test_accounts(drive, own_cassandra):
    server = own_cassandra(auth=True)
    for version, lz4 in WAYS:
        _, asked, done = drive.connect("127.0.0.1", server.port, version, lz4, user=ADMIN, password=PASSWORD)
        assert asked["authenticator"].endswith("PasswordAuthenticator") and done["opcode"] == 16
        refused = drive.connect("127.0.0.1", server.port, version, lz4, user=ADMIN, password="no")[-1]["error"]
        assert refused["code"] == 0x0100
