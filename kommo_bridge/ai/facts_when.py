"""Dates and times of day in a text, in the ways of writing of six languages.

A date may be read as day and month or as month and day, a time without `am` or `pm` as either half
of the day: two agree when they share a reading.
"""

import re
from collections.abc import Iterator

# Day, month, and the year or 0.
Date = tuple[int, int, int]
MONTHS = (
    "january jan enero ene janeiro января январь янв ocak januari",
    "february feb febrero fevereiro fev февраля февраль фев şubat februari",
    "march mar marzo março марта март мар mart maret",
    "april apr abril abr апреля апрель апр nisan",
    "may mayo maio мая май mayıs mei",
    "june jun junio junho июня июнь haziran juni",
    "july jul julio julho июля июль temmuz juli",
    "august aug agosto ago августа август авг ağustos agustus agu",
    "september sep sept septiembre setiembre setembro сентября сентябрь сен сент eylül",
    "october oct octubre outubro октября октябрь окт ekim oktober okt",
    "november nov noviembre novembro ноября ноябрь ноя kasım",
    "december dec diciembre dic dezembro dez декабря декабрь дек aralık desember des",
)
MONTH_OF = {name: number for number, names in enumerate(MONTHS, 1) for name in names.split()}
MONTH = "|".join(sorted(MONTH_OF, key=len, reverse=True))
ORDINAL = r"(?:st|nd|rd|th|º|°|-?го|-?е)?\.?"
JOINER = r"\s?(?:[-–—,]|y|e|and|to|al?|и|по|до|ve|ile|dan|sampai|hingga)\s?"
DAY_FIRST = re.compile(
    rf"(?<![0-9.,:/])(?:(?P<d0>[0-9]{{1,2}}){ORDINAL}{JOINER})?(?P<d1>[0-9]{{1,2}}){ORDINAL}"
    rf"\s?(?:de |of )?(?P<m>{MONTH})(?!\w)\.?(?:,?\s(?:del? )?(?P<y>[0-9]{{4}}))?",
    re.IGNORECASE,
)
MONTH_FIRST = re.compile(
    rf"(?<!\w)(?P<m>{MONTH})\.?\s(?P<d1>[0-9]{{1,2}})(?![0-9:.,]?[0-9]|\s?[%$€]){ORDINAL}(?!\w)"
    rf"(?:,?\s(?P<y>[0-9]{{4}}))?",
    re.IGNORECASE,
)
ISO = re.compile(r"(?<![0-9])([0-9]{4})-([0-9]{2})-([0-9]{2})(?![0-9])")
NUMERIC = re.compile(
    r"(?<![0-9.,:/-])([0-9]{1,2})([./-])([0-9]{1,2})\2([0-9]{4}|[0-9]{2})(?![0-9])"
)
SHORT = re.compile(r"(?<![0-9.,:/])([0-9]{1,2})/([0-9]{1,2})(?![0-9/]|[.,][0-9])")
FRACTIONS = frozenset({"1/2", "1/3", "1/4", "3/4", "2/3", "24/7", "1/1"})

HALF = r"\s?(?:(?P<am>a\.?\s?m\b\.?)|(?P<pm>p\.?\s?m\b\.?))"
PART = (
    r"\s(?:(?P<morning>(?:de la |da )?(?:mañana|manhã)|утра|pagi|in the morning)"
    r"|(?P<evening>(?:de la |da )(?:tarde|noche|noite)|вечера|дня|sore|malam"
    r"|in the (?:afternoon|evening)))(?!\w)"
)
CLOCK = re.compile(
    rf"(?<![0-9.,:/])(?P<h>[0-9]{{1,2}})[:h](?P<m>[0-5][0-9])(?![0-9:])(?:{HALF}|{PART})?",
    re.IGNORECASE,
)
HALF_DAY = re.compile(
    rf"(?<![0-9.,:/])(?P<h>[0-9]{{1,2}})(?:[.](?P<m>[0-5][0-9]))?(?:{HALF}(?!\w)|{PART})",
    re.IGNORECASE,
)
CUE = (
    r"(?<!\w)(?:a las|las|às|as|das|até as|hasta las|at|saat|saatleri|pukul|jam|[вскдо]{1,2}|um)\s"
)
AFTER_CUE = re.compile(
    rf"{CUE}(?P<h>[0-9]{{1,2}})(?:[.](?P<m>[0-5][0-9])|\s?(?:hs?|horas|час\w{{0,2}}|ч|o'clock|WIB"
    r"|WITA|WIT)(?!\w)|(?P<bare>(?![0-9.,:%/]|\s?[^\W\d_]{2})))",
    re.IGNORECASE,
)
SUFFIXED = re.compile(
    r"(?<![0-9.,:/])(?P<h>[0-9]{1,2})[.](?P<m>[0-5][0-9])\s?(?:WIB|WITA|WIT|Uhr|h)(?!\w)"
)
TIMES = (CLOCK, HALF_DAY, SUFFIXED, AFTER_CUE)
NAMED = re.compile(
    r"(?<!\w)(?:(?P<midnight>midnight|medianoche|meia-noite|полноч[ьи]|gece yarısı|tengah malam)"
    r"|noon|midday|mediod[ií]a|meio-dia|полдень|полудня|öğlen?|tengah hari)(?!\w)",
    re.IGNORECASE,
)
RANGE = re.compile(
    r"(?<![0-9.,:/-])(?P<h1>[0-9]{1,2})(?:[.:h](?P<m1>[0-5][0-9]))?\s?h?"
    r"(?:-|–|—|to|till|until|a|às|as|até|hasta|до|по|ile|sampai|hingga|s/d|'[td][ae]n)\s?(?:las )?"
    r"(?P<h2>[0-9]{1,2})(?:[.:h](?P<m2>[0-5][0-9]))?(?![0-9]|-[0-9])",
    re.IGNORECASE,
)
DOTTED = re.compile(r"([0-9]{1,2})[.,]([0-9]{2})")
NOON = 12
HALF_DAY_MINUTES = 12 * 60
DAY_MINUTES = 24 * 60


