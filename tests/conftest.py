"""Fixtures of the scenario tests. Servers live as long as the session, one for each role and version; every test gets
databases of its own on them. A server that cannot be had fails the test: nothing is skipped."""
import itertools
import os
import re

import pytest

from harness.midflight import Midflight
from harness.servers import Server

_numbers = itertools.count(1)


class Servers:
    """Session-wide servers by role, version and settings; started when first asked for."""

    def __init__(self):
        self.known: dict = {}

    def get(self, role: str, version: int = 15, *, tls: bool = False, **settings) -> Server:
        key = (role, version, tls, tuple(sorted(settings.items())))
        server = self.known.get(key)
        if server is None:
            server = self.known[key] = Server(version, name=role, tls=tls, settings=settings)
        server.start()
        return server

    def close(self):
        for server in self.known.values():
            server.destroy()


@pytest.fixture(scope="session")
def servers():
    """servers.get('source', 15, setting=…) → a running Server shared by the session. Do not kill a shared one: make
    your own with own_server()."""
    all_ = Servers()
    yield all_
    all_.close()


@pytest.fixture
def own_server():
    """own_server(version, settings=…) → a running Server for this test alone."""
    made = []

    def make(version: int = 15, **named) -> Server:
        server = Server(version, **named)
        made.append(server)
        return server.start()

    yield make
    for server in made:
        server.destroy()


@pytest.fixture
def versions():
    """(source, target) major versions; a test overrides it with @pytest.mark.parametrize('versions', …)."""
    return 15, 15


@pytest.fixture
def database(servers, request):
    """database('source', 15) → an empty Database of its own for this test, dropped after it with its slots."""
    made = []

    def make(role: str = "source", version: int = 15, template: str | None = None, owner: str | None = None, **settings):
        name = f"t{os.getpid()}_{next(_numbers)}_" + re.sub(r"\W+", "_", request.node.name)[:30]
        made.append(servers.get(role, version, **settings).create_database(name, template, owner))
        return made[-1]

    yield make
    for one in made:
        if one.server.running():
            one.drop()


@pytest.fixture
def source(database, versions):
    return database("source", versions[0])


@pytest.fixture
def target(database, versions):
    return database("target", versions[1])


@pytest.fixture
def migration(tmp_path):
    """migration(source, target, config={…}) → a Midflight; killed after the test, its log shown when it failed."""
    made = []

    def make(source, target, **named) -> Midflight:
        url = lambda x: x if isinstance(x, str) else x.url()
        made.append(Midflight(url(source), url(target), tmp_path / f"midflight{len(made)}", **named))
        return made[-1]

    yield make
    for one in made:
        one.close()
        print(one.all_logs()[-20000:])
