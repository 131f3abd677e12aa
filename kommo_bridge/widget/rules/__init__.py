"""What Kommo demands of a widget archive, one small function a rule.

`archive` opens a zip; the modules here hold the rules, in the order in which they are reported. A
rule gets the opened archive and yields a sentence, naming the file, for everything that Kommo would
refuse.
"""

from kommo_bridge.widget.archive import Archive, Rule, open_archive
from kommo_bridge.widget.rules import files, manifest, pictures, script, texts

ARCHIVE_RULES: tuple[Rule, ...] = (
    *files.RULES,
    *manifest.RULES,
    *texts.RULES,
    *pictures.RULES,
    *script.RULES,
)

__all__ = ["ARCHIVE_RULES", "Archive", "Rule", "open_archive"]
