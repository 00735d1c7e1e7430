"""The site of docs/, as MkDocs builds it."""

import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def build_site(folder: Path) -> None:
    """Builds the site into a folder. Raises CalledProcessError if a page or link is wrong."""
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", folder],
        cwd=CHECKOUT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        check=True,
    )
