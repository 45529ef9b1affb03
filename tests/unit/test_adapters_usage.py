"""Tokens from what command line agents print: their own lines, in pieces, out of order, and nonsense."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import makfs.adapters
from makfs.adapters import usage
from makfs.adapters.table import Adapter, read
from makfs.adapters.tokens import Usage
from makfs.adapters.usage import Meter, Reading, usage_of

FOLDER = Path(makfs.adapters.__file__).parent


def _shipped(name: str) -> Adapter:
    return read(name, tomllib.loads((FOLDER / f"{name}.toml").read_text())["adapter"][name]).over(None)


CLAUDE, CODEX, OPENCODE = _shipped("claude"), _shipped("codex"), _shipped("opencode")


def _line(data: object) -> bytes:
    return json.dumps(data).encode() + b"\n"


def _claude_request(name: str, sent: int, received: int, cached: int = 0) -> bytes:
    told = {"input_tokens": sent, "output_tokens": received, "cache_read_input_tokens": cached}
    return _line({"type": "assistant", "message": {"id": name, "content": [], "usage": told}})


def _claude_result(sent: int, received: int, small: int = 0) -> bytes:
    models = {
        "large": {"inputTokens": sent, "outputTokens": received, "cacheReadInputTokens": 5},
        "small": {"inputTokens": small, "outputTokens": 0, "cacheCreationInputTokens": 3},
    }
    return _line({"type": "result", "result": "mended", "total_cost_usd": 0.25, "modelUsage": models})


# As they print it: claude 2.1, codex 0.171, gemini 0.61, opencode 1.18, qwen 0.15, copilot 1.0, aider 0.86.
SAID: list[tuple[str, list[Any], Usage, str]] = [
    (
        "codex",
        [
            {"type": "thread.started", "thread_id": "01a2"},
            {"type": "item.completed", "item": {"id": "item_0", "type": "error", "message": "Falling back"}},
            {"type": "item.completed", "item": {"id": "item_1", "type": "agent_message", "text": "mended"}},
            {
                "type": "turn.completed",
                "usage": {
                    "input_tokens": 100,
                    "cached_input_tokens": 40,
                    "output_tokens": 7,
                    "reasoning_output_tokens": 2,
                },
            },
        ],
        Usage(100, 7, 40),
        "mended",
    ),
    (
        "gemini",
        [
            {"type": "message", "role": "assistant", "content": "mend", "delta": True},
            {"type": "message", "role": "assistant", "content": "ed", "delta": True},
            {
                "type": "result",
                "status": "success",
                "stats": {
                    "total_tokens": 107,
                    "input_tokens": 100,
                    "output_tokens": 7,
                    "cached": 40,
                    "input": 60,
                },
            },
        ],
        Usage(100, 7, 40),
        "",
    ),
    (
        "opencode",
        [
            {
                "type": "step_finish",
                "part": {
                    "id": f"prt_{number}",
                    "tokens": {
                        "total": 107,
                        "input": 60,
                        "output": 5,
                        "reasoning": 2,
                        "cache": {"write": 10, "read": 30},
                    },
                    "cost": 0.5,
                },
            }
            for number in (1, 2)
        ]
        + [{"type": "text", "part": {"id": "prt_3", "text": "mended"}}],
        Usage(200, 14, 60, 1.0),
        "mended",
    ),
    (
        "qwen",
        [
            {"type": "assistant", "message": {"id": "a", "usage": {"input_tokens": 100, "output_tokens": 7}}},
            {
                "type": "result",
                "subtype": "success",
                "result": "mended",
                "usage": {"input_tokens": 200, "output_tokens": 14, "cache_read_input_tokens": 30},
            },
        ],
        Usage(200, 14, 30),
        "mended",
    ),
    ("copilot", ["Changes    +0 -0", "Tokens     ↑ 1.2k • ↓ 14"], Usage(1200, 14), ""),
    ("copilot", ["Tokens     ↑ 200 (100 cached) • ↓ 14 (3 reasoning)"], Usage(200, 14), ""),
    (
        "aider",
        ["Tokens: 100 sent, 7 received.", "Tokens: 2.3k sent, 12 received. Cost: $0.01"],
        Usage(2400, 19),
        "",
    ),
    ("aider", ["Tokens: 12k sent, 1.0k cache write, 5k cache hit, 9 received."], Usage(12000, 9, 5000), ""),
]


@pytest.mark.parametrize(("name", "lines", "wanted", "answer"), SAID)
def test_meter_reads_what_a_program_prints(name: str, lines: list[Any], wanted: Usage, answer: str) -> None:
    meter = Meter(_shipped(name))
    for line in lines:
        meter.take(line.encode() + b"\n" if isinstance(line, str) else _line(line))
    assert (meter.usage, meter.answer) == (wanted, answer)


def test_request_told_of_in_several_lines_counts_once_and_the_result_wins() -> None:
    """A5."""
    meter = Meter(CLAUDE)
    assert meter.take(_claude_request("a", 100, 1))
    assert meter.take(_claude_request("a", 100, 7, cached=50))
    assert meter.usage == Usage(150, 7, 50)
    meter.take(_claude_request("b", 10, 2))
    assert (meter.usage.tokens, meter.answer) == (169, "")
    meter.take(_claude_result(300, 21, small=11))
    assert (meter.usage, meter.answer) == (Usage(319, 21, 5, 0.25), "mended")
    assert not meter.take(_claude_request("c", 10, 2))


def test_one_line_tells_what_it_is_of() -> None:
    request, result = (
        usage_of(CLAUDE, line) for line in (_claude_request("a", 100, 7), _claude_result(300, 21))
    )
    assert request == Reading(Usage(100, 7), "a", None)
    assert result is not None
    assert (result.part, result.answer) == (None, "mended")
    assert usage_of(CLAUDE, b"type=result") is usage_of(CLAUDE, b'{"type": "user"}') is None


@given(st.lists(st.integers(1, 400), max_size=30))
def test_pieces_in_which_output_comes_do_not_matter(cuts: list[int]) -> None:
    whole = b"noise\n" + _claude_request("a", 100, 7) + b"\n{\n" + _claude_request("b", 1, 1) + b"end"
    meter, place = Meter(CLAUDE), 0
    for cut in cuts:
        meter.take(whole[place : place + cut])
        place += cut
    meter.take(whole[place:])
    assert meter.usage == Usage(101, 8)


def test_last_line_without_an_end_counts_when_the_output_is_over() -> None:
    meter = Meter(CLAUDE)
    meter.take(_claude_result(300, 21).rstrip())
    assert meter.usage == Usage()
    meter.close()
    assert meter.usage.output_tokens == 21


def test_line_longer_than_the_limit_is_not_kept_and_the_next_one_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A3."""
    monkeypatch.setattr(usage, "MAX_LINE_BYTES", 1000)
    meter = Meter(CLAUDE)
    for _ in range(5):
        meter.take(b"{" + b" " * 900)
        assert len(meter._rest) <= 1000
    meter.take(_claude_result(300, 21)[1:])
    assert meter.usage == Usage()
    meter.take(_claude_request("a", 100, 7))
    assert meter.usage == Usage(100, 7)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["input", "cache", "x"]), inner)
    ),
    max_leaves=8,
)


@given(st.lists(_JSON | st.dictionaries(st.just("tokens"), _JSON), max_size=5), st.binary(max_size=30))
def test_nonsense_neither_raises_nor_counts_below_nothing(parts: list[object], noise: bytes) -> None:
    """A4."""
    meter = Meter(OPENCODE)
    before = 0
    for part in parts:
        meter.take(_line({"type": "step_finish", "part": part}) + noise + b"\n")
        assert meter.usage.tokens >= before
        before = meter.usage.tokens
    meter.take(b'{"type":"step_finish","part":' + b"[" * 100_000 + b"\n")


def test_number_that_cannot_be_meant_counts_nothing() -> None:
    meter = Meter(CODEX)
    for odd in (-5, True, "7", 1e300, float("nan"), 10**400, None):
        meter.take(_line({"type": "turn.completed", "usage": {"input_tokens": odd, "output_tokens": 1}}))
        assert meter.usage == Usage(0, 1)
