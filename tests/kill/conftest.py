"""Makes this folder's modules importable; its processes are forked from a supervisor that has them loaded."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
