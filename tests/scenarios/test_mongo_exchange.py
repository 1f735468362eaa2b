"""The way back into MongoDB, under unique indexes there: documents that stand in each other's way are given anew in one transaction where the server has them; one that
violates the index is the only one that is left out. The double has transactions, and can be told to have none; mongo-java-server has none. FerretDB 1.24 answers an update that a
unique index refuses with an error of its own (code 1, of the whole command), which nothing tells from others. Documents are the judge.
"""
import threading

import pytest

from harness.mongo_servers import driver
from harness.mongo_stream import Stream
from harness.pgdrive import Drive, Refused

from test_mongo_back import USERS, gone, put, window
from test_mongo_back import way_back as of_stream

driver()
import bson  # noqa: E402

WITHOUT = ("java", "double without")  # transactions


class Back:
    """Users 1 to 6 with their mails under a unique index, and what no row of the new side has."""

    def __init__(self, kind: str, server):
        self.kind, self.server = kind, server
        self.s = Stream(kind, server)
        self.users = self.s.shop.users
        self.users.delete_one({"_id": "first"})
        self.users.create_index("mail", unique=True)
        self.users.insert_many([{"_id": i, "mail": mail} for i, mail in enumerate("abcdef", 1)])
        self.s.open().changes_until_now()

    def mails(self) -> str:
        """In the order of users; '-' of one that is not there."""
        there = {d["_id"]: d["mail"] for d in self.users.find()}
        return "".join(there.get(i, "-") for i in range(1, 7))

    def nothing_came_back(self) -> None:
        assert self.s.changes_until_now() == []


@pytest.fixture
def back(own_mongo):
    made = []

    def make(kind: str = "double") -> Back:
        settings = {"transactions": "no"} if kind == "double without" else {}
        made.append(Back(kind, own_mongo(kind.split()[0], settings=settings)))
        return made[-1]

    yield make
    for one in made:
        one.s.close()


def way_back(b: Back, **named):
    return of_stream(b.s, **named)


def user(i: int, mail: str, **more) -> dict:
    return {"_id": i, "mail": mail, **more}


def become(mails: str) -> list:
    return [user(i, mail) for i, mail in enumerate(mails, 1) if mail != "."]


def careful(d: Drive, order: int, *documents: dict, keep: bool = True) -> dict:
    batches = [{"tables": [{"table": USERS, "updates": [put(x)]}]} for x in documents]
    return d("window", order=order, batches=batches, fuzzy=True, careful=True, keep=keep)


def entries(d: Drive) -> dict:
    return {q["key"]: q["reason"] for q in d("quarantine")["entries"]}


def test_values_change_places(back):
    b, before = back(), "abcdef"
    with way_back(b) as d:
        for order, (mails, deletes) in enumerate([("ba....", ()), ("cab...", ()), ("fabcde", ()), (".fabcd", [1]), ("afbcde", ()), ("fedcba", ())], 10):
            window(d, order, *become(mails), deletes=deletes)
            assert b.mails() == "".join(m if m != "." else "-" if i in deletes else now for i, (m, now) in enumerate(zip(mails, before), 1)), mails
            before = b.mails()
            b.nothing_came_back()
        assert d("checkpoint")["order"] == 15 and entries(d) == {}
        window(d, 20, *become("fedcba"))
        b.nothing_came_back()


def test_in_source_order_too(back):
    """A window that comes carefully has each version of a document; what counts is the last."""
    b = back()
    with way_back(b) as d:
        assert careful(d, 10, user(1, "b"), user(2, "x"), user(2, "a"))["quarantined"] == 0
        assert b.mails() == "bacdef"
        assert careful(d, 11, user(1, "c"), user(2, "b"), user(3, "a"), keep=False)["quarantined"] == 0
        assert b.mails() == "cbadef" and entries(d) == {}
        b.nothing_came_back()


def test_one_that_violates_the_index_is_left_out_alone(back):
    b = back()
    new = [user(1, "b"), user(2, "a"), user(3, "f"), user(4, "e"), user(5, "d")]  # 6 keeps its f
    with way_back(b) as d:
        with pytest.raises(Refused) as e:
            window(d, 10, *new)
        assert (e.value.cls, e.value.code) == ("conflict", "11000") and "shop.users" in e.value.text
        assert b.mails() == "bacedf"
        assert careful(d, 10, *new)["quarantined"] == 1
        left = entries(d)
        assert list(left) == ["_id=3"] and "11000" in left["_id=3"], left
        assert b.mails() == "bacedf"
        b.nothing_came_back()
        window(d, 11, deletes=[6])
        careful(d, 12, user(3, "f"))
        assert b.mails() == "bafed-" and entries(d) == {}
        b.nothing_came_back()


def test_those_that_want_what_it_does_not_give_up_wait_with_it(back):
    b = back()
    new = [user(1, "b"), user(2, "c"), user(3, "f"), user(4, "e"), user(5, "d"), user(7, "a")]
    with way_back(b) as d:
        with pytest.raises(Refused):
            window(d, 10, *new)
        assert careful(d, 10, *new)["quarantined"] == 4
        assert set(entries(d)) == {"_id=1", "_id=2", "_id=3", "_id=7"} and b.mails() == "abcedf"
        b.nothing_came_back()
        assert careful(d, 11, user(6, "g"), user(3, "f"))["quarantined"] == 0
        window(d, 12, user(5, "b"))  # which 2 has; that one wants c, and finds it free now
        assert set(entries(d)) == {"_id=1", "_id=7"} and b.mails() == "acfebg"
        b.nothing_came_back()


