"""Embeddings: prompts in, frames of unit-length float32 rows out, the index kept."""

from routerlab.embedding._models import ModelNotFoundError
from routerlab.embedding._sentence import SentenceEmbedder

__all__ = ["ModelNotFoundError", "SentenceEmbedder"]
