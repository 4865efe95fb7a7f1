"""What docs/safety.md names as evidence exists, and every relative link of a document leads somewhere."""
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = [path for folder in (".", "docs", "docs/decisions", "docs/guides", "model", "lab")
             for path in sorted((ROOT / folder).glob("*.md"))]


def evidence():
    """(rule, column, text in backticks) of the table "Which test shows it"."""
    table = (ROOT / "docs/safety.md").read_text().split("## Which test shows it")[1].split("\n\n")[1]
    for row in table.splitlines()[2:]:
        rule, _, *columns = [cell.strip() for cell in row.strip("|").split("|")]
        for column, cell in zip(("transcripts", "simulator", "model", "lab"), columns):
            for name in re.findall(r"`([^`]+)`", cell):
                yield rule, column, name


def exists(column, name):
    if name.endswith((".cpp", ".hpp")):
        return any((ROOT / folder / name).exists() for folder in ("sim", "src", "tests/unit"))
    file, _, test = name.partition("::")
    if file.endswith(".py"):
        path = ROOT / "tests/lab" / file
        wanted = re.escape(test).replace("…", ".*")
        return path.exists() and (not test or re.search(rf"^def (test_)?{wanted}", path.read_text(), re.M))
    if name.endswith("…"):  # all transcripts of a rule
        return list((ROOT / "tests/script").glob(f"{name[:-1]}*.txt"))
    if (ROOT / "tests/script" / f"{name}.txt").exists() or (ROOT / "tests/unit" / name).is_dir():
        return True
    command = name.split()[0]
    return any((ROOT / folder / command).exists() for folder in ("tests/campaign", "")) or \
        command.startswith(("clusterd-sim", "clusterctl", "assert("))


@pytest.mark.parametrize("rule,column,name", evidence(), ids=lambda text: text.replace("/", "."))
def test_the_evidence_of_a_rule_exists(rule, column, name):
    assert exists(column, name), f"docs/safety.md, {rule}, {column}: there is no {name}"


def test_every_rule_has_a_row():
    text = (ROOT / "docs/safety.md").read_text()
    rules = set(re.findall(r"^- \*\*(S\d+a?)\b", text, re.M))
    assert rules == {rule for rule, _, _ in evidence() if rule.startswith("S")}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)).replace("/", "."))
def test_links_lead_somewhere(document):
    broken = [target for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text())
              if "://" not in target and not (document.parent / target).exists()]
    assert not broken
