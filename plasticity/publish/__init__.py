"""Weights & Biases, from plain data: each run published whole, once, and without ever failing a training.

What is promised, and why it holds:

- *No row is doubled.* The client numbers rows onwards from the line count that the server reports, and what
  it sent last may be on its way still: under the same id, a repeated or resumed publication can append rows
  twice. Therefore an id is written to once, by one process, in one go (a run that is shown live: in one go from its
  first row to its last, or else it is published anew under another id). Every attempt to publish has an id of
  its own, which is in the ledger, on disk, before the server hears of it, and is begun with `resume="never"`,
  which the client refuses for an id that the server has; an id that an agent of a W&B sweep chose is begun
  without that, once. Nothing is assumed of how a server takes what it is sent twice.
- *No run is doubled.* Once a run was read back whole, and only then, what was begun for it earlier is
  deleted: the remains of an interrupted attempt, or its older self if it was computed again. The id of a
  deleted run is spent (the service answers 409), which costs nothing where no id is used again. Of two
  processes that publish the same run at once, the later one in the ledger's order deletes the earlier one's
  publication, never the reverse. What the ledger does not know of is never deleted.
- *What is called published has arrived.* The client ends well after losing all rows, so that only what the
  API reads back counts.
- *It never waits for long.* The client runs in a process of its own, which is killed at its deadline, at a
  stop, and when its parent is gone, however that ended.
"""

from plasticity.publish.ledger import Entry, Ledger
from plasticity.publish.publication import Publication
from plasticity.publish.publisher import Outcome, Publisher
from plasticity.publish.target import Target

__all__ = ["Entry", "Ledger", "Outcome", "Publication", "Publisher", "Target"]
