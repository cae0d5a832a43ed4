"""Loading: a model whose scores would not be its own is refused; every failure is one line."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertLMHeadModel,
    BertModel,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    GPT2Model,
    T5Config,
    T5ForConditionalGeneration,
)

from harness.errors import ModelError
from harness.lm.loading.loading import load_transformers
from harness.testing import save_tiny_model
from harness.testing.tiny_models import build_tiny

TEXT = ["Women and men wait near the station."]


def saved(folder: Path, module: Any, kind: str = "causal") -> Path:
    module.save_pretrained(folder)
    build_tiny(kind)[1].save_pretrained(folder)  # type: ignore[arg-type]
    return folder


def gpt2(cls: Any = GPT2LMHeadModel, **options: Any) -> Any:
    config = build_tiny("causal")[0].config
    for key, value in options.items():
        setattr(config, key, value)
    return cls(config)


def bert(cls: Any, **options: Any) -> Any:
    return cls(BertConfig(**build_tiny("masked")[0].config.to_diff_dict() | options))


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, Any]]) -> Path:
    """Change the tensors of a saved model."""
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, {"format": "pt"})
    return folder


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def renamed(tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    return {name.replace("h.1.", "h.one."): own for name, own in tensors.items()}


def untied(folder: Path) -> Path:
    """A causal model with an output layer of its own, whose checkpoint lost it."""
    saved(folder, gpt2(tie_word_embeddings=False))
    return rewrite(folder, lambda t: {k: v for k, v in t.items() if "lm_head" not in k})


REFUSED: dict[str, tuple[Callable[[Path], Path], dict[str, Any], str]] = {
    "an encoder": (
        lambda p: saved(p, bert(BertModel), "masked"),
        {},
        "of the .* weights of a BertForMaskedLM are not in the checkpoint and would be random: "
        "cls.predictions.bias, cls.predictions.transform.dense.weight",
    ),
    "an encoder as a causal model": (
        lambda p: saved(p, bert(BertModel), "masked"),
        {"kind": "causal"},
        "weights of a BertLMHeadModel are not in the checkpoint",
    ),
    "a masked model as a causal one": (
        lambda p: saved(p, bert(BertForMaskedLM), "masked"),
        {"kind": "causal"},
        "sees the tokens behind it, so it is not a causal language model; use `kind: masked`",
    ),
    "a reward model": (
        lambda p: saved(p, gpt2(GPT2ForSequenceClassification)),
        {},
        "saved as a GPT2ForSequenceClassification: its output layer gives no probabilities",
    ),
    "half of the tensors": (
        lambda p: rewrite(save_tiny_model(p), lambda t: dict(list(t.items())[::2])),
        {},
        "of the 29 weights of a GPT2LMHeadModel are not in the checkpoint and would be random",
    ),
    "renamed tensors": (
        lambda p: rewrite(save_tiny_model(p), renamed),
        {},
        "transformer.h.1.ln_1.weight, .*the checkpoint has no place for transformer.h.one",
    ),
    "a lost output layer": (untied, {}, "1 of the .* would be random: lm_head.weight"),
    "more layers than the configuration has": (
        lambda p: (saved(p, gpt2(n_layer=3)) and edit(p / "config.json", n_layer=2)) or p,
        {},
        "has no place for transformer.h.2.*not the model that was saved",
    ),
    "another width": (
        lambda p: edit(save_tiny_model(p) / "config.json", n_embd=48) or p,
        {},
        r"transformer.h.0.attn.c_attn.bias is 96 in the checkpoint and 144 by config.json and",
    ),
    "an encoder-decoder": (
        lambda p: saved(
            p,
            T5ForConditionalGeneration(
                T5Config(vocab_size=361, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
            ),
        ),
        {},
        "is a t5 model, which is neither a causal nor a masked language model",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_model_whose_scores_are_not_its_checkpoints_is_refused(case: str, tmp_path: Path) -> None:
    make, options, words = REFUSED[case]
    folder = make(tmp_path / "model")
    with pytest.raises(ModelError, match=words) as caught:
        load_transformers(folder, **options)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


ACCEPTED: dict[str, tuple[Callable[[], Any], str]] = {
    "tied weights of a bare body": (lambda: gpt2(GPT2Model), "causal"),
    "a pooler and another head": (lambda: bert(BertForPreTraining), "masked"),
    "an encoder that was trained as a decoder": (
        lambda: bert(BertLMHeadModel, is_decoder=True),
        "causal",
    ),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_weights_that_are_tied_or_not_used_may_be_missing(case: str, tmp_path: Path) -> None:
    make, kind = ACCEPTED[case]
    module = make().eval()
    folder = saved(tmp_path / "model", module, "masked" if kind == "masked" else "causal")
    first, second = (load_transformers(folder) for _ in range(2))
    assert first.kind == kind
    for one, other in zip(first.token_scores(TEXT), second.token_scores(TEXT), strict=True):
        np.testing.assert_array_equal(one.logprobs, other.logprobs)


def test_a_missing_weight_that_changes_no_score_is_no_reason(tmp_path: Path) -> None:
    """Half of GPT-2's positions are lost, and the module is made to read none of them."""
    from harness.lm.loading.completeness import check_complete

    module, _ = build_tiny("masked")
    report = {"mismatched_keys": set(), "unexpected_keys": {"bert.pooler.dense.weight"}}
    module.add_module("unused", torch.nn.Linear(2, 2))
    before = {name: own.clone() for name, own in module.state_dict().items()}
    check_complete(module, report | {"missing_keys": {"unused.weight"}}, "m", "here")
    with pytest.raises(ModelError, match=r"1 of the .* would be random: cls.predictions.bias"):
        check_complete(module, report | {"missing_keys": {"cls.predictions.bias"}}, "m", "here")
    for name, own in module.state_dict().items():
        assert torch.equal(own, before[name]), name  # the trial left no trace


