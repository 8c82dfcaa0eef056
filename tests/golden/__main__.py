"""`python -m tests.golden`: write every golden file anew, and say which of them changed."""

from __future__ import annotations

from tests.golden.rendering import NAMES, OUTPUT, rendered


def main() -> None:
    """Bring `output/` up to date with `input/` and the builders."""
    OUTPUT.mkdir(exist_ok=True)
    for path in OUTPUT.glob("*.yaml"):
        if path.stem not in NAMES:
            path.unlink()
            print(f"removed {path.name}: there is no such input")
    for name in NAMES:
        path, text = OUTPUT / f"{name}.yaml", rendered(name)
        before = path.read_text() if path.exists() else None
        if before != text:
            path.write_text(text)
            print(f"{'wrote' if before is None else 'changed'} {path.name}")


if __name__ == "__main__":
    main()
