"""A small model hub on loopback: repositories with branches and commits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import unquote, urlsplit

from loopback import served


class Hub:
    """Repositories of one hub. A commit is the files of a folder at the time of `push`.

    Attributes:
        url: where it listens.
        asked: paths that were asked for, in order.
        gated: ids of repositories for which it answers that they are gated.
    """

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.gated: set[str] = set()
        self._commits: dict[tuple[str, str], dict[str, bytes]] = {}
        self._branches: dict[tuple[str, str], str] = {}

    def push(self, repo: str, folder: Path, branch: str = "main") -> str:
        """Make the files below a folder the branch's newest commit; returns the commit."""
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        digest = hashlib.sha1(repo.encode(), usedforsecurity=False)
        for name, content in files.items():
            digest.update(name.encode() + hashlib.sha256(content).digest())
        commit = digest.hexdigest()
        self._commits[repo, commit] = files
        self._branches[repo, branch] = commit
        return commit

    def resolve(self, repo: str, revision: str) -> str | None:
        """The commit that a branch or a commit means."""
        if (repo, revision) in self._commits:
            return revision
        return self._branches.get((repo, revision))

    def has(self, repo: str) -> bool:
        """Whether there is such a repository."""
        return any(name == repo for name, _ in self._commits)

    def files(self, repo: str, commit: str) -> dict[str, bytes]:
        """Contents of a commit's files by path."""
        return self._commits[repo, commit]


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Serve an empty hub on loopback for a block."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def log_message(self, *words: object) -> None:
            """Say nothing."""

        def _answer(self, *, body: bool) -> None:
            path = unquote(urlsplit(self.path).path).strip("/")
            hub.asked.append(path)
            parts = path.split("/")
            if parts[:2] == ["api", "models"] and len(parts) >= 4:
                repo, rest = "/".join(parts[2:4]), parts[4:]
            else:
                repo, rest = "/".join(parts[:2]), parts[2:]
            if not hub.has(repo):
                return self._refuse(404, "RepoNotFound")
            if repo in hub.gated:
                return self._refuse(403, "GatedRepo")
            commit = hub.resolve(repo, rest[1] if len(rest) > 1 else "main")
            if commit is None:
                return self._refuse(404, "RevisionNotFound")
            if parts[0] == "api":
                return self._describe(repo, commit, rest, body)
            content = hub.files(repo, commit).get("/".join(rest[2:]))
            if content is None:
                return self._refuse(404, "EntryNotFound")
            etag = hashlib.sha256(content).hexdigest()
            self._send(200, content, {"X-Repo-Commit": commit, "ETag": f'"{etag}"'}, body)

        def _describe(self, repo: str, commit: str, rest: list[str], body: bool) -> None:
            files = hub.files(repo, commit)
            if rest[:1] == ["tree"]:
                tree = [
                    {
                        "type": "file",
                        "path": name,
                        "size": len(content),
                        "oid": hashlib.sha1(content, usedforsecurity=False).hexdigest(),
                    }
                    for name, content in files.items()
                ]
                return self._json(tree, body)
            siblings = [{"rfilename": name} for name in files]
            self._json(
                {"id": repo, "modelId": repo, "sha": commit, "siblings": siblings, "tags": []}, body
            )

        def _json(self, answer: object, body: bool) -> None:
            self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"}, body)

        def _refuse(self, status: int, code: str) -> None:
            self._send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": code}, True)

        def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)

    with served(Handler) as hub.url:
        yield hub
