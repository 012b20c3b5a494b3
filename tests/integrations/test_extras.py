"""What an integration says where the library that it is for is not installed."""

import subprocess
import sys

import pytest

PROGRAM = """
import importlib, sys
sys.modules[sys.argv[2]] = None  # as Python has it for what cannot be imported
from shmctx.errors import ExtraMissing
try:
    importlib.import_module(sys.argv[1])
except ExtraMissing as error:
    print(isinstance(error, ImportError), error.hint)
"""


@pytest.mark.parametrize(
    "module,library,extra",
    [
        ("otel", "opentelemetry", "otel"),
        ("otel_spans", "opentelemetry.sdk", "otel"),
        ("prometheus", "prometheus_client", "prometheus"),
    ],
)
def test_a_library_that_is_not_installed_is_named_with_its_extra(module, library, extra):
    command = [sys.executable, "-c", PROGRAM, f"shmctx.integrations.{module}", library]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.split(maxsplit=1) == ["True", f"pip install 'shmctx[{extra}]'\n"]
