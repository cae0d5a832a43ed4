"""The `openai` masker: a model behind an OpenAI-compatible server names the words to mask."""
