"""Ways to score texts with one model: the harness, and what is written without one.

Each is timed from strings to numbers, tokenisation included, in a process of its own, so that
its peak memory is its own too.
"""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import measuring
import numpy as np

if TYPE_CHECKING:
    from harness.lm.handle import LanguageModel

METHODS = ("harness", "plain", "alone")
BATCH = 32
"""Sentences a batch of plain batches."""

Group = tuple[str, ...]


class Task(NamedTuple):
    """A model and groups of texts to score with it.

    ``window``: the groups are one long text, to be scored in windows of so many tokens (``most``
    of them).
    """

    model: str
    device: str
    dtype: str
    groups: dict[str, Sequence[Group]]
    window: int = 1024
    most: int = 1


def load(
    name: str, device: str, dtype: str, max_memory: Mapping[str, str] | None = None
) -> LanguageModel:
    """Load a model.

    Args:
        name: ``tiny`` (random weights, on the CPU), a model plugin that needs no config
            (``smollm2-135m``), or a folder or hub id of transformers.
        device: torch device; ``auto`` spreads a folder's model over what there is.
        dtype: name of a torch dtype.
        max_memory: with ``auto``: memory that each device may give to weights.
    """
    from harness.data.places import DataStore
    from harness.lm.loading.loading import load_transformers
    from harness.plugins import load_registry
    from harness.types import LoadRequest

    if name == "tiny":
        from harness.testing.tiny_models import tiny_causal_model

        return tiny_causal_model()
    registry = load_registry()
    if name in registry.names("model"):
        cache = DataStore().cache_dir / "models"
        plugin: Any = registry.create("model", name, {})
        loaded: LanguageModel = plugin.load(
            LoadRequest(device=device, dtype=dtype, cache_dir=cache)
        )
        return loaded
    return load_transformers(name, kind="causal", device=device, dtype=dtype, max_memory=max_memory)


# -- the ways --------------------------------------------------------------------------------


def with_harness(model: LanguageModel, texts: Sequence[str]) -> list[np.ndarray]:
    """Log-probabilities of tokens 2..n of each text, as the harness's scorers get them."""
    model.forget_scores()
    return [scores.logprobs[1:] for scores in model.token_scores(texts)]


def in_plain_batches(model: LanguageModel, texts: Sequence[str]) -> list[np.ndarray]:
    """The same in batches of 32 of similar length, padded on the right, through the whole model."""
    import torch

    encoded = model.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    order = sorted(range(len(encoded)), key=lambda k: -len(encoded[k]))
    device = next(model.module.parameters()).device
    found: list[np.ndarray] = [np.empty(0)] * len(encoded)
    with torch.inference_mode():
        for at in range(0, len(order), BATCH):
            batch = order[at : at + BATCH]
            width = len(encoded[batch[0]])
            ids = torch.tensor([encoded[k] + [0] * (width - len(encoded[k])) for k in batch])
            mask = torch.tensor(
                [[1] * len(encoded[k]) + [0] * (width - len(encoded[k])) for k in batch]
            )
            ids, mask = ids.to(device), mask.to(device)
            logits = model.module(input_ids=ids, attention_mask=mask, use_cache=False).logits
            real = mask[:, 1:].bool()
            table = torch.log_softmax(logits[:, :-1][real].float(), dim=-1)
            flat = table.gather(-1, ids[:, 1:][real].unsqueeze(-1)).squeeze(-1).cpu().numpy()
            at_row = 0
            for k in batch:
                count = len(encoded[k]) - 1
                found[k] = flat[at_row : at_row + count].astype(np.float64)
                at_row += count
    return found


def one_at_a_time(model: LanguageModel, texts: Sequence[str]) -> list[np.ndarray]:
    """The same, each text by itself through the whole model."""
    return [_alone(model, model.encode(text)) for text in texts]


def _alone(model: LanguageModel, ids: Sequence[int]) -> np.ndarray:
    import torch

    row = torch.tensor([list(ids)], device=next(model.module.parameters()).device)
    with torch.inference_mode():
        logits = model.module(input_ids=row, use_cache=False).logits[0, :-1]
        table = torch.log_softmax(logits.float(), dim=-1)
        found = table.gather(-1, row[0, 1:, None])[:, 0].cpu().numpy()
    return np.asarray(found, dtype=np.float64)


