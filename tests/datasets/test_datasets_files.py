"""Where published files come from, and what happens when they are not what was published."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from routerlab.datasets import DataFileError, _files, fetch_auto_j
from routerlab.datasets._files import PublishedFile, read_published, registry

COMMIT = "0" * 40
TEXT = "Grüße, 你好\nsecond line\n"
CLOSED_PORT = "http://127.0.0.1:9"


def entry(text: str = TEXT, **changes: object) -> PublishedFile:
    content = text.encode()
    known = {"sha256": hashlib.sha256(content).hexdigest(), "n_bytes": len(content), **changes}
    return PublishedFile("owner/repository", COMMIT, "a/file.txt", **known)  # type: ignore[arg-type]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty cache, no ROUTERLAB_DATA and no network."""
    import pooch

    folder = tmp_path / "cache"
    monkeypatch.setattr(pooch, "os_cache", lambda project: folder / project)
    monkeypatch.delenv("ROUTERLAB_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(_files, "BASE_URL", CLOSED_PORT)
    return folder / "routerlab"


@pytest.fixture
def own(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], Path]:
    """Write the file into a ROUTERLAB_DATA folder."""

    def write(content: bytes) -> Path:
        place = tmp_path / "own" / "owner/repository/a/file.txt"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        monkeypatch.setenv("ROUTERLAB_DATA", str(tmp_path / "own"))
        return place

    return write


@pytest.fixture
def serve(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[str]]]:
    """Serve the file from a loopback port; return the list of paths that were asked for."""
    servers = []

    def start(content: bytes, *, announce_more: int = 0) -> list[str]:
        asked: list[str] = []

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(content) + announce_more))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Stay silent."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path)))
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        monkeypatch.setattr(_files, "BASE_URL", f"http://127.0.0.1:{server.server_port}")
        return asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_own_copy_is_read_and_nothing_is_cached(own: Callable, cache: Path) -> None:
    own(TEXT.encode())
    assert read_published([entry()], "title") == [TEXT]
    assert not cache.exists()


def test_download_once_then_the_cache(serve: Callable, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = serve(TEXT.encode())
    assert read_published([entry()], "title") == [TEXT]
    monkeypatch.setattr(_files, "BASE_URL", CLOSED_PORT)
    assert read_published([entry()], "title") == [TEXT]
    assert asked == [f"/owner/repository/{COMMIT}/a/file.txt"]
    # The cache has the layout of ROUTERLAB_DATA, so that it can be carried to a machine without network.
    assert files_below(cache) == [cache / "owner/repository/a/file.txt"]
    monkeypatch.setenv("ROUTERLAB_DATA", str(cache))
    assert read_published([entry()], "title") == [TEXT]


def test_offline_and_absent_says_which_file_and_what_to_do(cache: Path) -> None:
    with pytest.raises(DataFileError) as caught:
        read_published([entry()], "title")
    message = str(caught.value)
    for part in ("owner/repository/a/file.txt", entry().url, "ROUTERLAB_DATA", "once with network"):
        assert part in message
    assert not files_below(cache)


def test_an_own_folder_without_the_file_is_named(own: Callable, tmp_path: Path) -> None:
    own(TEXT.encode()).unlink()
    with pytest.raises(DataFileError, match=r"neither in ROUTERLAB_DATA .*own.* nor in the cache"):
        read_published([entry()], "title")


def test_own_folder_that_does_not_exist(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTERLAB_DATA", "/no/such/folder")
    with pytest.raises(DataFileError, match="'/no/such/folder', which is not a folder"):
        read_published([entry()], "title")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TEXT.encode()[:-5], "is truncated: expected 28 bytes, got 23"),
        (TEXT.encode()[:10], "is truncated"),  # cuts a character in two
        (TEXT.replace("second", "third!").encode(), "expected sha256 [0-9a-f]{64}, got [0-9a-f]{64}"),
        (TEXT.replace("\n", "\r\n").encode(), "line ends"),
        (TEXT.encode("utf-16"), "is not UTF-8: expected UTF-8 text as published, got byte 0xff at position 0"),
        ("Grüße, ... \nsecond line\n".encode("latin-1"), "is not UTF-8"),
        (b"", "is truncated: expected 28 bytes, got 0"),
    ],
    ids=["cut", "cut inside a character", "changed", "line ends", "utf-16", "latin-1", "empty"],
)
def test_damaged_own_files_are_explained_and_left_alone(own: Callable, content: bytes, message: str) -> None:
    place = own(content)
    with pytest.raises(DataFileError, match=message) as caught:
        read_published([entry()], "title")
    assert str(place) in str(caught.value)
    assert entry().url in str(caught.value)
    assert place.read_bytes() == content


@pytest.mark.parametrize(
    "content", [TEXT.encode()[:-5], b"x" * 28, "Grüße".encode("utf-16")], ids=["cut", "changed", "utf-16"]
)
def test_a_damaged_download_is_never_kept(serve: Callable, cache: Path, content: bytes) -> None:
    serve(content)
    with pytest.raises(DataFileError, match="Nothing was kept"):
        read_published([entry()], "title")
    assert not files_below(cache)


def test_a_broken_connection_leaves_nothing_behind(serve: Callable, cache: Path) -> None:
    serve(TEXT.encode()[:10], announce_more=18)
    with pytest.raises(DataFileError, match="downloading .* failed"):
        read_published([entry()], "title")
    assert not files_below(cache)


def test_a_damaged_cached_file_is_downloaded_anew(serve: Callable, cache: Path) -> None:
    place = cache / "owner/repository/a/file.txt"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"damaged")
    serve(TEXT.encode())
    assert read_published([entry()], "title") == [TEXT]


def test_unhashed_files_are_checked_by_size(own: Callable) -> None:
    unhashed = entry(sha256=None, n_bytes=None, n_characters=len(TEXT))
    own(TEXT.encode())
    assert read_published([unhashed], "title") == [TEXT]
    own(TEXT.encode() + b"more")
    with pytest.raises(DataFileError, match="expected 22 characters, got 26"):
        read_published([unhashed], "title")
    own(TEXT.encode("utf-16"))
    with pytest.raises(DataFileError, match="is not UTF-8"):
        read_published([unhashed], "title")


@given(st.one_of(st.binary(max_size=60), st.integers(0, 27).map(lambda n: TEXT.encode()[:n])))
def test_nothing_but_the_published_bytes_passes(content: bytes) -> None:
    assert (entry().problem(content) is None) == (content == TEXT.encode())


def test_every_registered_file_is_pinned() -> None:
    files = registry().values()
    assert len(files) == 116
    for file in files:
        assert len(file.commit) == 40
        assert file.url == f"https://raw.githubusercontent.com/{file.repository}/{file.commit}/{file.path}"
        assert (len(file.sha256 or "") == 64 and file.n_bytes) or (file.n_characters and file.min_rows)
    assert sum(file.sha256 is None for file in files) == 4


def test_a_fetch_function_passes_the_error_on(cache: Path) -> None:
    with pytest.raises(DataFileError, match="traindata.jsonl"):
        fetch_auto_j()
