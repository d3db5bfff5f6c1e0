"""Asks any OpenAI-compatible server: vLLM, llama.cpp, SGLang, or a commercial one.

Every answer goes to disk when it arrives, so that a run that was cut short goes on where it
stopped and nothing is paid for twice. Pictures go first and in the same bytes every time: a server
that caches prefixes can. Knows no task. Needs the extra `openai`.
"""

import base64
import hashlib
import io
import os
import random
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from vlm3.errors import InputError, MissingDependencyError, Vlm3Error
from vlm3.infer.answer_cache import AnswerCache
from vlm3.infer.engine import Scene, UInt8

_LONGEST_PAUSE_S = 60.0
_NUMBERED = re.compile(r"\s*([0-9]{1,3})[.):]\s*(.*)")
_REFUSED = (400, 401, 403, 404, 405, 413, 422)


class ServerError(Vlm3Error):
    """A server that could not be reached, or went on answering with faults."""


@dataclass(frozen=True)
class Account:
    """What a run took.

    Attributes:
        requests: that were answered.
        retries: that had to be sent again.
        from_cache: questions that were not sent, because an earlier run had their answers.
        prompt_tokens: as the server counts them.
        cached_tokens: of them, those it had in its cache.
        completion_tokens: as the server counts them.
    """

    requests: int = 0
    retries: int = 0
    from_cache: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0

    def plus(self, **more: int) -> "Account":
        """With more of something."""
        return replace(self, **{name: getattr(self, name) + n for name, n in more.items()})

    def cost(self, *, prompt: float, completion: float, cached: float | None = None) -> float:
        """The price, from prices of a million tokens; cached ones cost as others if not given."""
        plain = self.prompt_tokens - self.cached_tokens
        held = self.cached_tokens * (prompt if cached is None else cached)
        return (plain * prompt + held + self.completion_tokens * completion) / 1e6


@dataclass(frozen=True)
class _HttpScene(Scene):
    """Pictures as the API takes them, and a name for them."""

    urls: tuple[str, ...] = ()
    digest: str = ""