def windows_with_harness(model: LanguageModel, text: str, size: int, most: int) -> list[np.ndarray]:
    """Mean log-probability of each window, as the evaluator of perplexity gets it."""
    from harness_evaluators.perplexity import WikiText2Config, WikiText2Perplexity

    from harness.data.places import DataStore
    from harness.types import EvaluationRequest, no_progress

    request = EvaluationRequest(
        model=model, domains=(), unlearned=(), unseen=(), data=DataStore(), progress=no_progress
    )
    evaluator = WikiText2Perplexity(WikiText2Config())
    found = evaluator.windows(request, text, size, "benchmark", prefix="wikitext2", most=most)
    return [np.array([-item.values["nll"] / item.values["tokens"]]) for item in found.items]


def windows_alone(model: LanguageModel, text: str, size: int, most: int) -> list[np.ndarray]:
    """The same, each window through the whole model."""
    return [
        np.array([_alone(model, window).mean()]) for window in windows_of(model, text, size, most)
    ]


def windows_of(model: LanguageModel, text: str, size: int, most: int) -> list[list[int]]:
    """Token ids of the first windows of a text."""
    ids = model.encode(text)
    cut = [ids[at : at + size] for at in range(0, len(ids), size)]
    return [window for window in cut if len(window) > 1][:most]


WAYS = {"harness": with_harness, "plain": in_plain_batches, "alone": one_at_a_time}
WINDOW_WAYS = {"harness": windows_with_harness, "alone": windows_alone}


# -- one way, ready to be timed --------------------------------------------------------------


class Bench:
    """One way of scoring, with its model loaded and warm."""

    def __init__(self, method: str, task: Task) -> None:
        import torch

        self._method = method
        self._task = task
        self._cuda = torch.device(task.device).type == "cuda"
        self._model = load(task.model, task.device, task.dtype)
        self._found: dict[str, list[np.ndarray]] = {}
        self._groups = {
            suite: groups if suite == "wikitext2" else self._that_fit(groups)
            for suite, groups in task.groups.items()
        }
        for suite in task.groups:
            self._score(suite, slice(2))

    def run(self, suite: str) -> tuple[float, float]:
        """Score a suite; seconds of the clock, and of CPU time."""
        started, used = time.perf_counter(), time.process_time()
        self._found[suite] = self._score(suite, slice(None))
        return time.perf_counter() - started, time.process_time() - used

    def scores(self, suite: str) -> list[np.ndarray]:
        """What the last run found."""
        return self._found[suite]

    def forget_peak(self) -> None:
        """Start a new peak of memory."""
        if self._cuda:
            import torch

            torch.cuda.reset_peak_memory_stats()
        else:
            measuring.forget_peak()

    def memory(self) -> tuple[float, float]:
        """MiB in use now, and the most since `forget_peak`."""
        if self._cuda:
            import torch

            return torch.cuda.memory_allocated() / 2**20, torch.cuda.max_memory_allocated() / 2**20
        return measuring.memory()

    def limit(self, suite: str) -> dict[str, int]:
        """Tokens of a suite, the nodes that have to be run, and their operations."""
        from flop_count import costs, flops, tree

        groups = self._groups[suite]
        if suite == "wikitext2":
            task = self._task
            windows = windows_of(self._model, groups[0][0], self._window, task.most)
            encoded = [[window] for window in windows]
        else:
            encoded = [[self._model.encode(text) for text in group] for group in groups]
        nodes = tree(encoded)
        return {
            "groups": len(encoded),
            "tokens": sum(len(ids) for group in encoded for ids in group),
            "nodes": nodes.nodes,
            "flop": flops(costs(self._model.module), nodes),
        }

    def _that_fit(self, groups: Sequence[Group]) -> list[Group]:
        most = self._model.max_tokens
        return [g for g in groups if all(len(self._model.encode(text)) <= most for text in g)]

    @property
    def _window(self) -> int:
        return min(self._task.window, self._model.max_tokens)

    def _score(self, suite: str, part: slice) -> list[np.ndarray]:
        groups = self._groups[suite]
        if suite == "wikitext2":
            whole = part == slice(None)
            most = self._task.most if whole else 1
            text = groups[0][0] if whole else groups[0][0][: 8 * self._window]
            return WINDOW_WAYS[self._method](self._model, text, self._window, most)
        texts = [text for group in groups[part] for text in group]
        return WAYS[self._method](self._model, texts)


