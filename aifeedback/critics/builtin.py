"""A critic that needs no key, no network and no model: it looks at surface features only."""

from __future__ import annotations

from hashlib import sha256

from aifeedback import surface
from aifeedback.errors import GiveUp
from aifeedback.records import Content, Place, Question, Reply, Status, VerdictFormat, text_of
from aifeedback.verdicts import write_answer

BUILTIN_VERSION = 1
"""Goes up with any change that can change a reply: stored replies are found by what was asked, this included."""
MODEL = f"builtin-{BUILTIN_VERSION}"


class BuiltinCritic:
    """Scores each response on its own and prefers the higher score, so both orders always agree.

    Equal scores are a tie. Where a format offers none, a hash of the two texts decides, the same in both orders;
    only two identical texts then get the first place each time, which reconciles to a conflict and never a label.
    """

    name = "builtin"

    async def ask(self, question: Question) -> Reply:
        """Judge the two responses and answer in the form that the question asks for.

        Raises GiveUp where that form has no answer for the verdict.
        """
        place, reasoning = judge(question)
        try:
            answer = write_answer(question.format, place, reasoning)
        except ValueError as error:
            raise GiveUp(str(error), status=Status.FAILED) from error
        return Reply(answer, finish_reason="stop", model=MODEL)


def judge(question: Question) -> tuple[Place, str]:
    """Find the place of the better-looking response, or a tie, and say in one sentence by which features."""
    prompt = _last_request(question.pair.prompt)
    texts = text_of(question.first), text_of(question.second)
    first, second = (surface.features(prompt, text) for text in texts)
    lead = surface.score(first) - surface.score(second)
    if lead > 0:
        return "first", f"Surface features only; for the chosen one speaks: {surface.why(first, second)}."
    if lead < 0:
        return "second", f"Surface features only; for the chosen one speaks: {surface.why(second, first)}."
    if _offers_tie(question.format):
        return "tie", "Surface features only; they tell nothing between the two."
    return _toss(*texts), "Surface features only; they tell nothing between the two, so a toss decided."


def _last_request(prompt: Content) -> str:
    """Of a dialogue the last turn of the user: that is what is being answered."""
    if isinstance(prompt, str):
        return prompt
    return next((turn.content for turn in reversed(prompt) if turn.role == "user"), text_of(prompt))


def _offers_tie(form: VerdictFormat) -> bool:
    try:
        form.answer("tie")
    except KeyError:
        return False
    return True


def _toss(first: str, second: str) -> Place:
    """Toss a coin that falls the same way for the same two texts in either order."""
    low, high = sorted((first, second))
    coin = sha256(f"{len(low)} {low}{high}".encode("utf-8", "surrogatepass")).digest()[0] % 2
    return "first" if first == (low, high)[coin] else "second"
