"""The code behind a plugin, as one hash for its content keys.

Third-party plugins: every file of the packages that their distribution installs. Editable
installations are read where they are.

Built-in plugins: the modules that a plugin imports, directly or through others, from the built-in
plugin packages and from the parts of the harness that compute numbers (the contract itself, which
every plugin imports, is left out). So an edit of one method does not make the others stale, and
an edit of the scoring code, which every model plugin imports, makes everything stale.

Python files count without docstrings, comments on lines of their own and blank lines, so an edit
of those changes no key.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import sys
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, entry_points
from importlib.util import find_spec
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from harness.errors import PluginError
from harness.plugins import GROUP, Registered

CORE = "harness"
"""The package of the harness itself."""

DISTRIBUTION = "bias-transfer-harness"
"""The distribution that holds the harness and its built-in plugins."""

CONTRACT = frozenset(
    f"{CORE}.{name}"
    for name in (
        "errors",
        "families",
        "hookspecs",
        "plugins",
        "types",
        "shipped",
        "testing",
        "data.fetching",
        "data.places",
    )
)
"""Modules that say what plugins are and find data. They compute no number and are not followed."""

IGNORED = ("__pycache__", ".git", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".venv")
"""Folders that hold no code of a package."""

MOST_BYTES = 64 * 1024 * 1024
"""Larger files of a package count by their size and time of change."""


class _Module(NamedTuple):
    """A module whose source is known."""

    name: str
    path: Path


def code_hash(entry: Registered) -> str:
    """Return the hash of the code behind a plugin class, 64 hex digits; see the module's text.

    Raises:
        PluginError: a file of the plugin's package cannot be read.
    """
    start = entry.plugin.__module__
    try:
        if entry.origin.distribution == DISTRIBUTION:
            files = [(module.name, module.path) for module in _closure(start)]
        else:
            files = list(_package_files(start, entry.origin.distribution))
        return _hash_of(files) if files else _hash_of_class(entry.plugin)
    except OSError as error:
        raise PluginError(
            f"{entry.describe()}: its code cannot be read: {error.filename}: {error.strerror}"
        ) from None


def _hash_of(files: Iterable[tuple[str, Path]]) -> str:
    digest = hashlib.sha256()
    for name, path in sorted(files):
        digest.update(f"{name} {_file_hash(path)}\n".encode())
    return digest.hexdigest()


def _hash_of_class(plugin: type) -> str:
    """Hash of a class without a file of its own, as one made in a notebook."""
    try:
        source = inspect.getsource(plugin)
    except (OSError, TypeError):
        source = plugin.__qualname__
    return hashlib.sha256(source.encode()).hexdigest()


# -- third-party plugins: whole packages -----------------------------------------------------


def _package_files(module: str, owner: str) -> Iterator[tuple[str, Path]]:
    """Every file of the packages of a distribution, by name below the package's parent folder."""
    for name, root in sorted(_roots(module, owner).items()):
        if root.is_file():
            yield name, root
            continue
        for path in sorted(root.rglob("*")):
            inner = path.relative_to(root)
            hidden = any(part in IGNORED or part.startswith(".") for part in inner.parts)
            if not hidden and path.suffix != ".pyc" and path.is_file():
                yield f"{name}/{inner.as_posix()}", path


def _roots(module: str, owner: str) -> dict[str, Path]:
    """Folders of packages and files of single modules that a distribution installs, by name."""
    names = {module.partition(".")[0]}
    try:
        installed = distribution(owner)
    except PackageNotFoundError:  # a plugin made in code, by a test or a notebook
        return _places(names)
    for point in entry_points(group=GROUP):
        if point.dist is not None and point.dist.name == owner:
            names.add(point.module.partition(".")[0])
    project = _editable_project(installed)
    if project is None:
        names |= {
            path.parts[0].removesuffix(".py")
            for path in installed.files or ()
            if path.suffix == ".py" and ".." not in path.parts
        }
        return _places(names)
    loaded = {name.partition(".")[0] for name in sys.modules}
    beside = {name: place for name, place in _places(loaded).items() if _below(place, project)}
    return {**beside, **_places(names)}


def _places(names: Iterable[str]) -> dict[str, Path]:
    """Where packages and modules are, those that have a place."""
    places = {}
    for name in names:
        file = _source(name)
        if file is not None:
            places[name] = file.parent if file.name == "__init__.py" else file
    return places


def _editable_project(installed: Distribution) -> Path | None:
    """The project folder of an editable installation; None for any other."""
    text = installed.read_text("direct_url.json")
    try:
        origin = json.loads(text) if text else {}
    except ValueError:
        return None
    if not origin.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlsplit(str(origin.get("url"))).path)).resolve()


