"""Cells: identity, names, selection, which axes are shared, and that no other module lists axes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.storage.cells import (
    AXES,
    METHOD_AXES,
    Cell,
    MeasureRef,
    MethodNames,
    in_common,
    is_control,
    method_of,
    select_cell,
    shared_axes,
)

ROOT = Path(__file__).resolve().parents[2]


def cell(**axes: object) -> Cell:
    known = {"model": "gpt2", "debiaser": "unlearn", "masker": "wordlist", "corpus": "dghs",
             "source": "gender", "label": "hateful", "seed": 0}  # fmt: skip
    steps = tuple(MeasureRef(step=s, evaluator="pairs", key="0" * 64) for s in (0, 10, 20))
    return Cell.model_validate({**known, "measures": steps, **axes})


BASE = cell(debiaser=None, masker=None, corpus=None, source=None, label=None, seed=None)


def test_every_axis_is_a_field_and_survives_the_store() -> None:
    assert set(AXES) <= set(Cell.model_fields)
    assert set(METHOD_AXES) < set(AXES)
    again = Cell.model_validate_json(cell(seed=3).model_dump_json())
    assert again.identity == cell(seed=3).identity
    assert again.identity != cell().identity


@pytest.mark.parametrize("axis", AXES)
def test_cells_that_differ_in_one_axis_differ_in_identity_and_title(axis: str) -> None:
    other = cell(**{axis: 9 if axis == "seed" else "other"})
    assert other.identity != cell().identity
    assert other.title() != cell().title()
    assert other.identity.without(axis) == cell().identity.without(axis)
    assert shared_axes(cell(), other) == set(AXES) - {axis}
    same_method = method_of(other) == method_of(cell())
    assert same_method == (axis not in (*METHOD_AXES, "model"))


def test_titles_name_the_axes_that_have_a_value() -> None:
    assert BASE.title() == "gpt2 / base"
    assert cell().title() == "gpt2 / unlearn / dghs / wordlist / gender / hateful / seed 0"
    assert cell(masker=None).title() == "gpt2 / unlearn / dghs / gender / hateful / seed 0"


def test_a_method_is_named_by_what_tells_it_from_others() -> None:
    cells = [BASE, cell(), cell(label="non-hateful"), cell(masker=None)]
    names = MethodNames(cells)
    assert [names.name(c) for c in cells[1:]] == [
        "unlearn + wordlist", "unlearn + wordlist (non-hateful)", "unlearn",
    ]  # fmt: skip
    other = cell(corpus="embedded")
    names = MethodNames([*cells, other])
    assert names.name(other) == "unlearn + wordlist + embedded"
    assert names.name(cells[2]) == "unlearn + wordlist + dghs (non-hateful)"


def test_one_computation_is_named_without_the_inputs_that_it_does_not_read() -> None:
    both = [cell(), cell(masker="random", label="non-hateful")]
    assert in_common(both).identity == cell(masker=None, label=None).identity
    assert in_common([cell()]) == cell()


def test_selection_takes_parts_of_the_title_in_any_case_and_order() -> None:
    cells = (BASE, cell(), cell(source="race"), cell(source="race", seed=1))
    assert select_cell(cells, "Gender/unlearn") == cells[1]
    assert select_cell(cells, "seed 1") == cells[3]
    for name, problem in (
        ("race", "several cells are"),
        ("gen", "no cell is"),
        ("base", "no cell"),
    ):
        with pytest.raises(StoreError, match=problem):
            select_cell(cells, name)


def test_a_step_is_the_last_one_or_one_that_the_cell_has() -> None:
    assert (cell().debiased_step(None), cell().debiased_step(10)) == (20, 10)
    with pytest.raises(StoreError, match=r"no step 15 \(known: 10, 20\)"):
        cell().debiased_step(15)
    with pytest.raises(StoreError, match="no step 0"):
        cell().debiased_step(0)


@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        ({"control": True}, "identity"),
        ({"control": False}, None),
        ({"control": False, "control_kind": "masks"}, "masks"),
        ({"control": True, "control_kind": "identity"}, "identity"),
        ({"control_kind": "change"}, "change"),
        ({}, None),
    ],
)
def test_one_field_says_what_kind_of_control_a_cell_is(
    stored: dict[str, object], kind: str | None
) -> None:
    read = Cell.model_validate({"model": "m", "measures": [], **stored})
    assert read.control_kind == kind
    assert is_control(read) == (kind is not None)
    assert "control" not in read.model_dump()


def test_no_other_module_lists_the_axes_of_a_cell() -> None:
    """A tuple, list, set or call that reads four axes or more of one object spells a cell out."""
    allowed = {f"harness/{name}.py" for name in ("storage/cells", "planning/spec", "planning/plan")}
    spelled = []
    for path in sorted((ROOT / "harness").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name in allowed:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if _axes_read(node) >= 4:
                spelled.append(f"{name}:{getattr(node, 'lineno', 0)}")
    assert spelled == []


def _axes_read(node: ast.AST) -> int:
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        parts: list[ast.expr] = node.elts
    elif isinstance(node, ast.Call):
        parts = [keyword.value for keyword in node.keywords]
    elif isinstance(node, ast.Dict):
        parts = node.values
    else:
        return 0
    strings = {p.value for p in parts if isinstance(p, ast.Constant) and p.value in AXES}
    attributes: dict[str, set[str]] = {}
    for part in parts:
        if isinstance(part, ast.Attribute) and part.attr in AXES:
            attributes.setdefault(ast.unparse(part.value), set()).add(part.attr)
    if "source" not in strings:
        strings = set()  # names of plugin families
    return max([len(strings), *(len(names) for names in attributes.values())])
