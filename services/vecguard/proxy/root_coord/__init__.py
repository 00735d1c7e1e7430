"""The proxy's side of the private API: it fetches records, sends changes and keeps a session.

Begin at `client`, which finds the active root coord and asks it; `session` is one stream of
notices from it; `configured` makes the client from the settings. What a notice changes in this
process is `vecguard.proxy.revocation`.
"""
