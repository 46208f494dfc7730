"""routerlab: from prompts and pairwise judgments to an LLM router you can trust."""

__version__ = "0.1.0"
