"""Everything that runs or ships Vecguard: images, manifests, dashboards, the compiled build.

Nothing under `services` and `shared` imports it. Begin at `compile.py` for machine code and at
`local/` for `make run`.
"""
