"""Execute notebooks from clean, in order; print the outputs of cells tagged ``headline``.

python notebooks/execute.py --out out [--html] notebooks/00_quickstart.ipynb ...
python notebooks/execute.py --check notebooks/00_quickstart.ipynb    # compare key numbers with the committed ones
python notebooks/execute.py --write notebooks/00_quickstart.ipynb    # outputs go into the notebook itself

Key numbers are the text outputs of cells tagged ``numbers``. Words must be the same, and whole numbers, which are
counts. Other numbers may differ by 0.01 or 2%, whichever is more, since another machine's rounding swaps a neighbour
here and there; 36.2% counts as 0.362, and a second tag such as ``tolerance=0.3`` widens 0.01.

A notebook stops where published data is absent (`routerlab.datasets.fetch_or_stop`). That is no
failure, unless ROUTERLAB_DATA is set.
"""

from __future__ import annotations

import argparse
import base64
import math
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
IMAGES = Path(__file__).parent / "images"
TOLERANCE, RELATIVE = 0.01, 0.02
NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(\.\d*)?(e[-+]?\d+)?(%)?")


class Stopped(Exception):  # noqa: N818
    """The notebook ended early, for lack of published data."""


def execute(path: Path) -> Any:
    """Run a notebook from clean; return it with its outputs and without what changes from run to run.

    Raises
    ------
    Stopped
        Published data is absent.
    """
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["kernelspec"] = KERNEL
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    try:
        NotebookClient(notebook, timeout=3600, resources={"metadata": {"path": str(path.parent)}}).execute()
    except CellExecutionError as error:
        if error.ename == "StopNotebook":
            raise Stopped(error.evalue) from None
        raise
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    return notebook


def texts(cell: Any) -> str:
    """Text of a cell's outputs, pictures and what went to stderr left out."""
    parts = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if output.get("name") != "stderr" and "image/png" not in data:
            parts.append(output.get("text") or data.get("text/markdown") or data.get("text/plain", ""))
    return "\n".join(parts).strip()


def tagged(notebook: Any, tag: str) -> list[Any]:
    """Cells with a tag, in order."""
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def tolerance_of(cell: Any) -> float:
    """Absolute tolerance of a cell's numbers, widened by a tag such as ``tolerance=0.3``."""
    wider = [tag.partition("=")[2] for tag in cell.metadata.get("tags", []) if tag.startswith("tolerance=")]
    return max(map(float, wider), default=TOLERANCE)


def tokens(text: str) -> list[str]:
    """Words and numbers of a text, without the punctuation around them."""
    stripped = (word.strip("[](){}|,;:=*'\"\\").rstrip(".") for word in text.replace("\N{MINUS SIGN}", "-").split())
    return [word for word in stripped if word.strip("-+")]


def agree(committed: str, executed: str, tolerance: float) -> bool:
    """Whether two tokens are the same word, the same count, or numbers within tolerance."""
    a, b = NUMBER.fullmatch(committed), NUMBER.fullmatch(executed)
    if a is None or b is None or not (any(a.groups()) and any(b.groups())):
        return committed.lstrip("+") == executed.lstrip("+")
    x, y = (float(m[0].replace(",", "").rstrip("%")) / (100 if m[3] else 1) for m in (a, b))
    return math.isclose(x, y, rel_tol=RELATIVE, abs_tol=tolerance * (1 + 1e-9))


def differences(committed: Any, executed: Any) -> list[str]:
    """Say where the key numbers of an executed notebook are not those of the committed one."""
    pairs = list(zip(tagged(committed, "numbers"), tagged(executed, "numbers"), strict=True))
    found = [] if pairs else ["no cell is tagged 'numbers'"]
    for k, (old, new) in enumerate(pairs, start=1):
        before, after = tokens(texts(old)), tokens(texts(new))
        if len(before) != len(after):
            found.append(f"numbers cell {k}: {len(before)} words and numbers committed, {len(after)} now")
            continue
        tolerance = tolerance_of(old)
        found += [
            f"numbers cell {k}, after {' '.join(before[max(0, i - 4) : i])!r}: committed {a}, now {b}"
            for i, (a, b) in enumerate(zip(before, after, strict=True))
            if not agree(a, b, tolerance)
        ]
    return found


def save_images(notebook: Any, folder: Path) -> None:
    """Write the pictures of cells tagged ``image-NAME`` to NAME.png, for the READMEs."""
    for cell in notebook.cells:
        for tag in cell.metadata.get("tags", []):
            pictures = [o["data"]["image/png"] for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
            if tag.startswith("image-") and pictures:
                folder.mkdir(exist_ok=True)
                (folder / f"{tag.removeprefix('image-')}.png").write_bytes(base64.b64decode(pictures[0]))


def save(notebook: Any, path: Path, arguments: argparse.Namespace) -> None:
    """Write an executed notebook wherever the command line asks for it."""
    targets = [path] if arguments.write else []
    if arguments.write:
        save_images(notebook, IMAGES)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        targets.append(arguments.out / path.name)
    for target in targets:
        nbformat.write(notebook, target)
        print(f"notebook: {target}")
    if arguments.html and arguments.out:
        from nbconvert import HTMLExporter

        page = arguments.out / f"{path.stem}.html"
        page.write_text(HTMLExporter(embed_images=True).from_notebook_node(notebook)[0], encoding="utf-8")
        print(f"page:     {page}")


def run(path: Path, arguments: argparse.Namespace) -> bool:
    """Execute one notebook; return whether all is well."""
    start = time.perf_counter()
    try:
        notebook = execute(path)
    except Stopped as stop:
        print(f"{path}: stopped, published data is absent", flush=True)
        if os.environ.get("ROUTERLAB_DATA"):
            print(f"ROUTERLAB_DATA is set, so it should be there. {stop}", file=sys.stderr)
            return False
        return True
    except CellExecutionError as error:
        print(f"{path}: a cell failed\n{error}", file=sys.stderr)
        return False
    print(f"{path}: executed in {time.perf_counter() - start:.0f} s", flush=True)
    if headline := "\n".join(map(texts, tagged(notebook, "headline"))):
        print(f"\n{headline}\n")
    found = differences(nbformat.read(path, as_version=4), notebook) if arguments.check else []
    for line in found:
        print(f"{path}: {line}", file=sys.stderr)
    save(notebook, path, arguments)
    return not found


def main() -> int:
    """Execute each notebook named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, help="folder for the executed copies")
    parser.add_argument("--html", action="store_true", help="write HTML copies too")
    parser.add_argument("--write", action="store_true", help="write the outputs into the notebooks themselves")
    parser.add_argument("--check", action="store_true", help="compare cells tagged 'numbers' with the committed ones")
    parser.add_argument("--jobs", type=int, default=1, help="notebooks to execute at a time")
    arguments = parser.parse_args()
    # All of them, though one failed: a run takes minutes, and one report is worth more than its first line.
    with ThreadPoolExecutor(arguments.jobs) as pool:
        return 0 if all(list(pool.map(lambda path: run(path, arguments), arguments.notebooks))) else 1


if __name__ == "__main__":
    sys.exit(main())
