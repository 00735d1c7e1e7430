#!/bin/sh
# Compile the hot modules and lay them into an installed environment. Runs in the build stage
# of the Dockerfile, where the sources are the working directory.
set -eu
environment=$1

if ! grep -q '^compile:' Makefile; then
  echo "COMPILED=1 needs 'make compile', which this version does not have; leave it out" >&2
  exit 1
fi

apt-get update
apt-get install --yes --no-install-recommends gcc libc6-dev make
# The Debian package of Python keeps its headers apart; the official images have them.
python3 -c 'import pathlib, sys, sysconfig
sys.exit(not (pathlib.Path(sysconfig.get_paths()["include"]) / "Python.h").exists())' \
  || apt-get install --yes --no-install-recommends python3-dev

# What `make setup` makes, without the tools that only tests need.
python3 -m venv .venv
.venv/bin/python -m pip install --quiet --editable '.[fast]' 'mypy>=1.15,<3' setuptools types-PyYAML types-cachetools
touch .venv/.ready
make compile

packages=$("$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
cp -R build/compiled/. "$packages/"
