"""The language-model handle: loading, scoring, hidden states, generation."""
