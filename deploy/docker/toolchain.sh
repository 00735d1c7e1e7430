#!/bin/sh
# What `deploy.compile` needs beside Python, on a Debian-like base. Only for a build stage.
set -eu
apt-get update --quiet
apt-get install --quiet --yes --no-install-recommends gcc libc6-dev
# The Debian package of Python keeps its headers apart; the official images have them.
python3 -c 'import pathlib, sys, sysconfig
sys.exit(not (pathlib.Path(sysconfig.get_paths()["include"]) / "Python.h").exists())' \
  || apt-get install --quiet --yes --no-install-recommends python3-dev
