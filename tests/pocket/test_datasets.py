from collections import Counter

import pytest

from asyndbt.pocket import TASKS, dataset, fragment_vocabulary
from asyndbt.pocket._datasets import CLUED_DIMS, SIZES, Split
from asyndbt.pocket._grammar import is_held_out
from asyndbt.pocket._lexicon import DIMS, INSTRUCTION_WORDS
from asyndbt.pocket._tokenizer import UNKNOWN, Tokenizer


def texts(name: str, split: Split, seed: int = 0) -> list[str]:
    return [
        " ; ".join(row[f] for f in TASKS[name].text_fields) for row in dataset(name, split, seed)
    ]


@pytest.mark.parametrize("name", TASKS)
class TestEveryTask:
    def test_the_splits_have_their_sizes_and_share_no_text(self, name: str) -> None:
        everything = [text for split in SIZES for text in texts(name, split)]
        assert len(set(everything)) == len(everything) == sum(SIZES.values())

    def test_all_texts_are_held_out_from_training(self, name: str) -> None:
        assert all(is_held_out(text) for split in SIZES for text in texts(name, split))

    def test_the_same_seed_gives_the_same_rows_and_another_seed_others(self, name: str) -> None:
        assert dataset(name, "test") == dataset(name, "test", seed=0)
        assert texts(name, "test", 0) != texts(name, "test", 1)

    def test_rows_can_be_changed_without_harm(self, name: str) -> None:
        dataset(name, "test")[0]["label"] = "spoilt"
        assert dataset(name, "test")[0]["label"] in TASKS[name].labels

    def test_rows_have_the_fields_labels_and_sites_of_the_task(self, name: str) -> None:
        task, rows = TASKS[name], dataset(name, "train")
        assert {tuple(sorted(row)) for row in rows} == {
            tuple(sorted((*task.text_fields, "label", "site")))
        }
        assert {row["label"] for row in rows} == set(task.labels)
        assert Counter(row["site"] for row in rows) == dict.fromkeys(task.sites, 160)

    def test_every_site_has_demonstrations_of_every_label(self, name: str) -> None:
        counts = Counter((row["site"], row["label"]) for row in dataset(name, "train"))
        assert len(counts) == 3 * len(TASKS[name].labels)
        assert min(counts.values()) >= 15

    def test_label_words_are_single_known_words(self, name: str) -> None:
        tokenizer = Tokenizer()
        for word in TASKS[name].labels.values():
            assert tokenizer.id_of(word) != UNKNOWN


def test_unknown_names_are_explained() -> None:
    with pytest.raises(ValueError, match=r"task 'sentiment' does not exist.*sentiment-fans"):
        dataset("sentiment", "train")
    with pytest.raises(ValueError, match=r"split 'dev' does not exist.*validation"):
        dataset("paraphrase", "dev")  # type: ignore[arg-type]


def test_the_fragment_vocabulary_is_known_and_lacks_the_withheld_clues() -> None:
    vocabulary, tokenizer = fragment_vocabulary(), Tokenizer()
    assert 150 <= len(vocabulary) <= 250
    assert len(set(vocabulary)) == len(vocabulary)
    assert set(INSTRUCTION_WORDS) <= set(vocabulary)
    assert all(len(tokenizer.encode(word)) == 1 for word in vocabulary)
    for family, dims in DIMS.items():
        for dim in dims:
            offered = {word for words in dim.clues for word in words} & set(vocabulary)
            assert bool(offered) is (dim.name in CLUED_DIMS[family])
