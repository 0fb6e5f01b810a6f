"""
Names that people can tell apart, and lines of chat that cannot pass for something else.

Skeletons
=========

Two names look alike if they have the same L{skeleton}, as in Unicode's UTS 39: compatibility forms
(full-width or mathematical letters, ligatures) become ordinary ones, invisible characters and
superfluous blanks go, and of the characters that look alike in ordinary fonts one stands for all
(L{LOOK_ALIKES}).  Case counts: C{alice} and C{ALICE} do not look alike.

Legible names
=============

A name is L{legible <is_legible>} if

  - it has nothing invisible or unassigned in it, and no control character, bidirectional or not
    (a joiner or a variation selector may follow a symbol, as in emoji);
  - it does not begin with a combining mark, and no character has more than L{MAX_MARKS} of them;
  - it has no letter or digit that is only another shape of an ASCII one, such as the full-width A;
  - each word is in one script in customary use (L{SCRIPTS}), or in those that Japanese, Chinese
    and Korean mix (L{MIXED}).  Words are runs of letters, digits and marks.

A game applies this to new names only; whoever has a name keeps it.

Why no library
==============

On PyPI, C{confusable-homoglyphs} had its last release in January 2024 and keeps 10 MB in memory,
C{confusables} and C{homoglyphs} theirs in 2021 or before, and C{disarm} is a few months old.
PyICU is kept, but has no wheels and needs the C++ library ICU.  With one script in a word, the
characters that matter are those that look like one of another script, which are few.

What a name costs: below 1 microsecond if it is ASCII, otherwise about 0.5 microseconds for each
character.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

#: Maximum number of combining marks of one character.
MAX_MARKS = 4

#: Groups of characters that look alike, after UTS 39: the first stands for all.  Those that are
#: written from right to left are escaped, so that this text reads in one direction.
LOOK_ALIKES = (
    "!ǃ /⁄∕╱ノ丿 O0ΟОՕ০ଠ୦ዐ〇 l1I|ƖǀΙІӀ\u05d5\u05df\u0627 2ƧꙄꝚ 3ƷȜЗӠꝪꞫ 5Ƽ 6б 8Ȣȣ৪੪ 9৭੧୨൭Ꝯ ?Ɂʔॽ "
    "&ꝸ '`ꞌʹʻʼʽʾˈˊˋ‘’‛′‵՚\u05d9\u05f3 \"“”‟ʺ\u05f4 -‐‑‒–⁃−➖˗\u06d4 ,‚ "
    ":։ː꞉∶˸\u05c3 *⁎∗ ~∼ <‹❮˂ >›❯˃ "
    "AΑА ÆӔ BΒВꞴ CС ÐĐƉ EΕЕ FϜꞘ GԌ HΗН ҢⱧ JͿЈꞲ KΚК ҚⱩ ҞꝀ MΜϺМ NΝ ꚘꝎ ƟΘθѲӨꝊ PΡР RƦ SЅՏ TΤТ UՍሀ VѴ "
    "WԜ XΧХꞳ YΥУҮ ɎҰ ZΖ \\∖⧵丶 aɑαа æӕ bƄЬ ƂƃБ ƀѢѣҌҍ cсᴄ dԁ eеҽꬲ fքẝꞙꬵ gƍɡցᶃ hһհ ɦꚕ ħћ "
    "iıɩɪιіӏꙇ jϳј nոռ ƞη oοσоօ०੦૦௦౦೦ഠ൦๐໐ဝ၀ჿᴏᴑꬽ\u05e1\u0647\u06be\u06c1\u06d5 ꚙꝏ ɵѳөꝋ øꬾ pρр "
    "qԛգզ rгᴦꭇꭈ ɍғ sƽѕꜱ uʋυսᴜꞟꭎꭒ vνѵᴠ\u05d8 wɯѡԝաᴡ xх yɣʏγуүყᶌỿꭚ ɏұ zᴢ ÞϷ ßβꞵ þƿϸ ĸκкᴋ ƅь ƆϽ "
    "ƏӘ ƐԐ ƨᴤꙅ ƩΣ ǝəә ǶԊ ȝʒӡჳꝫ ȷյ ɅΛЛ ɔͻᴐↄ ɛεєԑꞓ ɜзᴈ ɢԍ ɰպሣ ɸφф ʌᴧ ʍмᴍ ʘꙨ ʙв ʜн ॱൎ ͰⱵ ͶИ "
    "ͷиᴎ ͽꜿ ΓГ ΠП ΦФՓቀ ΨѰ δծẟ πпᴨ τтᴛ χꭓꭕ ψѱ ωꙍꞷ ϿꜾ ЄꞒ лᴫ яᴙ љꭠ Իኮ Մሆ Ոበ Պጣ Ռቡ ձኔ ऽઽ २૨ "
    "३૩ ४૪ ८૮ உ௨ഉ ஐஜജ ணണ ழഴ ஶശ అಅ ఆಆ ఇಇ ఒಒ ఓಓ ఔಔ జಜ ఞಞ ణಣ యಯ ఱಱ లಲ ౧೧ ౨೨ ౯೯ จຈ บບ ปປ ฝຝ พພ "
    "ฟຟ ยຍ ႠꞆ 一ꟷー ヘへ ᴘᴩ イ亻 ニ二 ハ八 カ力 ト卜 ロ口囗 タ夕 エ工 \u0643\u06a9\u06aa "
    "\u0649\u064a\u06ba\u06cc\u06d2"
)

#: The scripts in customary use (UAX 31, table 5), by the first word of their characters' names.
_CUSTOMARY = (
    "ARABIC ARMENIAN BENGALI BOPOMOFO CYRILLIC DEVANAGARI ETHIOPIC GEORGIAN GREEK GUJARATI"
    " GURMUKHI HAN HANGUL HEBREW HIRAGANA KANNADA KATAKANA KHMER LAO LATIN MALAYALAM MYANMAR ORIYA"
    " SINHALA TAMIL TELUGU THAANA THAI TIBETAN"
)
SCRIPTS = frozenset(_CUSTOMARY.split())

#: The scripts that one word may have together (UTS 39, "highly restrictive").
MIXED = (
    frozenset({"LATIN", "HAN", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "HAN", "BOPOMOFO"}),
    frozenset({"LATIN", "HAN", "HANGUL"}),
)

#: Characters without a script of their own, by the first word of their names.
_OF_ANY_SCRIPT = frozenset({"COMBINING", "MODIFIER", "VEDIC", "DIGIT"})

#: Other first words of the names of letters, digits and marks.
_OTHER_WORDS = {
    "ARABIC-INDIC": "ARABIC",
    "EXTENDED": "ARABIC",  # its digits in the east
    "CJK": "HAN",
    "HANGZHOU": "HAN",
    "IDEOGRAPHIC": "HAN",
    "VERTICAL": "HAN",
    "KATAKANA-HIRAGANA": "KATAKANA",
}

#: Characters without a glyph that count as printable: fillers, joiners, selectors, blanks.
_UNSEEN = (
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\ufffc"
    "\U00016fe4\U0001d159\U000e0100-\U000e01ef"
)
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    f"\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff{_UNSEEN}]"
)
_ONLY_UNSEEN = re.compile(f"[{_UNSEEN}]")

#: What may follow a symbol: U+200D joins two emoji, U+FE0F shows a symbol as an emoji.
_IN_EMOJI = frozenset("\u200d\ufe0f")

#: Runs of control characters, line ends, and what changes the direction of the text around it.
_CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb]+"
)

_STANDS_FOR = str.maketrans(
    {char: group[0] for group in LOOK_ALIKES.split() for char in group[1:]} | {"m": "rn"}
)


def skeleton(name: str) -> str:
    """What names that look alike have in common; the skeleton of a skeleton is the same."""
    if not (name.isascii() and name.isprintable()):
        name = _INVISIBLE.sub("", unicodedata.normalize("NFKC", name))
        name = unicodedata.normalize("NFD", name)
    return " ".join(name.translate(_STANDS_FOR).split())


def is_legible(name: str) -> bool:
    """Whether a name has nothing in it that deceives; see the top of this module."""
    if name.isascii():
        return name.isprintable()
    if _has_invisible(name) or any(map(_is_other_shape, name)):
        return False
    marks = MAX_MARKS  # none may come first
    scripts: set[str] = set()
    for char in unicodedata.normalize("NFD", name):
        if char in _IN_EMOJI:
            continue
        script, is_mark = _script(char)
        marks = marks + 1 if is_mark else 0
        if marks > MAX_MARKS:
            return False
        if script == _BETWEEN:
            scripts.clear()
        elif script:
            scripts.add(script)
            if script not in SCRIPTS or (
                len(scripts) > 1 and not any(scripts <= each for each in MIXED)
            ):
                return False
    return True


def visible(name: str) -> str:
    """A name without its invisible and control characters, where a name cannot be refused."""
    if name.isprintable() and (name.isascii() or not _ONLY_UNSEEN.search(name)):
        return name
    return _INVISIBLE.sub("", name)


def one_line(text: str) -> str:
    """A line of chat, with one blank for control characters, line ends and bidi controls."""
    return text if text.isprintable() else _CONTROLS.sub(" ", text)


def _has_invisible(name: str) -> bool:
    """Whether there is anything without a glyph, besides what belongs to an emoji."""
    before = ""
    for char in name:
        if char in _IN_EMOJI:
            if not (before in _IN_EMOJI or unicodedata.category(before or " ") in ("So", "Sk")):
                return True
        elif not char.isprintable() or _ONLY_UNSEEN.match(char):
            return True
        before = char
    return False


@lru_cache(4096)
def _is_other_shape(char: str) -> bool:
    """Whether this is a letter or digit whose ordinary form is in ASCII, but not this."""
    if char.isascii() or unicodedata.category(char) not in ("Lu", "Ll", "Lt", "Lm", "Lo", "Nd"):
        return False
    return unicodedata.normalize("NFKC", char).isascii()


#: Stands for the script of what ends a word.
_BETWEEN = " "


@lru_cache(4096)
def _script(char: str) -> tuple[str, bool]:
    """A character's script, C{""} if it belongs to any, and whether it is a combining mark."""
    category = unicodedata.category(char)
    if category[0] not in "LMN":
        return _BETWEEN, False
    ordinary = unicodedata.normalize("NFKC", char)[0]
    word = unicodedata.name(ordinary, "").partition(" ")[0]
    if word in _OF_ANY_SCRIPT:
        word = ""
    return _OTHER_WORDS.get(word, word), category[0] == "M"