class HttpEngine:
    """Answers from an OpenAI-compatible server.

    Args:
        model: the model's name there.
        base_url: of the API, such as "http://localhost:8000/v1"; OpenAI's own when None.
        api_key: from the environment (OPENAI_API_KEY) when None; local servers need none.
        cache: folder for answers; None keeps them for this object's life only.
        concurrency: requests at once.
        attempts: how often a request is sent before the run stops.
        timeout_s: of one request.
        pause_s: before the second attempt; doubles, up to a minute.
        packed: questions in one request, for servers that share no prefix; what comes back in
            another number of lines is asked again one by one. One is what models are trained for.

    Raises:
        InputError: OpenAI's own server without a key.
        MissingDependencyError: without the `openai` package.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        cache: str | os.PathLike[str] | None = None,
        concurrency: int = 8,
        attempts: int = 6,
        timeout_s: float = 120.0,
        pause_s: float = 1.0,
        packed: int = 1,
    ) -> None:
        try:
            import openai
        except ImportError as error:
            raise MissingDependencyError(
                'asking a server needs the openai package: pip install "vlm3[openai]"'
            ) from error
        self._openai = openai
        key = api_key or os.environ.get("OPENAI_API_KEY")
        if key is None and base_url is None:
            raise InputError("OpenAI needs a key: set OPENAI_API_KEY, or give --base-url")
        # Attempts are counted here, where answers are also kept.
        self._client = openai.OpenAI(
            api_key=key or "none", base_url=base_url, timeout=timeout_s, max_retries=0
        )
        self.name = f"openai:{model}"
        self._model = model
        self._where = base_url or "api.openai.com"
        self._concurrency, self._attempts, self._pause_s = concurrency, attempts, pause_s
        self._packed = packed
        self._limit_name = "max_tokens"
        self._lock = threading.Lock()
        self._warm: set[str] = set()
        self.account = Account()
        name = hashlib.sha256(f"{self._where}\n{model}".encode()).hexdigest()[:16]
        self._cache = AnswerCache(None if cache is None else Path(cache) / f"{name}.jsonl")

    def open(self, images: Sequence[UInt8]) -> Scene:
        """Packs the pictures, without loss."""
        urls, digest = [], hashlib.sha256()
        for image in images:
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "PNG")
            data = base64.b64encode(buffer.getvalue()).decode()
            # Of the pixels: another version of the packer may write other bytes.
            digest.update(repr(image.shape).encode() + image.tobytes())
            urls.append(f"data:image/png;base64,{data}")
        return _HttpScene(tuple(images), tuple(urls), digest.hexdigest())

    def ask(self, scene: Scene, questions: Sequence[str], *, max_new_tokens: int) -> list[str]:
        """Answers every question; those answered before, from the cache.

        Raises:
            InputError: the server refuses the request (no such model, no such key, too long).
            ServerError: it cannot be reached, or every attempt at a question failed. What was
                answered until then is kept.
        """
        if not isinstance(scene, _HttpScene):
            raise InputError("this scene is another engine's: open the pictures with this one")
        keys = {q: self._key(scene, q, max_new_tokens) for q in questions}
        missing = [q for q, key in keys.items() if key not in self._cache]
        self._count(from_cache=len(keys) - len(missing))
        groups = [missing[i : i + self._packed] for i in range(0, len(missing), self._packed)]
        # The first alone: otherwise all of the first burst miss the server's cache together.
        if groups and scene.digest not in self._warm:
            self._group(scene, groups.pop(0), keys, max_new_tokens)
            self._warm.add(scene.digest)
        self._burst(scene, groups, keys, max_new_tokens)
        return [self._cache[keys[question]] for question in questions]

    def _key(self, scene: _HttpScene, question: str, max_new_tokens: int) -> str:
        parts = (scene.digest, question, str(max_new_tokens), str(self._packed))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def _burst(
        self,
        scene: _HttpScene,
        groups: Sequence[Sequence[str]],
        keys: Mapping[str, str],
        max_new_tokens: int,
    ) -> None:
        with ThreadPoolExecutor(self._concurrency) as pool:
            work = [pool.submit(self._group, scene, g, keys, max_new_tokens) for g in groups]
            try:
                for done in as_completed(work):
                    done.result()
            except BaseException:
                # What is under way is waited for and kept, what has not begun is not sent.
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _group(
        self,
        scene: _HttpScene,
        questions: Sequence[str],
        keys: Mapping[str, str],
        max_new_tokens: int,
    ) -> None:
        if len(questions) > 1:
            together = self._request(scene, _numbered(questions), max_new_tokens * len(questions))
            texts = _split(together, len(questions))
            if texts is not None:
                for question, text in zip(questions, texts, strict=True):
                    self._cache.put(keys[question], prompt=question, text=text)
                return
        for question in questions:
            text = self._request(scene, question, max_new_tokens)
            self._cache.put(keys[question], prompt=question, text=text)

    def _request(self, scene: _HttpScene, text: str, max_new_tokens: int) -> str:
        reason = ""
        for pause_s in (*self._pauses(), None):
            try:
                return self._once(scene, text, max_new_tokens)
            except self._openai.APIStatusError as error:
                if error.status_code in _REFUSED:
                    if self._other_limit(error):
                        continue
                    raise InputError(
                        f"{self._where} refuses to ask {self._model!r} ({error.status_code}: "
                        f"{_short(error)}); check the model's name, the key and the prompt's length"
                    ) from error
                reason, after = _short(error), error.response.headers.get("retry-after")
                if pause_s is not None and after is not None and after.strip().isdecimal():
                    pause_s = min(float(after), _LONGEST_PAUSE_S)
            except (self._openai.OpenAIError, ValueError, TypeError) as error:
                # Time-outs, connections that break, and answers that are no answers.
                reason = _short(error)
            if pause_s is not None:
                self._count(retries=1)
                time.sleep(pause_s)
        raise ServerError(
            f"{self._where} did not answer in {self._attempts} attempts ({reason}); answers so far "
            "are kept: mend the server and run the same again"
        )

    def _once(self, scene: _HttpScene, text: str, max_new_tokens: int) -> str:
        content: list[dict[str, Any]] = [
            {"type": "image_url", "image_url": {"url": url}} for url in scene.urls
        ]
        content.append({"type": "text", "text": text})
        # Servers without eyes take plain text only.
        messages: Any = [{"role": "user", "content": content if scene.urls else text}]
        answer: Any = self._client.chat.completions.create(
            model=self._model,
            messages=messages,
            temperature=0,
            extra_body={self._limit_name: max_new_tokens},
        )
        choices = getattr(answer, "choices", None)
        if not choices or not isinstance(choices[0].message.content, str):
            raise ValueError(f"an answer without text: {str(answer)[:80]!r}")
        used = answer.usage
        details = getattr(used, "prompt_tokens_details", None)
        self._count(
            requests=1,
            prompt_tokens=getattr(used, "prompt_tokens", 0) or 0,
            cached_tokens=getattr(details, "cached_tokens", 0) or 0,
            completion_tokens=getattr(used, "completion_tokens", 0) or 0,
        )
        return str(choices[0].message.content).strip()

    def _other_limit(self, error: Exception) -> bool:
        """Newer models of OpenAI's want the limit under another name, and say so."""
        if self._limit_name == "max_tokens" and "max_completion_tokens" in str(error):
            self._limit_name = "max_completion_tokens"
            return True
        return False

    def _pauses(self) -> Iterator[float]:
        for attempt in range(self._attempts - 1):
            # Jitter, so that requests that failed together do not return together.
            yield min(self._pause_s * 2**attempt, _LONGEST_PAUSE_S) * random.uniform(0.5, 1.0)

    def _count(self, **more: int) -> None:
        with self._lock:
            self.account = self.account.plus(**more)


def default_cache() -> Path:
    """Where answers are kept unless a caller says otherwise: VLM3_CACHE, or ~/.cache/vlm3."""
    return Path(os.environ.get("VLM3_CACHE") or "~/.cache/vlm3").expanduser() / "answers"


def _short(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:160]


def _numbered(questions: Sequence[str]) -> str:
    lines = [f"{number}. {question}" for number, question in enumerate(questions, start=1)]
    return "\n".join(
        [
            f"Answer these {len(questions)} questions, each on its own. Write {len(questions)} "
            "lines, each with the number of its question and nothing but the answer.",
            *lines,
        ]
    )


def _split(text: str, count: int) -> list[str] | None:
    """The answers of numbered lines; None unless there is exactly one for each question."""
    found = [_NUMBERED.fullmatch(line) for line in text.splitlines() if line.strip()]
    if [m and int(m[1]) for m in found] != list(range(1, count + 1)):
        return None
    return [m[2].strip() for m in found if m]
