"""Detects whether a server's error means that the prompt exceeds the context window.

Servers have no common code for it, and their wording varies by version, so the rules match structure: a noun for
the input near a phrase for a limit ("the input (61709 tokens) is longer than the model's context length"), an
exceeded window ("Context size has been exceeded"), a count above a stated limit, or a request for less input.
Other things that can be too long or too many (requests per minute, `max_tokens`, a tool's name, an image) are
excluded first. `tests/engine/clients/refusals.toml` holds the server messages behind the rules.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_LONGEST = 4_000
"""Characters of a message that are examined."""

_TEXT = r"prompts?|inputs?|contexts?|messages|conversation|history|instructions|dialogue|n keep"
_PROMPT = rf"(?:{_TEXT}|tokens?)"
"""Nouns for the prompt."""
_REQUEST = r"(?:contents?|message|requests?|payload|entity|body|sequence|query)"
"""Nouns for the prompt that have other meanings as well."""
_WINDOW = (
    r"(?:context (?:length|len|window|size|limit|budget)|context(?= (?:is|has|was|overflow|exceed))"
    r"|(?:max\w*|total|input|prompt|model|sequence) (?:supported )?(?:context|model|sequence|seq|session|position)"
    r" ?(?:length|len|tokens?|embeddings?|window|size)?|token context|n ctx|num ctx|kv ?cache"
    r"|max req\w*(?: total)? (?:len|tokens)|max\w* (?:allowed )?(?:input|prompt|request|context)"
    r"(?: (?:length|len|tokens?|characters|chars|size|window))?"
    r"|session (?:max )?len(?:gth)?|(?:model|input|prompt) token limit|model maximum|token limit)"
)
_OVER = (
    r"(?:exceed\w*|overflow\w*|surpass\w*|over(?= the)|past(?= the)|beyond|above|too (?:long|large|big|many|much)"
    r"|(?:longer|larger|greater|bigger|higher|more) than|(?:do(?:es)?(?: not|n't)|can ?not|can't|will not) fit"
    r"|not enough|>=?|out of (?:context|window)|is full|reduce|shorten)"
)
_LIMIT = r"(?:limit|max\w*|allowed|permitted|length|len|window|size|capacity|model|supported|range|context)"
_OTHER = (
    r"(?:images?|files?|audio|videos?|attachments?|pdfs?|pages?|tools?|functions?|schema|names?|stops?|logprobs"
    r"|temperature|seeds?|users?|metadata|headers?|urls?|ids?|batch|choices|labels?|time|timeout|deadline|queue|rate"
    r"|retries|connections?|memory|cost|spending|output|response|completion|answer|embeddings?|uploads?|depth)"
)
"""Nouns for other things than the prompt."""

_CODE_OVER = {"exceed", "exceeds", "exceeded", "overflow", "long", "large", "reached"}
_CODE_OTHER = {
    "rate",
    "quota",
    "output",
    "completion",
    "response",
    "name",
    "image",
    "file",
    "time",
    "expired",
    "per",
}
_CODE_OTHER |= {"usage", "access", "auth", "many", "tool", "daily", "monthly", "concurrent", "deadline"}

_THROTTLED = re.compile(
    r"\bper[ -](?:min|minute|second|sec|hour|day|month)\b|\b[tr]p[md]\b|rate.?limit|quota|throttl"
    r"|too many requests|billing|\bcredits?\b|balance|please wait|slow down"
    r"|\b(?:daily|monthly|hourly|usage|spending|plan|trial)\b|concurren(?:t|cy)|time ?limit|timed? ?out"
    r"|(?:took|taking|takes) too long|余额|限流|频率|欠费|配额|额度"
)
_NO_NOUN = re.compile(
    r"input validation error|input should be|invalid[ _](?:input|request)(?:[ _]?error)?"
    r"|bad ?request(?:[ _]?error)?|malformed input|failed request|request ?id\S*|unable to submit request"
)
"""Fixed phrases in which a noun for the prompt means something else."""
_COMPLETION = re.compile(
    r"\bmax (?:new |completion |output |generated |gen )?tokens?\b|\bnum predict\b"
    r"|\b(?:completion|output|generated|generation|response|new|reasoning|thinking) (?:tokens?|length)\b"
)
_AND_COMPLETION = re.compile(r"\s*(?:\+|\band\b|\bplus\b)\s*(?:the |requested |maximum )*completion\b")
_AS_A_LIMIT = re.compile(r"((?:exceed|exceeds|exceeded|than|>) )max tokens")
_PATH = re.compile(r"\b(?:messages|input|tools|prompt|body|contents|system)(?:\[\d+\]|\.\w+|\s?\.\s?\w+)+")
_CONTENT = ("content", "text", "input", "prompt", "parts", "messages")
_IDENTIFIER = re.compile(r"[A-Za-z]+(?:_[A-Za-z]+)+|(?:[A-Z][a-z]+){3,}")
_CHINESE = re.compile(
    r"(?:输入|提示|上下文|prompt|消息|请求|文本|对话|内容|tokens?)[^。;；]{0,20}(?:超长|超过|超出|过长|太长|超限|大于)"
    r"|(?:超过|超出)[^。;；]{0,12}(?:最大长度|上下文|输入长度|长度限制|最大.{0,6}token)"
)

_GAP = rf"(?:(?!\b{_OTHER}\b)[^;\n]){{0,90}}?"
_SAID = [
    # the prompt is too long; the input (9 tokens) is longer than …
    re.compile(rf"\b{_PROMPT}\b{_GAP}\b(?:too (?:long|large|big)|(?:longer|larger|greater|bigger) than)\b"),
    # too many input tokens
    re.compile(
        r"\btoo (?:many|much) (?:input |prompt |context |total )?(?:tokens?|characters|text|input|context)\b"
    ),
    # the input token count exceeds the maximum
    re.compile(
        rf"\b{_PROMPT}\b{_GAP}\b(?:exceed\w*|surpass\w*|overflow\w*|over|above|beyond)\b{_GAP}\b{_LIMIT}\b"
    ),
    # exceed max message tokens; token limit exceeded
    re.compile(
        r"\bexceed\w*\b[^.;\n]{0,40}\b(?:limit|max\w*|allowed)\b[^.;\n]{0,30}\b(?:tokens?|context|prompt|input)"
    ),
    re.compile(r"\btokens? (?:number |count |length )?(?:limit )?(?:is |was |has been |have been )?exceeded\b"),
    # please reduce the length of the messages; try a shorter prompt
    re.compile(
        r"\b(?:reduce|shorten|decrease|truncate|trim)\b[^.;\n]{0,30}"
        r"\b(?:prompts?|inputs?|messages?|context|conversation|history|request)\b"
    ),
    re.compile(r"\b(?:shorter|smaller) (?:prompt|input|message|context|request)"),
    # `inputs` must have less than 4096 tokens; range of input length should be [1, 30720]
    re.compile(
        rf"\b{_PROMPT}\b[^;\n]{{0,60}}\b(?:must|should|can|may|has to|have to|needs to|cannot)\b[^;\n]{{0,30}}"
        r"(?:<=?|\b(?:less|fewer|smaller|lower|shorter) than|\bat most\b|\bno (?:more|longer|larger) than\b"
        r"|\bup to\b|\bwithin\b|\bin range\b|\[ ?\d+ ?,|\bbetween\b|\bexceed)"
    ),
    # the input token count is 32000 but model only supports up to 30720
    re.compile(
        rf"\b{_PROMPT}\b[^;\n]{{0,80}}\b(?:supports?|accepts?|allows?|handles?|takes?)\b[^;\n]{{0,20}}"
        r"\b(?:up to|at most|a maximum of|only|max\w*)\b"
    ),
    # expected maxLength: 50000, actual: 55000; the max input characters is 5120
    re.compile(r"expected max ?length:? \d+,? actual:? \d+"),
    re.compile(r"\bmax\w* (?:input|prompt|context|total)[^.;\n]{0,25}\b(?:is|are|of|size|limit)\b\W{0,3}\d"),
]
_REQUEST_SAID = re.compile(
    rf"\b{_REQUEST}\b{_GAP}\b(?:too (?:long|large|big)|(?:longer|larger|greater|bigger) than"
    rf"|exceed\w*{_GAP}\b{_LIMIT})\b"
)
_ANOTHER_SUBJECT = re.compile(
    rf"\b(?:number|count|size|length|total) of (?:the )?{_OTHER}\b|^\W*(?:the |invalid )?{_OTHER}\b"
    rf"|\b{_OTHER}\b\W{{0,3}}(?:string |array |is |are )?(?:too (?:long|large|big|many)|exceed)"
)
_UNITS = re.compile(
    r"token|length|\blen\b|character|\bchars\b|size|context|window|too (?:long|large|big|many|much)|shorten"
    r"|\b(?:prompt|input)s? exceed"
)
_LOWER_BOUND = re.compile(r"must be (?:greater|larger|more|higher) than (?:or equal to )?\d\b")
_STATED_WINDOW = re.compile(
    rf"{_WINDOW}(?: of (?:this |the )?[^\s,;]+)?\s*(?:is|was|of|to|=|:|\(|only)*\s*(?:only |is |of )*\(?(\d{{2,}})"
)
_STATED_LIMIT = re.compile(
    r"(?:\bmax\w*|\blimit\w*|\bat most|\bup to|\bonly|\bthan|\ballowed|>=?)"
    r"(?: (?:is|of|to|the|length|len|tokens?|size|are))*\W{0,3}(\d{3,})"
)
_NUMBER = re.compile(r"(?<![\w.])\d{2,}(?![\w.]*[a-z]\d)")
_COMPLETION_COUNT = re.compile(r"(\d+) (?:in|for) (?:the|your) completion|(\d+) '?completion\b|too large: (\d+)")


def says_too_long(*, codes: Sequence[str], texts: Sequence[str], status: int) -> bool:
    """Returns whether an error's codes or texts report it. `status` is that of the response or of its body."""
    if any(_code_says(code, nouns={"context", "prompt", "input", "inputs"}) for code in codes):
        return True
    if any(_THROTTLED.search(text.lower()) for text in texts):
        return False
    if any(_code_says(code, nouns={"token", "tokens", "message", "messages"}) for code in codes):
        return True
    return any(_text_says(text[:_LONGEST], status=status) for text in texts)


