"""Usage objects of real servers: what they count, and what is not known."""

from __future__ import annotations

import pytest

from rlm_runs.engine.clients.usage import read_usage, usage_in


def counts(raw, **more):
    usage = read_usage(raw, **more)
    return usage.prompt, usage.cached, usage.cache_write, usage.completion, usage.reasoning


OPENAI = {
    "prompt_tokens": 2006,
    "completion_tokens": 300,
    "total_tokens": 2306,
    "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 192, "accepted_prediction_tokens": 0},
}
DEEPSEEK = {
    "prompt_tokens": 100,
    "completion_tokens": 40,
    "total_tokens": 140,
    "prompt_cache_hit_tokens": 64,
    "prompt_cache_miss_tokens": 36,
    "completion_tokens_details": {"reasoning_tokens": 30},
}
ANTHROPIC = {
    "input_tokens": 21,
    "cache_creation_input_tokens": 188,
    "cache_read_input_tokens": 1000,
    "output_tokens": 393,
}
LITELLM = {
    "prompt_tokens": 1209,
    "completion_tokens": 393,
    "total_tokens": 1602,
    "prompt_tokens_details": {"cached_tokens": 1000, "cache_creation_tokens": 188},
    "cache_creation_input_tokens": 188,
    "cache_read_input_tokens": 1000,
}
BESIDE = {
    "prompt_tokens": 21,
    "completion_tokens": 393,
    "total_tokens": 414,
    "cache_creation_input_tokens": 188,
    "cache_read_input_tokens": 1000,
}
OPENROUTER = {
    "prompt_tokens": 1209,
    "completion_tokens": 60,
    "total_tokens": 1269,
    "cost": 0.0012,
    "prompt_tokens_details": {"cached_tokens": 1000, "cache_write_tokens": 188},
    "completion_tokens_details": {"reasoning_tokens": 20},
}
XAI = {
    "prompt_tokens": 32,
    "completion_tokens": 9,
    "total_tokens": 135,
    "prompt_tokens_details": {"text_tokens": 32, "cached_tokens": 6},
    "completion_tokens_details": {"reasoning_tokens": 94},
}
GEMINI_OPENAI = {"prompt_tokens": 8, "completion_tokens": 10, "total_tokens": 118}
GEMINI = {
    "promptTokenCount": 8,
    "cachedContentTokenCount": 4,
    "candidatesTokenCount": 10,
    "thoughtsTokenCount": 100,
    "totalTokenCount": 118,
}
RESPONSES = {
    "input_tokens": 75,
    "input_tokens_details": {"cached_tokens": 32},
    "output_tokens": 1186,
    "output_tokens_details": {"reasoning_tokens": 1024},
    "total_tokens": 1261,
}
MOONSHOT = {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55, "cached_tokens": 32}
QWEN = {
    "prompt_tokens": 3019,
    "completion_tokens": 104,
    "total_tokens": 3123,
    "prompt_tokens_details": {"cached_tokens": 2048, "cache_creation_input_tokens": 512},
}
SGLANG = {"prompt_tokens": 50, "completion_tokens": 40, "total_tokens": 90, "reasoning_tokens": 30}
BEDROCK = {
    "inputTokens": 30,
    "outputTokens": 628,
    "totalTokens": 758,
    "cacheReadInputTokens": 100,
    "cacheWriteInputTokens": 0,
}
OLLAMA = {"prompt_eval_count": 26, "eval_count": 298, "message": {"content": "not kept"}}
LLAMA_CPP = {"cache_n": 236, "prompt_n": 1, "predicted_n": 35}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(OPENAI, (2006, 1920, None, 300, 192), id="OpenAI"),
        pytest.param(DEEPSEEK, (100, 64, None, 40, 30), id="DeepSeek"),
        pytest.param(ANTHROPIC, (1209, 1000, 188, 393, None), id="Anthropic counts the cache beside the input"),
        pytest.param(LITELLM, (1209, 1000, 188, 393, None), id="LiteLLM counts it within"),
        pytest.param(BESIDE, (1209, 1000, 188, 393, None), id="a gateway that counts it beside"),
        pytest.param(OPENROUTER, (1209, 1000, 188, 60, 20), id="OpenRouter"),
        pytest.param(XAI, (32, 6, None, 103, 94), id="xAI counts reasoning beside the completion"),
        pytest.param(GEMINI_OPENAI, (8, None, None, 110, 100), id="Gemini, OpenAI's form: in the total only"),
        pytest.param(GEMINI, (8, 4, None, 110, 100), id="Gemini"),
        pytest.param(RESPONSES, (75, 32, None, 1186, 1024), id="OpenAI's responses"),
        pytest.param(MOONSHOT, (50, 32, None, 5, None), id="Moonshot"),
        pytest.param(QWEN, (3019, 2048, 512, 104, None), id="Qwen"),
        pytest.param(SGLANG, (50, None, None, 40, 30), id="SGLang"),
        pytest.param(BEDROCK, (130, 100, 0, 628, None), id="Bedrock"),
        pytest.param(OLLAMA, (26, None, None, 298, None), id="Ollama"),
        pytest.param(LLAMA_CPP, (237, 236, None, 35, None), id="llama.cpp's timings"),
        pytest.param({"prompt_tokens": 7.0, "completion_tokens": 2.0}, (7, None, None, 2, None), id="floats"),
    ],
)
def test_counts_of(raw, expected):
    assert counts(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, (None, None, None, None, None)),
        ([], (None, None, None, None, None)),
        ({}, (None, None, None, None, None)),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, (None, None, None, None, None)),
        ({"prompt_tokens": 0, "completion_tokens": 12}, (None, None, None, 12, None)),
        ({"prompt_tokens": 12, "completion_tokens": 0}, (12, None, None, None, None)),
        ({"prompt_tokens": None, "completion_tokens": "5"}, (None, None, None, None, None)),
        ({"prompt_tokens": True, "completion_tokens": -1}, (None, None, None, None, None)),
        ({"prompt_tokens": 10**30, "prompt_tokens_details": [1]}, (None, None, None, None, None)),
    ],
)
def test_a_count_that_cannot_be_is_unknown(raw, expected):
    assert counts(raw) == expected


def test_nothing_that_was_written_is_a_completion_of_no_tokens():
    assert counts({"prompt_tokens": 12, "completion_tokens": 0}, has_text=False)[3] == 0


def test_the_object_is_kept_as_it_came():
    assert read_usage(OPENROUTER).raw == OPENROUTER
    assert "message" not in read_usage(OLLAMA).raw


@pytest.mark.parametrize(
    "body",
    [
        {"usage": MOONSHOT},
        {"usage": None, "choices": [{"usage": MOONSHOT}]},
        {"usage": {}, "x_groq": {"usage": MOONSHOT}},
        {"choices": [], "usageMetadata": MOONSHOT},
        {"meta": {"tokens": MOONSHOT}},
    ],
)
def test_usage_is_found_where_it_stands(body):
    assert usage_in(body) == MOONSHOT


def test_an_object_without_counts_is_kept_all_the_same():
    assert usage_in({"usage": {"cost": 0.5}}) == {"cost": 0.5}
    assert usage_in({"choices": [{}]}) == {}
    assert usage_in({"timings": LLAMA_CPP, "usage": {"prompt_tokens": 237, "completion_tokens": 35}}) == {
        "prompt_tokens": 237,
        "completion_tokens": 35,
    }
