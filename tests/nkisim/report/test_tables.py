"""Plain tables: nothing cut, nothing padded, no character taken for markup."""

from nkisim.report.tables import aligned, labelled


def test_columns_are_as_wide_as_they_must_be_and_lines_end_with_their_text():
    rows = [("name", "n"), ("a_long_name_that_people_paste", "1"), ("b[x]", "100")]
    assert aligned(rows, right=[1]) == [
        "name                             n",
        "a_long_name_that_people_paste    1",
        "b[x]                           100",
    ]


def test_no_rows_are_no_lines():
    assert aligned([]) == labelled([], 80) == []


def test_texts_are_wrapped_behind_their_labels_and_keep_brackets_and_long_words():
    lines = labelled([("a", "pip install 'nkimoe[viz]' " + "w" * 60), ("label", "")], 46)
    assert lines == ["a      pip install 'nkimoe[viz]'", "       " + "w" * 60, "label"]
