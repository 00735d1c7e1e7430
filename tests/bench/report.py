"""What a benchmark found: a flat object of dotted names to numbers, and tables to read."""

import json
import platform
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("vecguard", "grpclib", "h2", "grpcio", "bcrypt")


class Report:
    """Collects figures; names end in their unit: _us, _ms, _ratio, _rps, _mib."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}

    def add(self, name: str, value: float) -> None:
        self.figures[name] = round(value, 4)

    def table(self) -> str:
        width = max(map(len, self.figures), default=0)
        return "\n".join(
            f"{name:<{width}}  {value:>14,.3f}" for name, value in self.figures.items()
        )

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        document = {**self.figures, "machine": _machine()}
        path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")


def _machine() -> dict[str, str]:
    return {
        "processor": _processor(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        **{name: version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if "model name" in line), "unknown"
    )
