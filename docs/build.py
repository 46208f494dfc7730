"""Build the site into out/docs/html: README in front, notebooks as committed, an API page for each task.

python docs/build.py
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "out" / "docs"
SOURCE = OUT / "source"
# What stands where in the project stands at the same place of the site, so that links between pages hold.
PAGES = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    "data/README.md",
    "notebooks/README.md",
)
# Task, its title, and the packages whose public names it shows.
TASKS = {
    "embed": ("Embed prompts", ("embedding", "neighbors")),
    "rate": ("Rate models from votes", ("ratings",)),
    "route": ("Route", ("routers", "decision", "options")),
    "evaluate": ("Evaluate", ("evaluation", "model_selection", "planning", "stats", "plotting")),
    "label": ("Label", ("labeling", "widgets")),
    "judge": ("Ask models and judge", ("completions", "judging", "pricing")),
    "serve": ("Serve", ("serving",)),
    "market": ("Choose on the market", ("market",)),
    "scale": ("Run on partitions", ("scale",)),
    "data": ("Data and tables", ("datasets", "schema", "exceptions")),
}
CASES = "notebooks/case_studies"


def public_names() -> dict[str, list[str]]:
    """Return the names of the front door by package, in the order of ``__init__.pyi``."""
    tree = ast.parse((ROOT / "routerlab" / "__init__.pyi").read_text(encoding="utf-8"))
    found: dict[str, list[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            found.setdefault(node.module.split(".")[0], []).extend(alias.name for alias in node.names)
    return found


def api_page(title: str, names: list[str]) -> str:
    """Write a page: a table of the names, then each of them in full."""
    from sklearn.base import BaseEstimator

    import routerlab

    def directive(name: str) -> str:
        thing = getattr(routerlab, name)
        kind = "class" if isinstance(thing, type) else "function" if callable(thing) else "data"
        if isinstance(thing, type) and issubclass(thing, BaseException):
            kind = "exception"
        members = "   :members:\n" if kind == "class" else ""
        if kind == "class" and issubclass(thing, BaseEstimator):  # what routers and embedders share is said with each
            members += "   :inherited-members: BaseEstimator, TransformerMixin, OneToOneFeatureMixin\n"
        return f".. auto{kind}:: {name}\n{members}"

    table = "\n   ".join(names)
    entries = "\n".join(directive(name) for name in names)
    head = f"{title}\n{'=' * len(title)}\n\n.. currentmodule:: routerlab\n\n.. autosummary::\n\n   {table}\n\n"
    return head + entries


def toctree(caption: str, entries: list[str]) -> str:
    """Return a hidden table of contents, which the side bar shows."""
    lines = "\n".join(entries)
    return f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{lines}\n```\n"


def lay_out() -> None:
    """Copy the project's pages and notebooks, and write the API pages and the front page."""
    shutil.rmtree(OUT, ignore_errors=True)
    for page in PAGES:
        (SOURCE / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / page, SOURCE / page)
    notebooks = [
        path for path in sorted((ROOT / "notebooks").rglob("*.ipynb")) if path.stem != "label" and "." not in path.stem
    ]
    for path in notebooks:
        target = SOURCE / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    shutil.copytree(ROOT / "notebooks" / "images", SOURCE / "notebooks" / "images")
    for extra in ("LICENSE", "CITATION.cff", "benchmarks/figures.json", "notebooks/label.ipynb"):
        if (ROOT / extra).exists() and not extra.endswith(".ipynb"):
            shutil.copy(ROOT / extra, SOURCE / extra)
    names = public_names()
    (SOURCE / "api").mkdir()
    tasks = []
    for task, (title, packages) in TASKS.items():
        shown = [name for package in packages for name in names.get(package, [])]
        if shown:
            (SOURCE / "api" / f"{task}.rst").write_text(api_page(title, shown), encoding="utf-8")
            tasks.append(f"api/{task}")
    left = names.keys() - {package for _, packages in TASKS.values() for package in packages}
    if left:
        msg = f"No API page shows {sorted(left)}: add them to TASKS in docs/build.py."
        raise SystemExit(msg)
    paths = [path.relative_to(ROOT).with_suffix("").as_posix() for path in notebooks]
    contents = [
        toctree("Notebooks", [p for p in paths if not p.startswith(CASES)]),
        toctree("Case studies", [p for p in paths if p.startswith(CASES)]),
        toctree("Reference", tasks),
        toctree("Project", [page.removesuffix(".md") for page in PAGES[1:]]),
    ]
    front = (ROOT / "README.md").read_text(encoding="utf-8")
    (SOURCE / "index.md").write_text(front + "\n" + "\n".join(contents), encoding="utf-8")


def main() -> int:
    """Build, with warnings as errors."""
    lay_out()
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    environment = {**os.environ, "ROUTERLAB_VERSION": pyproject["project"]["version"]}
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-j", "2", "-c", str(ROOT / "docs")]
    done = subprocess.run([*command, str(SOURCE), str(OUT / "html")], env=environment, check=False)
    # Sphinx does not know the pictures that plain HTML names, such as README's <picture>.
    shutil.copytree(ROOT / "notebooks" / "images", OUT / "html" / "notebooks" / "images", dirs_exist_ok=True)
    pages = len(re.findall(r"href=\"", (OUT / "html" / "index.html").read_text())) if done.returncode == 0 else 0
    print(f"docs: {OUT / 'html' / 'index.html'}" if pages else "docs: not built")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
