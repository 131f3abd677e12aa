"""The words of what staff read on a lead, in the language of the conversation.

No native speaker has checked the translations yet.
"""

from kommo_bridge.conversations.handoff import HandoffReason

HANDED_OVER = {
    "en": "The assistant has handed over",
    "es": "El asistente ha pasado la conversación",
    "pt": "O assistente passou a conversa",
    "ru": "Ассистент передал разговор",
    "tr": "Asistan görüşmeyi devretti",
    "id": "Asisten menyerahkan percakapan",
}
SUGGESTED = {
    "en": "The assistant would reply",
    "es": "El asistente respondería",
    "pt": "O assistente responderia",
    "ru": "Ассистент ответил бы",
    "tr": "Asistan şöyle yanıtlardı",
    "id": "Asisten akan menjawab",
}
CUSTOMER = {
    "en": "Last message",
    "es": "Último mensaje",
    "pt": "Última mensagem",
    "ru": "Последнее сообщение",
    "tr": "Son mesaj",
    "id": "Pesan terakhir",
}
REASONS: dict[HandoffReason, dict[str, str]] = {
    "customer_request": {
        "en": "the customer asks for a person",
        "es": "el cliente pide hablar con una persona",
        "pt": "o cliente pede para falar com uma pessoa",
        "ru": "клиент просит сотрудника",
        "tr": "müşteri bir çalışan istiyor",
        "id": "pelanggan meminta berbicara dengan staf",
    },
    "unknown": {
        "en": "it does not know the answer",
        "es": "no sabe la respuesta",
        "pt": "não sabe a resposta",
        "ru": "он не знает ответа",
        "tr": "yanıtı bilmiyor",
        "id": "tidak tahu jawabannya",
    },
    "complaint": {
        "en": "a complaint",
        "es": "una queja",
        "pt": "uma reclamação",
        "ru": "жалоба",
        "tr": "şikâyet",
        "id": "keluhan",
    },
    "order": {
        "en": "an order",
        "es": "un pedido",
        "pt": "um pedido",
        "ru": "заказ",
        "tr": "sipariş",
        "id": "pesanan",
    },
    "policy": {
        "en": "a rule or a limit",
        "es": "una regla o un límite",
        "pt": "uma regra ou um limite",
        "ru": "правило или лимит",
        "tr": "bir kural ya da sınır",
        "id": "aturan atau batas",
    },
    "other": {
        "en": "a person is needed",
        "es": "hace falta una persona",
        "pt": "é preciso uma pessoa",
        "ru": "нужен сотрудник",
        "tr": "bir çalışan gerekiyor",
        "id": "perlu staf",
    },
}


def word(words: dict[str, str], language: str) -> str:
    """In that language, else in English."""
    return words.get(language) or words["en"]
