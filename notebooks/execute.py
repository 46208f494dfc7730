"""Execute notebooks from clean, in order; print the outputs of cells tagged ``headline``.

python notebooks/execute.py --out out [--html] notebooks/00_quickstart.ipynb ...
python notebooks/execute.py --write notebooks/00_quickstart.ipynb    # outputs go into the notebook itself
"""

from __future__ import annotations

import argparse
import base64
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def execute(path: Path) -> Any:
    """Run a notebook from clean; return it with its outputs and without what changes from run to run."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["kernelspec"] = KERNEL
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(path.parent)}}).execute()
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    return notebook


def headline(notebook: Any) -> str:
    """Text of the outputs of the cells tagged ``headline``."""
    text = []
    for cell in notebook.cells:
        if "headline" in cell.metadata.get("tags", []):
            for output in cell.get("outputs", []):
                text.append(output.get("text") or output.get("data", {}).get("text/plain", ""))
    return "\n".join(text).strip()


def save_images(notebook: Any, folder: Path) -> None:
    """Write the pictures of cells tagged ``image-NAME`` to NAME.png, for the README."""
    for cell in notebook.cells:
        for tag in cell.metadata.get("tags", []):
            pictures = [o["data"]["image/png"] for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
            if tag.startswith("image-") and pictures:
                folder.mkdir(exist_ok=True)
                (folder / f"{tag.removeprefix('image-')}.png").write_bytes(base64.b64decode(pictures[0]))


def main() -> int:
    """Execute each notebook named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, help="folder for the executed copies")
    parser.add_argument("--html", action="store_true", help="write HTML copies too")
    parser.add_argument("--write", action="store_true", help="write the outputs into the notebooks themselves")
    arguments = parser.parse_args()
    for path in arguments.notebooks:
        start = time.perf_counter()
        try:
            notebook = execute(path)
        except CellExecutionError as error:
            print(f"{path}: a cell failed\n{error}", file=sys.stderr)
            return 1
        print(f"{path}: executed in {time.perf_counter() - start:.0f} s")
        if headline(notebook):
            print(f"\n{headline(notebook)}\n")
        targets = [path] if arguments.write else []
        if arguments.write:
            save_images(notebook, path.parent / "images")
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
