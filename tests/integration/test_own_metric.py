"""The README's metric of one's own: the code block as it stands there, run on a real stack and proved."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
LIMIT_S = 300


def jinliu(home: Path, *arguments: str) -> str:
    environment = os.environ | {"JINLIU_METRICS": str(home / "metrics"), "JINLIU_DATA": str(home / "data")}
    done = subprocess.run(
        [sys.executable, "-m", "jinliu", *arguments], capture_output=True, text=True, timeout=LIMIT_S, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_metric_of_the_readme_is_computed_and_proved(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    own = next(block for block in blocks if "METRIC = Metric(" in block)
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "qr_by_segment.py").write_text(own)

    summary = json.loads(jinliu(tmp_path, "up", "--once", "--json", "--topology", "small"))
    assert summary["windows_incomplete"] == 0
    rows = [json.loads(line) for line in jinliu(tmp_path, "watch", "qr-by-segment", "--once", "--json").splitlines()]
    final = [row for row in rows if row["status"] == "FINAL" and row["window"] == "month"]
    assert {row["segment"] for row in final} == {"YOUNG", "MASS", "SMALL_BUSINESS", "WEALTHY"}
    assert all(row["qr_share"] == row["qr_weighted_fen"] / row["amount_weighted_fen"] for row in final)

    proof = json.loads(jinliu(tmp_path, "verify", "--json"))
    assert proof["different"] == 0
    assert proof["compared"] > len(final)
