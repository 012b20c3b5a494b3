import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))
sys.path.insert(0, str(Path(__file__).parent))

from scenes import scene  # noqa: F401
from stores import stores  # noqa: F401
