"""Answers from any OpenAI-compatible server: vLLM, llama.cpp, SGLang, or a commercial one.

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
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from vlm3.errors import InputError
from vlm3.infer.engines.account import Account
from vlm3.infer.engines.answer_cache import AnswerCache
from vlm3.infer.engines.base import AnswerOptions, AnswersByReply, Reply, Scene, UInt8
from vlm3.infer.engines.packing import numbered, split
from vlm3.infer.engines.server_client import ServerClient

# Part of every key: what was kept before answers told that they were cut off is asked again.
_FORMAT = "2"


@dataclass(frozen=True)
class _HttpScene(Scene):
    """Pictures as the API takes them, and a name for them."""

    urls: tuple[str, ...] = ()
    digest: str = ""


class HttpEngine(AnswersByReply):
    """Answers from an OpenAI-compatible server; those given before, from the cache.

    `ask` and `reply` raise InputError when the server refuses a request (no such model, no such
    key, too long), and ServerError when it cannot be reached or every attempt at a question failed.
    What was answered until then is kept.

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
        self._logprobs = logprobs and packed == 1
        self._client = ServerClient(
            model,
            base_url=base_url,
            api_key=api_key,
            attempts=attempts,
            timeout_s=timeout_s,
            pause_s=pause_s,
            logprobs=self._logprobs,
        )
        where = self._client.where
        self.name = f"openai:{model}"
        self._concurrency, self._packed = concurrency, packed
        self._warm: set[str] = set()
        self.weights = weights
        self.server = {"server": where, "told": identity or None}
        self.kept = 0
        """Answers of earlier runs that were used."""
        told = f"\n{identity}\n{weights or ''}" if identity or weights else ""
        name = hashlib.sha256(f"{where}\n{model}{told}".encode()).hexdigest()[:16]
        self._cache = AnswerCache(None if cache is None else Path(cache) / f"{name}.jsonl")

    @property
    def account(self) -> Account:
        """Requests, retries and tokens until now."""
        return self._client.account

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

    def _replies(
        self, scene: Scene, questions: Sequence[str], options: AnswerOptions
    ) -> list[Reply]:
        if not isinstance(scene, _HttpScene):
            raise InputError("this scene is another engine's: open the pictures with this one")
        max_new_tokens, progress = options.max_new_tokens, options.progress
        keys = {q: self._key(scene, q, max_new_tokens) for q in questions}
        asked = Counter(questions)
        missing = [q for q, key in keys.items() if key not in self._cache]
        self._client.count(from_cache=len(keys) - len(missing))
        earlier = sum(self._cache.is_earlier(key) for key in keys.values())
        self.kept += earlier
        if earlier and self.weights is None:
            self._client.say(
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
            together = self._client.request(
                scene.urls, numbered(questions), max_new_tokens * len(questions)
            )
            texts = None if together.cut else split(together.words, len(questions))
            if texts is not None:
                for question, text in zip(questions, texts, strict=True):
                    self._cache.put(keys[question], prompt=question, text=text)
                return questions
        for question in questions:
            answer = self._client.request(scene.urls, question, max_new_tokens)
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

    def _compare(self, fingerprint: str | None) -> None:
        """Tells when kept answers were given by what calls itself something else."""
        others = self._cache.fingerprints
        used = self.kept and self.weights is None
        if used and fingerprint is not None and others and fingerprint not in others:
            self._client.say(
                "fingerprint",
                f"{self._client.where} now calls itself {fingerprint[:60]!r}, and kept answers are "
                f"of {sorted(others)[0][:60]!r}; --no-cache asks all of them again",
            )


def default_cache() -> Path:
    """Where answers are kept unless a caller says otherwise: VLM3_CACHE, or ~/.cache/vlm3."""
    return Path(os.environ.get("VLM3_CACHE") or "~/.cache/vlm3").expanduser() / "answers"
