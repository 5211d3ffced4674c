"""A description of prompt pairs as the Python code that makes it."""

import pprint
from collections.abc import Sequence

from circuitcheck.errors import PromptError
from circuitcheck.prompts.descriptions import Description
from circuitcheck.prompts.slots import Choice, Text
from circuitcheck.prompts.variables.answers import AnswerSpec

_WIDTH = 100


def source_of(pairs: Description) -> str:
    """The call that makes it; raises ``PromptError`` for what no text says: functions, strategies, and rows, which stand in a file."""
    for what, given in (("where", pairs.where), ("answer", pairs.answer), ("foil", pairs.foil)):
        if callable(given):
            raise PromptError(f"{what}= of {pairs!r} is a function, which is not written out")
    if pairs.rows or pairs.generator is not None or pairs.noise or pairs.variables:
        raise PromptError(f"{pairs!r} is not made of templates and slots alone, which could be written out")
    arguments = [_written(pairs.written(number)) for number in range(len(pairs.templates))]
    arguments += [f"{name}={_slot(slot)}" for name, slot in pairs.slots.items()]
    arguments += [f"answer={_answer(pairs.answer)}"]
    arguments += [f"foil={_answer(pairs.foil)}"] if pairs.foil else []
    arguments += [f"distinct={_written(pairs.distinct)}"] if pairs.distinct else []
    arguments += ['merging="as tokens"'] if pairs.as_tokens else []
    return "PromptPairs(\n" + "".join(f"{_indented(one)},\n" for one in arguments) + ")"


def _slot(slot: Choice | Text) -> str:
    if isinstance(slot, Text):
        if slot.clean == slot.corrupt:
            return _written(slot.clean)
        return f"contrast(clean={_written(slot.clean)}, corrupt={_written(slot.corrupt)})"
    clean, corrupt = zip(*slot.options, strict=True)
    if clean == corrupt:
        return _written(dict(zip(clean, slot.weights, strict=True)) if slot.weights else list(clean))
    sides = list(dict.fromkeys(clean)), list(dict.fromkeys(corrupt))
    if list(slot.options) == [(one, other) for one in sides[0] for other in sides[1]]:
        return f"contrast(clean={_written(sides[0])}, corrupt={_written(sides[1])})"
    return f"contrast.pairs({_written(list(slot.options))})"


def _answer(answer: AnswerSpec) -> str:
    return _written(answer if isinstance(answer, str) or not isinstance(answer, Sequence) else list(answer))


def _written(value: object) -> str:
    """As one line where it fits, a string always."""
    return (
        repr(value) if isinstance(value, str) else pprint.pformat(value, width=_WIDTH, compact=True, sort_dicts=False)
    )


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
