"""Which prompts a router learns from, is tuned on, and is judged on."""

from routerlab.model_selection._split import split_prompts

__all__ = ["split_prompts"]
