"""A worker of the small world in a process of its own: python workerprocess.py BROKER PREFIX DATADIR.

Prints a status line (JSON) a second; logs go to standard error.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from schemas.errors import JinliuError
from streams import worker
from streams.options import Options
from tests.integration.smallworld import topology


def main() -> None:
    broker, prefix, datadir = sys.argv[1:4]
    options = Options(
        broker=broker,
        prefix=prefix,
        topology=topology(),
        datadir=Path(datadir),
        commit_ms=100,
        provisional_ms=300,
        fetch_bytes=1 << 16,
    )
    try:
        worker.run(options, on_status=lambda status: print(json.dumps(status), flush=True))
    except JinliuError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
