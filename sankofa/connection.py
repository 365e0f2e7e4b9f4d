"""One HTTP conversation with the service: key, retries, problem documents. Everything above it speaks of jobs and datasets."""

from __future__ import annotations

import contextlib
import email.utils
import json
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, BinaryIO
from urllib.parse import quote

import httpx2

from sankofa.address import find, is_loopback, shown
from sankofa.errors import Busy, InvalidInput, Problem, Refused, Unreachable, refusal

# Answers that say "later"; everything a request does here is safe to repeat, POSTs by their Idempotency-Key.
RETRIED_STATUSES = {429, 502, 503, 504}
ENDED_KEY_CODES = {"expired_key", "revoked_key"}
FIRST_DELAY_SECONDS = 0.25
LONGEST_DELAY_SECONDS = 10.0
# A service that asks for more patience than this is not waited for.
LONGEST_RETRY_AFTER_SECONDS = 60.0

Content = bytes | Callable[[], BinaryIO | AbstractContextManager[Iterable[bytes]]]


def quoted(identifier: str, whose: str) -> str:
    """An id as part of a path. whose: "a job". Raises InvalidInput for what is none."""
    if not isinstance(identifier, str) or not identifier:
        got = repr(identifier) if identifier is None or identifier == "" else type(identifier).__name__
        raise InvalidInput(f"expected the id of {whose}, a text; got {got}")
    return quote(identifier, safe="")


