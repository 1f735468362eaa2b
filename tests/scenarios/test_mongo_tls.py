"""MongoDB's protocol behind TLS, as the URL's options say: FerretDB and the double, with certificates of a throw-away authority."""
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness.docrun import begin
from harness.mongo_servers import driver
from harness.servers import _own, free_port, throw_away, wait_for

from test_mongo_quarantine import thing, things_map

driver()
PASSWORD = "k3y-s3cret"


@pytest.fixture(scope="module")
def certificates():
    """ca.pem; server.pem, nobody.pem (for another host), client.pem: key and certificate; locked.pem: the client's, its key under PASSWORD; other-ca.pem."""
    home = Path(tempfile.mkdtemp(prefix="midflight-tls-", dir=throw_away()))
    os.chmod(home, 0o755)

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=home)
    for name in ("ca", "other-ca"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN=midflight {name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
    for who, names in (("server", "DNS:localhost,IP:127.0.0.1"), ("nobody", "DNS:elsewhere.example"), ("client", "DNS:client.example")):
        (home / f"{who}.ext").write_text(f"subjectAltName={names}\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={who}", "-keyout", f"{who}.key", "-out", f"{who}.csr")
        openssl("x509", "-req", "-in", f"{who}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", f"{who}.ext", "-out", f"{who}.crt")
        (home / f"{who}.pem").write_text((home / f"{who}.key").read_text() + (home / f"{who}.crt").read_text())
    openssl("rsa", "-aes256", "-in", "client.key", "-passout", f"pass:{PASSWORD}", "-out", "locked.key")
    (home / "locked.pem").write_text((home / "locked.key").read_text() + (home / "client.crt").read_text())
    _own(home)
    for path in home.iterdir():
        _own(path)
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def served(own_mongo, certificates):
    """served(kind, certificate, client=…) → where it listens with TLS."""
    def make(kind: str, certificate: str = "server", client: bool = False) -> str:
        if kind == "double":
            server = own_mongo(kind, settings={"tls": str(certificates / f"{certificate}.pem"), "tls-ca": str(certificates / "ca.pem"), "tls-client": "yes" if client else "no"})
            return f"mongodb://127.0.0.1:{server.port}/shop"
        port = free_port()
        own_mongo(kind, settings={"listen-tls": f"127.0.0.1:{port}", "listen-tls-cert-file": str(certificates / f"{certificate}.crt"),
                                  "listen-tls-key-file": str(certificates / f"{certificate}.key"),
                                  **({"listen-tls-ca-file": str(certificates / "ca.pem")} if client else {})})
        return f"mongodb://127.0.0.1:{port}/shop"
    return make


def opened(url: str, **options) -> str:
    """What is said of it; "" where it is opened."""
    build = os.environ.get("MIDFLIGHT_BUILD", Path(__file__).resolve().parents[2] / "build")
    options = {"serverSelectionTimeoutMS": "5000", **options}
    url += "?" + "&".join(f"{k}={v}" for k, v in options.items())
    done = subprocess.run([f"{build}/tests/drive/pgread", "test", url.replace("//", "//mover:s3cret@", 1) if PASSWORD in url else url], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)
    assert "s3cret" not in done.stderr and PASSWORD not in done.stderr, done.stderr
    return done.stderr if done.returncode else ""


both = pytest.mark.parametrize("kind", ["ferretdb", "double"])


@both
def test_who_the_server_is(served, certificates, kind):
    url, ca = served(kind), {"tlsCAFile": certificates / "ca.pem"}
    assert opened(url, tls="true", **ca) == ""
    assert opened(url, tls="true", tlsAllowInvalidCertificates="true") == ""
    for options, reason in (({"tls": "true", "tlsCAFile": certificates / "other-ca.pem"}, "certificate"), ({"tls": "true"}, "certificate"),
                            ({"tls": "true", "tlsCAFile": "/nowhere/ca.pem"}, "/nowhere/ca.pem")):
        said = opened(url, **options)
        assert said.startswith("MFTLS: ") and reason in said and "tlsCAFile" in said, said
    said = opened(url)
    assert said.startswith("MFNET: ") and "tls=true" in said, said


@both
def test_a_certificate_for_another_host(served, certificates, kind):
    url, ca = served(kind, "nobody"), {"tlsCAFile": certificates / "ca.pem"}
    said = opened(url, tls="true", **ca)
    assert said.startswith("MFTLS: ") and "certificate verify failed" in said and "host names must be" in said, said
    assert opened(url, tls="true", tlsAllowInvalidHostnames="true", **ca) == ""


@both
def test_a_certificate_of_the_client(served, certificates, kind):
    url, ca = served(kind, client=True), {"tlsCAFile": certificates / "ca.pem"}
    assert opened(url, tls="true", tlsCertificateKeyFile=certificates / "client.pem", **ca) == ""
    said = opened(url, tls="true", **ca)
    assert said.startswith(("MFTLS: ", "MFNET: ")) and "tlsCertificateKeyFile" in said, said
    for more in ({"tlsCertificateKeyFile": "/nowhere/client.pem"}, {"tlsCertificateKeyFile": certificates / "ca.pem"},
                 {"tlsCertificateKeyFile": certificates / "locked.pem", "tlsCertificateKeyFilePassword": "wrong-" + PASSWORD}):
        said = opened(url, tls="true", **more, **ca)
        assert said.startswith("MFTLS: ") and "tlsCertificateKeyFile" in said, said
    if kind == "double":
        assert opened(url, tls="true", tlsCertificateKeyFile=certificates / "locked.pem", tlsCertificateKeyFilePassword=PASSWORD, **ca).startswith(("", "MFAUTH", "18"))


def test_a_server_without_tls(own_mongo):
    server = own_mongo("double")
    said = opened(server.url("shop"), tls="true")
    assert said.startswith(("MFTLS: ", "MFNET: ")) and "TLS" in said, said


def test_a_migration(own_mongo, certificates, mysql_database, migration):
    """Behind TLS, with a certificate of the client's whose key has a password."""
    server = own_mongo("double", settings={"tls": str(certificates / "server.pem"), "tls-ca": str(certificates / "ca.pem"), "tls-client": "yes"})
    source, target = server.create_database("shop"), mysql_database("target", "8.0")
    db = source.connect()
    try:
        db.things.insert_many([thing(i) for i in range(1, 6)])
        m = begin(migration, source, target, things_map("shop"), url={"tls": "true", "tlsCAFile": str(certificates / "ca.pem"),
                                                                      "tlsCertificateKeyFile": str(certificates / "locked.pem"),
                                                                      "tlsCertificateKeyFilePassword": PASSWORD})
        m.start()
        m.wait_phase("synced")
        db.things.insert_one(thing(6))
        wait_for(lambda: target.rows("SELECT COUNT(*) FROM things") == [(6,)], 60, "the sixth")
        assert m.call("verify", "--json").json["rows_differing"] == 0
        m.call("cutover")
        target.execute("UPDATE things SET qty = 60 WHERE id = 6")
        wait_for(lambda: db.things.find_one({"_id": 6})["qty"] == 60, 60, "the way back")
        assert PASSWORD not in m.log_text() and PASSWORD not in str(m.status())
    finally:
        db.client.close()
