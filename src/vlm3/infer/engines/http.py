"""Asks any OpenAI-compatible server: vLLM, llama.cpp, SGLang, or a commercial one.

Every answer goes to disk when it arrives, so that a run that was cut short goes on where it
stopped and nothing is paid for twice. Answers are kept for a server, a model and what the server
reports of it; where that does not name the weights, a run that uses kept answers says so.
Pictures go first and in the same bytes every time: a server that caches prefixes can. Where the
server lists its likeliest tokens, answers come with their probabilities. Knows no task. Needs the
extra `openai`.
"""

import base64
import hashlib
import io
import os
import random
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from vlm3.errors import InputError, MissingDependencyError, Vlm3Error
from vlm3.infer.decoding.grammar import Grammar
from vlm3.infer.engines.account import Account
from vlm3.infer.engines.answer_cache import AnswerCache
from vlm3.infer.engines.base import Reply, Scene, UInt8
from vlm3.infer.engines.packing import numbered, split
from vlm3.infer.engines.request import Manner
from vlm3.infer.engines.top_logprobs import Step, step
from vlm3.tasks.conversation import openai_messages
from vlm3.tasks.reading import CUT_OFF

_LONGEST_PAUSE_S = 60.0
_REFUSED = (400, 401, 403, 404, 405, 413, 422)
# Part of every key: what was kept before answers told that they were cut off is asked again.
_FORMAT = "2"


class ServerError(Vlm3Error):
    """A server that could not be reached, or went on answering with faults."""


class ServerWarning(UserWarning):
    """A server that refuses what others take, or whose kept answers may be another model's."""


