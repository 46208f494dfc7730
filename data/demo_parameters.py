"""Parameters of the simulated demo data. Each is published (with its source) or an assumption (called one).

The sources and the equations that use these numbers are in ``data/README.md``.
"""

from __future__ import annotations

from typing import NamedTuple

# Graded quality has a logistic latent scale. The first two standard deviations were set so that GPT-4 and Mixtral
# spread, tie and correlate as in RouteLLM's MT-Bench judgments (see the datasheet), before any router was tried.
PROMPT_SD = 2.0  # shared by all models: this prompt is harder or easier than its intent and difficulty say
RESPONSE_SD = 1.5  # one model's luck with one prompt
AFFINITY_SD = 0.3  # one model's knack for one intent, beyond its family

N_PAIRS = 5360
DOUBLE_SHARE = 0.12  # of pairs, judged by a second rater
BASELINE_WEIGHT = 2.5  # pairs with gpt-4 are drawn this much more often
FIRST_MONDAY = "2024-01-15"
WEEKS = 5


class Model(NamedTuple):
    """Published figures of a model (the first five) and assumptions about it (the rest)."""

    mt_bench: float  # mean score, 1 to 10
    usd_in: float  # per 1M tokens, list price of February 2024
    usd_out: float
    characters: int  # mean response length on AlpacaEval
    tokens_per_s: float  # output speed
    first_token_s: float
    tokenizer: float  # tokens for the same text, relative to OpenAI's
    slope: float  # latent quality lost for each step of difficulty
    foreign: float  # latent quality lost in a language at distance 1 from English


MODELS = {
    "gpt-4": Model(8.99, 30, 60, 1371, 24, 0.8, 1.0, 0.55, 0.3),
    "claude-2.1": Model(8.18, 8, 24, 1096, 29, 1.2, 1.05, 0.70, 0.7),
    "gpt-3.5-turbo": Model(8.32, 1, 2, 796, 78, 0.5, 1.0, 0.75, 0.7),
    "mixtral-8x7b-instruct": Model(8.30, 0.9, 0.9, 1465, 107, 0.4, 1.15, 0.75, 1.0),
    "llama-2-70b-chat": Model(6.86, 0.9, 0.9, 1790, 69, 0.6, 1.15, 0.80, 2.2),
    "mistral-7b-instruct": Model(7.60, 0.2, 0.2, 1676, 95, 0.3, 1.15, 0.85, 1.6),
}


class Family(NamedTuple):
    """Latent quality of a family of intents: GPT-4's and Mixtral's follow MT-Bench's categories, others are assumed."""

    easy: float  # for all models
    gain: tuple[float, ...]  # for each model, in the order of MODELS; gpt-4 is the reference


FAMILIES = {
    "talk": Family(0.6, (0.0, -0.2, 0.4, 0.9, 1.1, 0.9)),
    "write": Family(0.7, (0.0, 0.4, 0.4, 0.7, 0.7, 0.7)),
    "explain": Family(0.6, (0.0, 0.3, 0.3, 0.5, 0.5, 0.5)),
    "translate": Family(0.2, (0.0, 0.1, 0.3, -0.1, -1.2, -0.7)),
    "extract": Family(0.6, (0.0, 0.0, 0.0, -0.7, -0.8, -0.7)),
    "know": Family(0.2, (0.0, -0.5, -0.3, -0.1, 0.0, -0.5)),
    "reason": Family(-1.2, (0.0, -0.5, -0.6, -0.5, -0.6, -0.9)),
    "code": Family(-0.8, (0.0, -0.2, 0.1, -0.9, -1.4, -1.2)),
}


class Intent(NamedTuple):
    """Family of an intent, and tokens of GPT-4's median response: ``base + copied * input_tokens``."""

    family: str
    base: float
    copied: float


INTENTS = {
    "analyzing_general": Intent("reason", 360, 0.1),
    "asking_how_to_question": Intent("explain", 300, 0.0),
    "brainstorming": Intent("write", 320, 0.0),
    "chitchat": Intent("talk", 70, 0.0),
    "classification_identification": Intent("extract", 40, 0.1),
    "code_correction_rewriting": Intent("code", 130, 0.9),
    "code_generation": Intent("code", 380, 0.1),
    "code_to_code_translation": Intent("code", 60, 1.2),
    "creative_writing": Intent("write", 420, 0.0),
    "data_analysis": Intent("reason", 320, 0.2),
    "explaining_code": Intent("code", 280, 0.3),
    "explaining_general": Intent("explain", 300, 0.0),
    "functional_writing": Intent("write", 360, 0.1),
    "information_extraction": Intent("extract", 40, 0.3),
    "math_reasoning": Intent("reason", 250, 0.0),
    "planning": Intent("explain", 400, 0.1),
    "reading_comprehension": Intent("extract", 70, 0.1),
    "recommendation": Intent("talk", 280, 0.0),
    "roleplay": Intent("talk", 150, 0.1),
    "seeking_advice": Intent("talk", 290, 0.0),
    "solving_exam_question_without_math": Intent("know", 140, 0.1),
    "text_correction": Intent("write", 25, 1.0),
    "text_summarization": Intent("explain", 60, 0.3),
    "text_to_text_translation": Intent("translate", 20, 0.9),
    "title_generation": Intent("write", 60, 0.0),
    "verifying_fact": Intent("know", 130, 0.0),
    "writing_cooking_recipe": Intent("write", 380, 0.0),
    "writing_email": Intent("write", 200, 0.1),
}


class Language(NamedTuple):
    """Characters a token, tokens for what takes one in English, distance from English (all three assumed)."""

    characters: float
    tokens: float
    distance: float


WESTERN, LATIN, CYRILLIC = Language(3.4, 1.3, 0.4), Language(2.6, 1.7, 0.8), Language(2.1, 2.0, 0.7)
LANGUAGES = {
    "en": Language(4.1, 1.0, 0.0),
    **dict.fromkeys(["de", "es", "fr", "it", "nl", "pt", "mul"], WESTERN),
    **dict.fromkeys(["pl", "tr", "vi"], LATIN),
    **dict.fromkeys(["ru", "uk"], CYRILLIC),
    "sw": Language(2.6, 1.7, 1.5),
    "ar": Language(1.8, 2.3, 1.0),
    "hi": Language(1.2, 3.5, 1.2),
    "ja": Language(0.9, 1.9, 0.9),
    "ko": Language(1.1, 2.0, 1.0),
    "zh": Language(0.9, 1.5, 0.8),
}


class Rater(NamedTuple):
    """One simulated rater (all assumed)."""

    share: float  # of first judgments
    sharpness: float  # weight of the latent difference
    position: float  # log-odds in favour of whatever stands first
    tie: float  # half-width of the zone in which a tie is likely, in log-odds
    floor: float  # both_bad if the better response has at most this quality
    lapse: float  # share of judgments given without reading


RATERS = {
    "rater-1": Rater(0.30, 1.2, 0.10, 1.00, 0.4, 0.02),
    "rater-2": Rater(0.25, 1.1, 0.30, 0.75, 0.4, 0.04),
    "rater-3": Rater(0.20, 1.0, -0.15, 1.25, 0.5, 0.03),
    "rater-4": Rater(0.15, 0.9, 0.80, 0.65, 0.3, 0.06),
    "rater-5": Rater(0.10, 0.7, 0.50, 1.00, 0.3, 0.15),
}
