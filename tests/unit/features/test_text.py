from __future__ import annotations

import numpy as np

from shoploom.features.text import Tfidf, hashed_tokens, tokens, words


def test_words_are_normalised_and_split_at_punctuation() -> None:
    assert words("ＣＡＦÉ-crème (2x500 g)") == ["café", "crème", "2x500", "g"]
    assert words("हिन्दी chai") == ["हिन्दी", "chai"]


def test_unspaced_scripts_become_single_characters_and_pairs() -> None:
    assert words("新款T恤") == ["新款", "t", "恤"]
    assert tokens("新款裙") == ["新", "款", "裙", "新款", "款裙"]


def test_hashed_tokens_of_each_text_do_not_depend_on_its_neighbours() -> None:
    texts = ["red mug", "", "blue mug", "red mug"]
    offsets, ids = hashed_tokens(texts, 1000)
    parts = [ids[offsets[n] : offsets[n + 1]] for n in range(4)]
    assert [len(part) for part in parts] == [14, 0, 17, 14]  # (1 + 3 + 2 + 1) per 3-letter word, 10 for "blue"
    np.testing.assert_array_equal(parts[0], parts[3])
    alone_offsets, alone = hashed_tokens(["blue mug"], 1000)
    np.testing.assert_array_equal(parts[2], alone)
    assert alone_offsets.tolist() == [0, 17]
    assert ids.dtype == np.int32
    assert ids.min() >= 0
    assert ids.max() < 1000


def test_no_texts_give_no_tokens() -> None:
    offsets, ids = hashed_tokens([], 10)
    assert offsets.tolist() == [0]
    assert len(ids) == 0


def test_a_bucket_stays_the_same_in_every_process() -> None:
    # crc32(b"a") = 0xE8B7BE43 = 3904355907; times 2654435761, low 32 bits, mod 97.
    _, ids = hashed_tokens(["a"], 97)
    assert ids[0] == (3904355907 * 2654435761 % 2**32) % 97


def test_tfidf_weights_follow_the_formula() -> None:
    tfidf = Tfidf(buckets=2**16, most=1).fit(["mug mug red", "mug"])
    row = tfidf.transform(["mug mug red"]).toarray().ravel()
    both = np.array([1 + np.log(2), 1 + np.log(3 / 2)])  # "mug" twice, in 2 of 2 texts; "red" once, in 1 of 2
    np.testing.assert_allclose(np.sort(row[row > 0]), np.sort(both / np.linalg.norm(both)), rtol=1e-6)


def test_repeated_titles_have_equal_tokens() -> None:
    texts = [f"product {n % 50} of colour {n % 17}" for n in range(2 * 50 * 17)]
    offsets, ids = hashed_tokens(texts, 2**16)
    assert len(offsets) == len(texts) + 1
    half = offsets[len(texts) // 2]
    assert ids[:half].tolist() == ids[half:].tolist()
