"""Surface features and the score made of them."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.surface import Features, features, points, score, why

PLAIN = Features(characters=200, empty=False, repeated=0.0, copied=0.0, on_topic=0.0, refusal=False, unfinished=False)
texts = st.text(max_size=300)


@pytest.mark.parametrize(
    "response",
    ["", "   ", "\n\t\r\n", "\u200b", "\u200d\ufeff", "\u00a0\u2003"],
    ids=["nothing", "spaces", "line breaks", "zero width", "joiners", "unusual spaces"],
)
def test_a_response_with_nothing_to_see_is_empty(response: str):
    assert features("Say something.", response).empty


@pytest.mark.parametrize("response", ["4", ".", "👍", "是", "```", "نعم"], ids=lambda text: text)
def test_a_response_of_one_visible_character_is_not_empty(response: str):
    assert not features("Say something.", response).empty


@pytest.mark.parametrize(
    "response",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, I cannot assist you with this request.",
        "Unfortunately I am unable to provide that.",
        "I won't write a fake review for you.",
        "As an AI language model, I have no opinion.",
        "I must respectfully decline.",
        "I do not think so. I'm not comfortable with that.",
        "Lo siento, pero no puedo ayudar con eso.",
        "Je suis désolé, mais je ne peux pas vous aider.",
        "Dabei kann ich dir leider nicht helfen.",
        "Извините, я не могу помочь с этим.",
        "抱歉，我无法提供这些内容。",
        "申し訳ありませんが、お答えできません。",
        "죄송하지만 도와드릴 수 없습니다.",
        "عذرًا، لا أستطيع مساعدتك في ذلك.",
        "क्षमा करें, मैं इसमें मदद नहीं कर सकता।",
    ],
    ids=lambda text: text[:30],
)
def test_a_refusal_is_recognised_at_the_head(response: str):
    assert features("Tell me.", response).refusal


@pytest.mark.parametrize(
    "response",
    [
        "I'm sorry to hear that. Try a warm bath.",
        "I can't recommend this film enough!",
        "I can't help laughing about it.",
        "I can't help but wonder.",
        "Hi can't help is no sentence.",
        "He can't help you, but I can.",
        "She works as an AI researcher.",
        "You cannot write to a closed file.",
        "Sure! " + "Take the bus to the old town. " * 10 + "I can't help with tickets.",
    ],
    ids=lambda text: text[:30],
)
def test_other_sentences_are_no_refusal(response: str):
    assert not features("Tell me.", response).refusal


@pytest.mark.parametrize(
    "response",
    [
        "First, take the flour,",
        "The steps are:",
        "It has three parts (the first",
        "```python\nprint(1)\n",
        "Take the train to Rome. Then walk to the old",
        "走到车站。然后坐",
        "اذهب إلى المحطة،",
    ],
    ids=["comma", "colon", "bracket", "fence", "within a sentence", "Chinese", "Arabic comma"],
)
def test_a_cut_end_is_unfinished(response: str):
    assert features("Tell me.", response).unfinished


@pytest.mark.parametrize(
    "response",
    [
        "",
        "Paris",
        "the old town",
        "It rains. Take a coat.",
        "Take these.\n\n- flour\n- two eggs",
        "1. Elf\n2. Dwarf",
        "10. Elf",
        "Here it is.\n\n```python\nprint([1, 2])\n```",
        "SELECT * FROM words;",
        "Well done :)",
        "你好。再见。",
        "It is 3.14",
    ],
    ids=lambda text: text[:20] or "nothing",
)
def test_a_whole_answer_is_finished(response: str):
    assert not features("Tell me.", response).unfinished


@pytest.mark.parametrize(
    ("response", "at_least", "at_most"),
    [
        ("", 0.0, 0.0),
        ("Yes.", 0.0, 0.0),
        ("no no", 0.0, 0.0),
        ("One two three four five six.", 0.0, 0.0),
        ("very " * 100, 0.95, 1.0),
        ("I like tea.\nI like tea.\nI like tea.\n", 0.5, 0.7),
        ("我喜欢茶。我喜欢茶。我喜欢茶。", 0.5, 0.7),
        ("मुझे चाय पसंद है। " * 4, 0.6, 0.8),
        ("Die Katze schläft. Der Hund auch, aber draußen im Garten.", 0.0, 0.0),
    ],
    ids=["nothing", "one word", "two words", "no repeats", "one word again", "lines", "Chinese", "Hindi", "German"],
)
def test_repetition_is_the_share_of_word_triples_seen_before(response: str, at_least: float, at_most: float):
    assert at_least <= features("Tell me.", response).repeated <= at_most


@pytest.mark.parametrize(
    ("prompt", "response", "copied"),
    [
        ("Where is the old mill?", "where is the OLD mill", 1.0),
        ("Where is the old mill?", "Behind the church, by the river.", 0.0),
        ("Answer yes or no: is it wet?", "Yes", 0.0),
        ("Hello", "hello!", 1.0),
        ("今天天气怎么样", "今天天气怎么样", 1.0),
        ("", "Anything at all.", 0.0),
        ("Anything", "", 0.0),
    ],
    ids=["echo", "own words", "a word of the prompt", "a one-word echo", "Chinese echo", "no prompt", "no answer"],
)
def test_copying_is_the_share_of_word_triples_that_stand_in_the_prompt(prompt: str, response: str, copied: float):
    assert features(prompt, response).copied == copied


@pytest.mark.parametrize(
    ("prompt", "response", "on_topic"),
    [
        ("How do I boil rice?", "Boil the rice in twice its water.", 1.0),
        ("How do I boil rice?", "Rice, please.", 0.5),
        ("How do I boil rice?", "Dogs bark.", 0.0),
        ("is it so?", "it is so", 0.0),
        ("米饭", "先洗米", 0.5),
        ("Как сварить рис?", "Сварить его просто.", 1.0),
        ("চাল", "চাল", 0.0),
    ],
    ids=["both words", "one of two", "none", "only short words", "Chinese", "Russian", "short Bengali"],
)
def test_on_topic_is_the_share_of_the_prompts_longer_words(prompt: str, response: str, on_topic: float):
    assert features(prompt, response).on_topic == on_topic


@pytest.mark.parametrize("word", ["हिन्दी", "café", "cafe\u0301", "مُحَمَّد", "தமிழ்", "Straße"])
def test_a_word_with_marks_stays_in_one_piece(word: str):
    assert features(f"{word} one two", f"{word} one two").copied == 1.0
    assert features(word, f"{word} one two").copied == 0.0


@pytest.mark.parametrize(
    "worse",
    [
        replace(PLAIN, characters=100),
        replace(PLAIN, empty=True),
        replace(PLAIN, repeated=0.3),
        replace(PLAIN, copied=0.8),
        replace(PLAIN, refusal=True),
        replace(PLAIN, unfinished=True),
    ],
    ids=["shorter", "empty", "repeats", "copies", "refuses", "unfinished"],
)
def test_each_fault_alone_lowers_the_score(worse: Features):
    assert score(worse) < score(PLAIN)


def test_taking_up_the_prompt_raises_the_score_but_quoting_half_of_an_answer_costs_nothing():
    assert score(replace(PLAIN, on_topic=0.5)) > score(PLAIN)
    assert score(replace(PLAIN, copied=0.5)) == score(PLAIN)


def test_a_second_hundred_characters_is_worth_less_than_the_first():
    of = [score(replace(PLAIN, characters=count)) for count in (0, 100, 200)]
    assert of[1] - of[0] > of[2] - of[1] > 0


@given(prompt=texts, response=texts)
def test_no_response_scores_below_an_empty_one(prompt: str, response: str):
    seen = features(prompt, response)
    assert seen.empty or score(seen) > score(features(prompt, ""))


@given(prompt=texts, response=texts)
def test_shares_lie_between_0_and_1_and_the_score_is_the_sum_of_the_points(prompt: str, response: str):
    seen = features(prompt, response)
    assert all(0.0 <= share <= 1.0 for share in (seen.repeated, seen.copied, seen.on_topic))
    assert score(seen) == pytest.approx(sum(points(seen).values()), abs=1e-8)


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_plain_ascii_gives_the_same_words_as_text_with_other_letters(text: str):
    with_other_letters = features(text, text + " ж")
    plain = features(text, text)
    assert plain.on_topic == with_other_letters.on_topic


def test_why_names_the_weightiest_feature_first_and_only_what_speaks_for_it():
    better = replace(PLAIN, characters=1412, on_topic=0.1)
    worse = replace(PLAIN, characters=120, refusal=True, on_topic=0.2)
    assert why(better, worse) == "longer (1,412 against 120 characters); no refusal"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"empty": True}, "not empty"),
        ({"repeated": 0.5}, "less repetition (0% against 50%)"),
        ({"copied": 1.0}, "less copied from the prompt (0% against 100%)"),
        ({"unfinished": True}, "a finished end"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_why_says_each_fault_of_the_other_in_plain_words(fault: dict[str, float], said: str):
    assert why(PLAIN, replace(PLAIN, **fault)) == said


def test_a_megabyte_is_read_in_time_linear_in_its_length():
    def seconds(characters: int) -> float:
        text = " ".join(f"word{number}" for number in range(characters // 10))
        started = time.process_time()
        features("Tell me about words.", text)
        return time.process_time() - started

    assert seconds(1_000_000) < 40 * max(min(seconds(100_000) for _ in range(3)), 0.005)
