"""What was found wrong or doubtful in training data: errors and warnings, how many, and where they stand first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["error", "warning"]
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Wording:
    """How a finding is told: what is so of the rows, and what to do about it."""

    severity: Severity
    message: str
    advice: str


# In the order in which they are told. An error makes a row unfit to be trained on, a warning says what to think about.
WORDINGS: Mapping[str, Wording] = {
    "unreadable": Wording("error", "can't be read", "Mend the line."),
    "no_object": Wording("error", "no JSON object", "One object a line is expected."),
    "rest_row": Wording(
        "error", "pairs that got no label, from a rest file", "Train on the labelled file that lies beside it."
    ),
    "unlabelled": Wording("error", "pairs that nobody has labelled", "Run aifeedback label on them first."),
    "missing": Wording("error", "a field is missing", "Each row needs the fields that the docs name for this trainer."),
    "not_text": Wording(
        "error",
        "a content that is not text would be trained on as its spelling in Python",
        "Write every content as a string.",
    ),
    "more_than_text": Wording(
        "error", "tools, calls of tools or pictures, which these trainers would not be given", "Train on text alone."
    ),
    "mixed_row": Wording(
        "error", "prompt and answers are not all strings or all messages", "Write them alike; label does so."
    ),
    "mixed_file": Wording(
        "error", "strings in a file of messages, or the reverse", "Label with --shape messages, or split the file."
    ),
    "roles": Wording(
        "error",
        "the turns are not a prompt that ends with the user and answers by the assistant",
        "Mend the roles.",
    ),
    "others_in_answer": Wording(
        "error",
        "an answer holds turns of others, whose words would be trained on as the model's own",
        "Put all turns before the last answer into the prompt.",
    ),
    "empty": Wording("error", "an answer to be learnt, or a prompt, in which nothing can be seen", "Remove the row."),
    "same": Wording("error", "chosen and rejected are the same, so there is nothing to learn", "Remove the row."),
    "prompt_repeated": Wording(
        "error",
        "the answers begin with the prompt, which would be trained on twice, as part of the answer",
        "Leave the prompt's turns out of chosen and rejected; aifeedback label does.",
    ),
    "all_repeat": Wording(
        "error",
        "every answer begins with its prompt, which would be trained on twice, as part of the answer",
        "Leave the prompt out of the answers; aifeedback label does.",
    ),
    "transcript": Wording(
        "error",
        "whole Human/Assistant transcripts as answers",
        "Run them through aifeedback label, which reads and writes them turn by turn.",
    ),
    "preference": Wording("error", "a preference that is no number from 0 to 1", "Mend the field."),
    "no_preference": Wording(
        "error", "no preference, which soft labels are made of", "Leave --soft-labels out, or label with aifeedback."
    ),
    "no_doubt_left": Wording(
        "error",
        "every preference is a half, so that soft labels have nothing to teach",
        "Leave --soft-labels out, or label with a critic that can tell.",
    ),
    "thumb": Wording("error", "a thumb that is neither 1 nor -1", "Write 1 for up and -1 for down."),
    "contradiction": Wording("error", "thumb and label contradict each other", "Keep the one that holds."),
    "disliked": Wording(
        "error", "an answer with thumbs down is nothing to imitate", "Train on thumbs with aifeedback train kto."
    ),
    "worse_chosen": Wording(
        "error", "chosen is the worse answer by the row's own preference", "Exchange chosen and rejected."
    ),
    "one_sided": Wording(
        "error", "all thumbs point one way, so there is nothing to tell apart", "Add rows of the other kind."
    ),
    "no_chat_template": Wording(
        "error",
        "messages, and the model's tokenizer has no chat template",
        "Label with --shape strings, or start from a model that has one.",
    ),
    "vocabulary": Wording(
        "error", "tokens for which the model has no embedding", "The tokenizer belongs to another model."
    ),
    "same_after_cut": Wording(
        "error", "chosen and rejected are the same once they are cut", "Raise --max-length, or remove the row."
    ),
    "nothing_left": Wording(
        "error", "no row is left to train on", "The other findings say why; --max-length may help."
    ),
    "prompt_too_long": Wording(
        "warning",
        "the prompt alone fills --max-length: left out, since nothing of the answers would remain",
        "Raise --max-length to train on them.",
    ),
    "completion_cut": Wording(
        "warning", "an answer is cut and loses its end token", "Raise --max-length; the model may learn not to stop."
    ),
    "not_a_prefix": Wording(
        "warning",
        "the prompt's tokens are not the beginning of prompt and answer together, so its end is not trained on",
        "End prompts without a space, or use a chat template that renders prompts alike in both cases.",
    ),
    "special_tokens": Wording(
        "warning", "the text spells a special token, which the tokenizer takes for one", "Remove or rewrite it."
    ),
    "double_bos": Wording("warning", "two begin tokens in a row", "Leave the begin token out of the text."),
    "no_end_token": Wording(
        "warning",
        "the chat template writes no end token after an answer, so the model can't learn to stop",
        "Mend the template.",
    ),
    "plain_text": Wording(
        "warning",
        "strings, and the model has a chat template, without which they are trained on",
        "Label with --shape messages if the model is to be talked to in turns.",
    ),
    "some_repeat": Wording(
        "warning",
        "the answer begins with its prompt",
        "Leave the prompt out where it was put there by whoever wrote the file.",
    ),
    "empty_rejected": Wording(
        "warning",
        "a disliked answer in which nothing can be seen: that not to answer is wrong is all it teaches",
        "Keep it if the model may answer so; leave it out if the answer was lost on the way.",
    ),
    "opposite": Wording("warning", "the same answers with opposite labels", "Decide which one holds."),
    "duplicate": Wording("warning", "the same row once more, so it counts double", "Remove the copies."),
    "below_half": Wording(
        "warning",
        "a preference below 0.5: by its own number the rejected answer is the better one",
        "Check these rows.",
    ),
    "length": Wording(
        "warning",
        "the longer answer is chosen more often than not, and length is easily learnt",
        'See what helps under "When the longer answer is chosen" in docs/training.md.',
    ),
    "plain_dpo": Wording(
        "warning",
        "every preference is 1, so --soft-labels changes nothing: this is plain DPO",
        "Label with a soft critic.",
    ),
    "mostly_half": Wording(
        "warning", "most preferences are a half, from which soft labels learn nothing", "Check how they were labelled."
    ),
    "mixed_sources": Wording("warning", "labels of different making in one run", "Check that this is meant."),
}


@dataclass(slots=True)
class Finding:
    """One kind of finding: how many rows, the first three places and the last. `about` says more where all rows share it."""

    code: str
    count: int = 0
    places: list[str] = field(default_factory=list[str])
    about: str = ""
    last: str = ""

    @property
    def wording(self) -> Wording:
        """How it is told."""
        return WORDINGS[self.code]

    @property
    def message(self) -> str:
        """What was found, in a sentence without its advice."""
        return f"{self.wording.message}{f' ({self.about})' if self.about else ''}"

    def line(self) -> str:
        """All of it in one line."""
        rows = f"{self.count} row{'s' if self.count != 1 else ''}: " if self.count else ""
        where = f" [{'; '.join(self.places)}{'; …' if self.count > len(self.places) else ''}]" if self.places else ""
        return f"{self.wording.severity.capitalize()}: {rows}{self.message}{where}. {self.wording.advice}"


class Findings:
    """All findings of a run."""

    def __init__(self) -> None:
        self._found: dict[str, Finding] = {}

    def add(self, code: str, place: str = "", detail: str = "") -> None:
        """One row more. `place`: FILE, line N; `detail`: what is so of this row. Both halves of a row count once."""
        finding = self._found.setdefault(code, Finding(code))
        if place and place == finding.last:
            return
        finding.last = place
        finding.count += 1
        if place and len(finding.places) < _SHOWN:
            finding.places.append(_one_line(f"{place}: {detail}" if detail else place))

    def say(self, code: str, about: str, count: int = 0) -> None:
        """Something about all rows together; `count` where it can be counted."""
        finding = self._found.setdefault(code, Finding(code))
        finding.about, finding.count = _one_line(about), count or finding.count

    @property
    def all(self) -> Sequence[Finding]:
        """In the order of the table, so errors first."""
        return [self._found[code] for code in WORDINGS if code in self._found]

    @property
    def errors(self) -> Sequence[Finding]:
        """Those that make rows unfit."""
        return [finding for finding in self.all if finding.wording.severity == "error"]

    def as_json(self) -> list[dict[str, object]]:
        """As `training.json` holds them."""
        return [
            {
                "code": finding.code,
                "severity": finding.wording.severity,
                "count": finding.count,
                "message": finding.message,
                "examples": list(finding.places),
            }
            for finding in self.all
        ]


def _one_line(text: str) -> str:
    """What the data say may hold line breaks, control characters and half characters; a message may not."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode() for char in text
    )
