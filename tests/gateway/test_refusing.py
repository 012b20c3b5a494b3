"""What the gateway refuses, each in the one format, and that it goes on afterwards."""

import http.client
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import shmctx
from shmctx.errors import CannotServe
from shmctx.gateway.limits import Buckets, Limits
from shmctx.gateway.serving import Options, Serving


def test_refs_that_lead_nowhere_have_one_answer(site):
    foreign = f"ctx_{'z' * 5}{site.root.ref[9:]}"
    expired = site.root.ref[:-6] + "zzzzzz"
    answers = {
        site(f"/v1/{kind}/{ref}{rest}").body
        for ref in ("ctx_0000000000000000", "nonsense", "ctx_", "%00", "a" * 300, foreign, expired, "%F0%9F%92%A5")
        for kind, rest in (("contexts", ""), ("events", ""), ("contexts", "/descendants"), ("contexts", "/children"))
    }

    assert len(answers) == 1
    assert json.loads(answers.pop())["error"]["code"] == "ContextNotFound"


@pytest.mark.parametrize("path, body, code", [
    ("/v1/contexts?limit=0", None, "InvalidRequest"),
    ("/v1/contexts?limit=1001", None, "InvalidRequest"),
    ("/v1/contexts?limit=many", None, "InvalidRequest"),
    ("/v1/contexts?cursor=anything", None, "InvalidField"),
    ("/v1/events?bundle=everything", None, "InvalidField"),
    ("/v1/events?fields=a,,b", None, "InvalidField"),
    ("/v1/contexts/resolve", b"{", "InvalidRequest"),
    ("/v1/contexts/resolve", {"refs": "ctx"}, "InvalidRequest"),
    ("/v1/contexts/resolve", {"refs": [], "more": 1}, "InvalidRequest"),
    ("/v1/events", b"\xff\xfe", "InvalidRequest"),
    ("/v1/events", b"[" * 5000, "InvalidRequest"),
    ("/v1/events", {}, "InvalidField"),
    ("/v1/events", {"event_name": "x", "bogus": 1}, "InvalidField"),
    ("/v1/events", {"event_name": "x", "data": [1]}, "InvalidField"),
    ("/v1/events", {"event_name": "x", "parent": 7}, "InvalidField"),
    ("/v1/events", {"event_name": "x", "durable": "yes"}, "InvalidField"),
])  # fmt: skip
def test_bad_input_is_told_what_is_wrong(site, path, body, code):
    before = len(site.store)
    answer = site(path, body)

    assert (answer.status, answer.code) == (400, code)
    assert answer.json["error"]["message"]
    assert len(site.store) == before


def test_no_such_route_and_no_such_method(site):
    assert (site("/v2").status, site("/v2").code) == (404, "NotFound")
    assert site("/v1/stats", method="DELETE").code == "MethodNotAllowed"
    assert site("/static/../serving.py").status == 404
    assert site("/static/%2e%2e/serving.py").status == 404


@pytest.mark.parametrize("token", [None, "", "x", "é", "A" * 43])
def test_without_the_token_nothing_is_told(site, token):
    given = token and token.encode().decode("latin-1")
    for path in ("/v1/stats", "/metrics", "/v1/openapi.json", f"/v1/contexts/{site.root.ref}", "/v1/nothing"):
        answer = site(path, token=given)
        assert (answer.status, answer.code) == (401, "Unauthorized")
    assert site("/", token=given).status == 200
    assert site("/v1/health", token=given).json == {"status": "ok"}


def test_the_page_is_let_in_by_a_cookie_that_is_not_the_token(site):
    answer = site("/v1/login", {"token": site.gateway.token}, token=None)
    cookie = answer.headers["set-cookie"]

    assert answer.status == 204
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert site.gateway.token not in cookie
    value = cookie.partition(";")[0]
    assert site("/v1/stats", token=None, headers={"Cookie": f"other=1; {value}"}).status == 200
    assert site("/v1/stats", token=None, headers={"Cookie": value[:-1] + "x"}).status == 401
    assert site("/v1/login", {"token": "wrong"}, token=None).code == "Unauthorized"
    assert "Max-Age=0" in site("/v1/logout", b"", token=None).headers["set-cookie"]


