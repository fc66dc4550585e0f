"""Where the environment names a proxy, it is asked for what is elsewhere, and never for what runs here."""

import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from oms.cli import app
from oms.connection import reach_this_machine_directly
from typer.testing import CliRunner


class Answers(BaseHTTPRequestHandler):
    """Knows nothing, and keeps what it was asked for."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = b'{"title": "unknown here"}'
        self.send_response(404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - it is the standard library's name
        """Say nothing."""


@pytest.fixture
def asked() -> list[str]:
    """What the server that runs here was asked for."""
    return []


@pytest.fixture
def port(asked: list[str]) -> Iterator[int]:
    """Where it runs."""
    with HTTPServer(("127.0.0.1", 0), type("Here", (Answers,), {"asked": asked})) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)
    monkeypatch.setenv("NO_PROXY", "")  # so that what is said in its place is forgotten again
    return monkeypatch


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_what_runs_here_is_asked_directly(
    environment: pytest.MonkeyPatch, asked: list[str], port: int, variable: str, host: str
) -> None:
    environment.setenv(variable, "http://127.0.0.1:1")
    reach_this_machine_directly()

    done = CliRunner().invoke(app, ["order", "web:1", "--url", f"order=http://{host}:{port}"])

    assert "error: unknown here" in done.stderr
    assert asked == ["/orders/web:1?wait_s=0.0"]


def test_what_runs_elsewhere_is_asked_by_way_of_the_proxy(
    environment: pytest.MonkeyPatch, asked: list[str], port: int
) -> None:
    environment.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
    reach_this_machine_directly()

    done = CliRunner().invoke(app, ["order", "web:1", "--url", "order=http://shop.invalid"])

    assert "error: unknown here" in done.stderr
    assert asked == ["http://shop.invalid/orders/web:1?wait_s=0.0"]


@pytest.mark.parametrize("spelling", ["NO_PROXY", "no_proxy"])
def test_what_else_is_asked_directly_stays_so(environment: pytest.MonkeyPatch, spelling: str) -> None:
    environment.setenv(spelling, "intranet.example")
    reach_this_machine_directly()

    assert os.environ["NO_PROXY"] == "intranet.example,127.0.0.1,localhost,::1"