def dates(text: str) -> Iterator[tuple[int, int, frozenset[Date]]]:
    """From, to, and how it may be read; the longer forms first."""
    for match in DAY_FIRST.finditer(text):
        days = [int(day) for day in (match["d0"], match["d1"]) if day]
        month, year = MONTH_OF[match["m"].lower()], int(match["y"] or 0)
        for day in days if all(_date(day, month, year) for day in days) else ():
            yield *match.span(), _date(day, month, year)
    for match in MONTH_FIRST.finditer(text):
        month, year = MONTH_OF[match["m"].lower()], int(match["y"] or 0)
        yield *match.span(), _date(int(match["d1"]), month, year)
    for match in ISO.finditer(text):
        yield *match.span(), _date(int(match[3]), int(match[2]), int(match[1]))
    for match in NUMERIC.finditer(text):
        year = int(match[4]) + (2000 if len(match[4]) == 2 else 0)  # noqa: PLR2004
        yield *match.span(), either_way(int(match[1]), int(match[3]), year)
    for match in SHORT.finditer(text):
        if match[0] not in FRACTIONS:
            yield *match.span(), either_way(int(match[1]), int(match[2]), 0)


def times(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int, frozenset[int]]]:
    """From, to, and the minutes since midnight that may be meant, of one of `TIMES`."""
    for match in pattern.finditer(text):
        yield *match.span(), _moments(match.groupdict())


def noon_and_midnight(text: str) -> Iterator[int]:
    """What is said without a figure."""
    for match in NAMED.finditer(text):
        yield 0 if match["midnight"] else NOON * 60


def times_of_ranges(text: str) -> Iterator[tuple[int, int, frozenset[int]]]:
    """Both ends of `9-18`, which may also be a number of days: for what is known only."""
    for match in RANGE.finditer(text):
        first, last = int(match["h1"]), int(match["h2"])
        begin, end = first * 60 + int(match["m1"] or 0), last * 60 + int(match["m2"] or 0)
        if first <= 24 and last <= 24:  # noqa: PLR2004
            after_noon = {end + HALF_DAY_MINUTES} if last < first <= NOON else set()
            yield *match.span(), frozenset({begin % DAY_MINUTES, end % DAY_MINUTES} | after_noon)


def dotted(text: str) -> tuple[frozenset[int], frozenset[Date]]:
    """What `18.30` or `25.12` may mean besides a number: times, and dates."""
    match = DOTTED.fullmatch(text)
    if not match:
        return frozenset(), frozenset()
    minutes = int(match[2]) < 60  # noqa: PLR2004
    moments = _moments({"h": match[1], "m": match[2]}) if minutes else frozenset()
    return moments, either_way(int(match[1]), int(match[2]), 0)


def either_way(first: int, second: int, year: int) -> frozenset[Date]:
    """Day and month, or month and day."""
    return _date(first, second, year) | _date(second, first, year)


def _date(day: int, month: int, year: int) -> frozenset[Date]:
    fits = 0 < day <= 31 and 0 < month <= 12  # noqa: PLR2004
    return frozenset([(day, month, year)]) if fits else frozenset()


def _moments(match: dict[str, str | None]) -> frozenset[int]:
    hour, minute = int(match["h"] or 0), int(match.get("m") or 0)
    if hour > 24:  # noqa: PLR2004
        return frozenset()
    at = hour * 60 + minute
    if match.get("am") or match.get("morning"):
        return frozenset([at % HALF_DAY_MINUTES])
    if match.get("pm") or match.get("evening"):
        return frozenset([at % HALF_DAY_MINUTES + HALF_DAY_MINUTES])
    one_half = match.get("m") or hour > NOON
    either = (
        {at % DAY_MINUTES}
        if one_half
        else {at % DAY_MINUTES, (at + HALF_DAY_MINUTES) % DAY_MINUTES}
    )
    return frozenset(either)
