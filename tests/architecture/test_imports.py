"""Who may import whom: the contracts in `.importlinter` hold, and they bite."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SOURCES = sorted(PROJECT.glob("*/*/src"))
PACKAGES = [sources.parent for sources in SOURCES]
COMES_IN = {
    name: {one.lower().replace("_", "-") for one in found} for name, found in packages_distributions().items()
} | {package.name: {f"throughline-{package.name}"} for package in PACKAGES}
"""What is to be installed for a name that can be imported."""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of all sources, to do wrong to."""
    for sources in SOURCES:
        shutil.copytree(sources, tmp_path / sources.relative_to(PROJECT), ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / ".importlinter", tmp_path)
    return tmp_path


def broken(project: Path) -> set[str]:
    """The first word of the name of every contract that is broken."""
    program = (
        "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"
    )
    paths = os.pathsep.join(str(sources) for sources in project.glob("*/*/src"))
    done = subprocess.run(  # noqa: S603 - the linter, on a copy of our own sources
        [sys.executable, "-c", program],
        cwd=project,
        env=os.environ | {"PYTHONPATH": paths, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = {line.split()[0].rstrip(":") for line in done.stdout.splitlines() if " BROKEN" in line}
    assert bool(found) == bool(done.returncode), done.stdout + done.stderr
    return found


def add(path: Path, line: str) -> None:
    path.write_text(f"{line}\n{path.read_text() if path.exists() else ''}")


def test_everybody_imports_only_what_they_may(copy: Path) -> None:
    assert broken(copy) == set()


def test_trespassers_are_caught(copy: Path) -> None:
    services, chassis = copy / "services", copy / "shared/chassis/src/chassis"
    add(services / "fulfillment/src/fulfillment/helpers.py", "")
    add(services / "order/src/order/sourcing.py", "import asyncio")
    add(services / "payment/src/payment/state.py", "import fulfillment.state")
    add(chassis / "engine/memory.py", "import motor")
    add(chassis / "engine/outbox.py", "import chassis.engine.fold")
    add(chassis / "stuck/gap.py", "import chassis.mongo.raw")
    add(chassis / "http/paging.py", "import chassis.engine.memory")
    assert broken(copy) == {"Fulfillment", "What", "Services", "The", "Motor", "Engine", "Chassis", "Only"}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_package_declares_all_that_it_imports(package: Path) -> None:
    dependencies = tomllib.loads((package / "pyproject.toml").read_text())["project"]["dependencies"]
    declared = {name for dependency in dependencies for name in re.findall(r"^[\w-]+", dependency)}
    imported = {
        name.partition(".")[0]
        for module in package.glob("src/**/*.py")
        for name in imports(ast.parse(module.read_text()))
    }
    foreign = imported - sys.stdlib_module_names - {package.name}
    assert {name for name in foreign if not declared & COMES_IN[name]} == set()


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (one.name for one in names)
            case ast.ImportFrom(module=str(name), level=0):
                yield name
