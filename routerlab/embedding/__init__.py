"""Embeddings: prompts in, frames of unit-length float32 rows out, the index kept."""

from routerlab.embedding._analogies import analogies
from routerlab.embedding._intent import IntentEmbedder
from routerlab.embedding._io import load_embedder
from routerlab.embedding._lsa import LsaEmbedder
from routerlab.embedding._outcome import OutcomeEmbedder
from routerlab.embedding._prompts import join_embeddings
from routerlab.embedding._sentence import SentenceEmbedder
from routerlab.embedding._separability import Separability, domain_separability
from routerlab.embedding._surface import SurfaceFeatures
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
