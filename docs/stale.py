"""Finds figures in documents that are older than what they measure: ``make stale``.

docs/measured.toml says for each document, or a section of it, which command measures it, which paths decide the figures, and
their hashes at the time. After a measurement, ``python -m docs.stale --renew DOCUMENT`` notes the present hashes.
"""

import argparse
import ast
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from io import StringIO
from pathlib import Path

ROOT = Path(__file__).parent.parent
TABLE = Path("docs/measured.toml")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
NOTHING = "nothing"  # the hash of a path at which there is no file
HEAD = """# What the figures in documents were measured on; `make stale` compares it with what is there. A table is a document
# or a section; `commit` is the one that was measured. `python -m docs.stale --renew DOCUMENT` writes this file.
"""


@dataclass(frozen=True)
class Figures:
    """Figures in a document. document: its path, with an anchor if only a section has them; paths: path -> hash."""

    document: str
    command: str
    commit: str
    paths: Mapping[str, str]

    def changed(self, root: Path) -> list[str]:
        """The paths whose content is not what was measured, with a word on those that were not there."""
        told = ((path, known) for path, known in self.paths.items() if digest(root, path) != known)
        return [f"{path} (new, or moved)" if known == NOTHING else path for path, known in told]

    def belongs_to(self, document: str) -> bool:
        """Whether these are figures of that document, or of that section."""
        return document in (self.document, self.document.partition("#")[0])


def digest(root: Path, path: str, commit: str | None = None) -> str:
    """The hash of a file, or of all files below a folder: 16 hexadecimal digits. Comments and docstrings do not count.

    commit: as of then; by default as the files are now, without those that git ignores.
    """
    if commit:
        content = {
            name: _git(root, "show", f"{commit}:{name}") for name in _names(root, "ls-tree", "-r", "--name-only", commit, path)
        }
    else:
        listed = _names(root, "ls-files", "--cached", "--others", "--exclude-standard", path)
        content = {name: (root / name).read_bytes() for name in listed if (root / name).is_file()}
    told = [f"{sha256(_code(data) if name.endswith('.py') else data).hexdigest()} {name}" for name, data in content.items()]
    return sha256("\n".join(sorted(told)).encode()).hexdigest()[:16] if told else NOTHING


def _names(root: Path, *arguments: str) -> set[str]:
    command, *others, path = arguments
    return {name.decode() for name in _git(root, command, "-z", *others, "--", path).split(b"\0") if name}


def _git(root: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=True).stdout  # noqa: S603, S607


def _code(data: bytes) -> bytes:
    """Python without comments, docstrings and empty lines."""
    text = data.decode()
    lines = text.splitlines()
    for token in tokenize.generate_tokens(StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            docstring = node.body[0]
            lines[docstring.lineno - 1 : docstring.end_lineno] = [""] * ((docstring.end_lineno or 0) - docstring.lineno + 1)
    return "\n".join(line.rstrip() for line in lines if line.strip()).encode()


def read_table(path: Path) -> list[Figures]:
    """The figures that the table knows."""
    told = tomllib.loads(path.read_text(encoding="utf-8"))
    return [Figures(document, each["command"], each["commit"], each["paths"]) for document, each in told.items()]


def write_table(path: Path, known: Sequence[Figures]) -> None:
    """Writes the table anew."""
    parts = [HEAD]
    for each in known:
        paths = "".join(f'"{name}" = "{value}"\n' for name, value in each.paths.items())
        parts.append(
            f'["{each.document}"]\ncommand = "{each.command}"\ncommit = "{each.commit}"\n["{each.document}".paths]\n{paths}'
        )
    path.write_text("\n".join(parts), encoding="utf-8")


def renew(root: Path, figures: Figures, commit: str | None = None) -> Figures:
    """The same figures, measured at that commit; by default with the files as they are now."""
    name = _git(root, "rev-parse", "--short", commit or "HEAD").decode().strip()
    return replace(figures, commit=name, paths={path: digest(root, path, commit) for path in figures.paths})


def report(root: Path, known: Sequence[Figures]) -> Iterator[str]:
    """A paragraph for each document whose figures are stale."""
    for figures in known:
        if changed := figures.changed(root):
            yield f"{figures.document}, measured at {figures.commit}; `{figures.command}` measures it anew. Changed since:"
            yield from (f"  {path}" for path in changed)


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Lists what is stale, or renews a document's hashes. Returns the exit status: 1 if anything is stale."""
    parser = argparse.ArgumentParser(prog="python -m docs.stale", description="Finds figures older than what they measure.")
    parser.add_argument("--renew", metavar="DOCUMENT", help="notes that this document, or DOCUMENT#SECTION, was measured")
    parser.add_argument("--at", metavar="COMMIT", help="with --renew: what was measured, if not the files as they are now")
    options = parser.parse_args(arguments)
    known = read_table(root / TABLE)
    if options.renew is None:
        lines = list(report(root, known))
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        return int(bool(lines))
    if not any(each.belongs_to(options.renew) for each in known):
        parser.error(f"{TABLE} does not have {options.renew}; it has {', '.join(each.document for each in known)}")
    renewed = [renew(root, each, options.at) if each.belongs_to(options.renew) else each for each in known]
    write_table(root / TABLE, renewed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
