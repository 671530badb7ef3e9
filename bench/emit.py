"""CPU of the sources alone: generate, encode and send, acknowledged by a real broker.

`python bench/emit.py BROKER [DAYS] [TOPOLOGY]` tells all sources of a topology from its start at full speed, under a
prefix of its own, and prints one JSON document. It asserts nothing: figures depend on the machine and its load.
"""

import json
import sys
import threading
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jinliu.topics import create
from producers.clock import Clock
from producers.options import Options
from producers.progress import Progress
from producers.run import produce
from topologies import load

WARM = 0.1
"""Share of the span left out of the steady figure: kernels are loaded and buffers grown in it."""


def emit(broker: str, ticks: int, topology: str = "china", compression: str = "lz4") -> dict[str, dict[str, float]]:
    """CPU microseconds of this process (clock included) an event, once warm, and events a second of wall clock."""
    world = load(topology)
    start_ms = world.span.start_ms
    end_ms = start_ms + ticks * world.scale.tick_ms
    options = Options(broker, f"bench-{uuid.uuid4().hex[:8]}.", world, 7, start_ms, end_ms, compression=compression)
    create(broker, options.prefix, world)
    reached: dict[str, Progress] = {}
    warm: list[tuple[float, float, int]] = []

    def progressed(progress: Progress) -> None:
        reached[progress.source] = progress
        least = min(found.tick_end_ms for found in reached.values())
        if not warm and len(reached) == len(options.sources) and least >= start_ms + WARM * (end_ms - start_ms):
            warm.append((time.process_time(), time.monotonic(), sum(found.events for found in reached.values())))

    stop = threading.Event()
    clock = threading.Thread(target=Clock(options, None).run, args=(stop,))
    clock.start()
    try:
        summary = produce(options, progressed)
        cpu, wall = time.process_time(), time.monotonic()
    finally:
        stop.set()
        clock.join()
    cpu_0, wall_0, events_0 = warm[0]
    events = sum(summary.events.values())
    return {
        "emit": {
            "cpu_us_per_event": (cpu - cpu_0) / (events - events_0) * 1e6,
            "events_per_s": (events - events_0) / (wall - wall_0),
            "events": events,
            "cpu_s_in_all": summary.cpu_s,
            "wall_s_in_all": summary.wall_s,
        }
    }


if __name__ == "__main__":
    days = int(sys.argv[2]) if len(sys.argv) > 2 else 180
    print(json.dumps(emit(sys.argv[1], days, *sys.argv[3:]), indent=1))