class Worker:
    """A `Bench` in a process of its own; it answers one call at a time and sleeps in between."""

    def __init__(self, method: str, task: Task) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, method, task), daemon=True)
        self._process.start()
        there.close()
        self._answer()

    def run(self, suite: str) -> tuple[float, float]:
        """See `Bench.run`."""
        wall, cpu = self._call("run", suite)
        return wall, cpu

    def scores(self, suite: str) -> list[np.ndarray]:
        """See `Bench.scores`."""
        return list(self._call("scores", suite))

    def forget_peak(self) -> None:
        """See `Bench.forget_peak`."""
        self._call("forget_peak")

    def memory(self) -> tuple[float, float]:
        """See `Bench.memory`."""
        now, peak = self._call("memory")
        return now, peak

    def limit(self, suite: str) -> dict[str, int]:
        """See `Bench.limit`."""
        return dict(self._call("limit", suite))

    def close(self) -> None:
        """End the process."""
        self._here.close()
        self._process.join()

    def _call(self, name: str, *arguments: str) -> Any:
        self._here.send((name, arguments))
        return self._answer()

    def _answer(self) -> Any:
        try:
            error, answer = self._here.recv()
        except EOFError:
            raise SystemExit("a worker ended without an answer (out of memory?)") from None
        if error:
            raise SystemExit(f"a worker failed:\n{error}")
        return answer


def _serve(pipe: Any, method: str, task: Task) -> None:
    try:
        bench = Bench(method, task)
        pipe.send(("", None))
        while True:
            name, arguments = pipe.recv()
            pipe.send(("", getattr(bench, name)(*arguments)))
    except EOFError:
        return
    except Exception:  # whatever it is, the parent shows its trace
        pipe.send((traceback.format_exc(), None))


# -- texts -----------------------------------------------------------------------------------


def suites(
    names: Sequence[str], data_dir: Path | None, limit: int | None, windows: int
) -> dict[str, Sequence[Group]]:
    """Groups of texts of the suites asked for; with ``limit`` so many, spread over the suite.

    A group of BBQ is a question with each of its answers, as the protocol ``choice_sum`` writes it.
    Of WikiText-2, as much of the text as holds the windows.
    """
    from harness_evaluators import bbq, crows_pairs, perplexity, stereoset

    from harness.data.places import DataStore

    data = DataStore(data_dir=data_dir)
    found: dict[str, Sequence[Group]] = {}
    if "crows-pairs" in names:
        rows = list(crows_pairs.parse(data.locate(crows_pairs.PIN)))
        found["crows-pairs"] = spread([(row[1], row[2]) for row in rows], limit)
    if "stereoset" in names:
        rows = list(stereoset.parse(data.locate(stereoset.PIN)))
        found["stereoset"] = spread([row[4:7] for row in rows], limit)
    if "bbq" in names:
        questions = map(bbq.question_of, bbq.parse(data.locate(bbq.PIN)))
        groups = [
            tuple(
                f"{question.context}\n\nQ: {question.question}\nA: {answer}"
                for answer in question.answers
            )
            for question in questions
            if question is not None
        ]
        found["bbq"] = spread(groups, limit)
    if "wikitext2" in names:
        rows = list(perplexity.parse_raw(data.locate(perplexity.PIN)))
        text = "\n\n".join(row[1] for row in rows)
        found["wikitext2"] = [(text[: windows * 1024 * 8],)]
    return found


def spread(groups: Sequence[Group], limit: int | None) -> Sequence[Group]:
    """So many groups at even distances."""
    if limit is None or limit >= len(groups):
        return groups
    return [groups[k * len(groups) // limit] for k in range(limit)]
