import sys
from pathlib import Path

for folder in ("analysis", "store"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))

from stores import side, stores  # noqa: E402, F401
