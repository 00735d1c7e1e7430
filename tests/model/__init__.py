"""An exhaustively explored model of the revocation protocol.

`docs/protocol-model.md` says what is modelled, what is left out and why.
"""
