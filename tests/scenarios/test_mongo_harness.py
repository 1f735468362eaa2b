"""The servers that speak MongoDB's protocol: each starts, keeps what it says it keeps, and has what its class says, no less and no more."""
import pytest

from harness.mongo_servers import KINDS, driver


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_survives_what_it_should(own_mongo, kind):
    server = own_mongo(kind)
    with server.connect() as client:
        client.shop.people.insert_one({"_id": 1})
        server.pause()
        with server.connect(socketTimeoutMS=300, serverSelectionTimeoutMS=300) as other:
            with pytest.raises(driver().errors.PyMongoError):
                other.admin.command("ping")
        server.resume()
        assert client.shop.people.count_documents({}) == 1
    for again in (server.kill, server.stop):
        port = server.port
        again()
        assert not server.running()
        server.start()
        assert server.port == port
        with server.connect() as client:
            assert client.shop.people.count_documents({}) == (1 if server.keeps_data else 0)


def test_a_server_that_does_not_start_says_why(own_mongo):
    with pytest.raises(RuntimeError, match="unknown flag"):
        own_mongo("ferretdb", settings={"no-such-option": "1"})
