"""What writes into a local folder leave when their process is killed before they end."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

# obstore writes `<key>#<number>`, and renames that at the end. No object may have such a name.
_STAGED = re.compile(r".+#\d+")


@dataclass(frozen=True)
class UnfinishedWrite:
    """A file that was to become an object; `modified_at` is aware: when it last grew."""

    key: str
    modified_at: datetime


def unfinished_writes_in(folder: Path) -> Iterator[UnfinishedWrite]:
    """Find the writes below `folder` that have not ended, those at work among them."""
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names if _STAGED.fullmatch(name)):
            with suppress(FileNotFoundError):  # it has ended meanwhile
                modified_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                yield UnfinishedWrite(path.relative_to(folder).as_posix(), modified_at)
