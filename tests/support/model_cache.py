"""Where the tests keep the converted default model."""

from harness.data.places import user_cache

MODEL_CACHE = user_cache() / "models"
"""Where the converted default model is kept between sessions: de-quantising it takes a while."""
