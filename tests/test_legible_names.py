"""Names that look alike, names that deceive, and lines of chat that pass for something else."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

from hypothesis import assume, example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gameservers.names import (
    LOOK_ALIKES,
    MAX_MARKS,
    SCRIPTS,
    is_legible,
    one_line,
    skeleton,
    visible,
)

#: Every bidirectional control character of Unicode.
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

#: What has no glyph, but is a letter, a mark or a symbol to Unicode.
UNSEEN = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u2800\u3164\ufe00\uffa0\U000e0100"

#: Names that people use.
ORDINARY = (
    "alice a.b%c+d-e_f Вася Привет2000 Комната№1 Zoë Zoe\u0308 Łukasz Żółć Müller Straße"
    " Αλέξανδρος Владимир-Pro клан_Pro アリス ありすAlice 花子さん ﾊﾅｺ スーパー 김철수"
    " 李小龍 中文ㄅㄆ 佐々木 محمد علي۲ שלום नीलम தமிழ் నాగ สมชาย ລາວ བོད ქართული Հայ"
    " ትግርኛ ខ្មែរ မြန်မာ සිංහල ދިވެހި Nguyễn Đặng Ñandú İstanbul ırmak Ђорђе Їжак Мар'яна"
    " Марʼяна Ø Æther Þór 😀 ❤️ 👨‍👩‍👧 👍🏽 🎮gamer x² ½ ☆star☆ l’été"
)

#: Names that people tell apart.
DIFFERENT = (
    "alice ALICE Alice bob Bob System system Admin Zoë Zoe Łukasz Lukasz Вася Маша Олег"
    " Ольга Привет Αλέξης Νίκος アリス ハナコ 花子 太郎 김철수 محمد שלום नीलम สมชาย"
    " Müller Muller Straße ırmak guest0 guest1 guest2 ❤️ 😀 🎮"
)

GROUPS = LOOK_ALIKES.split()

#: Any text, rich in what looks alike.
NAMES = st.text(st.one_of(st.sampled_from("".join(GROUPS) + BIDI + UNSEEN), st.characters()))


class SkeletonTests(SynchronousTestCase):
    def test_alike(self) -> None:
        for one, other in (
            ("System", "Syst\u0435m"),  # a Cyrillic e
            ("Admin", "\uff21dmin"),  # a full-width A
            ("Admin", "\U0001d400dmin"),  # a mathematical A
            ("alice", "al\u0456ce"),
            ("alice", "alice\u3164"),
            ("alice", "al\u200bice"),
            ("alice", "\u202ealice\u202c"),
            ("coco", "\u0441\u043e\u0441\u043e"),  # all of it Cyrillic
            ("KOMAP", "\u041a\u041e\u041c\u0410\u0420"),
            ("AB", "\u0391\u0392"),  # Greek
            ("Player1", "PIayer1"),
            ("Player1", "Playerl"),
            ("BOB0", "BOBO"),
            ("modern", "modem"),
            ("Room One", " Room  One "),
            ("Room-1", "Room\u20131"),
            ("Zo\u00eb", "Zoe\u0308"),
            ("\u30cf\u30ca", "\uff8a\uff85"),  # half-width Katakana
            ("\u30cb", "\u4e8c"),
        ):
            self.assertEqual(skeleton(one), skeleton(other), (one, other))

    def test_different(self) -> None:
        names = DIFFERENT.split()
        self.assertEqual(len(set(map(skeleton, names))), len(names))

    def test_groups(self) -> None:
        """Every character is in one group, and each group has one skeleton."""
        self.assertEqual(len(set("".join(GROUPS))), len("".join(GROUPS)))
        for group in GROUPS:
            self.assertEqual(len({skeleton(char) for char in group}), 1, group)

    @given(NAMES)
    @example("m\u0307")
    @example("\u0438\u0306")
    def test_idempotent(self, name: str) -> None:
        self.assertEqual(skeleton(skeleton(name)), skeleton(name))

    @given(NAMES, st.sampled_from(BIDI + UNSEEN), st.integers(0, 20))
    def test_invisible_characters_change_nothing(self, name: str, char: str, at: int) -> None:
        other = name[:at] + char + name[at:]
        assume(unicodedata.is_normalized("NFC", other))  # it does not keep two characters apart
        assume(unicodedata.is_normalized("NFC", name))
        self.assertEqual(skeleton(name), skeleton(other))

    @given(NAMES)
    def test_normal_forms(self, name: str) -> None:
        """However a program composes its characters."""
        self.assertEqual(skeleton(unicodedata.normalize("NFC", name)), skeleton(name))
        self.assertEqual(skeleton(unicodedata.normalize("NFD", name)), skeleton(name))


class LegibleTests(SynchronousTestCase):
    def test_taken(self) -> None:
        for name in ORDINARY.split():
            self.assertTrue(is_legible(name), ascii(name))
        self.assertTrue(is_legible("Room One"))

    def test_refused(self) -> None:
        for name in (
            "\uff21dmin",
            "\U0001d400dmin",
            "\ufb01sh",
            "x\u02b0",
            "Syst\u0435m",
            "p\u0430ypal",
            "\u0391dmin",
            "\u05d0b",
            "player\u0665",  # a digit of another script
            "\u13da\u13ac",  # Cherokee looks like Latin
            "\u2c9bx",
            "\u0301abc",
            "a" + "\u0301" * (MAX_MARKS + 1),
            "a\ufe0fb",
            "a\u200db",
            "\u200d",
            "a\u00adb",
            "a\u200bb",
            "a\u3000b",
            "a\u00a0b",
            "a\u2028b",
            "a\u0085b",
            "a\nb",
            "a\tb",
            "a\x7fb",
            "\ud800",
            "\ue000",
            "\u0378",
            "x\U000e0041",
            "\ufffc",
            *BIDI,
            *UNSEEN,
            *(f"a{char}b" for char in BIDI + UNSEEN),
        ):
            self.assertFalse(is_legible(name), ascii(name))

    def test_scripts_are_known(self) -> None:
        """Each is the first word of the names of some letters, or is replaced by one."""
        found = {"HAN"}
        for number in range(0x20000):
            if chr(number).isalpha():
                found.add(unicodedata.name(chr(number), "").partition(" ")[0])
        self.assertLessEqual(SCRIPTS, found)

    @given(NAMES)
    def test_what_a_legible_name_has(self, name: str) -> None:
        if not is_legible(name):
            return
        for before, char in pairwise("\0" + name):
            if char in "\u200d\ufe0f":
                self.assertIn(unicodedata.category(before), ("So", "Sk", "Cf", "Mn"))
            else:
                self.assertTrue(char.isprintable(), ascii(char))
                self.assertNotIn(char, BIDI + UNSEEN)

    @given(NAMES, st.sampled_from(BIDI + UNSEEN), st.integers(0, 20))
    def test_nothing_invisible(self, name: str, char: str, at: int) -> None:
        self.assertFalse(is_legible(name[:at] + char + name[at:]))


class VisibleTests(SynchronousTestCase):
    def test_ordinary_names(self) -> None:
        for name in ("", "alice", "Zoë 😀", "Ａdmin", "a<b>:c"):
            self.assertEqual(visible(name), name)

    def test_nothing_invisible(self) -> None:
        self.assertEqual(visible("a\u202eb\u3164c\nd\ufeff"), "abcd")

    @given(NAMES)
    def test_idempotent(self, name: str) -> None:
        shown = visible(name)
        self.assertEqual(visible(shown), shown)
        self.assertEqual(set(shown) & set(BIDI + UNSEEN), set())
        self.assertNotIn("Cc", map(unicodedata.category, shown))


class OneLineTests(SynchronousTestCase):
    def test_ordinary_lines(self) -> None:
        for line in ("", "hello", "привет", "سلام\u200cها", "👨‍👩‍👧 ❤️", "a\u00a0b", "１２"):
            self.assertEqual(one_line(line), line)

    def test_replaced(self) -> None:
        self.assertEqual(one_line("hi\nSystem: go away"), "hi System: go away")
        self.assertEqual(one_line("\r\n\x00x\u2028\u202ey\x9f"), " x y ")

    @given(st.text(st.one_of(st.characters(), st.sampled_from(BIDI + "\n\r\t\x00\u2028\u0085"))))
    def test_no_control_character(self, text: str) -> None:
        line = one_line(text)
        for char in line:
            self.assertNotIn(unicodedata.category(char), ("Cc", "Zl", "Zp"))
            self.assertNotIn(char, BIDI)
        self.assertEqual(one_line(line), line)
        self.assertLessEqual(len(line), len(text))
        self.assertEqual(len(line.splitlines() or [""]), 1)