def test_other_hosts_and_other_origins(site):
    port = site.gateway.address[1]
    for host in ("evil.example", f"evil.example:{port}", f"127.0.0.1:{port + 1}", "127.0.0.1", f"localhost:{port}.a"):
        answer = site("/v1/health", headers={"Host": host})
        assert (answer.status, answer.code) == (421, "WrongHost")
    assert site("/v1/health", headers={"Host": f"LOCALHOST:{port}"}).status == 200
    for origin in ("http://evil.example", "null", f"http://localhost:{port}"):
        assert site("/v1/stats", headers={"Origin": origin}).code == "WrongOrigin"
    allowed = site("/v1/stats", headers={"Origin": f"http://127.0.0.1:{port}"})
    assert allowed.status == 200
    assert not [name for name in allowed.headers if name.startswith("access-control")]
    assert allowed.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")


def test_a_body_that_is_too_large(site):
    large = {"event_name": "x", "data": {"text": "x" * (1 << 20)}}

    assert (site("/v1/events", large).status, site("/v1/events", large).code) == (413, "BodyTooLarge")
    connection = http.client.HTTPConnection(*site.gateway.address, timeout=20)
    headers = {"Authorization": f"Bearer {site.gateway.token}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/events", (b"[" * 65536 for _ in range(17)), headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_an_answer_that_is_too_large_and_a_page_that_ends_before(own_site):
    site = own_site(limits=Limits(response=20_000))
    with site.store.span("big:root") as root:
        refs = [site.store.put("big:one", _text="x" * 3000) for _ in range(20)]

    page = site(f"/v1/contexts/{root.ref}/descendants").json
    assert [item["_ref"] for item in page["items"]] == refs[: len(page["items"])]
    assert 1 < len(page["items"]) < 8
    assert page["next"] == page["items"][-1]["_ref"]
    assert site("/v1/contexts/resolve", {"refs": refs}).code == "ResponseTooLarge"
    assert site(f"/v1/contexts/{refs[0]}").status == 200


def test_a_gateway_that_only_reads(own_site):
    site = own_site(writable=False)
    count = len(site.store)

    answer = site("/v1/events", {"event_name": "x"})
    assert (answer.status, answer.code) == (403, "ReadOnly")
    assert len(site.store) == count


def test_what_may_be_put_is_stored_as_put_stores_it(site):
    ref = site("/v1/events", {
        "event_name": "agent:said", "data": {"n": 1}, "parent": site.steps[0], "agent_id": "remote", "_trial": 3,
        "durable": True,
    }).json["ref"]  # fmt: skip
    event = site.store.event(ref)

    assert (event.data, event.context.parent_ref, event.context.agent_id) == ({"n": 1}, site.steps[0], "remote")
    assert event.context.custom == {"_trial": 3}
    assert event.context.correlation_id == site.correlation
    foreign = {"_event_id": "evt_elsewhere", "_event_name": "far:away", "_correlation_id": "corr_elsewhere"}
    child = site.store[site("/v1/events", {"event_name": "near", "parent": foreign}).json["ref"]]
    assert (child.parent_event_id, child.correlation_id) == ("evt_elsewhere", "corr_elsewhere")


def test_too_many_requests_wait(own_site):
    site = own_site(limits=Limits(rate=0.5, burst=3))
    answers = [site("/v1/health", token=None) for _ in range(5)]

    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].code == "TooManyRequests"
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_buckets_fill_with_the_time_and_forget_who_is_gone():
    now = [0.0]
    buckets = Buckets(2, 2, clock=lambda: now[0])
    assert [buckets.wait("a") for _ in range(3)] == [0, 0, 0.5]
    now[0] = 0.5
    assert [buckets.wait("a"), buckets.wait("a")] == [0, 0.5]
    for number in range(3 * buckets._MOST):
        assert buckets.wait(f"client {number}") == 0
        now[0] += 0.001
    assert len(buckets._tokens) <= buckets._MOST
    assert Buckets(0, 0).wait("a") == 0


# ---- connections ----


