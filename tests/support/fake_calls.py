"""Fake clients and calls for tests of code that looks for open calls."""


class FakeClient:
    """A connected client; `open` holds its open calls."""

    def __init__(self):
        self.open = []

    @property
    def usernames(self):
        return {call.principal.username for call in self.open if call.principal is not None}

    @property
    def calls_open(self):
        return len(self.open)

    def calls(self):
        return tuple(self.open)


class FakeCall:
    """A call that is over as soon as it is ended. `reasons` holds the reasons it was ended with."""

    def __init__(self, client, principal, *, is_carried_through=False, permission=None):
        self.client = client
        self.principal = principal
        self.permission = permission
        self.is_carried_through = is_carried_through
        self.reasons = []

    def end(self, reason):
        self.reasons.append(reason)
        self.client.open.remove(self)

    def revoke(self, reason):
        if self.is_carried_through:
            return False
        self.end(reason)
        return True
