"""What Kommo demands of a widget archive, one small function a rule.

`archive` opens a zip and shows it to the rules; the other modules hold the rules, in the order in
which they are told. A rule is given the opened archive and yields a sentence, naming the file, for
everything that Kommo would not take.
"""

from kommo_bridge.widget.archive import Archive, Rule, open_archive
from kommo_bridge.widget.rules import files, manifest, pictures, script, texts

RULES: tuple[Rule, ...] = (
    *files.RULES,
    *manifest.RULES,
    *texts.RULES,
    *pictures.RULES,
    *script.RULES,
)

__all__ = ["RULES", "Archive", "Rule", "open_archive"]
