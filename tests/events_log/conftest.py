import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "kill"), str(TESTS / "store")]

from stores import side, stores  # noqa: E402, F401
