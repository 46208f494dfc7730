"""The package as a newcomer meets it: imports, structure, packaging files."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import routerlab

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "routerlab"
FILES = sorted(PACKAGE.rglob("*.py"))

# What each part of the package may import of the others.
MAY_IMPORT = {
    "exceptions": set(),  # these three all others may import
    "deprecation": set(),
    "markup": set(),
    "schema": set(),
    "tallies": set(),
    "stats": {"schema", "tallies"},
    "jsonl": set(),
    "planning": {"schema", "stats"},
    "neighbors": set(),
    "decision": {"schema"},
    "pricing": {"schema"},
    "embedding": {"schema", "stats", "jsonl"},
    "plotting": {"schema"},
    "ratings": {"schema", "stats"},
    "datasets": {"schema", "pricing"},
    "routers": {"schema", "jsonl", "decision", "neighbors", "ratings"},
    "evaluation": {"schema", "decision", "stats", "ratings"},
    "model_selection": {"schema", "decision", "stats", "planning", "routers", "evaluation"},
    "holdout": {"model_selection"},
    "scale": {"schema", "decision", "stats", "tallies", "evaluation"},
    "options": {"schema", "decision", "stats", "datasets", "routers", "model_selection"},
    "labeling": {"schema", "ratings", "jsonl", "stats"},
    "widgets": {
        "schema",
        "jsonl",
        "decision",
        "labeling",
        "evaluation",
        "ratings",
        "neighbors",
        "embedding",
        "stats",
        "market",
    },
    "completions": {"schema", "pricing", "jsonl"},
    "judging": {"schema", "completions", "ratings", "labeling", "evaluation", "jsonl", "stats"},
    "serving": {"schema", "decision", "pricing", "jsonl", "completions", "options"},
    "market": {"schema", "stats", "decision", "neighbors", "pricing", "evaluation", "model_selection", "routers"},
}


def test_what_may_be_imported_has_no_circle():
    order = list(TopologicalSorter(MAY_IMPORT).static_order())  # raises CycleError if there is one
    assert order.index("schema") < order.index("ratings") < order.index("labeling") < order.index("judging")


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def internal_imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "routerlab" else [f"routerlab.{a.name}" for a in node.names]
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("routerlab.")}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    part = part_of(path)
    if part == "__init__":
        return
    assert part in MAY_IMPORT, f"{part} is new: say in MAY_IMPORT what it may import"
    assert internal_imports(path) - {part, "exceptions", "deprecation", "markup"} <= MAY_IMPORT[part]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported_modules(path: Path, modules: set[str]) -> set[str]:
    """Modules of the same package that a file imports, wherever in it: in functions and for type checkers as well."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = module_of(path) if path.stem == "__init__" else module_of(path).rpartition(".")[0]
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            names = {f"{source}.{alias.name}" for alias in node.names}
            found |= (names & modules) or {source}
    return found & modules


@pytest.mark.parametrize("folder", sorted({path.parent for path in FILES} - {PACKAGE}), ids=lambda p: p.name)
def test_no_package_has_an_import_circle_inside(folder):
    paths = {module_of(path): path for path in folder.glob("*.py")}
    order = TopologicalSorter({name: imported_modules(path, set(paths)) - {name} for name, path in paths.items()})
    order.prepare()  # raises CycleError, which names the circle


def test_a_private_file_name_occurs_once_so_that_one_guess_finds_it():
    names = Counter(path.name for path in FILES if path.name.startswith("_") and path.name != "__init__.py")
    assert not {name for name, n in names.items() if n > 1}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_part_reaches_into_another(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    private = [m for m in modules if m.startswith("routerlab.") and "._" in m]
    assert not [m for m in private if m.split(".")[1] != part_of(path)]


def test_importing_does_nothing_but_import():
    heavy = ["torch", "sentence_transformers", "transformers", "matplotlib.pyplot", "openai", "pooch", "requests"]
    heavy += ["pandas", "scipy", "sklearn", "genai_prices", "tqdm", "IPython", "ipywidgets", "anywidget"]
    code = f"""
import socket, sys
def refuse(*_, **__): raise RuntimeError("network at import")
socket.socket.connect = refuse
import os
before = dict(os.environ)
import routerlab
assert dict(os.environ) == before, "import changed the environment"
loaded = [name for name in {heavy!r} if name in sys.modules]
assert not loaded, loaded
"""
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("part", "heavy"),
    [("datasets", "pooch requests tqdm genai_prices"), ("plotting", "matplotlib"), ("pricing", "genai_prices")],
)
def test_a_part_loads_what_is_heavy_only_when_it_is_used(part, heavy):
    code = f"import sys, routerlab.{part}; sys.exit(', '.join({{*{heavy.split()}}} & {{*sys.modules}}) or 0)"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_public_names_are_sorted_and_there():
    assert routerlab.__all__ == sorted(set(routerlab.__all__))
    assert set(routerlab.__all__) <= set(dir(routerlab))
    with pytest.raises(AttributeError, match="nothing"):
        _ = routerlab.nothing
    for name in routerlab.__all__:
        assert getattr(routerlab, name) is not None


