"""The language-model handle over a transformers causal or masked model."""

from __future__ import annotations

import copy
import hashlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.errors import ModelError
from harness.lm import projection
from harness.lm.continuation import continued
from harness.lm.handle import LanguageModel, ModelKind, TokenScores
from harness.lm.prompt_contrast import PromptContrast
from harness.lm.quiet import quiet
from harness.lm.scoring.abilities import check_scores
from harness.lm.scoring.batches import Row
from harness.lm.scoring.engine import Correction, Engine
from harness.lm.scoring.forward import Forward
from harness.lm.start_tokens import StartTokens, find_start_tokens, write_choice
from harness.lm.token_spans import check_characters, offsets_by_decoding

LONG_TEXT = 100_000
"""Characters from which on a text's tokens are kept: a test set read as one text takes a second to
tokenise, and every checkpoint of a run, a model loaded afresh, reads the same."""

MOST_LONG_TEXTS = 4

_long_texts: dict[tuple[bytes, str], tuple[int, ...]] = {}
"""Tokens of long texts, by what the tokenizer does, the oldest first."""


class TransformersModel(LanguageModel):
    """A transformers model with its tokenizer; see `LanguageModel` for the contract."""

    def __init__(
        self,
        module: torch.nn.Module,
        tokenizer: Any,
        *,
        kind: ModelKind,
        name: str,
        starts: StartTokens | None = None,
    ):
        """Wrap a module and its tokenizer.

        Args:
            module: a transformers model with its output layer.
            tokenizer: of the model.
            kind: causal or masked.
            name: shown in messages.
            starts: the tokens before a text; None: as the tokenizer has it.

        Raises:
            ModelError: the tokenizer cannot be used.
        """
        self.module = module.eval()
        self.tokenizer = tokenizer
        self.kind = kind
        self.name = name
        self.max_tokens = _context(module, tokenizer)
        self._starts = starts or find_start_tokens(tokenizer, kind, name=name)
        self._scores: dict[tuple[str, tuple[int, ...]], TokenScores] = {}
        forward = Forward(
            self.module,
            kind,
            self._filler,
            longest=self.max_tokens,
            special=getattr(tokenizer, "all_special_ids", ()),
        )
        self._engine = Engine(forward)

    def check(self) -> None:
        """Refuse a model whose scores would be random, not finite, or read from later tokens.

        Raises:
            ModelError: it is one of these, or it cannot be run.
        """
        check_scores(self._engine.forward, self.name)

    @property
    def device(self) -> torch.device:
        """Where the weights live."""
        return self._engine.device

    # The contract's attribute, which no reader sets; here the engine counts.
    @property
    def tokens_scored(self) -> int:  # type: ignore[override]
        """See `LanguageModel`."""
        return self._engine.tokens_run

    @property
    def start_id(self) -> int:
        """See `LanguageModel.start_id`."""
        return self._token(self._starts.start, "start token")

    @property
    def front(self) -> tuple[int, ...]:
        """See `LanguageModel.front`."""
        return self._starts.front

    @property
    def bos_id(self) -> int:
        """See `LanguageModel.bos_id`."""
        return self._token(self._starts.bos, "BOS, EOS or CLS token")

    @property
    def separator_id(self) -> int:
        """See `LanguageModel.separator_id`."""
        return self._token(self._starts.separator, "token that separates documents")

    def token_text(self, token: int) -> str:
        """See `LanguageModel.token_text`."""
        return str(self.tokenizer.convert_ids_to_tokens(int(token)))

    def _token(self, token: int | None, what: str) -> int:
        if token is None:
            raise ModelError(
                f"model '{self.name}' has no {what}, and one is asked for; name one with its field "
                "'start_token'"
            )
        return token

    def _lead(self, start: bool | int) -> tuple[int, ...]:
        """The tokens in front of a text, as `LanguageModel.token_scores` is asked for them."""
        if self.kind == "masked" or start is False:
            return self.front
        return self.start_ids if start is True else (int(start),)

    # -- scores ------------------------------------------------------------------------------

    def token_scores(self, texts: Sequence[str], *, start: bool | int = False) -> list[TokenScores]:
        """See `LanguageModel.token_scores`."""
        lead = self._lead(start)
        missing = [t for t in dict.fromkeys(texts) if (t, lead) not in self._scores]
        encoded = [self._checked(text, lead) for text in missing]
        if self.kind == "causal":
            scored = self._causal_scores(encoded, lead)
        else:
            scored = self._pseudo_scores(encoded)
        for text, ids, logprobs in zip(missing, encoded, scored, strict=True):
            tokens = np.array(ids)
            for kept in (tokens, logprobs):
                kept.flags.writeable = False  # every later reader is given the same arrays
            self._scores[text, lead] = TokenScores(tokens, logprobs)
        return [self._scores[text, lead] for text in texts]

    def continuation_scores(
        self, contexts: Sequence[str], continuations: Sequence[str], *, start: bool | int = False
    ) -> list[TokenScores]:
        """See `LanguageModel.continuation_scores`."""
        if self.kind == "masked":
            return super().continuation_scores(contexts, continuations)
        pairs = [
            continued(context, continuation, self.encode, self.name)
            for context, continuation in zip(contexts, continuations, strict=True)
        ]
        lead = self._lead(start)
        rows = []
        for pair in pairs:
            run = [*lead, *self._fitting(pair.text, pair.ids, lead)]
            # the first token of a row has no score
            scored = range(max(1, len(lead) + pair.first), len(run))
            positions = [k - 1 for k in scored]
            rows.append(Row(run[:-1] or run, positions, [run[k] for k in scored]))
        scores = []
        for pair, logprobs in zip(pairs, self._engine.score(rows), strict=True):
            ids = np.array(pair.ids[pair.first :])
            unscored = np.full(len(ids) - len(logprobs), np.nan)
            scores.append(TokenScores(ids, np.concatenate([unscored, logprobs])))
        return scores

    def window_scores(self, windows: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """See `LanguageModel.window_scores`."""
        self._need("causal", "window_scores")
        self._check_windows(windows)
        return self._causal_scores([list(window) for window in windows], ())

    def are_likeliest(self, windows: Sequence[Sequence[int]], counts: Sequence[int]) -> list[bool]:
        """See `LanguageModel.are_likeliest`."""
        self._need("causal", "are_likeliest")
        self._check_windows(windows)
        rows = [
            Row(window[:-1], range(len(window) - 1 - count, len(window) - 1), window[-count:])
            for window, count in zip(windows, counts, strict=True)
        ]
        answers = [False] * len(rows)
        with self._engine.forward.inference():
            for batch in self._engine.batches(rows):
                part = [rows[i] for i in batch]
                best = torch.cat([logits.argmax(-1) for logits in self._engine.logits(part)])
                parts = torch.split(best, [len(row.targets) for row in part])
                for i, found in zip(batch, parts, strict=True):
                    answers[i] = found.tolist() == list(rows[i].targets)
        return answers

    def _check_windows(self, windows: Sequence[Sequence[int]]) -> None:
        """Refuse windows that do not fit; the last token of one is not run."""
        for window in windows:
            if not 0 < len(window) <= self.max_tokens + 1:
                raise ModelError(
                    f"a window of {len(window)} tokens does not fit model '{self.name}' "
                    f"(context {self.max_tokens})"
                )

    def masked_scores(self, ids: Sequence[int], positions: Sequence[int]) -> np.ndarray:
        """See `LanguageModel.masked_scores`."""
        return self.masked_scores_of([(ids, positions)])[0]

    def masked_scores_of(
        self, texts: Sequence[tuple[Sequence[int], Sequence[int]]]
    ) -> list[np.ndarray]:
        """See `LanguageModel.masked_scores_of`."""
        self._need("masked", "masked_scores")
        rows = [self._masked_row(ids, [k]) for ids, positions in texts for k in positions]
        flat = iter(self._engine.score(rows))
        return [
            np.array([next(flat)[0] for _ in positions], dtype=np.float64) for _, positions in texts
        ]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """See `LanguageModel.alone`."""
        kept, before = self._scores, self._engine.alone
        self._scores, self._engine.alone = {}, True
        try:
            yield
        finally:
            self._scores, self._engine.alone = kept, before

    def _causal_scores(
        self, encoded: Sequence[Sequence[int]], lead: tuple[int, ...]
    ) -> list[np.ndarray]:
        rows = []
        first = max(1, len(lead))  # of the tokens run, the first that is scored
        for ids in encoded:
            run = [*lead, *ids]
            # the last token predicts nothing that is wanted: it need not be run
            rows.append(Row(run[:-1] or run, range(first - 1, len(run) - 1), run[first:]))
        scored = self._engine.score(rows)
        if lead:
            return scored
        return [np.concatenate([[np.nan], scores]) for scores in scored]

    def _pseudo_scores(self, encoded: Sequence[Sequence[int]]) -> list[np.ndarray]:
        return self.masked_scores_of([(ids, range(len(ids))) for ids in encoded])

    def _masked_row(self, ids: Sequence[int], masked: Sequence[int]) -> Row:
        """The text between its special tokens with some positions masked, to be scored there."""
        run, first = self.masked_input(ids, masked)
        return Row(run, [k + first for k in masked], [ids[k] for k in masked])

    def masked_input(self, ids: Sequence[int], positions: Sequence[int]) -> tuple[list[int], int]:
        """See `LanguageModel.masked_input`."""
        self._need("masked", "masked_input")
        hidden = list(ids)
        for k in positions:
            hidden[k] = self.tokenizer.mask_token_id
        return [*self.front, *hidden, *self._starts.back], len(self.front)

    def training_logits(
        self, rows: Sequence[Sequence[int]], index: Sequence[int], position: Sequence[int]
    ) -> torch.Tensor:
        """See `LanguageModel.training_logits`."""
        return self._engine.training_logits(rows, index, position)

    def forget_scores(self) -> None:
        """See `LanguageModel.forget_scores`."""
        self._scores.clear()

    # -- hidden states and generation --------------------------------------------------------

    def hidden_states(
        self, texts: Sequence[str], *, layer: int = -1, special: bool = False
    ) -> list[np.ndarray]:
        """See `LanguageModel.hidden_states`."""
        front, back = self.front, self._starts.back
        rows = [Row([*front, *self._checked(text, front), *back], [], []) for text in texts]
        of_texts: list[np.ndarray] = [np.empty(0)] * len(rows)
        with self._engine.forward.inference():
            for batch in self._engine.batches(rows):
                hidden = projection.read(
                    self._engine.forward, self._engine.padded([rows[i] for i in batch]), layer
                )
                for i, states in zip(batch, hidden, strict=True):
                    whole = states[: len(rows[i].ids)]
                    kept = whole if special else whole[len(front) : len(whole) - len(back)]
                    of_texts[i] = kept.float().cpu().numpy().copy()
        return of_texts

    def project(
        self, matrix: np.ndarray, bias: np.ndarray | None = None, *, layer: int = -1
    ) -> None:
        """See `LanguageModel.project`."""
        projection.install(self.module, layer, matrix, bias)
        self.forget_scores()

    def rescore(self, contrast: PromptContrast | None) -> None:
        """See `LanguageModel.rescore`."""
        self._engine.correction = None
        if contrast is not None:
            starts = self._starts
            single = {token for token in (starts.start, starts.bos, starts.separator)}
            fronts = (self.front, *((token,) for token in single if token is not None))
            prompts = tuple(tuple(self.encode(prompt)) for prompt in contrast.prompts)
            self._engine.correction = Correction(contrast, prompts, fronts, self.max_tokens)
        self.forget_scores()

    @property
    def contrast(self) -> PromptContrast | None:
        """The correction in force; see `rescore`."""
        return self._engine.correction.contrast if self._engine.correction else None

    def generate(self, prompts: Sequence[str], *, max_new_tokens: int = 20) -> list[str]:
        """See `LanguageModel.generate`."""
        self._need("causal", "generate")
        front = self.front
        encoded = [
            [*front, *self._checked(prompt, front, room=max_new_tokens)] for prompt in prompts
        ]
        answers = [""] * len(encoded)
        to_come = [self._filler] * max_new_tokens
        lengths = [Row([*prompt_ids, *to_come], [], []) for prompt_ids in encoded]
        for batch in self._engine.batches(lengths):
            prompts_ids = [encoded[i] for i in batch]
            for i, answer in zip(batch, self._continue(prompts_ids, max_new_tokens), strict=True):
                answers[i] = answer
        return answers

    def _continue(self, prompts: Sequence[Sequence[int]], count: int) -> list[str]:
        width = max(map(len, prompts))
        ids = torch.full((len(prompts), width), self._filler, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, prompt in enumerate(prompts):  # padded on the left: new tokens follow the prompt
            ids[i, width - len(prompt) :] = torch.tensor(prompt)
            mask[i, width - len(prompt) :] = 1
        with self._engine.forward.inference():
            out = self.module.generate(  # type: ignore[operator]
                input_ids=ids.to(self.device),
                attention_mask=mask.to(self.device),
                max_new_tokens=count,
                do_sample=False,
                num_beams=1,
                pad_token_id=self._filler,
                **self._corrections([width - len(prompt) for prompt in prompts]),
            )
        new = out[:, width:].cpu().tolist()
        return [str(self.tokenizer.decode(answer, skip_special_tokens=True)) for answer in new]

    def _corrections(self, padding: Sequence[int]) -> dict[str, Any]:
        """What makes generation see the re-scored distributions, given each row's left padding."""
        if self._engine.correction is None:
            return {}

        def corrected(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            """Logits of the next token of each row so far, computed again after the prompts."""
            so_far = [row[left:] for row, left in zip(ids.tolist(), padding, strict=True)]
            rows = [Row(row, [len(row) - 1], []) for row in so_far]
            return torch.cat(list(self._engine.logits(rows))).to(scores.dtype)

        return {"logits_processor": [corrected]}

    # -- text and tokens ---------------------------------------------------------------------

    def encode(self, text: str) -> list[int]:
        """See `LanguageModel.encode`."""
        if len(text) < LONG_TEXT or self._tokenizer_digest is None:
            return self._encoded(text)
        key = self._tokenizer_digest, text
        if key not in _long_texts:
            if len(_long_texts) >= MOST_LONG_TEXTS:
                _long_texts.pop(next(iter(_long_texts)))
            _long_texts[key] = tuple(self._encoded(text))
        return list(_long_texts[key])

    def _encoded(self, text: str) -> list[int]:
        check_characters(text)
        ids = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return self._embedded(list(ids))

    def _embedded(self, ids: list[int]) -> list[int]:
        """Token ids, each of which the model has an embedding of."""
        if ids and (largest := max(ids)) >= self._embeddings:
            raise ModelError(
                f"the token {self.token_text(largest)!r} (id {largest}) has no embedding in model "
                f"'{self.name}', which knows {self._embeddings} tokens: the tokenizer is not the "
                "one it was trained with"
            )
        return ids

    @cached_property
    def _tokenizer_digest(self) -> bytes | None:
        """Of all that a fast tokenizer does; None for a slow one."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        return None if backend is None else hashlib.sha256(backend.to_str().encode()).digest()

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """See `LanguageModel.encode_with_offsets`."""
        if not getattr(self.tokenizer, "is_fast", False):
            ids = self._encoded(text)
            offsets = offsets_by_decoding(self.tokenizer, text, ids, self.name)
            return ids, self._without_lead(ids, offsets)
        check_characters(text)
        encoding = self.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        offsets = []
        for start, end in encoding["offset_mapping"]:
            while start < end and text[start].isspace():  # byte-level BPE: the space in front
                start += 1
            offsets.append((int(start), int(end)))
        ids = self._embedded(list(encoding["input_ids"]))
        return ids, self._without_lead(ids, offsets)

    def _without_lead(
        self, ids: Sequence[int], offsets: list[tuple[int, int]]
    ) -> list[tuple[int, int]]:
        """The offsets, where a space that the tokenizer itself puts in front covers nothing.

        SentencePiece writes a space before a text. Where it is a token of its own, tokenizers say
        that it covers the first character; inside a text such a token covers a space alone.
        """
        if offsets and not self.token_text(ids[0]).strip("\u2581\u0120 "):
            offsets[0] = (offsets[0][0], offsets[0][0])
        return offsets

    def _checked(self, text: str, lead: Sequence[int], room: int = 0) -> list[int]:
        """Token ids of a text that fits, with ``room`` tokens to follow."""
        return self._fitting(text, self.encode(text), lead, room)

    def _fitting(self, text: str, ids: list[int], lead: Sequence[int], room: int = 0) -> list[int]:
        shown = text if len(text) <= 40 else text[:40] + "…"
        if not ids:
            raise ModelError(f"the text {shown!r} has no token; remove it from the data")
        most = self.max_tokens - len(lead) - len(self._starts.back) - room
        if len(ids) > most:
            raise ModelError(
                f"the text {shown!r} has {len(ids)} tokens, model '{self.name}' takes {most}"
                f"{f' and {room} new ones' if room else ''}; shorten it or choose another model"
            )
        return ids

    def save(self, folder: Path) -> None:
        """Write config, tokenizer and safetensors; `load_transformers` reads them back."""
        module: Any = self.module
        module.hf_quantizer = None  # a de-quantised GGUF model holds plain weights
        if hasattr(module.config, "quantization_config"):
            del module.config.quantization_config
        with quiet():
            module.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)
        write_choice(self._starts, folder)

    def copy(self) -> TransformersModel:
        """See `LanguageModel.copy`."""
        twin = self.over(copy.deepcopy(self.module))
        twin.rescore(self.contrast)
        return twin

    def over(self, module: torch.nn.Module) -> TransformersModel:
        """A handle over another module, with the tokenizer and start tokens of this one."""
        return TransformersModel(
            module, self.tokenizer, kind=self.kind, name=self.name, starts=self._starts
        )

    @property
    def _filler(self) -> int:
        """A token to pad with: what is padded is masked or never read.

        It has an embedding that is not zero. That of a padding token often is, and layers that
        divide by the spread of their input then give gradients that are not numbers.
        """
        starts = self._starts
        pad_id = getattr(self.tokenizer, "pad_token_id", None)
        candidates = (starts.bos, starts.start, pad_id)
        usable = [i for i in candidates if i is not None and 0 <= i < self._embeddings]
        table: Any = self.module.get_input_embeddings()  # type: ignore[operator]
        weight = getattr(table, "weight", None)
        if weight is None or weight.is_meta:
            return next(iter(usable), 0)
        return next((i for i in (*usable, 0, 1) if bool(weight[i].any())), 0)

    @cached_property
    def _embeddings(self) -> int:
        """Number of tokens that the model has an embedding of; a tokenizer may have more."""
        table: Any = self.module.get_input_embeddings()  # type: ignore[operator]
        return len(table.weight) if hasattr(table, "weight") else sys.maxsize

    def _need(self, kind: ModelKind, what: str) -> None:
        if self.kind != kind:
            raise ModelError(f"{what} needs a {kind} model; '{self.name}' is a {self.kind} one")


def _context(module: torch.nn.Module, tokenizer: Any) -> int:
    of_tokenizer = getattr(tokenizer, "model_max_length", None) or sys.maxsize
    config = module.config.get_text_config()  # type: ignore[union-attr, operator]
    for name in ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"):
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return min(value - _unusable(module), int(of_tokenizer))
    return int(of_tokenizer)


def _unusable(module: torch.nn.Module) -> int:
    """Positions that no token gets: RoBERTa numbers its tokens from the padding's index on."""
    for name, part in module.named_modules():
        padding = getattr(part, "padding_idx", None)
        if name.endswith("position_embeddings") and isinstance(padding, int):
            return padding + 1
    return 0
