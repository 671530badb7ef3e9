"""The command line. What goes wrong is one line on standard error and the error's exit code; never a traceback."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import structlog
import typer
from rich.console import Console
from rich.table import Table

from jinliu.options import AS_JSON, OUTPUT, common
from jinliu.settings import Settings, UsageError
from jinliu.stop import Stop
from schemas.errors import CANNOT_GO_ON, DIFFERENT, MISTAKE, JinliuError

DAY_A_SECOND = 86_400.0
STDOUT = 1
STACK, PARTS, LOOK = "Run a stack", "Parts of a stack", "Look at a run"

STAY = Annotated[
    bool, typer.Option("--stay", help="When all is told, stay until stopped: for supervisors that take an end amiss.")
]

UsageMistake: Any = typer.BadParameter.__base__
"""Typer's own click is private; this class of it is the base of all that can be wrong with the words of a command."""

app = typer.Typer(
    name="jinliu",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="jinliu (金流): simulated payments of China as Kafka event streams, with metrics that are proved. "
    "Start with [bold]jinliu up[/bold]; every option is also an environment variable (JINLIU_SEED=8).",
)


def _out(document: Any) -> None:
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"  # else the document escapes what it cannot
    print(json.dumps(document, ensure_ascii=not unicode), flush=True)


@app.command("up", rich_help_panel=STACK)
@common
def up_command(
    settings: Settings,
    once: Annotated[
        bool, typer.Option("--once", help="Run the span to its final windows, print a summary and end.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that fold and merge.")] = 1,
    fresh: Annotated[bool, typer.Option("--fresh", help="Drop what the data directory holds first.")] = False,
    as_json: AS_JSON = False,
) -> None:
    """Everything from one command: Kafka, sources, workers, a live table of the metrics. Ctrl-C ends it; data stays.

    With --once the exit code is 0 only when the run has come to its end; else 1, or 130 after Ctrl-C.
    """
    from jinliu.live import view_for
    from jinliu.up import Plan, up

    speed = settings.pace if settings.speed is not None else (None if once else DAY_A_SECOND)
    ended = up(settings, Plan(workers, once, fresh, speed), view_for(as_json))
    if as_json:
        _out(ended.summary)
    else:
        table = Table(title="Summary", title_justify="left", show_header=False)
        for name, value in ended.summary.items():
            table.add_row(name, _text(value))
        Console().print(table)
    if ended.failure is not None or (once and ended.open):
        print(f"jinliu: {ended.last_line}", file=sys.stderr)
        raise typer.Exit(ended.exit_code)


def _text(value: Any) -> str:
    """A value of the summary for a person."""
    if isinstance(value, dict):
        return ", ".join(f"{topic} {count:,}" for topic, count in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) or "none" if isinstance(value, list) else f"{value:,}"


@app.command("setup", rich_help_panel=STACK)
def setup_command(
    kernels_only: Annotated[
        bool, typer.Option("--kernels-only", help="Only compile the kernels (no embedded Kafka).")
    ] = False,
) -> None:
    """Fetch the embedded Kafka and compile the kernels, once; the other commands do what is missing themselves."""
    from jinliu.warm import warm

    warm(kernels=True, kafka=not kernels_only, say=lambda text: print(text, flush=True))


@app.command("produce", rich_help_panel=PARTS)
@common
def produce_command(
    settings: Settings,
    source: Annotated[
        list[str] | None, typer.Option(help="Source to tell; may be given again. All by default.")
    ] = None,
    stay: STAY = False,
    as_json: AS_JSON = False,
) -> None:
    """Tell sources into Kafka, from where the log stops to the end of the span, no further than the clock's horizon."""
    from jinliu.ready import ready
    from producers.run import produce
    from schemas.memory import keep_freed, leave_start_up_alone

    started = threading.Event()

    def told(_: object) -> None:
        if not started.is_set():
            started.set()
            leave_start_up_alone()
        ready()

    keep_freed()
    settings.source_options("127.0.0.1:1", tuple(source or ()))  # a mistake comes to light before a broker is asked for
    stop = _stop_on_signals()
    with _broker(settings) as address:
        options = settings.source_options(address, tuple(source or ()))
        summary = produce(options, on_progress=told, stop=stop)
    done = {
        "events": dict(summary.events),
        "closed": summary.closed,
        "wall_s": round(summary.wall_s, 2),
        "cpu_s": round(summary.cpu_s, 2),
    }
    if as_json:
        _out(done)
    elif summary.closed and not sum(summary.events.values()):
        named = f"source{'s' if len(options.sources) > 1 else ''} {', '.join(options.sources)}"
        print(f"the run is complete for {named}: nothing to tell", flush=True)
    else:
        end = "and closed" if summary.closed else "and stopped early"
        print(f"told {sum(summary.events.values()):,} events in {summary.wall_s:.1f} s {end}", flush=True)
    if stay:
        stop.wait()