@pytest.mark.parametrize("name", routerlab.__all__)
def test_public_docstrings_have_an_example(name):
    value = getattr(routerlab, name)
    doc = inspect.getdoc(value)
    assert doc
    if not inspect.ismodule(value) and not (inspect.isclass(value) and issubclass(value, Exception)):
        assert "Examples\n--------" in doc and ">>>" in doc


def lines_of_code(node: ast.AST) -> int:
    """Lines that a definition covers, less its docstrings."""
    inner = [n for n in ast.walk(node) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))]
    docs = [n.body[0] for n in inner if ast.get_docstring(n) is not None]
    return node.end_lineno - node.lineno + 1 - sum(doc.end_lineno - doc.lineno + 1 for doc in docs)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_functions_fit_a_screen_and_classes_stay_small(path):
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    functions = [n for n in nodes if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    classes = [n for n in nodes if isinstance(n, ast.ClassDef)]
    assert not {n.name: lines_of_code(n) for n in functions if lines_of_code(n) > 60}
    assert not {n.name: lines_of_code(n) for n in classes if lines_of_code(n) > 300}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirement_name(line: str) -> str:
    return re.match(r"[A-Za-z0-9._-]+", line).group().lower().replace("_", "-")


def test_conda_environment_has_pyprojects_packages():
    lines = (ROOT / "environment.yml").read_text(encoding="utf-8").splitlines()
    listed = [line.strip()[2:] for line in lines if line.strip().startswith("- ") and not line.strip().endswith("pip:")]
    conda = {requirement_name(line) for line in listed if not line.startswith(("-e", "conda-forge"))} - {
        "python",
        "pip",
    }
    extras = project()["optional-dependencies"]
    wanted = [*project()["dependencies"], *extras["offline"], *extras["test"], *extras["dev"]]
    assert conda == {requirement_name(line) for line in wanted}
    versions = dict(re.match(r"([\w.-]+)(.*)", line).groups() for line in wanted)
    for line in listed:
        if line.startswith(("-e", "conda-forge", "python", "pip")) or requirement_name(line) not in versions:
            continue
        assert line == requirement_name(line) + versions[requirement_name(line)]


def test_constraints_are_versions_and_nothing_else():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+", line) for line in lines)
    assert "torch==2.13.0" in lines
    assert "torch" not in " ".join(project()["dependencies"])
    pinned = {requirement_name(line) for line in lines}
    for group in (project()["dependencies"], *project()["optional-dependencies"].values()):
        assert {requirement_name(line) for line in group} <= pinned


def test_version_is_the_same_everywhere():
    assert project()["version"] == routerlab.__version__
    assert f"version: {routerlab.__version__}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## {routerlab.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_indexes_are_at_the_front_door_and_load_no_library_before_they_are_opened():
    code = (
        "import sys, routerlab as rl; rl.UsearchIndex(); rl.PgvectorIndex('postgresql://localhost/x'); "
        "sys.exit(', '.join({'usearch', 'psycopg', 'pgvector'} & {*sys.modules}) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert not done.returncode, done.stderr


def with_defaults(node: ast.AST) -> set[str]:
    """Return the parameters of a function, or of a class's constructor, that may be left out."""
    if isinstance(node, ast.ClassDef):
        node = next((f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"), node)
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return set()
    given = node.args.posonlyargs + node.args.args
    named = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    return {a.arg for a in given[len(given) - len(node.args.defaults) :]} | {a.arg for a, v in named if v is not None}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_parameter_that_may_be_left_out_is_said_to_be_optional(path):
    part = importlib.import_module(f"routerlab.{part_of(path)}".removesuffix(".__init__"))
    public = [
        node for node in ast.parse(path.read_text(encoding="utf-8")).body if hasattr(part, getattr(node, "name", ""))
    ]
    methods = [inner for node in public if isinstance(node, ast.ClassDef) for inner in node.body]
    silent = []
    for node in [*public, *(method for method in methods if hasattr(method, "name"))]:
        _, _, text = (ast.get_docstring(node) or "").partition("Parameters\n----------\n")
        section = re.split(r"\n\n[A-Z][a-z A-Z]+\n-{3,}\n", text)[0]
        for names, kind in re.findall(r"^([a-z]\S*(?:, \S+)*) : (.+)$", section, re.MULTILINE):
            free = set(names.split(", ")) <= with_defaults(node)
            if free and "optional" not in kind and "default" not in kind:
                silent.append(f"{node.name}: {names} : {kind}")
    assert not silent
