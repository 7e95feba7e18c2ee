"""The openai package against a running stack: chat, streamed and whole, and embeddings."""

import sys
import time

from openai import APIStatusError, OpenAI

QUESTION = "When was the lighthouse at Cape Verin lit for the first time?"
EXPECTED = "14 October 1887"


def main(gateway: str, key: str) -> None:
    client = OpenAI(base_url=f"{gateway}/v1", api_key=key, max_retries=0)
    messages = [{"role": "user", "content": QUESTION}]
    wait_for_the_corpus(client, messages)

    whole = client.chat.completions.create(model="touchstone", messages=messages)
    assert EXPECTED in whole.choices[0].message.content, whole
    assert whole.usage.total_tokens > 0, whole

    options = {"include_usage": True}
    text, usage = "", None
    for chunk in client.chat.completions.create(
        model="touchstone", messages=messages, stream=True, stream_options=options
    ):
        usage = chunk.usage or usage
        if chunk.choices:
            text += chunk.choices[0].delta.content or ""
    assert EXPECTED in text, text
    assert usage is not None and usage.total_tokens > 0

    assert any(model.id == "touchstone" for model in client.models.list())

    # The package asks for base64 unless told otherwise; both notations must agree.
    texts = ["a lighthouse", "маяк"]
    packed = client.embeddings.create(model="hash", input=texts)
    plain = client.embeddings.create(model="hash", input=texts, encoding_format="float")
    for one, other in zip(packed.data, plain.data, strict=True):
        assert len(one.embedding) == len(other.embedding) > 0
        assert all(abs(a - b) < 1e-6 for a, b in zip(one.embedding, other.embedding))

    for call in (
        lambda: client.embeddings.create(model="no-such-model", input="x"),
        lambda: client.chat.completions.create(model="no-such-model", messages=messages),
    ):
        try:
            call()
        except APIStatusError as error:
            assert error.status_code == 404, error
        else:
            raise AssertionError("an unknown model was accepted")
    print("openai package: chat, stream, models and embeddings work")


def wait_for_the_corpus(client: OpenAI, messages: list) -> None:
    """The demo corpus is indexed in the background."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = client.chat.completions.create(model="touchstone", messages=messages)
        if EXPECTED in (answer.choices[0].message.content or ""):
            return
        time.sleep(0.2)
    raise AssertionError(f"the corpus is not indexed: {answer}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