@app.command("process", rich_help_panel=PARTS)
@common
def process_command(
    settings: Settings,
    commit_ms: Annotated[int, typer.Option(min=10, max=60_000, help="Between the transactions of a shard.")] = 500,
    provisional_ms: Annotated[int, typer.Option(min=10, max=600_000, help="Between provisional rows.")] = 1000,
    web_port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port for Prometheus metrics.")] = None,
    web_host: Annotated[str, typer.Option(help="Address for Prometheus metrics.")] = "127.0.0.1",
    as_json: AS_JSON = False,
) -> None:
    """One worker: folds events into metrics, sharing the shards with the prefix's other workers. Runs until stopped."""
    from jinliu.ready import ready
    from schemas.memory import keep_freed
    from streams import metrics
    from streams.worker import run

    keep_freed()
    metrics.load()  # an error in a user's own comes before anything starts
    settings.refuse_another_run()
    stop = _stop_on_signals()

    def told(status: dict[str, Any]) -> None:
        ready()
        if as_json:
            _out(status)

    with _broker(settings) as address:
        options = settings.worker_options(
            address, commit_ms=commit_ms, provisional_ms=provisional_ms, web_port=web_port, web_host=web_host
        )
        run(options, on_status=told, stop=stop)


@app.command("clock", rich_help_panel=PARTS)
@common
def clock_command(
    settings: Settings,
    create_topics: Annotated[
        bool, typer.Option("--create-topics", help="Create the topics that are missing first.")
    ] = False,
    stay: STAY = False,
) -> None:
    """Open the run and move the horizon, the simulated time no source may pass. One clock a run."""
    from jinliu import topics
    from jinliu.ready import ready
    from producers.clock import Clock
    from producers.runrecord import open_run
    from streams import metrics

    if create_topics:
        metrics.load()  # an error in a user's own comes before anything starts
    speed = settings.pace if settings.speed is not None else DAY_A_SECOND
    stop = _stop_on_signals()
    settings.prefix  # noqa: B018  # refused before a broker is started for it
    with _broker(settings) as address:
        if create_topics:
            topics.create(address, settings.prefix, settings.world)
        options = settings.source_options(address)
        run = open_run(options)
        print(f"run {run.id}: {run}", flush=True)
        ready()
        Clock(options, speed).run(stop)
    if stay and not stop.is_set():
        print("every source has closed; staying until stopped", flush=True)
        stop.wait()


@app.command("broker", rich_help_panel=PARTS)
@common
def broker_command(
    settings: Settings, port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on.")] = None
) -> None:
    """The embedded Kafka alone, on the data directory, until stopped."""
    from jinliu import broker as embedded

    address = embedded.running(settings.data)
    if address is not None:
        raise UsageError(f"a broker is running on {settings.data} already, at {address}")
    stop = _stop_on_signals()
    broker = embedded.EmbeddedBroker(settings.data, port).start()
    try:
        print(broker.address, flush=True)
        broker.wait(stop)
    finally:
        broker.stop()


@app.command("watch", rich_help_panel=LOOK)
@common
def watch_command(
    settings: Settings,
    metric: Annotated[str, typer.Argument(help="Metric, such as market-share.")],
    once: Annotated[
        bool, typer.Option("--once", help="End at the end of the topic instead of waiting for more.")
    ] = False,
    final: Annotated[bool, typer.Option("--final", help="Only rows of closed windows.")] = False,
    as_json: AS_JSON = False,
) -> None:
    """Rows of a metric as they come, from the beginning."""
    from jinliu.watch import watch
    from streams import metrics

    metrics.load()
    settings.registry, settings.prefix  # noqa: B018  # refused before a broker is started for it
    if settings.broker is not None:
        with _looking(settings):
            pass  # whether it is there, and the run's schema ids are ours
    stop = _stop_on_signals()
    watch(settings, metric, once=once, final=final, as_json=as_json, stop=stop)
    if once and stop.signal is not None:
        raise typer.Exit(128 + stop.signal)


