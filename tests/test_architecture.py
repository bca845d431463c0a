"""Facts about the code itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "tagal_dspy"


def nodes() -> Iterator[tuple[str, ast.AST]]:
    """Every node of the package's code, with where it stands."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield f"{path.relative_to(PACKAGE).as_posix()}:{getattr(node, 'lineno', 0)}", node


def test_nothing_prints() -> None:
    calls = [(where, node.func) for where, node in nodes() if isinstance(node, ast.Call)]
    assert [where for where, called in calls if isinstance(called, ast.Name) and called.id == "print"] == []


def test_nothing_asserts() -> None:
    asserted = [where for where, node in nodes() if isinstance(node, ast.Assert)]
    assert [where for where in asserted if not where.startswith("testing/")] == []


def test_nothing_configures_dspy() -> None:
    calls = [(where, node.func) for where, node in nodes() if isinstance(node, ast.Call)]
    assert [
        where for where, called in calls if ast.unparse(called) in ("dspy.configure", "dspy.settings.configure")
    ] == []


def test_only_signatures_holds_prompts() -> None:
    classes = [(where, node) for where, node in nodes() if isinstance(node, ast.ClassDef)]
    found = {where.partition("/")[0] for where, node in classes if "dspy.Signature" in map(ast.unparse, node.bases)}
    assert found == {"signatures"}


def test_signatures_import_dspy_and_pydantic_alone() -> None:
    allowed = {"__future__", "dspy", "pydantic", "tagal_dspy", *sys.stdlib_module_names}
    imported = {
        name.partition(".")[0]
        for where, node in nodes()
        if where.startswith("signatures/")
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= allowed


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("tagal_dspy", ["dspy", "pandas", "numpy", "pydantic", "sdv", "sklearn"]),
        ("tagal_dspy.schema", ["dspy", "sdv", "sklearn"]),
        ("tagal_dspy.codecs", ["dspy", "sdv", "sklearn"]),
        ("tagal_dspy.datasets", ["dspy", "sdv", "sklearn"]),
        ("tagal_dspy.signatures", ["sdv", "sklearn", "xllamacpp"]),
        ("tagal_dspy.metrics", ["dspy", "sdmetrics", "sdv", "sklearn", "scipy"]),
        ("tagal_dspy.cli.describing", ["dspy", "sdv", "sklearn", "scipy"]),
        ("tagal_dspy.cli.evaluating", ["dspy", "sdmetrics", "sdv", "sklearn", "scipy"]),
        ("tagal_dspy.cli.generating", ["psutil", "sdmetrics", "sdv", "sklearn", "scipy", "xllamacpp"]),
    ],
)
def test_heavy_modules_are_imported_at_use(module: str, absent: list[str]) -> None:
    program = f"import sys, {module}; print(*sorted(set({absent!r}) & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


def test_nothing_runs_text_as_code_or_loads_a_pickle() -> None:
    """`--where`, rules and files are read as data; DSPy's cache of answers is opened with `restrict_pickle`."""
    called = [(where, ast.unparse(node.func)) for where, node in nodes() if isinstance(node, ast.Call)]
    running = {"eval", "exec", "compile", "__import__", "os.system", "subprocess.run", "subprocess.Popen"}
    assert [
        each for each in called if each[1] in running or each[1].endswith((".eval", ".query", ".read_pickle"))
    ] == []
    names = {alias.name for _, node in nodes() if isinstance(node, ast.Import) for alias in node.names}
    imports = [node for _, node in nodes() if isinstance(node, ast.ImportFrom)]
    names |= {f"{node.module}.{alias.name}" for node in imports for alias in node.names}
    unpickling = {"pickle", "cloudpickle", "joblib", "dill", "marshal", "shelve", "yaml"}
    running_side_by_side = {"joblib.Parallel", "joblib.delayed"}
    assert {name for name in names if name.split(".")[0] in unpickling} == running_side_by_side
    caches = [node for _, node in nodes() if isinstance(node, ast.Call) and "configure_cache" in ast.unparse(node.func)]
    assert ["restrict_pickle=True" in ast.unparse(node) for node in caches] == [True]
