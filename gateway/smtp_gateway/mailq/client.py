"""The commands' side of the socket: one connection, requests one after another, nothing but the standard library.

What goes wrong between a command and the gateway is a `CommandError` with a sentence.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, IncompleteRead
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from smtp_gateway.mailq import place
from smtp_gateway.usage import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from http.client import HTTPResponse
    from pathlib import Path

    from smtp_gateway.mailq.filters import Parameters

    Document = dict[str, Any]

PAGE = 200
"""Messages asked for at a time: the most that the server gives (`mailq.server.MOST`)."""
BLOCK = 64 * 1024


IDS = 100
"""Ids in one question: a request line has 8,190 octets (aiohttp)."""


class RefusedError(CommandError):
    """What was asked about one message cannot be done; others are not concerned."""


class _Connection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = place.connect(self._path)


class Queue:
    """A running gateway's queue, seen from a command."""

    def __init__(self, path: Path) -> None:
        """Ask who listens at *path*; nothing happens before the first question."""
        self._path = path
        self._connection = _Connection(path)
        self.queued = 0
        """Messages in the queue when it was last listed."""

    def pages(self, parameters: Parameters, ids: Sequence[str] = (), limit: int | None = None) -> Iterator[list[Document]]:
        """Give the selected messages in the order of arrival, page by page, *limit* at most; pages may be empty.

        With *ids*, only those; then the order is kept among a hundred of them.
        """
        for named in batches(ids, IDS) or [[]]:
            for page in self._pages((*parameters, *(("id", one) for one in named)), limit):
                limit = None if limit is None else limit - len(page)
                yield page

    def _pages(self, parameters: Parameters, limit: int | None) -> Iterator[list[Document]]:
        after: str | None = ""
        while after is not None and (limit is None or limit > 0):
            most = PAGE if limit is None else min(PAGE, limit)
            answer = self._asked("GET", f"/queue?{urlencode([*parameters, ('limit', most), ('after', after)])}")
            self.queued = answer["queued"]
            yield answer["messages"]
            after = answer["next"]
            limit = None if limit is None else limit - len(answer["messages"])

    def message(self, message_id: str) -> Document:
        """Return a message with its history."""
        return self._asked("GET", f"/queue/{quote(message_id, safe='')}")

    def content(self, message_id: str) -> Iterator[bytes]:
        """Give a message's content in blocks."""
        with self._answer("GET", f"/queue/{quote(message_id, safe='')}/content") as answer:
            while block := answer.read(BLOCK):
                yield block

    def change(self, action: str, ids: Sequence[str]) -> Mapping[str, str]:
        """Do *action* to at most `PAGE` messages; return the results by id."""
        results: Mapping[str, str] = self._asked("POST", f"/queue/{action}", {"ids": ids})["results"]
        return results

    def flush(self) -> None:
        """Let destinations that rest be tried again."""
        self._asked("POST", "/flush")

    def _asked(self, method: str, target: str, document: Document | None = None) -> Document:
        with self._answer(method, target, document) as answer:
            said: Document = json.loads(answer.read())
            return said

    @contextmanager
    def _answer(self, method: str, target: str, document: Document | None = None) -> Iterator[HTTPResponse]:
        whole = False
        """Whether the answer was read to its end, so that the connection can take another request."""
        try:
            self._connection.request(method, target, None if document is None else json.dumps(document))
            answer = self._connection.getresponse()
            if answer.status >= 400:  # noqa: PLR2004 where HTTP's errors begin
                raise RefusedError(json.loads(answer.read())["reason"])
            yield answer
            whole = answer.isclosed()
        except IncompleteRead as fault:
            message = f"{target} came to an early end; the gateway's log says why"
            raise RefusedError(message) from fault
        except TimeoutError as fault:
            message = f"the gateway at {self._path} did not answer within {place.ANSWER:g} s"
            raise CommandError(message) from fault
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as fault:
            message = f"no gateway listens at {self._path}; --socket, --spool or {place.VARIABLE} say where another one does"
            raise CommandError(message) from fault
        except PermissionError as fault:
            message = f"the socket {self._path} belongs to another user"
            raise CommandError(message) from fault
        except (HTTPException, ConnectionError) as fault:
            message = f"the gateway at {self._path} went away"
            raise CommandError(message) from fault
        finally:
            if not whole:
                self._connection.close()


def batches(ids: Sequence[str], most: int = PAGE) -> list[list[str]]:
    """Divide *ids*, each taken once, into batches of at most *most*."""
    once = list(dict.fromkeys(ids))
    return [once[first : first + most] for first in range(0, len(once), most)]
