"""Embeddings: prompts in, frames of unit-length float32 rows out, the index kept."""

from routerlab.embedding._analysis import Separability, analogies, domain_separability
from routerlab.embedding._intent_embedder import IntentEmbedder
from routerlab.embedding._lexical import LsaEmbedder, SurfaceFeatures
from routerlab.embedding._outcome_embedder import OutcomeEmbedder
from routerlab.embedding._saved import load_embedder
from routerlab.embedding._sentence import SentenceEmbedder
from routerlab.embedding._text import join_embeddings
from routerlab.exceptions import CutPromptsWarning, ModelNotFoundError

__all__ = [
    "CutPromptsWarning",
    "IntentEmbedder",
    "LsaEmbedder",
    "ModelNotFoundError",
    "OutcomeEmbedder",
    "SentenceEmbedder",
    "Separability",
    "SurfaceFeatures",
    "analogies",
    "domain_separability",
    "join_embeddings",
    "load_embedder",
]
