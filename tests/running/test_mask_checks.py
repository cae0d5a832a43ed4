"""One fit never mixes masks; masks that a service left incomplete are completed later."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from bench import Bench
from toy_plugins import ToyDebiaser, ToyMasker

from harness.errors import ServiceError
from harness.types import MaskedPassage, MaskRequest, Span


class Service:
    """What stands for a service: which passages it answers, and how long its answers are."""

    def __init__(self) -> None:
        self.down_for: set[int] = set()
        self.length = 6
        self.asked = 0
        self.gone = False

    def mask(self, masker: ToyMasker, request: MaskRequest) -> Sequence[MaskedPassage]:
        self.asked += 1
        if self.gone:
            raise ServiceError("the service is gone")
        answers = []
        for number, passage in enumerate(request.passages):
            span = Span(start=0, end=self.length, kind="first", reason="said so")
            failed = number in self.down_for
            answers.append(
                MaskedPassage(passage=passage, spans=() if failed else (span,), final=not failed)
            )
        return answers


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    made = Service()
    monkeypatch.setattr(ToyMasker, "mask", lambda self, request: made.mask(self, request))
    return made


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


SPEC: dict[str, object] = {"debiaser": "toy-debiaser", "source": "gender"}


def masks(bench: Bench) -> set[str | None]:
    """Hashes of the masks of all results of the fit."""
    (cell,) = (cell for cell in bench.store.index().cells if not cell.is_base)
    records = [bench.store.record(ref.key) for ref in cell.measures if ref.step]
    return {record.masks for record in records if record is not None}


def test_complete_masks_are_not_asked_for_again(bench: Bench, service: Service) -> None:
    bench.run(**SPEC)
    assert len(masks(bench)) == 1
    service.asked = 0
    assert bench.run(**SPEC).measured == 0
    assert service.asked == 0


def test_incomplete_masks_are_completed_and_the_fit_is_done_again(
    bench: Bench, service: Service
) -> None:
    service.down_for = {3}
    first = bench.run(**SPEC)
    before = masks(bench)
    assert bench.run(**SPEC).measured == 0  # still down: nothing new
    service.down_for = set()
    again = bench.run(**SPEC)
    assert again.measured == 3 * 2  # steps by evaluators; the base stays
    assert again.measured + again.reused == first.measured
    assert masks(bench).isdisjoint(before)
    assert bench.run(**SPEC).measured == 0


def test_a_service_that_is_gone_leaves_the_results_as_they_are(
    bench: Bench, service: Service
) -> None:
    service.down_for = {3}
    first = bench.run(**SPEC)
    service.gone = True
    again = bench.run(**SPEC)
    assert (again.measured, again.reused, again.failures) == (0, first.measured, [])


def test_a_fit_that_was_interrupted_is_not_continued_with_other_masks(
    bench: Bench, service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ToyDebiaser, "interrupt_at", 20)
    with pytest.raises(KeyboardInterrupt):
        bench.run(**SPEC)
    assert len(masks(bench)) == 1
    monkeypatch.setattr(ToyDebiaser, "interrupt_at", None)
    service.length = 5  # the service has changed its mind
    bench.run(**SPEC)
    whole = Bench(tmp_path / "whole")
    whole.run(**SPEC)
    assert masks(bench) == masks(whole)
    assert len(masks(bench)) == 1
    assert bench.values() == whole.values()
