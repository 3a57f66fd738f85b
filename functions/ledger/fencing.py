"""Whether this region may write for a shard: a charge by its lease, everything else by a fresh look at the shard map.

Charges may be written by both regions, which make the same of the same request; the fence is for a region that comes
back with an old map. Nothing else may be: see docs/interfaces.md, "The shard map".
"""

from datetime import datetime, timedelta

from botocore.exceptions import BotoCoreError, ClientError

from payments import clock, regions
from payments.observability import logger

COMMAND_GRACE_SECONDS = 45.0
"""How long after a shard came to a region no command is carried out there: until the last write of the region before
has arrived. That region had its last look at the map when the shard moved, by clocks (or a map that is remembered)
that differ by 5 seconds at most; what it then began runs for 10 seconds at most, the function's time-out; and that
takes 30 seconds at most to be replicated. Should it take longer in spite of that, the card network is the arbiter: of
two contradictory operations it takes one, and the other is taken back (`functions/network/operations.py`)."""


def fenced(shard: int, epoch: int, mapped_at: str) -> bool:
    """Whether a charge may not be written: the map it came by is older than the lease, and the shard has a newer epoch
    and another primary now, or the map cannot be read.

    Within the lease nothing is read.
    """
    age = clock.utc() - datetime.fromisoformat(mapped_at)
    if abs(age) <= timedelta(seconds=regions.LEASE_SECONDS):  # a time to come is no lease either
        return False
    try:
        now = regions.assignment(shard, fresh=True)
    except (BotoCoreError, ClientError) as error:
        logger.error("charge fenced: the shard map cannot be read", extra={"fault": type(error).__name__})
        return True
    lost = now.epoch > epoch and now.primary != regions.here()
    if lost:
        logger.warning("charge fenced", extra={"shard": shard, "epoch": epoch, "now": now.epoch})
    return lost


def refusal(shard: int) -> tuple[str, str] | None:
    """Why nothing but charges may be written for the shard here and now, a code and a sentence, or None.

    `not_primary`: another region writes for it. `shard_moving`: it came here less than `COMMAND_GRACE_SECONDS` ago.
    Always looks at the map anew; raises what its table raises.
    """
    now = regions.assignment(shard, fresh=True)
    if now.primary != regions.here():
        return regions.NOT_PRIMARY, "Another region writes for this shard; ask there."
    if now.since and clock.utc() - datetime.fromisoformat(now.since) < timedelta(seconds=COMMAND_GRACE_SECONDS):
        return regions.SHARD_MOVING, "This shard has just come here; try again in less than a minute."
    return None
