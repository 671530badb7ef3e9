"""The registry client against a small registry of our own over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from schemas import catalog, registry
from schemas.errors import RegistryError


class Registry(BaseHTTPRequestHandler):
    """Confluent's API: ids by schema text; refuses what the test says."""

    ids: dict[str, int]
    levels: dict[str, str]
    refusal: tuple[int, bytes] | None

    def do_POST(self) -> None:
        subject = self.path.removeprefix("/subjects/").removesuffix("/versions")
        text = self._body()["schema"]
        assert json.loads(text)["name"] in subject
        self._answer({"id": self.ids.setdefault(text, 500 + len(self.ids))})

    def do_PUT(self) -> None:
        self.levels[self.path.removeprefix("/config/")] = body = self._body()["compatibility"]
        self._answer({"compatibility": body})

    def _body(self) -> dict[str, str]:
        body: dict[str, str] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return body

    def _answer(self, answer: dict[str, object]) -> None:
        status, body = self.refusal or (200, json.dumps(answer).encode())
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Tests print nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Registry.ids, Registry.levels, Registry.refusal = {}, {}, None
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_every_schema_gets_an_id_under_its_records_name(url: str) -> None:
    assigned = catalog.ids(url + "/")
    assert set(assigned) == set(catalog.names())
    assert sorted(assigned.values()) == list(range(500, 500 + len(assigned)))
    assert catalog.ids(url) == assigned
    assert Registry.levels["jinliu.Payment"] == "BACKWARD_TRANSITIVE"


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (409, b"field b has no default", "incompatible version .*jinliu.Tick.*field b has no default"),
        (500, b"oops", "refused POST .*500 oops"),
        (200, b"<html>", "gave no answer"),
        (200, b"[1]", r"answered .* with \[1\]"),
        (200, b'{"id": "7"}', "no usable id"),
        (200, b'{"id": true}', "no usable id"),
        (200, b'{"id": -3}', "no usable id"),
    ],
)
def test_refusals_and_nonsense_are_told(url: str, status: int, body: bytes, message: str) -> None:
    Registry.refusal = (status, body)
    with pytest.raises(RegistryError, match=message):
        registry.register_all(url, [catalog.schema("tick")])


def test_a_registry_that_is_not_there() -> None:
    with pytest.raises(RegistryError, match="gave no answer to POST"):
        registry.register_all("http://127.0.0.1:9", [catalog.schema("tick")])
    for address in ("localhost:8081", "file:///etc/passwd", ""):
        with pytest.raises(RegistryError, match="no registry address"):
            registry.register_all(address, [])


def test_a_run_says_its_ids_and_others_are_refused() -> None:
    ids = {"run": 5, "tick": 2}
    said = registry.told("http://there", ids)
    assert registry.tells(said)
    assert not registry.tells([("reason", b"x")])
    registry.refuse_other(said, "http://by-another-name", ids | {"a-new-metric": 9}, "it")
    registry.refuse_other([], None, ids, "it")
    registry.refuse_other([(registry.IDS_HEADER, b"not json")], None, ids, "it")
    with pytest.raises(registry.OtherRegistryError, match="it holds a run that uses the schema registry http://there"):
        registry.refuse_other(said, None, ids | {"run": 6}, "it")
    with pytest.raises(registry.OtherRegistryError, match="uses no schema registry; this command has the registry u"):
        registry.refuse_other(registry.told(None, ids), "u", ids | {"run": 6}, "it")