def test_windows_of_their_own(back):
    """The first finds its value taken and is left out; the window with the others brings it in."""
    b = back()
    with way_back(b) as d:
        assert careful(d, 10, user(1, "b"))["quarantined"] == 1
        assert careful(d, 11, user(2, "c"))["quarantined"] == 1
        window(d, 12, user(3, "a"))
        assert entries(d) == {} and b.mails() == "bcadef"
        b.nothing_came_back()


def test_repair_gives_them_together(back):
    b = back()
    with way_back(b) as d:
        careful(d, 10, user(1, "b"))
        d("repair", table=USERS, whole=[put(user(1, "b"))["new"], put(user(2, "a"))["new"]])
        assert b.mails() == "bacdef" and entries(d) == {}
        with pytest.raises(Refused) as e:
            d("repair", table=USERS, whole=[put(user(1, "a"))["new"], put(user(2, "b"))["new"], put(user(3, "f"))["new"]])
        assert e.value.cls == "conflict"
        assert b.mails() == "abcdef"
        b.nothing_came_back()


@pytest.mark.parametrize("fault", ["mongodb.exchange_gone", "mongodb.exchange_come", "mongodb.window_commit", "mongodb.quarantine"])
def test_it_is_killed_and_comes_again(back, fault):
    """With a violation among them, so that a transaction is undone in between."""
    b = back()
    new = [user(1, "b", by=1), user(2, "c"), user(3, "a"), user(4, "f"), user(7, "d")]
    bad = fault == "mongodb.quarantine"
    with way_back(b, fault=f"{fault}=kill") as d, pytest.raises(RuntimeError):
        careful(d, 10, *(new if bad else new[:3]))
    assert "-" not in b.mails()
    with way_back(b) as d:
        with pytest.raises(Refused):
            window(d, 10, *new)
        careful(d, 10, *new)
        assert b.mails() == "bcadef" and set(entries(d)) == {"_id=4", "_id=7"}
        b.nothing_came_back()
        window(d, 11, deletes=[6])
        window(d, 12, user(5, "e", more=1))
        careful(d, 13, user(4, "f"), user(7, "d"))
        assert b.mails() == "bcafe-" and entries(d) == {}
        b.nothing_came_back()


@pytest.mark.parametrize("kind", WITHOUT)
def test_without_transactions_no_document_leaves_its_place(back, kind):
    """What comes in by itself does, in whatever order; those that exchange their values wait, and arrive over a third one."""
    b = back(kind)
    with way_back(b) as d:
        window(d, 10, user(1, "b"), user(2, "x"))
        assert b.mails() == "bxcdef" and entries(d) == {}
        with pytest.raises(Refused) as e:
            window(d, 11, user(3, "d"), user(4, "c"), user(5, "y"))
        assert (e.value.cls, e.value.code) == ("conflict", "11000")
        assert careful(d, 11, user(3, "d"), user(4, "c"), user(5, "y"))["quarantined"] == 2
        assert set(entries(d)) == {"_id=3", "_id=4"} and b.mails() == "bxcdyf"
        window(d, 12, user(3, "z"))
        window(d, 13, user(4, "c"))
        window(d, 14, user(3, "d"))
        assert b.mails() == "bxdcyf" and entries(d) == {}
        b.nothing_came_back()


def test_readers_of_a_transaction_never_miss_one(back):
    b = back()
    stop, seen, failures = threading.Event(), set(), []

    def read():
        client = b.server.connect()
        try:
            while not stop.is_set():
                seen.add("".join(sorted(d["mail"] for d in client.shop.users.find({"_id": {"$lte": 6}}))))
        except Exception as error:
            failures.append(error)
        finally:
            client.close()
    reader = threading.Thread(target=read)
    reader.start()
    try:
        with way_back(b) as d:
            for order in range(10, 60, 2):
                window(d, order, user(1, "b"), user(2, "c"), user(3, "a"))
                window(d, order + 1, user(1, "a"), user(2, "b"), user(3, "c"))
    finally:
        stop.set()
        reader.join(60)
    assert not failures and seen and all(len(mails) == 6 for mails in seen), seen
    assert b.mails() == "abcdef"


def test_an_entry_of_before_a_rollback_is_not_written(back):
    """Writes were on this side since: what it says is old."""
    b = back()
    with way_back(b) as d:
        d("epoch", epoch=1, writer="target", open=False)
        assert careful(d, 10, user(1, "b"))["quarantined"] == 1
        d("epoch", epoch=2, writer="source", open=True)
        b.users.replace_one({"_id": 1}, user(1, "later", by="the source"))
        d("epoch", epoch=3, writer="target", open=False)
        assert careful(d, 11, user(3, "f"))["quarantined"] == 1
        window(d, 12, user(2, "x"))
        window(d, 13, user(4, "e"), user(5, "d"))
        assert b.users.find_one({"_id": 1}) == user(1, "later", by="the source") and b.mails()[-4:] == "cedf"
        assert set(entries(d)) == {"_id=1", "_id=3"}


def test_a_newer_version_that_is_refused_is_the_one_that_waits(back):
    """One was left for the end of the window; what comes in then may not be older than what was left out meanwhile."""
    b = back()
    with way_back(b) as d:
        assert careful(d, 10, user(1, "b"), user(1, "x" * (17 << 20)), user(2, "y"))["quarantined"] == 1
        left = entries(d)
        assert list(left) == ["_id=1"] and "more than the deployment takes" in left["_id=1"]
        assert b.mails() == "aycdef"


def test_repair_does_not_meet_its_own_entries(back):
    """What is repaired has an older version in quarantine, and something else of the repair is in the way of another."""
    b = back()
    with way_back(b) as d:
        assert careful(d, 10, user(1, "b"))["quarantined"] == 1
        d("repair", table=USERS, whole=[put(x)["new"] for x in (user(1, "z"), user(3, "d"), user(4, "c"))])
        assert b.mails() == "zbdcef" and entries(d) == {}
