import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from stores import side, stores  # noqa: F401
