"""Takes a block out of docs/proxy.md, as a configuration for a test: blocks.py toml, or blocks.py nginx|caddy FOLDER PORT
RELAY. What is the reader's own (names, places, ports) is put in; all else stays as it is."""

import re
import sys


def block(language):
    with open("docs/proxy.md", encoding="utf-8") as page:
        found = re.findall(rf"^```{language}\n(.*?)^```$", page.read(), re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"docs/proxy.md has {len(found)} blocks of {language}"
    return found[0]


def outlasts_pings(nginx_block):
    """nginx closes what is quiet for longer than it waits, and the relay says something once in its ping period."""
    with open("tuning/corelay.toml", encoding="utf-8") as keys:
        period = re.search(r'^ping_period = "(\d+) s"$', keys.read(), re.MULTILINE)
    waits = re.findall(r"proxy_(?:read|send)_timeout (\d+)m;", nginx_block)
    return len(waits) == 2 and all(60 * int(minutes) > int(period[1]) for minutes in waits)


def put_in(text, values):
    for theirs, ours in values.items():
        assert theirs in text, f"docs/proxy.md says nothing of {theirs!r}"
        text = text.replace(theirs, ours)
    return text


def nginx(folder, port, relay):
    assert outlasts_pings(block("nginx")), "a quiet connection is closed"
    text = put_in(block("nginx"), {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "/etc/ssl/relay.example.pem": f"{folder}/certificate.pem",
        "/etc/ssl/relay.example.key": f"{folder}/key.pem",
        "/var/log/nginx/corelay.log": f"{folder}/nginx.access",
        "/var/log/nginx/corelay.error.log": f"{folder}/nginx.error",
        "http://127.0.0.1:7400": f"http://{relay}",
    })
    places = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in (
        "client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return f"daemon off; worker_processes 1; pid {folder}/nginx.pid; events {{}}\nhttp {{ {places}\n{text}}}\n"


def caddy(folder, port, relay):
    text = put_in(block("caddy"), {
        "relay.example {": f"relay.example:{port} {{\n    bind 127.0.0.1\n    tls {folder}/certificate.pem {folder}/key.pem",
        "127.0.0.1:7400": relay,
        "log {": f"log {{\n        output file {folder}/caddy.access",
    })
    return f"{{\n    admin off\n    auto_https off\n}}\n{text}"


def main(language, *values):
    print({"toml": lambda: block("toml"), "nginx": lambda: nginx(*values), "caddy": lambda: caddy(*values)}[language]())


main(*sys.argv[1:])
