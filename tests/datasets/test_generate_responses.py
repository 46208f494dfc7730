"""Resuming and ordering in data/generate_responses.py, and the responses that it left in data/demo."""

from __future__ import annotations

import importlib.util
import json
import time
from pathlib import Path

import pytest

DATA = Path(__file__).parents[2] / "data"
SPEC = importlib.util.spec_from_file_location("generate_responses", DATA / "generate_responses.py")
generate = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(generate)

PROMPTS = {"d1": "one", "d2": "zwei", "d3": "三"}
MODELS = ("a", "b")


def row(prompt_id: str, model: str) -> dict:
    return {"prompt_id": prompt_id, "model": model, "response": PROMPTS[prompt_id]}


def test_asks_only_for_what_is_missing_and_sorts(tmp_path):
    output = tmp_path / "responses.jsonl"
    whole = generate.to_line(row("d2", "b")) + generate.to_line(row("d3", "a"))
    cut_off = generate.to_line(row("d1", "a")).rstrip("\n")
    output.write_text(whole + cut_off, encoding="utf-8")
    asked = []

    def ask_as(model):
        def ask(prompt):
            asked.append((model, prompt))
            return {"response": prompt}

        return ask

    generate.answer_missing({model: ask_as(model) for model in MODELS}, PROMPTS, output, parallel=1)
    assert asked == [("a", "one"), ("a", "zwei"), ("b", "one"), ("b", "三")]
    generate.sort_responses(output)
    rows = [row(prompt_id, model) for prompt_id in PROMPTS for model in MODELS]
    assert output.read_text(encoding="utf-8") == "".join(map(generate.to_line, rows))
    assert "三" in output.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [output]


def test_answers_before_an_error_are_kept(tmp_path):
    output = tmp_path / "responses.jsonl"

    def ask(prompt):
        if prompt == "zwei":
            raise ConnectionError(prompt)
        return {"response": prompt}

    with pytest.raises(ConnectionError):
        generate.answer_missing({"a": ask}, PROMPTS, output, parallel=1)
    assert generate.read_responses(output) == [row("d1", "a")]


def test_parallel_answers_stay_with_their_prompts(tmp_path):
    output = tmp_path / "responses.jsonl"
    prompts = {f"d{n}": f"prompt {n}" for n in range(30)}

    def ask(prompt):
        time.sleep(0.01 if prompt.endswith(("0", "5")) else 0)  # some answers overtake others
        return {"response": prompt}

    generate.answer_missing({"a": ask}, prompts, output, parallel=8)
    assert {r["prompt_id"]: r["response"] for r in generate.read_responses(output)} == prompts


def test_unknown_prompt_id_and_other_weights_stop(tmp_path):
    prompts, ids = tmp_path / "prompts.jsonl", tmp_path / "ids.txt"
    prompts.write_text(json.dumps({"prompt_id": "d1", "prompt": "one"}) + "\n", encoding="utf-8")
    ids.write_text("d1\nd9\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="such as d9"):
        generate.read_prompts(prompts, ids)
    with pytest.raises(SystemExit, match=f"expected {generate.SHA256[generate.TINYLLAMA]}"):
        generate.check_weights(generate.TINYLLAMA, ids)


def test_shipped_responses_are_complete_and_measured():
    prompts = generate.read_prompts(DATA / "demo" / "prompts.jsonl", DATA / "demo" / "real_prompt_ids.txt")
    rows = generate.read_responses(DATA / "demo" / "responses.jsonl")
    measured = [r for r in rows if r["model"] in generate.SHA256]
    assert [(r["prompt_id"], r["model"]) for r in measured] == [(p, m) for p in prompts for m in generate.SHA256]
    for r in measured:
        assert r["latency_s"] > 0
        assert r["input_tokens"] > 0
        assert (r["finish_reason"] == "length") == (r["output_tokens"] == 300)
        # a token of these vocabularies is rarely longer than a word, and a byte is at most one token
        assert len(r["response"].split()) / 2 <= r["output_tokens"] <= len(r["response"].encode()) + 20
