"""`python -m deploy.compile TARGET`: the same sources with the proxy's hot path as machine code.

TARGET gets a copy of the package `vecguard`, merged from `services/` and `shared/`, in which
mypyc compiled the modules below; put TARGET first on PYTHONPATH. Without it, everything runs from
the sources. With `--modules-only`, TARGET gets the compiled modules alone, to be laid over
installed sources.
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
SOURCE_ROOTS = ("services", "shared")
PACKAGE = "vecguard"
# What every call passes through. Compiling exceptions, settings and code that runs once for
# each connection gains nothing.
MODULES = (
    "vecguard/proxy/authentication/authenticator.py",
    "vecguard/proxy/authentication/credentials.py",
    "vecguard/proxy/authentication/header.py",
    "vecguard/proxy/authentication/login_counts.py",
    "vecguard/proxy/authentication/logins.py",
    "vecguard/proxy/authentication/recent.py",
    "vecguard/proxy/authentication/known_login.py",
    "vecguard/proxy/authentication/trust.py",
    "vecguard/proxy/authorization/decision.py",
    "vecguard/proxy/authorization/field_scanner.py",
    "vecguard/proxy/authorization/inflater.py",
    "vecguard/proxy/authorization/methods.py",
    "vecguard/proxy/authorization/policy.py",
    "vecguard/proxy/authorization/request_fields.py",
    "vecguard/proxy/gatekeeper.py",
    "vecguard/proxy/http2/buffers.py",
    "vecguard/proxy/http2/closed_streams.py",
    "vecguard/proxy/http2/connection.py",
    "vecguard/proxy/http2/frames.py",
    "vecguard/proxy/http2/handler.py",
    "vecguard/proxy/http2/hpack/fields.py",
    "vecguard/proxy/http2/hpack/header_block.py",
    "vecguard/proxy/http2/hpack/header_decoder.py",
    "vecguard/proxy/http2/hpack/integers.py",
    "vecguard/proxy/http2/limits.py",
    "vecguard/proxy/http2/reader.py",
    "vecguard/proxy/http2/sender.py",
    "vecguard/proxy/http2/settings.py",
    "vecguard/proxy/http2/stream.py",
    "vecguard/proxy/identity_headers.py",
    "vecguard/proxy/permissions/authorizer.py",
    "vecguard/proxy/permissions/precedent.py",
    "vecguard/proxy/permissions/role_cache.py",
    "vecguard/proxy/permissions/role_permission.py",
    "vecguard/proxy/principal.py",
    "vecguard/proxy/relay/calls/answers.py",
    "vecguard/proxy/relay/calls/call.py",
    "vecguard/proxy/relay/calls/call_counts.py",
    "vecguard/proxy/relay/calls/deadlines.py",
    "vecguard/proxy/relay/calls/headers.py",
    "vecguard/proxy/relay/calls/message_lengths.py",
    "vecguard/proxy/relay/calls/open_calls.py",
    "vecguard/proxy/relay/calls/permission.py",
    "vecguard/proxy/relay/calls/refusals.py",
    "vecguard/proxy/relay/calls/request.py",
    "vecguard/proxy/relay/calls/states.py",
    "vecguard/proxy/relay/clients/client_link.py",
    "vecguard/proxy/relay/clients/read_scheduler.py",
    "vecguard/proxy/relay/clients/reputation.py",
    "vecguard/proxy/relay/link.py",
    "vecguard/proxy/relay/reception.py",
    "vecguard/proxy/relay/round_robin.py",
    "vecguard/proxy/relay/upstreams/header_policy.py",
    "vecguard/proxy/relay/upstreams/stream_counts.py",
    "vecguard/proxy/relay/upstreams/pool.py",
    "vecguard/proxy/relay/upstreams/routing.py",
    "vecguard/proxy/relay/upstreams/upstream.py",
    "vecguard/proxy/relay/upstreams/upstream_link.py",
    "vecguard/proxy/revocation/lease.py",
    "vecguard/proxy/revocation/trust.py",
    "vecguard/boot_clock.py",
)


def main() -> int:
    """Compiles, and returns the compiler's exit code, or 1 when there is no compiler."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path, help="a folder of its own; it is emptied first")
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
    for root in SOURCE_ROOTS:
        shutil.copytree(
            ROOT / root / PACKAGE,
            target / PACKAGE,
            ignore=shutil.ignore_patterns("__pycache__"),
            dirs_exist_ok=True,
        )
    shutil.copy(ROOT / "pyproject.toml", target)
    return subprocess.run(  # noqa: S603 - our own interpreter and module names
        [sys.executable, "-m", "mypyc", *MODULES], cwd=target, check=False
    ).returncode


def _take_modules(copy: Path, target: Path) -> None:
    # The library that all modules share lies at the top. The compiler's own folder, which is left
    # out, holds every library a second time.
    for module in (*copy.glob("*.so"), *copy.glob(f"{PACKAGE}/**/*.so")):
        destination = target / module.relative_to(copy)
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(module, destination)


if __name__ == "__main__":
    raise SystemExit(main())
