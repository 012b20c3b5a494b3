import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))

from stores import side, stores  # noqa: E402, F401
sys.path.insert(0, str(Path(__file__).parent))
