"""Clients of each kind, through a proxy, over TLS: clients.py NAME FOLDER PORT ADMIN."""

import base64
import hashlib
import hmac
import http.client
import json
import pathlib
import socket
import ssl
import sys
import time
import urllib.request
import uuid

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

NAME, FOLDER, PORT, ADMIN = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
# Where the clients are, which is not where the proxy is.
OURS, OTHERS = "127.0.0.5", "127.0.0.6"
PATIENCE = 20
TLS = ssl.create_default_context(cafile=str(FOLDER / "certificate.pem"))


def token():
    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=")
    claims = {"sub": "ada", "exp": int(time.time()) + 3600}
    signed = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()) + b"." + part(json.dumps(claims).encode())
    secret = (FOLDER / "secret").read_bytes()
    return (signed + b"." + part(hmac.new(secret, signed, hashlib.sha256).digest())).decode()


TOKEN = token()


def stream(source):
    plain = socket.create_connection(("127.0.0.1", PORT), PATIENCE, (source, 0))
    return TLS.wrap_socket(plain, server_hostname="relay.example")


def wait_for_proxy():
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return stream(OURS).close()
        except OSError:
            assert time.monotonic() < deadline, f"{NAME} does not listen"
            time.sleep(0.05)


def requester(source=OURS):
    connection = http.client.HTTPSConnection("relay.example", PORT, timeout=PATIENCE)
    connection.sock = stream(source)
    return connection


def request(method, path, body=None, headers=(), source=OURS):
    connection = requester(source)
    connection.request(method, path, body, {"Authorization": f"Bearer {TOKEN}", **dict(headers)})
    answer = connection.getresponse()
    status, kind, text = answer.status, answer.headers.get("Content-Type"), answer.read()
    connection.close()
    return status, kind, text


def websocket(path, source=OURS, headers=None, origin="https://relay.example", subprotocols=("corelay.json",)):
    return connect(f"wss://relay.example{path}", sock=socket.create_connection(("127.0.0.1", PORT), PATIENCE, (source, 0)),
                   ssl=TLS, server_hostname="relay.example", additional_headers=headers, origin=origin,
                   subprotocols=[*subprotocols, f"bearer.{TOKEN}"], open_timeout=PATIENCE)


def expect(receive, kind):
    while True:
        message = json.loads(receive())
        if message["type"] == kind:
            return message["payload"]
        assert message["type"] not in ("error", "nack"), message


def status_of(opening):
    try:
        opening().close()
    except InvalidStatus as refused:
        return refused.response.status_code
    return 101


def connections():
    with urllib.request.urlopen(f"http://{ADMIN}/connections", timeout=PATIENCE) as answer:
        return json.load(answer)["connections"]


class Events:
    """A stream whose token is in the address, as EventSource sends it."""

    def __init__(self, document):
        self.connection = requester()
        self.connection.request("GET", f"/events/documents/{document}?version=3&client={uuid.uuid4()}&token={TOKEN}",
                                headers={"Origin": "https://relay.example"})
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200, (self.answer.status, self.answer.read())
        self.path = json.loads(self.receive())["post"]

    def receive(self):
        while True:
            line = self.answer.readline()
            assert line, "the stream has ended"
            if line.startswith(b"data: "):
                return line.removeprefix(b"data: ")

    def close(self):
        self.answer.close()
        self.connection.close()


def operations(value):
    return {"type": "operations", "payload": {"clientSeq": 1, "firstClock": 0, "operations": [value]}}


def main():
    wait_for_proxy()
    document = f"diary-{NAME}"
    path = f"/ws/documents/{document}?version=3&client={uuid.uuid4()}&dialect=json"
    # What a client says of itself is not believed.
    socket_one = websocket(path, headers={"X-Forwarded-For": "127.0.0.1, 203.0.113.7"})
    receive = lambda: socket_one.recv(PATIENCE)
    expect(receive, "connected")
    socket_one.send(json.dumps({"type": "sync_request", "payload": {}}))
    expect(receive, "sync_response")
    socket_one.send(json.dumps(operations({"by": "WebSocket"})))
    expect(receive, "ack")

    # An event comes when it is sent, and not when a buffer is full.
    events = Events(document)
    expect(events.receive, "sync_response")
    status, _, text = request("POST", events.path, json.dumps(operations({"by": "post"})),
                              {"Content-Type": "application/json"})
    assert status == 204, (status, text)
    expect(events.receive, "ack")
    got = expect(receive, "remote_ops")
    assert "post" in json.dumps(got), got

    addresses = sorted((one["transport"], one["address"]) for one in connections())
    assert addresses == [("events", OURS), ("websocket", OURS)], addresses
    proxies = {one["proxy"].rsplit(":", 1)[0] for one in connections()}
    assert proxies == {"127.0.0.1"}, proxies

    # Of three, each client's own.
    third = websocket("/ws")
    assert status_of(lambda: websocket("/ws")) == 429
    assert request("GET", "/v1/documents")[0] == 429
    status, _, text = request("GET", f"/v1/documents/{document}", source=OTHERS)
    assert status == 200, (status, text)
    third.close()

    assert status_of(lambda: websocket("/ws", source=OTHERS, origin="https://evil.example")) == 403
    # The relay's own word of what is too long, and not the proxy's.
    status, kind, text = request("PUT", f"/v1/documents/{document}-large", b"x" * (1024 * 1024 + 1),
                                 {"Content-Type": "application/json"}, OTHERS)
    assert (status, kind) == (413, "application/problem+json"), (status, kind, text)

    events.close()
    socket_one.close()
    log = FOLDER / f"{NAME}.access"
    deadline = time.monotonic() + PATIENCE
    while "/events/documents/" not in (text := log.read_text()):
        assert time.monotonic() < deadline, text
        time.sleep(0.05)
    assert "/v1/documents" in text and OURS in text, text
    for secret in (TOKEN, TOKEN[:40], events.path, events.path.removeprefix("/events/")):
        assert secret not in text, text
    print(f"{NAME}: ok")


main()
