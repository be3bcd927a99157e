"""What is wrong with a checkpoint: one finding, as people and programs read it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from multihot.core.text_tables import printable

__all__ = ["ERROR", "NOTE", "SEVERITIES", "WARNING", "WITHOUT_FILE", "WITH_FILE", "Finding"]

ERROR, WARNING, NOTE = "error", "warning", "note"
SEVERITIES = (ERROR, WARNING, NOTE)
"""`error`: answers are wrong, or there are none. `warning`: they may be, for some texts or consumers.
`note`: worth knowing; nothing is wrong."""

WITHOUT_FILE, WITH_FILE = "copy", "file"
"""What corrects a finding: `--fix` alone, or `--fix` with a file of labelled rows."""


@dataclass(frozen=True)
class Finding:
    """One thing about a checkpoint."""

    code: str
    """A name that stays, for programs."""
    severity: str
    """One of `SEVERITIES`."""
    file: str
    """The file of the checkpoint that it is about."""
    what: str
    why: str
    """Why it matters, in one sentence."""
    advice: str
    """What to do."""
    fix: str | None = None
    """`copy` or `file` where `--fix` corrects it (see `WITHOUT_FILE`), `None` where it cannot."""

    @property
    def is_problem(self) -> bool:
        """Whether the checkpoint does not pass with it."""
        return self.severity != NOTE

    @property
    def blocks(self) -> bool:
        """Whether nothing can be written from the checkpoint as long as it is there."""
        return self.severity == ERROR and self.fix is None

    def to_json(self) -> dict[str, Any]:
        """Return it as `doctor --json` prints it."""
        content = asdict(self)
        return {"do" if key == "advice" else key: value for key, value in content.items()}

    def lines(self) -> list[str]:
        """Return it as `doctor` prints it."""
        can = {WITHOUT_FILE: " (--fix does it)", WITH_FILE: " (--fix with FILE does it)"}
        return [
            f"{self.severity:<9}{self.code}: {printable(self.what)}",
            f"         Why: {printable(self.why)}",
            f"         Do:  {printable(self.advice)}{can.get(self.fix or '', '')}",
        ]
