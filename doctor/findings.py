"""What the doctor finds: one line for each thing that was tried."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "failed", "not here"]


@dataclass(frozen=True)
class Finding:
    """One thing that was tried; `advice` says what to do, and is empty where nothing is."""

    name: str
    verdict: Verdict
    detail: str
    advice: str = ""


def has_failed(findings: Sequence[Finding]) -> bool:
    """Tell whether anything must be mended before the service can work."""
    return any(finding.verdict == "failed" for finding in findings)


def as_table(findings: Sequence[Finding]) -> str:
    """Write a line for each finding, in columns, with the advice beneath."""
    name_width = max(len(finding.name) for finding in findings)
    verdict_width = max(len(finding.verdict) for finding in findings)
    lines = []
    for finding in findings:
        verdict = finding.verdict.ljust(verdict_width)
        lines.append(f"{finding.name.ljust(name_width)}  {verdict}  {finding.detail}")
        if finding.advice:
            lines.append(f"{' ' * (name_width + verdict_width + 4)}→ {finding.advice}")
    return "\n".join(lines) + "\n"


def as_json(findings: Sequence[Finding]) -> str:
    """Write one JSON document: whether all is well, and the findings."""
    document = {
        "healthy": not has_failed(findings),
        "findings": [asdict(finding) for finding in findings],
    }
    return json.dumps(document, indent=2) + "\n"
