"""Joins the relay, which knows no role, to authorization, which knows no call.

Begin at `authorizer.py`, which gives each call its permission, and `role_permission.py`, which
decides about one call. `method_permission.py` does so for `proxy.methodRoles`, and
`given_permissions.py` has the permissions that need no decision. `precedent.py` says when a call is
allowed because an earlier one like it was. `role_cache.py` keeps the roles that were read from
root coord. `explanations.py` answers why a call is allowed or refused.
"""
