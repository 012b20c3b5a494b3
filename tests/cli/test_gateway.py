"""`shmctx gateway` and `shmctx daemon --http`: what they say, whom they answer, how they end."""

import http.client
import json
import re
import signal
import socket
from pathlib import Path

import pytest
from commands import assert_refused, ended, greeting, interrupt

import shmctx


def asked(said, path, body=None):
    """An answer of the gateway that said where it is, and where its token."""
    host, port = re.search(r"http://([\d.]+):(\d+)", said).groups()
    token = Path(re.search(r"token +in (\S+)", said)[1]).read_text().strip()
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    try:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_gateway_that_reads(start, segment_name, db, tmp_path, number):
    with shmctx.open(segment_name, db=db) as store:
        ref = store.put("hello", agent_id="a")
        gateway = start("gateway", segment_name, "--http", "127.0.0.1:0")
        said = greeting(gateway)

        assert f"reads the store {segment_name!r}" in said
        assert str(tmp_path / "state" / "shmctx" / f"{segment_name}.token") in said
        assert asked(said, f"/v1/contexts/{ref}")[1]["_agent_id"] == "a"
        assert asked(said, "/v1/events", {"event_name": "no"})[0] == 403
        assert next(iter(store)) == ref
        result = interrupt(gateway, number)
        assert (result.code, result.err) == (0, "")
        assert len(store) == 1


def test_a_daemon_that_is_a_gateway_too(start, segment_name, db, tmp_path):
    token = tmp_path / "here.token"
    daemon = start("daemon", segment_name, "--db", db, "--http", "127.0.0.1:0", "--writable", "--token-file", token)
    said = greeting(daemon)
    status, stored = asked(said, "/v1/events", {"event_name": "from:outside", "durable": True})

    assert (status, asked(said, "/v1/health")) == (201, (200, {"status": "ok"}))
    assert str(token) in said
    with shmctx.attach(segment_name) as store:
        assert store[stored["ref"]].event_name == "from:outside"
    result = interrupt(daemon, signal.SIGTERM)
    assert (result.code, result.err) == (0, "")


def test_on_a_unix_socket(start, segment_name, db, tmp_path):
    path = tmp_path / "sock"
    with shmctx.open(segment_name, db=db):
        gateway = start("gateway", segment_name, "--socket", path)
        assert f"unix:{path}" in greeting(gateway)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(path))
            client.sendall(b"GET /v1/health HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
        assert interrupt(gateway, signal.SIGTERM).code == 0
        assert not path.exists()


def test_what_cannot_be_served(start, segment_name, db):
    with shmctx.open(segment_name, db=db), socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert_refused(ended(start("gateway", segment_name, "--http", address)), 1, "in use", "--http")
        assert_refused(ended(start("gateway", segment_name, "--http", "here")), 2, "no HOST:PORT", "--help")
        both = start("gateway", segment_name, "--http", "1", "--socket", "x")
        assert_refused(ended(both), 2, "not both", "--help")
    assert_refused(ended(start("gateway", f"{segment_name}-none")), 3, "segment", "shmctx")
