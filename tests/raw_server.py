"""A server on loopback that answers each request with whatever bytes a function writes."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import openai


class RawServer:
    """Call ``answer(connection, number)`` for each request, from 1; keep what was sent.

    with RawServer(lambda connection, number: connection.sendall(whole("Yes."))) as server:
        server.client()
    """

    def __init__(self, answer: Callable[[socket.socket, int], None]) -> None:
        self.answer, self.asked = answer, []
        self._clients: list[openai.OpenAI] = []
        self._stopped = threading.Event()

    def __enter__(self) -> RawServer:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        self._stopped.set()
        self._socket.close()

    def client(self, **options: Any) -> openai.OpenAI:
        """A client that is closed with the server."""
        self._clients.append(openai.OpenAI(base_url=self.url, api_key="k", **options))
        return self._clients[-1]

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in self.asked]

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while not self._stopped.is_set():
                request = self._read(connection)
                if not request:
                    return
                self.asked.append(request)
                self.answer(connection, len(self.asked))

    @staticmethod
    def _read(connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return b""
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        while len(body) < int(lengths[0] if lengths else 0):
            body += connection.recv(65536)
        return head + b"\r\n\r\n" + body


def http(body: Any, status: int = 200, kind: str = "application/json", **headers: str) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"content-type": kind, "content-length": str(len(data)), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + data


def completion(content: Any, finish: Any = "stop", name: str = "chatcmpl-1", **message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": content, **message}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    choice = {"index": 0, "finish_reason": finish, "message": said}
    return {"id": name, "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


def events(*chunks: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def piece(delta: Any, finish: Any = None, name: str = "chatcmpl-constant-0123456789") -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": name, "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def drip(connection: socket.socket, head: bytes, drop: bytes, seconds: float = 20.0) -> None:
    """Send `head`, then `drop` again and again."""
    connection.sendall(head)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        connection.sendall(drop)
        time.sleep(0.05)