@dataclass(frozen=True)
class _Answer:
    """One answer as it came.

    Attributes:
        text: what was written; None where the message has none.
        steps: likeliest tokens, where they were listed.
        cut: whether the limit ended it.
        thought: whether thinking is in the message.
        fingerprint: of what answered, where the server gives one.
    """

    text: str | None
    steps: tuple[Step, ...] = ()
    cut: bool = False
    thought: bool = False
    fingerprint: str | None = None

    @property
    def wants_room(self) -> bool:
        """Whether thinking took all tokens that were allowed."""
        return self.cut and (self.text is None or self.thought)

    @property
    def words(self) -> str:
        """The text for whoever reads it; one that was cut off says so, and cannot be read."""
        return (self.text or "") + (CUT_OFF if self.cut else "")


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
        identity: what the server reports of the model, as text; answers kept for another are not
            used.
        weights: digest of the model's weights, where the server reports it: then kept answers are
            exactly this model's, and no message is given.
        concurrency: requests at once.
        attempts: how often a request is sent before the run stops.
        timeout_s: of one request.
        pause_s: before the second attempt; doubles, up to a minute.
        packed: questions in one request, for servers that share no prefix; what comes back in
            another number of lines is repeated one by one. One is what models are trained for.
        logprobs: ask for the likeliest tokens of every step; a server that refuses them gets
            requests for fewer, then for none. Not with packed questions.

    Warns:
        ServerWarning: once each: the server takes no temperature or lists no tokens, or answers of
            an earlier run are used and nothing shows that the model is the same.

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
        logprobs: bool = True,
        identity: str = "",
        weights: str | None = None,
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
        self.name = f"openai:{model}"
        self._model = model
        self._where = base_url or "api.openai.com"
        self._concurrency, self._attempts, self._pause_s = concurrency, attempts, pause_s
        self._packed = packed
        self._logprobs = logprobs and packed == 1
        self._manner = Manner() if self._logprobs else Manner(top=0)
        self._lock = threading.Lock()
        self._warm: set[str] = set()
        self._said: set[str] = set()
        self.weights = weights
        self.server = {"server": self._where, "told": identity or None}
        self.account = Account()
        self.kept = 0
        """Answers of earlier runs that were used."""
        told = f"\n{identity}\n{weights or ''}" if identity or weights else ""
        name = hashlib.sha256(f"{self._where}\n{model}{told}".encode()).hexdigest()[:16]
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
        replies = self.reply(scene, questions, max_new_tokens=max_new_tokens)
        return [reply.text for reply in replies]

    def reply(
        self,
        scene: Scene,
        questions: Sequence[str],
        *,
        max_new_tokens: int,
        grammar: Grammar | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> list[Reply]:
        """Answers as `ask` does, with the distribution of every step where the server gives it.

        Args:
            scene: from `open`.
            questions: complete prompts.
            max_new_tokens: an answer that is not finished by then is cut off there.
            grammar: None; a server cannot be held to a form.
            progress: called whenever an answer is there with how many more there are.

        Raises:
            InputError: a grammar; else as `ask`.
            ServerError: as `ask`.
        """
        if not isinstance(scene, _HttpScene):
            raise InputError("this scene is another engine's: open the pictures with this one")
        if grammar is not None:
            raise InputError(
                f"{self.name} runs behind a server, which cannot be held to a form of answers; "
                "leave grammar out"
            )
        keys = {q: self._key(scene, q, max_new_tokens) for q in questions}
        asked = Counter(questions)
        missing = [q for q, key in keys.items() if key not in self._cache]
        self._count(from_cache=len(keys) - len(missing))
        earlier = sum(self._cache.is_earlier(key) for key in keys.values())
        self.kept += earlier
        if earlier and self.weights is None:
            self._say(
                "kept",
                f"{earlier} answers kept from an earlier run with this server; --no-cache asks "
                "again",
            )
        groups = [missing[i : i + self._packed] for i in range(0, len(missing), self._packed)]

        def tell(done: Sequence[str]) -> None:
            if progress is not None and done:
                progress(sum(asked[question] for question in done))

        tell([question for question in keys if question not in set(missing)])
        # The first alone: otherwise all of the first burst miss the server's cache together.
        if groups and scene.digest not in self._warm:
            tell(self._group(scene, groups.pop(0), keys, max_new_tokens))
            self._warm.add(scene.digest)
        for done in self._burst(scene, groups, keys, max_new_tokens):
            tell(done)
        return [self._cache[keys[question]] for question in questions]

    def _key(self, scene: _HttpScene, question: str, max_new_tokens: int) -> str:
        parts = [_FORMAT, scene.digest, question, str(max_new_tokens), str(self._packed)]
        if self._logprobs:
            # An answer that was kept without them does not have them.
            parts.append("logprobs")
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def _burst(
        self,
        scene: _HttpScene,
        groups: Sequence[Sequence[str]],
        keys: Mapping[str, str],
        max_new_tokens: int,
    ) -> Iterator[Sequence[str]]:
        """Asks all groups at once, a few at a time; yields each when it is answered and kept."""
        with ThreadPoolExecutor(self._concurrency) as pool:
            work = [pool.submit(self._group, scene, g, keys, max_new_tokens) for g in groups]
            try:
                for done in as_completed(work):
                    yield done.result()
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
    ) -> Sequence[str]:
        """Asks these and keeps the answers; returns the questions."""
        if len(questions) > 1:
            together = self._request(scene, numbered(questions), max_new_tokens * len(questions))
            texts = None if together.cut else split(together.words, len(questions))
            if texts is not None:
                for question, text in zip(questions, texts, strict=True):
                    self._cache.put(keys[question], prompt=question, text=text)
                return questions
        for question in questions:
            answer = self._request(scene, question, max_new_tokens)
            self._compare(answer.fingerprint)
            self._cache.put(
                keys[question],
                prompt=question,
                text=answer.words,
                steps=answer.steps,
                fingerprint=answer.fingerprint,
                # No answer at all may be the server's bad day: the next run asks again.
                on_disk=answer.text is not None,
            )
        return questions

    def _request(self, scene: _HttpScene, text: str, max_new_tokens: int) -> _Answer:
        """Asks until there is an answer; one without text is requested twice at most."""
        # llama.cpp answers pictures without a vision tower with 500, as if it might work later.
        reason, first, pauses = "", None, self._pauses()
        while True:
            manner, pause_s = self._manner, None
            try:
                answer = self._once(scene, text, max_new_tokens, manner)
            except self._openai.APIStatusError as error:
                if error.status_code in _REFUSED:
                    if self._adapted(manner, error):
                        continue
                    if first is not None:
                        return first
                    raise InputError(
                        f"{self._where} refuses to ask {self._model!r} ({error.status_code}: "
                        f"{_short(error)}); check the model's name, the key and the prompt's length"
                    ) from error
                if scene.urls and "image input is not supported" in _refusal(error):
                    raise InputError(
                        f"{self._where} runs {self._model!r} without eyes: start llama-server with "
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
                self._count(retries=1)
                continue
            usual_s = next(pauses, None)
            if usual_s is None:
                if first is not None:
                    return first
                break
            self._count(retries=1)
            time.sleep(usual_s if pause_s is None else pause_s)
        raise ServerError(
            f"{self._where} did not answer in {self._attempts} attempts ({reason}); answers so far "
            "are kept: mend the server and run the same again"
        )

    def _once(self, scene: _HttpScene, text: str, max_new_tokens: int, manner: Manner) -> _Answer:
        messages: Any = openai_messages(scene.urls, text)
        answer: Any = self._client.chat.completions.create(
            model=self._model, messages=messages, **manner.arguments(max_new_tokens)
        )
        choices = getattr(answer, "choices", None)
        if not choices:
            raise ValueError(f"an answer without text: {str(answer)[:80]!r}")
        found = _read(choices[0], getattr(answer, "system_fingerprint", None))
        used = answer.usage
        details = getattr(used, "prompt_tokens_details", None)
        self._count(
            requests=1,
            prompt_tokens=getattr(used, "prompt_tokens", 0) or 0,
            cached_tokens=getattr(details, "cached_tokens", 0) or 0,
            completion_tokens=getattr(used, "completion_tokens", 0) or 0,
        )
        return found

    def _again(self, manner: Manner, answer: _Answer) -> bool:
        """Whether to ask once more: with room to think, or because nothing came and no reason."""
        if not answer.wants_room:
            return answer.text is None and not answer.thought
        with self._lock:
            if self._manner == manner and manner.may_widen and not manner.room:
                self._manner = manner.widened()
            widened = self._manner.room > manner.room
        if widened:
            self._say(
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
            self._say(note, f"{self._where}: {note}")
        return True

    def _compare(self, fingerprint: str | None) -> None:
        """Tells when kept answers were given by what calls itself something else."""
        others = self._cache.fingerprints
        used = "kept" in self._said
        if used and fingerprint is not None and others and fingerprint not in others:
            self._say(
                "fingerprint",
                f"{self._where} now calls itself {fingerprint[:60]!r}, and kept answers are of "
                f"{sorted(others)[0][:60]!r}; --no-cache asks all of them again",
            )

    def _say(self, what: str, text: str) -> None:
        """A warning, once for this engine."""
        with self._lock:
            if what in self._said:
                return
            self._said.add(what)
        warnings.warn(text, ServerWarning, stacklevel=4)

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


def _refusal(error: Exception) -> str:
    """All that a refusal says: the package leaves out bodies that have not OpenAI's shape."""
    body = getattr(getattr(error, "response", None), "text", "")
    return f"{error} {body}"[:4000]


def _short(error: Exception) -> str:
    said = str(error) if "{" in str(error) else _refusal(error)
    return " ".join(f"{type(error).__name__}: {said}".split())[:160]


def _read(choice: Any, fingerprint: Any) -> _Answer:
    """An answer out of the shapes that servers give it.

    Raises:
        ValueError: it is none.
    """
    message = choice.message
    text: Any = message.content
    if isinstance(text, list):
        # Parts, of which some may be thoughts.
        text = "".join(
            part["text"]
            for part in text
            if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    if text is None:
        text = getattr(message, "refusal", None)
    if text is not None and not isinstance(text, str):
        raise ValueError(f"an answer without text: {str(text)[:80]!r}")
    thought = any(getattr(message, name, None) for name in ("reasoning_content", "reasoning"))
    open_thought = text is not None and "<think>" in text and "</think>" not in text
    cut = choice.finish_reason == "length"
    return _Answer(
        # An empty text beside thoughts is no answer; by itself it is one, though nothing is in it.
        text=None if text is None or (not text.strip() and (thought or cut)) else _whole(text),
        steps=_steps(choice),
        cut=cut,
        thought=thought or open_thought,
        fingerprint=fingerprint if isinstance(fingerprint, str) else None,
    )


def _whole(text: str) -> str:
    """Without half characters, which JSON can carry and no file can."""
    return text.strip().encode("utf-8", "replace").decode()


def _steps(choice: Any) -> tuple[Step, ...]:
    """What the server says of each token; nothing from one that lists none."""
    listed = getattr(getattr(choice, "logprobs", None), "content", None) or ()
    return tuple(
        step(
            one.token,
            one.logprob,
            [(other.token, other.logprob) for other in one.top_logprobs or ()],
        )
        for one in listed
    )
