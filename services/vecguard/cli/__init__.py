"""The command `vecguard`: accounts, certificates, status and doctor.

It speaks the public RPCs and the operations ports, and asks etcd where `doctor` and `root reset`
must. It imports no service. Begin at `__main__.py`, which lists the commands.
"""
