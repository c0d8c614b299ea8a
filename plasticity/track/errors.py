"""Why a run was not published."""


class Unreachable(Exception):
    """The server refused a run outright or kept it waiting too long; the next would fare no better."""


class Incomplete(Exception):
    """What the server shows is not what was published. The text says what is missing."""


class Taken(Exception):
    """The server already has a run with this id."""


class PublishingStopped(Exception):
    """Publishing was stopped from this side."""
