"""What the bridge itself says to customers, in the language of the conversation so far.

An integration's own text is used as it is; from a JSON object of texts by language the matching
one is chosen. The built-in English sentences come with translations. Languages are recognised by
letters and common words: enough for six languages and these few sentences, without a model in
memory.
"""

import json
import re
from collections.abc import Iterable

FALLBACK_TEXT = (
    "Sorry, I cannot answer right now. A colleague will get back to you as soon as possible."
)
NO_TEXT_TEXT = "I can only read text so far. Could you please write it to me?"
HANDOFF_TEXT = "One moment, please: a colleague will answer you here."
DISCLOSURE_TEXT = "Our virtual assistant answers here. You can ask for a colleague at any time."

TRANSLATIONS: dict[str, dict[str, str]] = {
    FALLBACK_TEXT: {
        "es": "Lo siento, ahora no puedo responder. Un compañero le contestará lo antes posible.",
        "pt": "Desculpe, não consigo responder agora. Um colega responderá o mais breve possível.",
        "ru": "Извините, сейчас я не могу ответить. Коллега напишет вам как можно скорее.",
        "tr": "Üzgünüm, şu anda yanıt veremiyorum. Bir arkadaşımız en kısa sürede size yazacak.",
        "id": "Maaf, saya belum bisa menjawab sekarang. Rekan kami akan segera membalas.",
    },
    NO_TEXT_TEXT: {
        "es": "Por ahora solo puedo leer texto. ¿Me lo puede escribir, por favor?",
        "pt": "Por enquanto só consigo ler texto. Pode escrever para mim, por favor?",
        "ru": "Пока я умею читать только текст. Напишите, пожалуйста, словами.",
        "tr": "Şimdilik yalnızca yazıları okuyabiliyorum. Lütfen bana yazar mısınız?",
        "id": "Untuk saat ini saya hanya bisa membaca teks. Bisa tolong dituliskan?",
    },
    HANDOFF_TEXT: {
        "es": "Un momento, por favor: un compañero le responderá aquí.",
        "pt": "Um momento, por favor: um colega vai responder aqui.",
        "ru": "Одну минуту, пожалуйста: вам ответит наш сотрудник.",
        "tr": "Bir dakika lütfen: bir arkadaşımız size buradan yanıt verecek.",
        "id": "Mohon tunggu sebentar: rekan kami akan menjawab Anda di sini.",
    },
    DISCLOSURE_TEXT: {
        "es": "Aquí responde nuestro asistente virtual. Puede pedir que le atienda una persona.",
        "pt": "Quem responde aqui é o nosso assistente virtual. Pode pedir para falar com alguém.",
        "ru": "Здесь отвечает наш виртуальный помощник. Можно в любой момент позвать сотрудника.",
        "tr": "Burada sanal asistanımız yanıt veriyor. Dilediğinizde bir çalışanımızı isteyin.",
        "id": "Di sini asisten virtual kami yang menjawab. Anda boleh minta staf kami kapan saja.",
    },
}
COMMON_WORDS = {
    "en": "the you are is do can have what how please hello hi thanks thank for my i to of and "
    "where when much",
    "es": "hola el los las que es está cuánto cuanto cuesta gracias por para quiero puedo tienen "
    "buenos buenas días dónde una con y mi necesito",
    "pt": "olá oi o os as não você vocês quanto custa obrigado obrigada por para quero posso tem "
    "bom boa dia onde uma com e meu minha preciso",
    "tr": "merhaba selam bir ve bu ne kadar mı mi var yok teşekkürler teşekkür lütfen nasıl için "
    "nerede istiyorum günaydın iyi günler",
    "id": "halo hai saya anda apa berapa bisa ada yang di ke terima kasih untuk dan ini mau tolong "
    "selamat pagi siang dimana tidak",
}
LANGUAGES = (*COMMON_WORDS, "ru")  # those that `language_of` knows
_WORDS_OF = {language: frozenset(words.split()) for language, words in COMMON_WORDS.items()}
_CYRILLIC = re.compile("[а-яё]", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+")


def sentence(text: str, language: str) -> str:
    """The text for a customer of that language.

    Args:
        text: Of the integration: plain, or a JSON object of texts by language.
        language: Such as `es`; empty when not known.
    """
    by_language = by_language_of(text)
    if by_language:
        first = next(iter(by_language.values()))
        return by_language.get(language) or by_language.get("en") or first
    return TRANSLATIONS.get(text, {}).get(language, text)


def is_sentence(text: str) -> bool:
    """Whether it is a text, or a JSON object of texts by known language, none of them empty."""
    if not text.lstrip().startswith("{"):
        return bool(text.strip())
    by_language = by_language_of(text) or {}
    return bool(by_language) and all(
        name in LANGUAGES and isinstance(one, str) and one.strip()
        for name, one in by_language.items()
    )


def language_of(texts: Iterable[str]) -> str:
    """The language of the newest text that shows one, empty when none does; the newest first."""
    for text in texts:
        if len(_CYRILLIC.findall(text)) * 2 > len(_WORD.findall(text)):
            return "ru"
        words = [word.casefold() for word in _WORD.findall(text[:2000])]
        scores = {name: sum(word in known for word in words) for name, known in _WORDS_OF.items()}
        best = max(scores, key=lambda name: scores[name])
        if scores[best] and list(scores.values()).count(scores[best]) == 1:
            return best
    return ""


def by_language_of(text: str) -> dict[str, str] | None:
    """The texts by language, None of a plain text."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
