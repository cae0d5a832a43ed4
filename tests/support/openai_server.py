"""A real HTTP server on loopback that speaks chat completions, well or badly, as told."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Act = Callable[["Handler", dict[str, Any]], None]


class Handler(BaseHTTPRequestHandler):
    """Plays, for each text, the acts of its script in turn; the last one is repeated."""

    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = asked_text(body)
        with self.server.lock:
            script = self.server.scripts.get(text, self.server.default)
            turn = len(self.server.requests[text])
            self.server.requests[text].append(body)
            self.server.times[text].append(time.monotonic())
            self.server.keys.add(self.headers.get("Authorization", ""))
        script[min(turn, len(script) - 1)](self, body)

    def send(self, status: int, content: bytes, **headers: str) -> None:
        with self.server.lock:
            self.server.statuses[status] += 1
        self.send_response(status)
        sent = {"Content_Type": "application/json", "Content_Length": str(len(content)), **headers}
        for name, value in sent.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.scripts: dict[str, list[Act]] = {}
        self.default: list[Act] = [say()]
        self.requests: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.times: dict[str, list[float]] = defaultdict(list)
        self.keys: set[str] = set()
        self.statuses: Counter[int] = Counter()
        self.charged = (0, 0)
        """Tokens in and out that the server would put on the bill."""

    def charge(self, tokens_in: int, tokens_out: int) -> None:
        """Put a call on the bill."""
        with self.lock:
            self.charged = (self.charged[0] + tokens_in, self.charged[1] + tokens_out)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is part of the play."""

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @property
    def calls(self) -> int:
        return sum(map(len, self.requests.values()))


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def asked_text(body: dict[str, Any]) -> str:
    """The passage in a request's first question."""
    question: str = body["messages"][1]["content"]
    text: str = json.loads(question.partition("\nText: ")[2])
    return text


# -- acts ------------------------------------------------------------------------------------


def reply(content: str | None, *, usage: tuple[int, int] | None = (100, 20), **message: Any) -> Act:
    """A well-formed chat completion with this content."""
    return raw(json.dumps(completion(content, usage=usage, **message)).encode(), usage=usage)


def completion(
    content: Any, *, usage: tuple[int, int] | None = (100, 20), **message: Any
) -> dict[str, Any]:
    """The body of a chat completion; ``finish_reason`` is the choice's, the rest its message's."""
    finish = message.pop("finish_reason", "stop")
    body: dict[str, Any] = {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "gpt-4o-test",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": content, **message},
            }
        ],
    }
    if usage is not None:
        body["usage"] = {
            "prompt_tokens": usage[0],
            "completion_tokens": usage[1],
            "total_tokens": sum(usage),
        }
    return body


def say(*words: str | tuple[str, list[int]], usage: tuple[int, int] | None = (100, 20)) -> Act:
    """An answer that names these words; a pair gives the occurrences too."""
    return reply(naming(*words), usage=usage)


def naming(*words: str | tuple[str, list[int]]) -> str:
    """The JSON of an answer that names these words."""
    named = [(word, []) if isinstance(word, str) else word for word in words]
    answer = {
        "words": [
            {"word": word, "occurrences": occurrences, "reason": "told so"}
            for word, occurrences in named
        ]
    }
    return json.dumps(answer)


def status(code: int, message: str = "no", error_code: str | None = None, **headers: str) -> Act:
    """An error status as OpenAI writes it."""
    body = json.dumps({"error": {"message": message, "code": error_code, "type": None}}).encode()

    def act(handler: Handler, _: dict[str, Any]) -> None:
        handler.send(code, body, **headers)

    return act


def raw(
    content: bytes, code: int = 200, *, usage: tuple[int, int] | None = None, **headers: str
) -> Act:
    """These bytes, with a status (200) and headers; `usage` goes on the bill."""

    def act(handler: Handler, _: dict[str, Any]) -> None:
        if usage is not None:
            handler.server.charge(*usage)
        handler.send(code, content, **headers)

    return act


def hang(seconds: float) -> Act:
    """Say nothing for a while, then hang up."""

    def act(handler: Handler, _: dict[str, Any]) -> None:
        time.sleep(seconds)
        handler.close_connection = True

    return act


def drop() -> Act:
    """Hang up without a word."""

    def act(handler: Handler, _: dict[str, Any]) -> None:
        handler.close_connection = True
        handler.connection.close()

    return act