def test_ten_thousand_connections_are_refused_politely(own_site):
    """More than there is room for are answered and closed at once; those inside, and later ones, are served."""
    site = own_site(limits=Limits(connections=20, request_seconds=60, rate=0))
    inside = [socket.create_connection(site.gateway.address, timeout=20) for _ in range(20)]
    try:
        said = []
        for _ in range(10_000 // 50):
            several = [socket.create_connection(site.gateway.address, timeout=20) for _ in range(50)]
            for each in several:
                answer = b""
                while chunk := each.recv(65536):
                    answer += chunk
                said.append(answer)
                each.close()
        assert len(said) == 10_000
        assert {answer.split(b"\r\n")[0] for answer in said} == {b"HTTP/1.1 503 Service Unavailable"}
        bodies = {answer.partition(b"\r\n\r\n")[2] for answer in said}
        assert {json.loads(body)["error"]["code"] for body in bodies} == {"TooManyConnections"}
        inside[0].sendall(b"GET /v1/health HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % site.gateway.address[1])
        assert inside[0].recv(65536).startswith(b"HTTP/1.1 200")
    finally:
        for each in inside:
            each.close()


def test_a_client_that_says_nothing_is_not_waited_for(own_site):
    site = own_site(limits=Limits(request_seconds=0.3))
    login = f"POST /v1/login HTTP/1.1\r\nHost: 127.0.0.1:{site.gateway.address[1]}\r\nContent-Length: 9\r\n\r\n{{"
    for beginning in ("", "GET /v1/hea", login):
        with socket.create_connection(site.gateway.address, timeout=20) as client:
            client.sendall(beginning.encode())
            answer = client.recv(65536)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 408")


def test_what_is_no_http(site):
    with socket.create_connection(site.gateway.address, timeout=20) as client:
        client.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        answer = client.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b'"InvalidRequest"' in answer


# ---- Unix sockets, token files, addresses ----


def test_a_unix_socket_needs_no_token_and_is_ours_alone(own_site, tmp_path):
    path = tmp_path / "gateway.sock"
    site = own_site(socket=path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (site.gateway.url, site.gateway.token) == (f"unix:{path}", None)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(path))
        client.sendall(b"GET /v1/stats HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
    with pytest.raises(CannotServe, match="in use"):
        Serving(site.store, Options(socket=path))
    site.gateway.close()
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_other_users_are_not_heard_on_a_unix_socket(own_site, tmp_path):
    path = tmp_path / "gateway.sock"
    own_site(socket=path)
    path.chmod(0o666)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    program = """if True:
        import os, socket, sys
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
        client = socket.socket(socket.AF_UNIX); client.settimeout(20); client.connect(sys.argv[1])
        try:
            client.sendall(b"GET /v1/health HTTP/1.1\\r\\nHost: any\\r\\n\\r\\n")
            print(client.recv(100))
        except OSError:
            print(b"")
    """
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "b''\n"


def test_the_token_s_file(own_site, tmp_path, segment_name):
    site = own_site()
    file = tmp_path / "token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(site.gateway.token) == 43
    assert file.read_text() == site.gateway.token + "\n"

    def serve():
        Serving(site.store, Options(http=("127.0.0.1", 0), token_file=file)).close()

    serve()
    assert file.read_text() == site.gateway.token + "\n"
    file.chmod(0o644)
    with pytest.raises(CannotServe, match="Others than you"):
        serve()
    file.chmod(0o600)
    file.write_text("short\n")
    with pytest.raises(CannotServe, match="no token"):
        serve()
    file.unlink()
    file.symlink_to("/etc/passwd")
    with pytest.raises(CannotServe):
        serve()


def test_an_address_that_is_taken(own_site):
    site = own_site()
    with pytest.raises(CannotServe, match="in use"):
        Serving(site.store, Options(http=site.gateway.address, token_file=Path(site.folder) / "token"))


def test_an_ended_gateway_leaves_the_store_open(own_site):
    site = own_site()
    threads = threading.active_count()
    site.gateway.close()

    assert site.store.put("later") in site.store
    assert threading.active_count() < threads
    with pytest.raises(ConnectionRefusedError):
        site("/v1/health")
    assert isinstance(site.store, shmctx.Store)