def pointer(path: Path) -> None:
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9\n")


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")


def indexed(folder: Path, shard: str) -> None:
    (folder / "model.safetensors").unlink()
    text = json.dumps({"metadata": {}, "weight_map": {"transformer.wte.weight": shard}})
    (folder / "model.safetensors.index.json").write_text(text)


def moved_down(folder: Path) -> None:
    inner = folder / "checkpoint-1"
    inner.mkdir()
    for path in [p for p in folder.iterdir() if p.is_file()]:
        path.rename(inner / path.name)


def without(folder: Path, *patterns: str) -> None:
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink()


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "pickled only": (pickled, "weights only as pytorch_model.bin, which is not read"),
    "no weights": (lambda p: without(p, "*.safetensors"), "no weights .model.safetensors or"),
    "a git-lfs pointer": (
        lambda p: pointer(p / "model.safetensors"),
        "git-lfs pointer, .* lfs pull",
    ),
    "a pointer as tokenizer": (lambda p: pointer(p / "tokenizer.json"), "json: a git-lfs pointer"),
    "a pointer as config": (lambda p: pointer(p / "config.json"), "config.json: a git-lfs pointer"),
    "cut off": (lambda p: halved(p / "model.safetensors"), "is cut off .* bytes, its header says"),
    "cut off in the header": (
        lambda p: (p / "model.safetensors").write_bytes(
            (p / "model.safetensors").read_bytes()[:99]
        ),
        "is cut off inside its header .99 bytes.",
    ),
    "empty": (lambda p: (p / "model.safetensors").write_bytes(b""), "not a safetensors file"),
    "something else": (
        lambda p: (p / "model.safetensors").write_bytes(b"\x80\x02" * 500),
        "not a safetensors file",
    ),
    "no config": (lambda p: without(p, "config.json"), "no config.json"),
    "a broken config": (lambda p: (p / "config.json").write_text("{"), "not readable as JSON"),
    "a list as config": (lambda p: (p / "config.json").write_text("[]"), "not a JSON object"),
    "no model type": (lambda p: (p / "config.json").write_text("{}"), "no 'model_type'"),
    "an unknown architecture": (
        lambda p: edit(p / "config.json", model_type="warp"),
        "the architecture 'warp' is not one that transformers",
    ),
    "code from a repository": (
        lambda p: edit(p / "config.json", model_type="warp", auto_map={"AutoModel": "a--b"}),
        "needs code from its repository, which is never run",
    ),
    "a wrong type in the config": (
        lambda p: edit(p / "config.json", n_embd="wide"),
        "cannot be loaded",
    ),
    "no tokenizer": (lambda p: without(p, "tokenizer*", "vocab*", "merges*"), "no tokenizer"),
    "a broken tokenizer": (lambda p: (p / "tokenizer.json").write_text("{}"), "cannot be loaded"),
    "in a sub-folder": (moved_down, "no config.json; did you mean '.*checkpoint-1'"),
    "an adapter": (
        lambda p: (p / "config.json").rename(p / "adapter_config.json"),
        "holds an adapter and no model",
    ),
    # peft would change the scores, and its weights are not in the key
    "a model with an adapter": (
        lambda p: (p / "adapter_config.json").write_text('{"peft_type": "LORA"}'),
        "holds a model and an adapter",
    ),
    "a shard that is missing": (
        lambda p: indexed(p, "model-00001-of-00002.safetensors"),
        "00001-of-00002.safetensors: cannot be read: No such file",
    ),
    "a shard outside the folder": (lambda p: indexed(p, "../x.safetensors"), "outside the folder"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_every_broken_folder_has_its_reason_and_path_in_one_line(case: str, tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    BROKEN[case][0](folder)
    with pytest.raises(ModelError, match=BROKEN[case][1]) as caught:
        load_transformers(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("/no/such/place", "/no/such/place: no such folder"),
        ("./nowhere", "nowhere: no such folder"),
        ("~/nowhere/at/all", "at/all: no such folder"),
        (Path("nowhere"), "nowhere: no such folder"),
    ],
)
def test_a_path_that_does_not_exist_is_not_asked_of_the_hub(source: Any, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        load_transformers(source)


def test_a_file_is_not_a_folder_and_a_dtype_is_known(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    with pytest.raises(ModelError, match=r"config.json: a file; give the folder"):
        load_transformers(folder / "config.json")
    with pytest.raises(ModelError, match="unknown dtype 'int3'; use"):
        load_transformers(folder, dtype="int3")


def test_shards_in_a_sub_folder_are_loaded(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    before = load_transformers(folder).token_scores(TEXT)[0].logprobs
    tensors = load_file(folder / "model.safetensors")
    (folder / "parts").mkdir()
    shutil.move(folder / "model.safetensors", folder / "parts" / "all.safetensors")
    names = {"metadata": {}, "weight_map": dict.fromkeys(tensors, "parts/all.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(names))
    np.testing.assert_array_equal(load_transformers(folder).token_scores(TEXT)[0].logprobs, before)


def test_what_transformers_warns_about_is_passed_on_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = saved(tmp_path / "model", gpt2(tie_word_embeddings=False))
    edit(folder / "config.json", tie_word_embeddings=True)
    with caplog.at_level(logging.WARNING, logger="harness.lm"):
        load_transformers(folder)
        load_transformers(folder)
    # transformers hands its own records on too where CI is set
    (record,) = (r for r in caplog.records if r.name.startswith("harness."))
    assert "so we will NOT tie them" in record.getMessage()
    assert "\n" not in record.getMessage()
