"""Write what is generated of the code: docs/rules.md, docs/config.md and workflow/schemas; or check that it is up to date."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.documentation import config_page, rules_page, schema
from fsar_core.errors import FsarError
from fsar_core.storage.provenance import atomic_write


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, default=Path("."), help="that of the Snakefile")
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; fail where a file is not what it should be",
    )


def run(args: argparse.Namespace) -> None:
    pages = {
        Path("docs/config.md"): config_page.page(),
        Path("docs/rules.md"): rules_page.page(args.folder),
    }
    pages |= {
        Path(f"workflow/schemas/{name}.schema.yaml"): schema.text(name) for name in schema.SCHEMAS
    }
    for path, text in pages.items():
        file = args.folder / path
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            continue
        if args.check:
            raise FsarError(
                f"{file}: not what the code says; run `fsar docs` and commit what it writes"
            )
        with atomic_write(file) as stream:
            stream.write(text)
        print(f"{file}: written")