@app.command("topics", rich_help_panel=LOOK)
@common
def topics_command(settings: Settings, as_json: AS_JSON = False) -> None:
    """The run's topics: partitions and how much is in them."""
    from jinliu import topics

    with _looking(settings, reads=False) as address:
        states = topics.states(address, settings.prefix, settings.world)
    if as_json:
        _out({state.name: {"partitions": state.partitions, "records": state.records} for state in states})
        return
    table = Table("topic", "partitions", "records", "what")
    for state in states:
        table.add_row(state.name, str(state.partitions), f"{state.records:,}", state.about)
    Console().print(table)


@app.command("verify", rich_help_panel=LOOK)
@common
def verify_command(settings: Settings, as_json: AS_JSON = False) -> None:
    """Recompute every closed window from the raw events by another path and compare. Exit code 1 on a difference."""
    from jinliu.oracle import verify
    from jinliu.proofview import progress, show

    with _looking(settings) as address, progress() as tell:
        verdict = verify(address, settings.prefix, settings.world, tell, registry=settings.registry)
    document = verdict.as_dict()
    if as_json:
        _out(document)
    else:
        show(verdict)
    if document["different"]:
        raise typer.Exit(DIFFERENT)


@app.command("report", rich_help_panel=LOOK)
@common
def report_command(
    settings: Settings,
    claim: Annotated[list[str] | None, typer.Option(help="Claim id; may be given again. All by default.")] = None,
    as_json: AS_JSON = False,
) -> None:
    """What the paper says against what this run shows: value, interval, verdict and the rows it was read from."""
    from jinliu.proofview import progress
    from jinliu.report import report

    asked = claim or None
    with _looking(settings) as address, progress() as tell:
        found = report(
            address, settings.prefix, settings.world, claims=asked, registry=settings.registry, on_progress=tell
        )
    if as_json:
        _out(found.as_dict())
    else:
        Console().print(found.table())


@app.command("digest", rich_help_panel=LOOK)
@common
def digest_command(
    settings: Settings,
    source: Annotated[list[str] | None, typer.Option(help="Source; may be given again. All by default.")] = None,
    as_json: AS_JSON = False,
) -> None:
    """SHA-256 of each (source, topic, shard) sequence: the same on any machine and for any number of processes.

    Of what topology, seed and span make, told anew: it reads no log and needs no broker.
    """
    from producers.digest import digest

    start, end = settings.span_ms
    options = settings.source_options("127.0.0.1:1", tuple(source or ()))
    found = digest(settings.world, settings.chosen_seed, start, end, options.sources)
    if as_json:
        _out(found)
    else:
        for name, value in found.items():
            print(f"{value}  {name}")


@app.command("clear", rich_help_panel=LOOK)
def clear_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV with what,bank,to,amount_fen,priority.")],
    shortfall: Annotated[
        Literal["nothing", "exclude", "guarantee"],
        typer.Option(help="Where a bank cannot pay its net position: nothing settles, it is excluded, a fund pays."),
    ] = "exclude",
    fund: Annotated[int, typer.Option(min=0, help="What the guarantee fund holds, fen.")] = 0,
    offsetting: Annotated[
        Literal["none", "bilateral", "fifo", "value", "count"],
        typer.Option(help="How queues are offset: value and count pass payments by to settle more."),
    ] = "fifo",
    as_json: AS_JSON = False,
) -> None:
    """Settle the obligations in a file, net and gross, and print the steps. It needs no Kafka.

    Lines of the file are `balance,A,,5000,` and `limit,A,,1000,` (money of a bank) and `pays,A,B,3000,0` (a payment).
    """
    from jinliu import clear, clearview
    from streams.settlement import deferred

    cleared = clear.clear(clear.read(file), deferred.Shortfall(shortfall), fund, clear.Offsetting(offsetting))
    found = clear.as_dict(cleared)
    if as_json:
        _out(found)
    else:
        clearview.show(found, Console())


