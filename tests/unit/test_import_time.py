"""Starting is quick because heavy packages are imported on first use; which ones is the same on every machine."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "sklearn", "scipy", "lightgbm", "polars", "pandas", "numpy", "pyarrow", "fastapi", "plotly", "jinja2")


def loaded(code: str) -> set[str]:
    """Heavy packages in a fresh interpreter after some code."""
    probe = f"{code}\nimport sys; print('loaded', *(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=120, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_the_probe_notices_a_heavy_package() -> None:
    assert "numpy" in loaded("import numpy")


@pytest.mark.parametrize(
    "code",
    [
        "import shoploom; shoploom.__version__",
        "from shoploom import Shop",
        "import shoploom.cli",
        "from shoploom.tasks import TASKS; list(TASKS)",
    ],
)
def test_import_loads_nothing_heavy(code: str) -> None:
    assert loaded(code) == set()


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['shoploom', '--help']\n"
        "from shoploom.cli import main\n"
        "try: main()\nexcept SystemExit as end: assert end.code == 0"
    )
    assert loaded(code) == set()


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    import shoploom

    with pytest.raises(AttributeError, match="no attribute 'Sohp'"):
        _ = shoploom.Sohp
