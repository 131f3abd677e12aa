"""Words as the search compares them: without case, accents and the separators of thousands."""

import re
import unicodedata

WORD = re.compile(r"\w+")
# 1.450, 1,450, 1 450 and 1'450 are one number.
THOUSANDS = re.compile("(?<=\\d)[.,' \u00a0\u202f\u2019](?=\\d{3}(?!\\d))")
# Turkish has an i without a dot, which Unicode does not decompose.
DOTLESS = str.maketrans("ı", "i")


def words(text: str) -> list[str]:
    """The words of a text, folded: `Künefe 1.450 TL` gives `kunefe`, `1450`, `tl`."""
    plain = unicodedata.normalize("NFKD", text.casefold()).translate(DOTLESS)
    bare = "".join(one for one in plain if not unicodedata.combining(one))
    return WORD.findall(THOUSANDS.sub("", bare))


def trigrams(word: str) -> list[str]:
    """Its pieces of three characters, its beginning and end marked by a blank.

    A short word has some, too: `xl` gives ` xl` and `xl `.
    """
    padded = f" {word} "
    return [padded[place : place + 3] for place in range(len(padded) - 2)]
