"""What transformers says while it loads a model: collected, and passed on where it matters."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

from transformers.utils import logging as transformers_logging

_LOG = logging.getLogger("harness.lm")

_NO_NEWS = re.compile(
    "LOAD REPORT"  # of missing and unexpected weights: read from what loading returns
    "|generation (flags|config)|generative capabilities|from_model_config"  # nothing is generated
    "|fast path|falling back to|kernels|flash|Flash"  # about speed alone
    "|add `is_decoder=True"  # that tokens see no later ones is tested
    "|torch_dtype|deprecat|will be removed|FutureWarning"
    "|model of type .* to instantiate a model of type"  # decided in `kinds`
    "|de-quantiz|dequantiz|Unrecognized keys in `rope"
)
"""Remarks that tell nothing about scores, or that something else here finds out for sure."""

_LONGEST = 300
_told: set[str] = set()


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def listening(name: str) -> Iterator[list[str]]:
    """Collect transformers' remarks for a block instead of printing them.

    Those that may concern scores are logged at the end as warnings of ``harness.lm``, each once a
    process.

    Args:
        name: of the model, for these warnings.

    Yields:
        The remarks so far.
    """
    logger = transformers_logging.get_logger("transformers")
    collector = _Collector()
    handlers, verbosity = list(logger.handlers), transformers_logging.get_verbosity()
    filters, bars = list(logger.filters), transformers_logging.is_progress_bar_enabled()
    logger.handlers[:] = [collector]
    transformers_logging.set_verbosity_warning()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(record=True) as raised, redirect_stderr(io.StringIO()):
            warnings.simplefilter("always")
            yield collector.lines  # the bar of GGUF conversion cannot be switched off: redirected
    finally:
        logger.handlers[:], logger.filters[:] = handlers, filters
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
    collector.lines += [f"{warning.category.__name__}: {warning.message}" for warning in raised]
    for line in collector.lines:
        text = " ".join(line.split())
        if not _NO_NEWS.search(text) and text not in _told:
            _told.add(text)
            shown = text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
            _LOG.warning("model '%s': transformers says: %s", name, shown)
