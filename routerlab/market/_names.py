"""Which offers are the same model: providers spell one name in many ways."""

from __future__ import annotations

import re

# Who stands before the name of a model: hosts, makers, regions; never part of the name itself.
_BEFORE = re.compile(
    r"^(?:(?:us|eu|jp|au|apac|global|regional|us-gov)\.)?"
    r"(?:(?:anthropic|openai|xai|nvidia|meta|mistral|deepseek|cohere|google|qwen|zai|moonshotai?|minimax|amazon|ai21)\.)?"
    r"(?:databricks-|workers-ai-|coding-|umans-(?=glm|kimi|qwen))?"
    r"(?:zai-org-|z-ai-|openai-|google-|cohere-|mistralai-|xpersona-|xiaomi-(?=mimo)|nvidia-(?=nvidia|nemotron|llama))?"
    r"(?:nvidia-(?=nemotron))?(?:meta-(?=llama))?"
)
_PRECISION = r"fp4|fp6|fp8|fp16|bf16|nvfp4|mxfp4|int4|int8|awq|gptq|gguf|w4a16|w8a8|[3-8]-?bit"
# What stands after it: the hardware, the price plan, the number format, how it was asked (AlpacaEval).
_AFTER = re.compile(rf"(?:-(?:{_PRECISION}|tee|free|maas|hf|default|dynamic|concise|verbose|togetherai))+$")
_QUANTIZATION = re.compile(rf"(?<![a-z0-9])({_PRECISION})(?![a-z0-9])")
_GLUED = re.compile(r"\b(gpt-|qwen-|glm-|gemini-|minimax-m|mimo-v)([1-9])([1-9])(?=-|$)")  # gpt-35-turbo
_SIZE = re.compile(r"\d(?:b|x\d+b)(?:-|$)")
_TUNED = re.compile(r"-(?:instruct|chat|it|a\d+b)(?=-|$)|-(?:fast|turbo)$")  # with a size: one open model
# Of open models: how fast a host serves the same weights. A closed model's "-fast" costs more and may be another.
_SERVED = re.compile(r"^((?:kimi|deepseek|glm|minimax|mimo|qwen|llama|gemma|nemotron)-.*?)-(?:fast|lightning|flex)$")
_ALIAS = re.compile(r"(?:^|[-/:@])(?:latest|auto|default)$|^~")


def base_model(name: str) -> str:
    """Return the name of the model that an offer serves, in one spelling for all providers.

    Makers, hosts, regions, number formats (fp8) and price plans (``:free``) go; what makes another model stays:
    size, version, dated snapshots, ``-mini``, ``-thinking``, ``-preview``, ``-fast`` (of closed models, where it is
    dearer). A moving alias (``-latest``) stays one as well, since what it stands for changes.

    Parameters
    ----------
    name : str
        As a provider, or `routerlab.load_offers`, spells it.

    Returns
    -------
    str
        Lower case, versions with a dot.

    Notes
    -----
    Measured against the catalogue of models.dev (1,286 names; ``tests/market``): 98.9% of the pairs that are joined are
    one model, and 93.5% of such pairs are joined. Without 31 names that the catalogue itself gives to two models, which
    no function of the name can tell apart: 99.7% and 94.9%. The rules were written with that catalogue in sight.
    A host's pet name for someone else's model is not recognised.

    Examples
    --------
    >>> base_model("meta-llama/Llama-3.3-70B-Instruct"), base_model("@cf/meta/llama-3.3-70b-instruct-fp8-fast")
    ('llama-3.3-70b', 'llama-3.3-70b')
    >>> base_model("us.anthropic.claude-opus-4-6-v1"), base_model("anthropic/claude-opus-4.6")
    ('claude-opus-4.6', 'claude-opus-4.6')
    >>> base_model("gpt-35-turbo"), base_model("gpt-4o-2024-08-06")
    ('gpt-3.5-turbo', 'gpt-4o-2024-08-06')
    """
    text = name.strip().lower().removeprefix("hf:").rpartition("/")[2]
    text = re.sub(r"-v\d+:\d+$", "", text)  # Bedrock's revisions
    text = re.sub(r":(?:free|extended|beta|nitro|floor|exacto|online)$", "", text)
    text = re.sub(r"deepseek\.(?=[rv]\d)", "deepseek-", text)
    text = re.sub(r"[@:]", "-", text).replace("_", "-")
    text = _AFTER.sub("", _BEFORE.sub("", text)).replace("-beta", "")
    text = re.sub(rf"-(?:{_PRECISION})(?=-)", "", text)
    text = re.sub(r"(?<=claude)-?(opus|sonnet|haiku)-?(?=\d)", r"-\1-", text)
    text = re.sub(r"^(claude-(?:opus|sonnet|haiku|fable)-\d(?:[-.]\d)?)-v\d$", r"\1", text)
    text = re.sub(r"(?<=[a-z]{3})(?=\d)", "-", text)  # llama3 -> llama-3
    text = re.sub(r"(?<=\d)p(?=\d(?:-|$))", ".", text)  # Fireworks' deepseek-v3p2
    text = _GLUED.sub(r"\1\2.\3", text)
    text = re.sub(r"(?<![\d.])(\d|v\d|m\d|k\d)-(\d\d?)(?=-|$)", r"\1.\2", text)  # opus-4-6 -> opus-4.6
    text = re.sub(r"(?<=\d)\.0(?=-|$)", "", text)
    text = re.sub(r"^(claude(?:-instant)?)-v(?=\d)", r"\1-", text)
    text = re.sub(r"^(mixtral-8x(?:7|22)b.*)-v0\.?1$", r"\1", text)  # of which there is one version
    text = _SERVED.sub(r"\1", text)
    if _SIZE.search(text):
        text = re.sub(r"(?<=\db)-v1$", "", _TUNED.sub("", text))
        if "nemotron-" in text:  # whose tiers say again what the size says, in any order
            text = re.sub(r"-(?:nano|super|ultra)(?=-)", "", text)
    text = re.sub(r"-(?:16|128)e(?=-|$)", "", text)
    return re.sub(r"^(llama-4-(?:scout|maverick))(?:-17b)?(?:-instruct)?", r"\1", text)


def quantization(name: str) -> str | None:
    """Return the number format that an offer's name tells, or None if it tells none.

    Examples
    --------
    >>> quantization("zai-org/GLM-5-FP8"), quantization("zai-org/GLM-5")
    ('fp8', None)
    """
    found = _QUANTIZATION.search(name.lower().replace("_", "-"))
    return found[1].replace("-", "") if found else None


def is_moving_alias(name: str) -> bool:
    """Tell whether a name may stand for another model tomorrow.

    Examples
    --------
    >>> is_moving_alias("mistral-medium-latest"), is_moving_alias("gpt-4o-2024-08-06")
    (True, False)
    """
    return bool(_ALIAS.search(name.lower()))
