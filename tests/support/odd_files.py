"""Paths that are no readable file, and what a message about one must be like."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path


def one_line(error: BaseException) -> str:
    """The message, which has one printable line of a bearable length."""
    message = str(error)
    assert message.isprintable(), message
    assert len(message) < 700
    return message


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def _socket(path: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _link(path: Path, target: str) -> Path:
    path.symlink_to(target)
    return path


NOT_FILES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nothing": (lambda p: p, "No such file"),
    "a folder": (_folder, "not a file"),
    "a pipe": (_pipe, "not a file"),
    "a dead link": (lambda p: _link(p, "nowhere.csv"), "No such file"),
    "a link to itself": (lambda p: _link(p, p.name), "symbolic links"),
    "a link to a device": (lambda p: _link(p, "/dev/zero"), "not a file"),
    "a link to a pipe": (lambda p: _link(p, str(_pipe(p.with_name("pipe")))), "not a file"),
    "a long name": (lambda p: p.with_name("x" * 300 + p.suffix), "File name too long"),
    "a long path": (lambda p: Path(f"{p.parent}/{'x/' * 4000}{p.name}"), "File name too long"),
    "a NUL": (lambda p: p.with_name(f"a\0b{p.suffix}"), "null byte"),
    "a line end": (lambda p: p.with_name(f"a\nb{p.suffix}"), "No such file"),
    "no such user": (lambda p: Path(f"~nobody-at-all/{p.name}"), "No such file"),
    "below a file": (lambda p: written(p.with_name("f"), b"") / p.name, "Not a directory"),
}