def _below(path: Path, folder: Path) -> bool:
    inside = path.resolve()
    return folder in inside.parents and not set(inside.relative_to(folder).parts) & set(IGNORED)


# -- built-in plugins: what they import ------------------------------------------------------


@cache
def _builtin_packages() -> frozenset[str]:
    """Top-level packages of the harness's own distribution."""
    points = entry_points(group=GROUP)
    names = {p.module.partition(".")[0] for p in points if p.dist and p.dist.name == DISTRIBUTION}
    return frozenset({CORE, *names})


def _closure(start: str) -> list[_Module]:
    """A module and those that it imports, directly or not, as far as they are built in."""
    modules: dict[str, _Module] = {}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in modules or name in CONTRACT or name == CORE:
            continue
        path = _source(name)
        if path is None:
            continue
        modules[name] = _Module(name, path)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting += [imported for imported in _imports(path, package) if _is_builtin(imported)]
    return list(modules.values())


def _is_builtin(name: str) -> bool:
    return name.partition(".")[0] in _builtin_packages()


def _imports(path: Path, package: str) -> Iterator[str]:
    """Names that a module may import: modules, and members that could be modules."""
    for module, level, members in _import_statements(path, _stamp(path)):
        base = module
        if level:
            parents = package.split(".")[: len(package.split(".")) - level + 1]
            base = ".".join([*parents, *([module] if module else [])])
        yield base
        yield from (f"{base}.{member}" for member in members)


@lru_cache(maxsize=4096)
def _import_statements(
    path: Path, stamp: tuple[int, int]
) -> tuple[tuple[str, int, tuple[str, ...]], ...]:
    """Module, level and members of every import in a file, those inside functions too."""
    imports: list[tuple[str, int, tuple[str, ...]]] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            imports += [(alias.name, 0, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            imports.append((node.module or "", node.level, names))
    return tuple(imports)


# -- files -----------------------------------------------------------------------------------


def _source(name: str) -> Path | None:
    """The source file of a module; nothing is imported.

    Only the top-level package is looked up. What is below it is found by its path, so a name that
    is a class or function of a module has no source.
    """
    top, *inner = name.split(".")
    root = _top_level(top)
    if root is None or not inner:
        return root
    if root.name != "__init__.py":
        return None
    place = root.parent.joinpath(*inner)
    for file in (place / "__init__.py", place.with_name(f"{place.name}.py")):
        if file.is_file():
            return file
    return None


def _top_level(name: str) -> Path | None:
    loaded = sys.modules.get(name)
    file = getattr(loaded, "__file__", None)
    if loaded is None:
        try:
            spec = find_spec(name)
        except (ImportError, ValueError):
            return None
        file = spec.origin if spec is not None else None
    return Path(file) if file is not None and file.endswith(".py") else None


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    if not S_ISREG(status.st_mode):
        raise OSError(0, "not a regular file", str(path))
    return status.st_mtime_ns, status.st_size


def _file_hash(path: Path) -> str:
    return _hash_of_file(path, _stamp(path))


@lru_cache(maxsize=4096)
def _hash_of_file(path: Path, stamp: tuple[int, int]) -> str:
    if stamp[1] > MOST_BYTES:
        return f"{stamp[0]} {stamp[1]}"
    content = path.read_bytes()
    if path.suffix == ".py":
        content = _without_prose(content)
    return hashlib.sha256(content).hexdigest()


def _without_prose(source: bytes) -> bytes:
    """Python source without docstrings, comment lines and blank lines.

    A file that Python cannot parse counts as it is.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return source
    texts: set[int] = set()  # lines within other strings, where # is no comment
    dropped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            for statement in node.body:
                if _is_text(statement) and len(node.body) > 1:
                    dropped |= set(range(statement.lineno, (statement.end_lineno or 0) + 1))
        elif isinstance(node, (ast.Constant, ast.JoinedStr)) and node.end_lineno is not None:
            texts |= set(range(node.lineno + 1, node.end_lineno + 1))
    kept = []
    for number, line in enumerate(source.splitlines(), start=1):
        bare = line.strip()
        if number in dropped or (number not in texts and (not bare or bare.startswith(b"#"))):
            continue
        kept.append(line.rstrip() if number not in texts else line)
    return b"\n".join(kept)


def _is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a string alone on its lines: a docstring, or one below a name."""
    return isinstance(statement, ast.Expr) and (
        isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str)
    )
