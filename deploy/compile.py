"""`python -m deploy.compile TARGET`: the same sources with the proxy's hot path as machine code.

TARGET becomes a copy of `services/` and `shared/` in which the modules below are compiled by
mypyc; put it first on PYTHONPATH. Nothing else changes: without it everything runs as well.
With `--modules-only` TARGET gets the compiled modules alone, to be laid over installed sources.
"""

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("services", "shared")
# What every call passes through. Exceptions, settings and whatever happens once for each
# connection gain nothing.
MODULES = (
    "services/proxy/authentication/authenticator.py",
    "services/proxy/authentication/credentials.py",
    "services/proxy/authentication/header.py",
    "services/proxy/authentication/logins.py",
    "services/proxy/authentication/recognition.py",
    "services/proxy/authentication/tally.py",
    "services/proxy/authentication/trust.py",
    "services/proxy/gatekeeper.py",
    "services/proxy/http2/buffers.py",
    "services/proxy/http2/closed.py",
    "services/proxy/http2/connection.py",
    "services/proxy/http2/fields.py",
    "services/proxy/http2/frames.py",
    "services/proxy/http2/handler.py",
    "services/proxy/http2/header_block.py",
    "services/proxy/http2/header_decoder.py",
    "services/proxy/http2/integers.py",
    "services/proxy/http2/limits.py",
    "services/proxy/http2/reader.py",
    "services/proxy/http2/sender.py",
    "services/proxy/http2/settings.py",
    "services/proxy/http2/stream.py",
    "services/proxy/relay/calls/active.py",
    "services/proxy/relay/calls/answers.py",
    "services/proxy/relay/calls/call.py",
    "services/proxy/relay/calls/deadlines.py",
    "services/proxy/relay/calls/headers.py",
    "services/proxy/relay/calls/messages.py",
    "services/proxy/relay/calls/reception.py",
    "services/proxy/relay/calls/request.py",
    "services/proxy/relay/calls/tally.py",
    "services/proxy/relay/clients/client_link.py",
    "services/proxy/relay/clients/standing.py",
    "services/proxy/relay/clients/turns.py",
    "services/proxy/relay/link.py",
    "services/proxy/relay/round_robin.py",
    "services/proxy/relay/upstreams/holdings.py",
    "services/proxy/relay/upstreams/pool.py",
    "services/proxy/relay/upstreams/routing.py",
    "services/proxy/relay/upstreams/upstream.py",
    "services/proxy/relay/upstreams/upstream_link.py",
    "services/proxy/revocation/lease.py",
    "services/proxy/revocation/trust.py",
    "shared/clock.py",
    "shared/recent.py",
)


def main() -> int:
    """The exit code: that of the compiler, or 1 where there is none."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path)
    parser.add_argument("--modules-only", action="store_true", help="leave the sources out")
    options = parser.parse_args()
    target: Path = options.target.resolve()
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    compiler = os.environ.get("CC", compiler)
    if shutil.which(compiler) is None and shutil.which("cc") is None:
        sys.stderr.write(
            f"there is no C compiler ({compiler}); install one (Debian: apt-get install gcc), "
            "or go without: the proxy runs as well from the sources, only slower\n"
        )
        return 1
    shutil.rmtree(target, ignore_errors=True)
    if not options.modules_only:
        return _compile_copy(target)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        code = _compile_copy(copy)
        if code == 0:
            _take_modules(copy, target)
        return code


def _compile_copy(target: Path) -> int:
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, target / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", target)
    return subprocess.run(  # noqa: S603 - our own interpreter and module names
        [sys.executable, "-m", "mypyc", *MODULES], cwd=target, check=False
    ).returncode


def _take_modules(copy: Path, target: Path) -> None:
    # What they share lies at the top; the compiler's own folder has all of them once more.
    patterns = ("*.so", *(f"{package}/**/*.so" for package in PACKAGES))
    for module in (found for pattern in patterns for found in copy.glob(pattern)):
        destination = target / module.relative_to(copy)
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(module, destination)


if __name__ == "__main__":
    raise SystemExit(main())
