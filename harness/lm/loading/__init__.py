"""Loading a language model and placing it on devices."""
