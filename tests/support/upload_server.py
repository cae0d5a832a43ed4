"""The part of the hub's API that an upload uses, on loopback (huggingface_hub 2.x).

Paths: ``/api/repos/create``, ``/api/validate-yaml``, ``/api/<kind>s/<repo>/preupload/main``,
``.../commit/main`` and, for large files, ``<repo>.git/info/lfs/objects/batch`` with an upload by
PUT.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

import yaml
from loopback import served

LARGE = (".zip", ".parquet")
"""Endings of files that are not sent within the commit."""


class UploadHub:
    """What was uploaded.

    Attributes:
        url: where it listens.
        created: answers to requests for new repositories.
        files: content by repository (``datasets/org/name``) and path.
        commits: messages of the commits.
        tokens: the Authorization headers of all requests.
        refuse: status with which all requests are refused; None: none is.
    """

    def __init__(self) -> None:
        self.url = ""
        self.created: list[dict[str, Any]] = []
        self.files: dict[str, dict[str, bytes]] = {}
        self.commits: list[str] = []
        self.tokens: set[str | None] = set()
        self.refuse: int | None = None
        self.objects: dict[str, bytes] = {}


@contextmanager
def running_upload_hub() -> Iterator[UploadHub]:
    """Serve an empty hub on loopback for a block."""
    hub = UploadHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words: object) -> None:
            """Say nothing."""

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = b""
            while size := int(self.rfile.readline(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found

        def _send(self, answer: object, status: int = 200) -> None:
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def do_GET(self) -> None:
            self._send({"error": "Entry not found"}, 404)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_PUT(self) -> None:
            content = self._body()
            hub.objects[hashlib.sha256(content).hexdigest()] = content
            self._send({})

        def do_POST(self) -> None:
            body = self._body()
            hub.tokens.add(self.headers.get("Authorization"))
            if hub.refuse is not None:
                return self._send({"error": "no"}, hub.refuse)
            path = urlsplit(self.path).path
            if path == "/api/repos/create":
                return self._create(json.loads(body))
            if path.endswith(".git/info/lfs/objects/batch"):
                return self._batch(json.loads(body))
            if path == "/api/validate-yaml":
                return self._validate(json.loads(body))
            match = re.fullmatch(r"/api/((?:datasets|spaces)/[^/]+/[^/]+)/(\w+)/main", path)
            if match is None or match[1] not in hub.files:
                return self._send({"error": "Repository not found"}, 404)
            if match[2] == "preupload":
                return self._modes(json.loads(body))
            self._commit(match[1], [json.loads(line) for line in body.splitlines()])

        def _create(self, wanted: dict[str, Any]) -> None:
            hub.created.append(wanted)
            repo = f"{wanted['type']}s/{wanted['organization']}/{wanted['name']}"
            if repo in hub.files:
                return self._send({"error": "exists", "url": f"{hub.url}/{repo}"}, 409)
            hub.files[repo] = {}
            self._send({"url": f"{hub.url}/{repo}"})

        def _validate(self, wanted: dict[str, Any]) -> None:
            head = yaml.safe_load(wanted["content"].split("---\n")[1])
            wrong = [] if isinstance(head, dict) else [{"message": "not a mapping"}]
            if wanted["repoType"] == "space" and "sdk" not in head:
                wrong.append({"message": "no sdk"})
            self._send({"errors": wrong, "warnings": []}, 400 if wrong else 200)

        def _modes(self, wanted: dict[str, Any]) -> None:
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                }
                for file in wanted["files"]
            ]
            self._send({"files": modes})

        def _batch(self, wanted: dict[str, Any]) -> None:
            objects = [
                {**o, "actions": {"upload": {"href": f"{hub.url}/put/{o['oid']}"}}}
                for o in wanted["objects"]
            ]
            self._send({"transfer": "basic", "objects": objects})

        def _commit(self, repo: str, lines: list[dict[str, Any]]) -> None:
            for line in lines:
                value = line["value"]
                if line["key"] == "header":
                    hub.commits.append(value["summary"])
                elif line["key"] == "file":
                    hub.files[repo][value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    hub.files[repo][value["path"]] = hub.objects[value["oid"]]
            commit = "0" * 40
            self._send({"commitUrl": f"{hub.url}/{repo}/commit/{commit}", "commitOid": commit,
                        "success": True})  # fmt: skip

    with served(Handler) as hub.url:
        yield hub
