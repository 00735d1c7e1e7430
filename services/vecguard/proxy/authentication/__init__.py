"""Decides who a call is from, by its `authorization` header.

Begin at `authenticator.py`. What it needs from outside it declares as small protocols, such as
`CredentialSource` and `Trust`: it opens no socket, reads no clock and knows neither HTTP/2 nor the
relay. An import contract holds it to that. `configured.py` puts the parts together.
"""
