"""`smtp-gateway queue ...`: each command as a walk over pages of messages, so that none holds the queue in memory.

Exit codes: 0 done, 1 not everything that was asked for (each reason is a sentence on standard error), 2 refused before anything was done,
130 interrupted, 141 nobody reads standard output any more (as a shell says of SIGINT and SIGPIPE). What was done before an
interruption stays done.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from itertools import chain
from typing import TYPE_CHECKING, Any

from smtp_gateway.mailq import columns, filters
from smtp_gateway.mailq.client import Queue, RefusedError, batches
from smtp_gateway.mailq.consent import Progress, demand
from smtp_gateway.mailq.eml import write_file
from smtp_gateway.mailq.place import place
from smtp_gateway.usage import FAILED, USAGE, CommandError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    Command = Callable[[argparse.Namespace], int]
    Document = dict[str, Any]

_SIGNALLED = 128
_DONE = {"hold": "held", "release": "released", "retry": "due now", "remove": "removed"}
_NOT_DONE = {
    "delivering": "is being delivered: left alone",
    "held": "is held: release it first",
    "absent": "is not in the queue",
    "unwritten": "is as it was: the spool could not write it down, and the gateway's log says why",
}


def attended(command: Command) -> Command:
    """Return *command* with an orderly end for when its reader, or its user, has seen enough."""

    def watched(options: argparse.Namespace) -> int:
        try:
            code = command(options)
            sys.stdout.flush()
        except BrokenPipeError:
            # What is buffered has no reader, and the interpreter would complain about it at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return _SIGNALLED + signal.SIGPIPE
        except KeyboardInterrupt:
            return _SIGNALLED + signal.SIGINT
        return code

    return watched


def show_list(options: argparse.Namespace) -> int:
    """Show what waits."""
    queue = _queue(options)
    wide = options.output == "wide"
    table = columns.Table(columns.WIDE_HEADINGS if wide else columns.HEADINGS)
    cells, progress = columns.wide_row if wide else columns.row, Progress("listed")
    shown: set[str] = set()
    for page in queue.pages(filters.parameters(options, time.time()), options.ids, options.limit):
        rows = (cells(message, time.time()) for message in page)
        lines = map(json.dumps, page) if options.output == "json" else table.lines(rows)
        sys.stdout.writelines(f"{line}\n" for line in lines)
        sys.stdout.flush()
        shown.update(message["id"] for message in page if options.ids)
        progress.add(len(page))
    if not progress.count:
        _say(f"No message matches; {queue.queued} in the queue." if queue.queued else "The queue is empty.")
    return 0 if options.limit else _missing(options, shown)


def show(options: argparse.Namespace) -> int:
    """Tell everything about messages."""
    queue, code = _queue(options), 0
    for number, message_id in enumerate(options.ids):
        try:
            message = queue.message(message_id)
        except RefusedError as refusal:
            code = _complain(str(refusal))
            continue
        if options.output == "json":
            sys.stdout.write(f"{json.dumps(message)}\n")
        else:
            sys.stdout.writelines(f"{line}\n" for line in ([""] if number else []) + [*columns.whole(message, time.time())])
    return code


def change(options: argparse.Namespace) -> int:
    """Hold, release, retry or remove messages."""
    _demand_choice(options)
    queue, parameters = _queue(options), filters.parameters(options, time.time())
    if options.action == "remove":
        demand(options, lambda: queue.pages(parameters, options.ids), "Remove {} for good?")
    progress, code = Progress(_DONE[options.action]), 0
    for ids in _chosen(queue, options, parameters):
        for message_id, result in queue.change(options.action, ids).items():
            code = _tell(options, message_id, result) or code
            progress.add(result == "done")
        sys.stdout.flush()
    progress.close()
    return code


def flush(options: argparse.Namespace) -> int:
    """Make everything due now."""
    queue, progress = _queue(options), Progress("due now")
    queue.flush()
    for page in queue.pages((*filters.parameters(options, time.time()), ("held", "false"))):
        results = queue.change("flush", [message["id"] for message in page])
        progress.add(sum(result == "done" for result in results.values()))
    progress.close()
    return 0


def export(options: argparse.Namespace) -> int:
    """Write the content of messages."""
    _demand_choice(options)
    if options.to is None and len(options.ids) != 1:
        sentence = "more than one message needs a folder to go to: say --to DIR"
        raise CommandError(sentence, USAGE)
    queue, parameters = _queue(options), filters.parameters(options, time.time())
    demand(options, lambda: queue.pages(parameters, options.ids), f"Write the content of {{}} to {options.to or 'standard output'}?")
    progress, code = Progress("exported"), 0
    found: set[str] = set()
    for message in chain.from_iterable(queue.pages(parameters, options.ids)):
        found.add(message["id"])
        failed = _export(queue, message["id"], options)
        code = failed or code
        progress.add(not failed)
    progress.close()
    return _missing(options, found) or code


def _export(queue: Queue, message_id: str, options: argparse.Namespace) -> int:
    try:
        if options.to is None:
            for block in queue.content(message_id):
                sys.stdout.buffer.write(block)
        else:
            sys.stdout.write(f"{write_file(options.to, message_id, queue.content(message_id))}\n")
    except RefusedError as refusal:
        return _complain(str(refusal))
    return 0


def _queue(options: argparse.Namespace) -> Queue:
    return Queue(place(options.socket, options.spool))


def _demand_choice(options: argparse.Namespace) -> None:
    """Refuse to take no choice for a choice of everything."""
    if not (options.all or options.ids or filters.narrow(options)):
        message = f"{options.action} which messages? Name them, choose them with filters, or say --all"
        raise CommandError(message, USAGE)


def _chosen(queue: Queue, options: argparse.Namespace, parameters: filters.Parameters) -> Iterator[list[str]]:
    """Give the ids of the chosen messages in batches: those named as they were named, so that one that is not there is told of."""
    if options.ids and not filters.narrow(options):
        yield from batches(options.ids)
        return
    for page in queue.pages(parameters, options.ids):
        yield [message["id"] for message in page]


def _tell(options: argparse.Namespace, message_id: str, result: str) -> int:
    """Say what became of a message; return the exit code for it."""
    # Mail that left the queue since it was listed, and mail that is being tried when it was to be tried, is as it should be.
    well = result == "done" or (result == "absent" and not options.ids) or (result == "delivering" and options.action == "retry")
    if options.output == "json":
        sys.stdout.write(f"{json.dumps({'id': message_id, 'result': result})}\n")
    elif result == "done":
        sys.stdout.write(f"{message_id} {_DONE[options.action]}\n")
    elif not well:
        _complain(f"{columns.printable(message_id)} {_NOT_DONE[result]}")
    return 0 if well else FAILED


def _missing(options: argparse.Namespace, found: set[str]) -> int:
    """Name the messages that were named and not found, unless a filter may have left them out."""
    absent = [] if filters.narrow(options) else [one for one in dict.fromkeys(options.ids) if one not in found]
    for message_id in absent:
        _complain(f"{columns.printable(message_id)} {_NOT_DONE['absent']}")
    return FAILED if absent else 0


def _complain(sentence: str) -> int:
    _say(f"smtp-gateway: {sentence}")
    return FAILED


def _say(sentence: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"{sentence}\n")