class Connection:
    """Requests to one service. May be used by several threads."""

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        profile: str | None = None,
        timeout_seconds: float = 30.0,
        retries: int = 5,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        found = find(url, api_key, profile)
        self.url, self.api_key, self._key_source = found.url, found.key, found.key_source
        self.timeout_seconds = timeout_seconds
        self._retries = retries
        self._sleep = sleep
        headers = {"User-Agent": "sankofa-python", "Accept": "*/*"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        # A proxy named by the environment does not lead to this machine.
        self._http = httpx2.Client(
            base_url=self.url,
            headers=headers,
            timeout=timeout_seconds,
            transport=transport,
            trust_env=not is_loopback(self.url),
            verify=self.url.startswith("https:"),  # else a list of authorities is read that nobody asks: 50 ms
        )
        self._closed = threading.Event()

    def close(self) -> None:
        """Close the sockets; the connection is of no use afterwards."""
        self._closed.set()
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: object = None,
        content: Content | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        retries: int | None = None,
    ) -> httpx2.Response:
        """The service's 2xx or 304 answer, after retries.

        body: to be sent as JSON. content: the body's bytes, or a function that opens it anew for every attempt.
        files: parts of a form, each a name of a file, its bytes and their type. retries: other than usual.
        Raises Unreachable, or the Refused that the status asks for.
        """
        sent = dict(headers or {})
        if method == "POST":
            sent["Idempotency-Key"] = idempotency_key or uuid.uuid4().hex

        def attempt() -> httpx2.Response:
            with contextlib.ExitStack() as opened:
                sent_content = opened.enter_context(content()) if callable(content) else content
                return self._http.request(
                    method,
                    path,
                    params={name: value for name, value in (params or {}).items() if value is not None},
                    json=body,
                    content=sent_content,
                    files=files,
                    headers=sent,
                    timeout=timeout_seconds or self.timeout_seconds,
                )

        return self._retried(attempt, retries)

    def get(self, path: str, **params: Any) -> Any:
        """The JSON document at `path`."""
        return self.document(self.request("GET", path, params=params))

    def pages(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Every element of the list at `path`, page after page as they are asked for."""
        cursor: str | None = None
        while True:
            page = self.get(path, cursor=cursor, **params)
            yield from page["data"]
            cursor = page.get("next_cursor")
            if not cursor:
                return

    @contextlib.contextmanager
    def download(self, path: str, **params: Any) -> Iterator[httpx2.Response]:
        """The answer with its body still to be read."""

        def attempt() -> httpx2.Response:
            request = self._http.build_request("GET", path, params={name: value for name, value in params.items() if value is not None})
            return self._http.send(request, stream=True)

        response = self._retried(attempt)
        try:
            yield response
        except httpx2.TransportError as error:
            raise Unreachable(f"{shown(self.url)}{path}: the connection broke ({_reason(error)})") from error
        finally:
            response.close()

    @contextlib.contextmanager
    def events(self, path: str, *, last_event_id: str | None, silence_seconds: float) -> Iterator[httpx2.EventSource]:
        """A stream of server-sent events. Raises httpx2.TransportError when it breaks: its reader knows where to go on."""
        headers = {"Last-Event-ID": last_event_id} if last_event_id is not None else {}
        timeout = httpx2.Timeout(self.timeout_seconds, read=silence_seconds)
        with self._http.sse(path, headers=headers, timeout=timeout) as source:
            self._refuse(source.response)
            yield source

    def document(self, response: httpx2.Response) -> Any:
        """The answer's JSON."""
        try:
            return response.json()
        except ValueError as error:
            kind = response.headers.get("content-type", "no content type")
            raise Unreachable(
                f"{shown(str(response.url))} answered {kind} where JSON was expected: is this the address of a Sankofa service?"
            ) from error

    def rest(self, number: int) -> None:
        """Wait before something is tried again, the longer the higher the `number` of times it was tried."""
        self._sleep(_delay_seconds(number))

    def _retried(self, attempt: Callable[[], httpx2.Response], retries: int | None = None) -> httpx2.Response:
        """The answer of `attempt`, made again while the service cannot be reached or asks to come back."""
        started = time.monotonic()
        retries = self._retries if retries is None else retries
        for number in range(retries + 1):
            last = number == retries
            delay = _delay_seconds(number)
            try:
                response = attempt()
                self._refuse(response)
                return response
            except httpx2.TransportError as error:
                if last or self._closed.is_set() or isinstance(error, httpx2.UnsupportedProtocol):
                    tried = f"tried {number + 1} times in {time.monotonic() - started:.1f} s"
                    raise Unreachable(f"cannot reach {shown(self.url)} ({_reason(error)}; {tried}). {self._remedy()}") from error
            except Refused as error:
                if last or error.problem.status not in RETRIED_STATUSES:
                    raise
                asked = _retry_after_seconds(response)
                if asked is not None and asked > LONGEST_RETRY_AFTER_SECONDS:
                    raise Busy(error.problem, f"It asks to come back in {asked:.0f} s.") from None
                delay = delay if asked is None else asked + random.uniform(0, 0.1)
            self._sleep(delay)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _refuse(self, response: httpx2.Response) -> None:
        if response.is_success or response.status_code == 304:
            return
        try:
            document = json.loads(response.read())
        except ValueError:
            document = None
        problem = Problem.from_document(response.status_code, document, response.headers.get("x-request-id"))
        raise refusal(problem, self._remedy_of(problem))

    def _remedy_of(self, problem: Problem) -> str:
        if problem.status != 401:
            return ""
        if problem.code in ENDED_KEY_CODES:
            return f"It came from {self._key_source}. `sankofa keys create NAME` makes another, for those who have an admin key."
        remedy = f"The key sent is not one of this service's; it came from {self._key_source}." if self.api_key else "No key was sent."
        return remedy + " Give it by SANKOFA_API_KEY, --api-key or Client(api_key=...); `sankofa serve` prints the file that holds it."

    def _remedy(self) -> str:
        if is_loopback(self.url):
            return "Is the service running? `sankofa serve` starts it; SANKOFA_URL or --url name another address."
        return "Is the address right, and the service up? It is named by SANKOFA_URL, --url or Client(url=...)."


def _delay_seconds(number: int) -> float:
    """How long to wait before attempt `number` + 1; not the same for all who wait."""
    return float(min(FIRST_DELAY_SECONDS * 2**number, LONGEST_DELAY_SECONDS) * random.uniform(0.5, 1.0))


def _reason(error: Exception) -> str:
    """The transport's complaint in words; some of them have none."""
    return str(error) or type(error).__name__


def _retry_after_seconds(response: httpx2.Response) -> float | None:
    """What `Retry-After` asks for, as seconds or as a date; None without one that can be read."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
