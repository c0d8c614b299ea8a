"""Why a run was not published."""


class Unreachable(Exception):
    """The server refused a run at the door or kept it waiting too long; the next would fare no better."""


class Incomplete(Exception):
    """What the server shows is not what was published. The text says what is missing."""


class Taken(Exception):
    """The server has a run of this id already."""


class Stopped(Exception):
    """Publishing was stopped from here."""
