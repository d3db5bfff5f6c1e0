"""OpenAI's chat completion, as far as this server has it."""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field

from vlm3.server.schema.fields import EXAMPLE_URL, FIELDS_BYTES, LONG_TEXT_BYTES, MOST_WORDS
from vlm3.tasks.conversation import openai_messages


class ImageUrl(BaseModel):
    """A picture of a chat message."""

    url: str = Field(description="data:image/...;base64,...")
    detail: str | None = Field(None, description="has no effect")


class ImagePart(BaseModel):
    """A picture. Pictures stand before the words, wherever they came."""

    type: Literal["image_url"]
    image_url: ImageUrl


class TextPart(BaseModel):
    """Words."""

    type: Literal["text"]
    text: str = Field(max_length=MOST_WORDS)


Part = Annotated[ImagePart | TextPart, Field(discriminator="type")]


class Message(BaseModel):
    """The one message of a chat: pictures and a question."""

    role: str = Field(description="user")
    content: (
        Annotated[str, Field(max_length=MOST_WORDS)] | Annotated[list[Part], Field(max_length=16)]
    )


class StreamOptions(BaseModel):
    """Of a streamed answer."""

    include_usage: bool = False


_EXAMPLE_MESSAGES = openai_messages([EXAMPLE_URL], "How far is the middle of the picture?")


class ChatRequest(BaseModel):
    """OpenAI's chat completion, as far as a greedy model with pictures has it.

    What would change the answer and is not there (tools, n, a temperature, ...) is refused; what
    would not is ignored. The log-probabilities listed are those of digits, signs, the point and
    what ends a number, of which there are fewer than twenty.
    """

    model_config = ConfigDict(extra="allow")
    beside_pictures_bytes: ClassVar[int] = FIELDS_BYTES + 2 * LONG_TEXT_BYTES
    model: str = Field(description="as /v1/models names it")
    messages: Annotated[list[Message], FailFast()] = Field(
        min_length=1, max_length=64, examples=[_EXAMPLE_MESSAGES]
    )
    max_tokens: int | None = Field(None, ge=1, le=4096)
    max_completion_tokens: int | None = Field(None, ge=1, le=4096)
    logprobs: bool | None = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
