"""Commands as a user types them, and what they print."""

from __future__ import annotations

from click.testing import CliRunner, Result

from harness.cli.main import cli


def invoke(*words: object, width: int = 100) -> Result:
    arguments = [str(word) for word in words]
    return CliRunner().invoke(cli, ["--offline", *arguments], env={"COLUMNS": str(width)})


def text_of(*words: object, width: int = 100) -> str:
    result = invoke(*words, width=width)
    assert result.exit_code == 0, result.output
    return result.output


def rows(text: str) -> str:
    return " ".join(text.split())