def _code_says(code: str, *, nouns: set[str]) -> bool:
    """Returns whether a code means it, such as `context_length_exceeded` or `ContextWindowExceededError`."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", code)
    words = {word for word in re.split(r"[^a-z]+", spaced.lower()) if word}
    if len(words) > 8 or words & _CODE_OTHER:
        return False
    if {"request", "large"} <= words:
        return True
    return bool(words & nouns) and bool(words & _CODE_OVER or {"length", "error"} <= words)


def _text_says(text: str, *, status: int) -> bool:
    if any(_code_says(name, nouns={"context", "prompt", "input"}) for name in _IDENTIFIER.findall(text)):
        return True
    said = _plain(text)
    if _CHINESE.search(said):
        return True
    if _LOWER_BOUND.search(said) or _completion_is_over(said):
        return False
    if _window_is_exceeded(said):
        return True
    if status == 429 and not re.search(rf"\b(?:{_TEXT})\b", said):  # tokens alone may be those per minute
        return False
    return _count_is_over(said) or any(map(_sentence_says, re.split(r"(?<=[.!?])\s+|\n|; ", said)))


def _plain(text: str) -> str:
    """Returns the text in lower case with single spaces and no markup; a path is replaced by what it points at."""
    said = text.lower().replace("’", "'")
    said = _PATH.sub(lambda path: " prompt " if _points_at_content(path[0]) else " name ", said)
    said = re.sub(r"'s\b", " of", said)
    said = re.sub(r"[`*\"\\]|(?<=\d)[,_](?=\d{3}\b)", "", said)
    said = re.sub(r"\s+", " ", _NO_NOUN.sub(" ", re.sub(r"[_\-]+", " ", said)))
    return _AND_COMPLETION.sub("", _COMPLETION.sub("completion", _AS_A_LIMIT.sub(r"\1max length", said)))


def _points_at_content(path: str) -> bool:
    return re.findall(r"[a-z]+", path)[-1] in _CONTENT


def _window_is_exceeded(said: str) -> bool:
    """Returns whether a window appears with something over it, or with a count above its stated size."""
    named = re.search(rf"\b{_WINDOW}\b", said)
    if named is None:
        return False
    about_prompt = re.search(rf"\b(?:{_PROMPT}|{_REQUEST})\b", re.sub(rf"\b{_WINDOW}\b", " ", said))
    if "completion" in said and not about_prompt:
        return False
    if re.search(_OVER, said.replace(named[0], " ", 1)):
        return True
    stated = _STATED_WINDOW.search(said)
    return bool(stated and about_prompt and _greatest(said) > int(stated[1]))


def _count_is_over(said: str) -> bool:
    """Returns whether a stated count exceeds its limit, as in `prompt contains 9001 tokens (max 8192)`."""
    if not re.search(rf"\b{_PROMPT}\b", said) or re.search(rf"\b{_OTHER}\b", said):
        return False
    limits = [int(found) for found in _STATED_LIMIT.findall(said)]
    return bool(limits and _UNITS.search(said) and _greatest(said) > min(limits))


def _greatest(said: str) -> int:
    return max((int(number[:18]) for number in _NUMBER.findall(said)), default=0)


def _completion_is_over(said: str) -> bool:
    """Returns whether the requested completion alone exceeds the window, whatever the prompt is."""
    stated = _STATED_WINDOW.search(said)
    asked = [int(number[:18]) for found in _COMPLETION_COUNT.findall(said) for number in found if number]
    return bool(stated and asked and max(asked) >= int(stated[1][:18]))


def _sentence_says(sentence: str) -> bool:
    if not _UNITS.search(sentence):
        return False
    if any(rule.search(sentence) for rule in _SAID):
        return not _ANOTHER_SUBJECT.search(sentence)
    return bool(_REQUEST_SAID.search(sentence)) and not re.search(rf"\b{_OTHER}\b", sentence)