@app.command("bench", rich_help_panel=LOOK)
def bench_command(
    name: Annotated[list[str] | None, typer.Argument(help="Entries to run; all by default.")] = None,
    events: Annotated[int, typer.Option(min=10_000, help="Events of the larger entries.")] = 4_000_000,
    seconds: Annotated[int, typer.Option(min=5, max=3600, help="Length of the paced entry.")] = 30,
    as_json: Annotated[
        bool, typer.Option("--json", help="Machine-readable output on standard output.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    """Measure CPU per event and events per second: folding, emitting, the whole pipeline, latency, stock Faust."""
    from jinliu.bench import run, show

    found = run(tuple(name or ()), events, seconds)
    if as_json:
        _out(found)
    else:
        show(found)


@contextlib.contextmanager
def _broker(settings: Settings) -> Iterator[str]:
    """The broker named, or that of the data directory, started for the while if it is down.

    Raises SubscriptionError when the broker named does not answer.
    """
    from jinliu import broker as embedded
    from jinliu.subscription import broker_of

    settings.registry  # noqa: B018  # refused before a broker is started for it
    named = settings.broker is not None
    with broker_of(settings.broker, settings.data) if named else embedded.shared(settings.data) as address:
        yield address


@contextlib.contextmanager
def _looking(settings: Settings, reads: bool = True) -> Iterator[str]:
    """Like `_broker`, for commands that need a run to look at. reads: whether they read its records.

    Raises OtherRegistryError when these have other schema ids than the command's.
    """
    from jinliu.subscription import broker_of
    from producers.errors import TopicMissingError
    from producers.runrecord import check_registry
    from streams import metrics

    metrics.load()  # before a broker is started for it
    settings.refuse_another_run()
    registry = settings.registry
    with broker_of(settings.broker, settings.data) as address:
        with contextlib.suppress(TopicMissingError):  # the command says itself that there is nothing
            if reads and settings.broker is not None:
                check_registry(address, settings.prefix, registry)
        yield address


def _stop_on_signals() -> Stop:
    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop.tell)
    return stop


def _logs() -> None:
    """Log lines go to standard error: standard output belongs to results."""
    structlog.configure(
        processors=[
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    for name in ("kafka", "aiokafka"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _mistake(error: Any) -> str:
    """What typer says of the words of a command line, and where the right ones are."""
    said = error.format_message().rstrip(".")
    command = error.ctx.command_path if error.ctx is not None else "jinliu"
    return f"{said[:1].lower()}{said[1:]}; `{command} --help` lists what there is"


def _refuse_empty(words: Sequence[str]) -> None:
    """Raises UsageError for an option with an empty value: of a path it would make the current directory.

    Only a prefix may be empty: it says that there is none.
    """
    for option, value in [word.partition("=")[::2] for word in words if "=" in word] + list(pairwise(words)):
        if option.startswith("--") and option != "--prefix" and not value:
            raise UsageError(f"{option} is given an empty value: name one, or leave the option out")


def _speakable() -> None:
    """Where standard output cannot show a character, `?` stands for it: nothing ends of a name in Chinese.

    Standard error escapes such a one by itself.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _reader_left(error: BaseException) -> bool:
    """Whether it comes of a pipe that nobody reads any more: rich and typer then end with exit code 1."""
    return isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError)


def main() -> None:
    """Entry point of the command `jinliu`."""
    from jinliu.ready import end_with_parent

    _speakable()
    _logs()
    end_with_parent()
    try:
        _refuse_empty(sys.argv[1:])
        # Without words the help is the answer; else a mistake gets our one line instead of typer's box.
        sys.exit(app(prog_name="jinliu", standalone_mode=len(sys.argv) == 1))
    except UsageMistake as error:
        print(f"jinliu: {_mistake(error)}", file=sys.stderr)
        sys.exit(MISTAKE)
    except JinliuError as error:
        print(f"jinliu: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except (BrokenPipeError, SystemExit) as error:
        if not _reader_left(error):
            raise
        # The reader of our output left (`| head`): nothing to say, and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
        sys.exit(0)
    except OSError as error:
        # A directory that cannot be written, a full disk: the system's own words name the place.
        print(f"jinliu: {error}", file=sys.stderr)
        sys.exit(MISTAKE)
    except Exception as error:
        if os.environ.get("JINLIU_DEBUG"):
            raise
        print(f"jinliu: unexpected {type(error).__name__}: {error} (JINLIU_DEBUG=1 shows where)", file=sys.stderr)
        sys.exit(CANNOT_GO_ON)
