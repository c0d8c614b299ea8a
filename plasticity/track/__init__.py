"""Publishing to Weights & Biases, from plain data: each run whole, once, and without ever failing its training.

The guarantees, and why they hold:

- *No row is duplicated.* The client continues numbering rows from the line count that the server reports, while
  what it sent last may still be on its way: under the same id, a repeated or resumed publication can append rows
  twice. Therefore an id is written to once, by one process, in one go. (A run that is shown live is sent in one go
  from its first row to its last; failing that, it is published again under another id.) Every attempt to publish
  has its own id, which is in the ledger, on disk, before the server receives it. It begins with `resume="never"`,
  which the client refuses for an id that the server already has; an id chosen by an agent of a W&B sweep is begun
  without that, once. Nothing is assumed about how a server handles what it is sent twice.
- *No run is duplicated.* Once a run has been read back whole, and only then, what was begun for it earlier is
  deleted: the remains of an interrupted attempt, or the older version of a run that was computed again. The id of
  a deleted run cannot be used again (the service answers 409), which does not matter, since none ever is. Those
  who publish the same run take turns; where they cannot, as with a run that is shown live, the later one in the
  ledger's order deletes the earlier one's publication, never the reverse. The ledger is not believed alone: before
  anything is sent, the server is asked for every id that the run was given under another name of the place, and the
  disk for the run's offline folders. A run at the server that the ledger does not know of is never deleted.
- *What is called published has arrived.* The client exits successfully even after losing all rows, so only what
  the API reads back counts.
- *It never waits for long.* The client runs in a separate process, which is killed at its deadline, when
  publishing is stopped, and when its parent is gone, however the parent ended.
"""

from plasticity.track.ledger import Entry, Ledger
from plasticity.track.place import Place
from plasticity.track.publication import Publication
from plasticity.track.publisher import Delivery, Publisher

__all__ = ["Delivery", "Entry", "Ledger", "Place", "Publication", "Publisher"]
