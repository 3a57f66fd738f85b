"""docs/pci.md names tests and settings: all of them exist, and each row has its evidence and its operator."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from typer.main import get_command

from cdk.config import FUNCTIONS
from local.vault_commands import app as vault_commands

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/pci.md").read_text()


@dataclass(frozen=True)
class Reference:
    """What the page points at: a test of a file, a name in it, or the file itself."""

    path: str
    test: str = ""
    name: str = ""


def references(text: str) -> list[Reference]:
    """Those of a text: what is set as code and begins with something at the top of the repository, or has `::`."""
    found = []
    for span in re.findall(r"`([^`\n]+)`", text):
        path, _, test = span.partition("::")
        path, _, name = path.partition(": ")
        top = path.split("/")[0]
        if test or name or (("/" in path or "." in path) and (ROOT / top).exists() and not path.startswith(("/", "."))):
            found.append(Reference(path, test, name))
    return found


def section(number: int) -> str:
    (found,) = re.findall(rf"^## {number}\. .*?(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return found


def rows(number: int) -> list[list[str]]:
    """The rows of the section's tables, without heads."""
    found: list[list[str]] = []
    for line in section(number).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|---"):
            found.pop()
        elif line.startswith("|"):
            found.append(cells)
    return found


@cache
def defined_tests(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@cache
def names_of(path: str) -> set[str]:
    """Names and texts in the code of a Python file, comments and docstrings apart."""
    return set(_names(ast.parse((ROOT / path).read_text())))


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = None  # a docstring
        for field in ("id", "attr", "name", "arg", "value"):
            text = getattr(node, field, None)
            if isinstance(text, str):
                yield text


@pytest.mark.parametrize("reference", sorted(set(references(PAGE)), key=str), ids=str)
def test_what_the_page_names_is_there(reference: Reference) -> None:
    assert (ROOT / reference.path).exists()
    if reference.test:
        assert reference.test in defined_tests(reference.path)
    elif reference.name and reference.path.endswith(".py"):
        assert reference.name in names_of(reference.path)
    elif reference.name:
        assert reference.name in (ROOT / reference.path).read_text()


@pytest.mark.parametrize("row", rows(3), ids=lambda row: row[0].split()[0])
def test_every_requirement_has_its_evidence_and_its_operator(row: list[str]) -> None:
    requirement, does, shown, remains = row

    assert re.match(r"(A1|[1-9]|1[0-2])(\.\d+){2,3} \w", requirement)
    assert does
    assert len(references(shown)) == shown.count("`") // 2, "all that is named is a file of the repository"
    assert [found for found in references(shown) if found.test or found.name]
    assert re.search(r"\w", remains)


def test_requirements_come_once_and_in_order() -> None:
    found = [row[0].split()[0] for row in rows(3)]

    def place(number: str) -> list[int]:
        return [int(part) for part in number.replace("A1", "13").split(".")]

    assert [place(number) for number in found] == sorted(map(place, set(found)))
    assert {number.split(".")[0] for number in found} >= {"1", "2", "3", "4", "6", "7", "8", "10", "11", "12"}


@pytest.mark.parametrize("number", [1, 2])
def test_every_component_and_every_key_has_its_evidence(number: int) -> None:
    for row in rows(number):
        assert all(row), row
        assert references(row[-1]), row


def test_no_function_and_no_table_is_forgotten() -> None:
    interfaces = (ROOT / "docs/interfaces.md").read_text()
    tables = set(re.findall(r"^\| `[A-Z_]+_TABLE` \| [^|]+ \| `([a-z-]+)` \|", interfaces, re.MULTILINE))
    named = {name for row in rows(1) for name in re.findall(r"`([a-z-]+)`", row[0])}

    assert len(tables) == 13
    assert sorted((tables | set(FUNCTIONS)) - named) == []
    assert sorted(named - tables - set(FUNCTIONS)) == ["payments-charge"], "the saga; all else would be unknown"


def test_every_gap_that_is_referred_to_is_described() -> None:
    described = [int(number) for number in re.findall(r"^(\d+)\. \*\*", section(4), re.MULTILINE)]
    lists = re.findall(r"\bgaps? (\d+(?:(?:, | and )\d+)*)", PAGE)
    referred = {int(number) for text in lists for number in re.findall(r"\d+", text)}

    assert described == list(range(1, len(described) + 1))
    assert referred
    assert referred <= set(described)


def test_every_command_exists() -> None:
    named = set(re.findall(r"payments vault ([a-z-]+(?: [a-z-]+)?) --aws", PAGE))
    root = get_command(vault_commands)

    assert named
    for words in named:
        command = root
        for word in words.split():
            command = command.commands[word]  # type: ignore[attr-defined]
