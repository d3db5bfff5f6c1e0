"""One question to an OpenAI-compatible server: the request, its refusals, another try, the answer.

Servers refuse what others take, answer in several shapes, and fail for a while; what one refuses is
left out from then on, with one warning. Knows neither pictures nor kept answers. Needs the extra
`openai`.
"""

import os
import random
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from vlm3.errors import InputError, MissingDependencyError, Vlm3Error
from vlm3.infer.engines.account import Account
from vlm3.infer.engines.request import Manner
from vlm3.infer.engines.server_answer import Answer, read_answer
from vlm3.tasks.conversation import openai_messages

_LONGEST_PAUSE_S = 60.0
_REFUSED = (400, 401, 403, 404, 405, 413, 422)


class ServerError(Vlm3Error):
    """A server that could not be reached, or went on answering with faults."""


class ServerWarning(UserWarning):
    """A server that refuses what others take, or whose kept answers may be another model's."""


class ServerClient:
    """Requests to one model of a server, from any number of threads.

    Args:
        model: the model's name there.
        logprobs: ask for the likeliest tokens of every step.
        base_url: this and the others are as `HttpEngine` has them.
        api_key: see there.
        attempts: see there.
        timeout_s: see there.
        pause_s: see there.

    Attributes:
        where: the server, for people.
        account: requests, retries and tokens until now.

    Warns:
        ServerWarning: once each: the server takes no temperature, lists no tokens, or thinks.

    Raises:
        InputError: OpenAI's own server without a key.
        MissingDependencyError: without the `openai` package.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None,
        api_key: str | None,
        attempts: int,
        timeout_s: float,
        pause_s: float,
        logprobs: bool,
    ) -> None:
        try:
            import openai
        except ImportError as error:
            raise MissingDependencyError(
                'questions to a server need the openai package: pip install "vlm3[openai]"'
            ) from error
        self._openai = openai
        key = api_key or os.environ.get("OPENAI_API_KEY")
        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
        if key is None and base_url is None:
            raise InputError("OpenAI needs a key: set OPENAI_API_KEY, or give --base-url")
        # Attempts are counted here, where answers are also kept.
        self._client = openai.OpenAI(
            api_key=key or "none", base_url=base_url, timeout=timeout_s, max_retries=0
        )
        self._model = model
        self.where = base_url or "api.openai.com"
        self._attempts, self._pause_s = attempts, pause_s
        self._manner = Manner() if logprobs else Manner(top=0)
        self._lock = threading.Lock()
        self._said: set[str] = set()
        self.account = Account()

    def request(self, urls: Sequence[str], text: str, max_new_tokens: int) -> Answer:
        """Asks until there is an answer; one without text is requested twice at most.

        Args:
            urls: the pictures, as the API takes them.
            text: the prompt.
            max_new_tokens: an answer that is not finished by then is cut off there.

        Raises:
            InputError: the server refuses the request.
            ServerError: it cannot be reached, or every attempt failed.
        """
        # llama.cpp answers pictures without a vision tower with 500, as if it might work later.
        reason, first, pauses = "", None, self._pauses()
        while True:
            manner, pause_s = self._manner, None
            try:
                answer = self._once(urls, text, max_new_tokens, manner)
            except self._openai.APIStatusError as error:
                if error.status_code in _REFUSED:
                    if self._adapted(manner, error):
                        continue
                    if first is not None:
                        return first
                    raise InputError(
                        f"{self.where} refuses to ask {self._model!r} ({error.status_code}: "
                        f"{_short(error)}); check the model's name, the key and the prompt's length"
                    ) from error
                if urls and "image input is not supported" in _refusal(error):
                    raise InputError(
                        f"{self.where} runs {self._model!r} without eyes: start llama-server with "
                        "--mmproj and the file of its vision tower"
                    ) from error
                reason, after = _short(error), error.response.headers.get("retry-after")
                if after is not None and after.strip().isdecimal():
                    pause_s = min(float(after), _LONGEST_PAUSE_S)
            except (self._openai.OpenAIError, ValueError, TypeError) as error:
                # Time-outs, connections that break, and answers that are no answers.
                reason = _short(error)
            else:
                if first is not None or not self._again(manner, answer):
                    return answer
                first = answer
                self.count(retries=1)
                continue
            usual_s = next(pauses, None)
            if usual_s is None:
                if first is not None:
                    return first
                break
            self.count(retries=1)
            time.sleep(usual_s if pause_s is None else pause_s)
        raise ServerError(
            f"{self.where} did not answer in {self._attempts} attempts ({reason}); answers so far "
            "are kept: mend the server and run the same again"
        )

    def _once(self, urls: Sequence[str], text: str, max_new_tokens: int, manner: Manner) -> Answer:
        messages: Any = openai_messages(urls, text)
        answer: Any = self._client.chat.completions.create(
            model=self._model, messages=messages, **manner.arguments(max_new_tokens)
        )
        choices = getattr(answer, "choices", None)
        if not choices:
            raise ValueError(f"an answer without text: {str(answer)[:80]!r}")
        found = read_answer(choices[0], getattr(answer, "system_fingerprint", None))
        used = answer.usage
        details = getattr(used, "prompt_tokens_details", None)
        self.count(
            requests=1,
            prompt_tokens=getattr(used, "prompt_tokens", 0) or 0,
            cached_tokens=getattr(details, "cached_tokens", 0) or 0,
            completion_tokens=getattr(used, "completion_tokens", 0) or 0,
        )
        return found

    def _again(self, manner: Manner, answer: Answer) -> bool:
        """Whether to ask once more: with room to think, or because nothing came and no reason."""
        if not answer.wants_room:
            return answer.text is None and not answer.thought
        with self._lock:
            if self._manner == manner and manner.may_widen and not manner.room:
                self._manner = manner.widened()
            widened = self._manner.room > manner.room
        if widened:
            self.say(
                "room",
                f"{self._model} thinks before it answers: up to {self._manner.room} tokens are "
                "allowed",
            )
        return widened

    def _adapted(self, manner: Manner, error: Exception) -> bool:
        """Whether the next try is asked otherwise than this one was; told once."""
        with self._lock:
            # Another request may have been told already.
            if self._manner != manner:
                return True
            changed = manner.after(_refusal(error))
            if changed is None:
                return False
            self._manner, note = changed
        if note:
            self.say(note, f"{self.where}: {note}")
        return True

    def say(self, what: str, text: str) -> None:
        """A warning, once for what it is about."""
        with self._lock:
            if what in self._said:
                return
            self._said.add(what)
        warnings.warn(text, ServerWarning, stacklevel=4)

    def _pauses(self) -> Iterator[float]:
        for attempt in range(self._attempts - 1):
            # Jitter, so that requests that failed together do not return together.
            yield min(self._pause_s * 2**attempt, _LONGEST_PAUSE_S) * random.uniform(0.5, 1.0)

    def count(self, **more: int) -> None:
        """Adds to the account."""
        with self._lock:
            self.account = self.account.plus(**more)


def _refusal(error: Exception) -> str:
    """All that a refusal says: the package leaves out bodies that have not OpenAI's shape."""
    body = getattr(getattr(error, "response", None), "text", "")
    return f"{error} {body}"[:4000]


def _short(error: Exception) -> str:
    said = str(error) if "{" in str(error) else _refusal(error)
    return " ".join(f"{type(error).__name__}: {said}".split())[:160]
