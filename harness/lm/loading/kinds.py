"""Whether a model's configuration is that of a causal or a masked language model."""

from __future__ import annotations

import re
from typing import Any

from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from harness.errors import ModelError
from harness.lm.handle import ModelKind

_OTHER_TASK = re.compile(
    "For(Sequence|Token|Image|Audio|Video)Classification|ForQuestionAnswering|ForMultipleChoice|"
    "ForNextSentencePrediction|Reward|ForScore|CrossEncoder|ForRegression"
)
"""In the name of a class whose output layer gives no probabilities of tokens."""


def kind_of(config: Any, wanted: str, shown: str) -> ModelKind:
    """Say whether a model is run as a causal or as a masked language model.

    Args:
        config: of transformers.
        wanted: ``causal``, ``masked``, or ``auto``: what the weights were saved as.
        shown: name of the model for messages.

    Raises:
        ModelError: it is neither, it is not what is wanted, or it was saved with the output layer
            of another task (a reward model).
    """
    family = str(config.model_type)
    causal_class = _names(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(family))
    masked_class = _names(MODEL_FOR_MASKED_LM_MAPPING_NAMES.get(family))
    saved = str((getattr(config, "architectures", None) or [""])[0])
    if _OTHER_TASK.search(saved):
        raise ModelError(
            f"model '{shown}' was saved as a {saved}: its output layer gives no probabilities of "
            "tokens, so it is not a language model"
        )
    if not causal_class and not masked_class:
        raise ModelError(
            f"model '{shown}' is a {family} model, which is neither a causal nor a masked language "
            "model"
        )
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(
            f"model '{shown}' is an encoder-decoder ({saved or family}), which is neither a causal "
            "nor a masked language model"
        )
    if wanted in ("causal", "masked"):
        if not (causal_class if wanted == "causal" else masked_class):
            other = "masked" if wanted == "causal" else "causal"
            raise ModelError(
                f"model '{shown}' ({family}) is not a {wanted} language model; use `kind: {other}`"
            )
        return "causal" if wanted == "causal" else "masked"
    if not masked_class or saved in causal_class or getattr(config, "is_decoder", False):
        return "causal" if causal_class else "masked"
    return "masked"


def _names(architectures: Any) -> tuple[str, ...]:
    if architectures is None:
        return ()
    return (architectures,) if isinstance(architectures, str) else tuple(architectures)
