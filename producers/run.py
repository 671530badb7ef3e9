"""`produce`: the sources of one process, from where the log stops to the end of the span."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from producers.errors import OwnershipLostError
from producers.feed import Blocks
from producers.options import Options
from producers.ownership import Ownership, StoppedClaimingError
from producers.policies import Decision
from producers.progress import OnProgress
from producers.runrecord import Run, open_run
from producers.teller import Build, Teller

log = logging.getLogger(__name__)

CLAIMS_MAX = 5
"""Times a source is claimed again without an event acknowledged in between."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a call of `produce` did: events acknowledged by topic, whether the sources are closed, wall and CPU
    seconds."""

    events: Mapping[str, int]
    closed: bool
    wall_s: float
    cpu_s: float


def produce(
    options: Options,
    on_progress: OnProgress | None = None,
    stop: threading.Event | None = None,
    build: Build | None = None,
) -> Summary:
    """Tell the sources of `options` from where the log stops to the end of the span; blocks until then or until `stop`.

    On `stop` everything made is flushed and acknowledged, progress is written and the groups are left: a later call
    goes on exactly there. A source lost while the broker was away, and to nobody, is claimed again. `build` makes one
    generator a source from the levers in force (default: the economy's).

    Raises AlreadyRunningError, OtherRunError, SendError, ResumeError, TopicMissingError, or OwnershipLostError when a
    source is lost over and over without headway.
    """
    wall, cpu = time.monotonic(), time.process_time()
    stop = stop or threading.Event()
    run = open_run(options)
    told: Counter[str] = Counter()
    claims, before = 0, 0
    while True:
        try:
            closed = _tell(options, run, told, on_progress, stop, build or economy_generators)
            break
        except OwnershipLostError as error:
            # A broker that was away forgets its groups. Claiming again tells whether somebody else goes on instead
            # of us (AlreadyRunningError); if not, the log says where to.
            claims, before = (claims + 1 if told.total() == before else 1), told.total()
            if claims > CLAIMS_MAX:
                raise
            log.warning("%s; claiming it again", error)
    return Summary(told, closed, time.monotonic() - wall, time.process_time() - cpu)


def _tell(
    options: Options,
    run: Run,
    told: Counter[str],
    on_progress: OnProgress | None,
    stop: threading.Event,
    build: Build,
) -> bool:
    """Own the sources and tell them as long as they are ours; adds the events acknowledged to `told`. Returns whether
    they are closed."""
    owners = [Ownership(options, source) for source in options.sources]
    try:
        for owner in owners:
            owner.claim(stop)
        teller = Teller(options, run, owners, on_progress, build)
        try:
            teller.run(stop)
            teller.finish()
        finally:
            told.update(teller.events())
            teller.close()
        return teller.closed
    except StoppedClaimingError:
        return False
    finally:
        for owner in owners:
            owner.close()


def economy_generators(options: Options, levers: Sequence[Decision]) -> Mapping[str, Blocks]:
    """Generators of the seeded economy under these live levers, one a source; the topology's own policies hold
    anyway."""
    from producers.economy import Economy
    from producers.generator import Generator

    economy = Economy(options.topology, options.seed, levers)
    return {
        source: Generator(options.topology, options.seed, source, options.start_ms, options.end_ms, economy)
        for source in options.sources
    }
