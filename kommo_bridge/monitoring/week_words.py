"""The words of the weekly report, in the languages that the bridge speaks."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """One language.

    Attributes:
        title: With `name`, `first` and `last`.
        half, most: The time within which half of the answers came, and nine of ten.
        reasons: The reasons of a handoff.
    """

    title: str
    conversations: str
    alone: str
    handoffs: str
    failures: str
    half: str
    most: str
    cost: str
    second: str
    now: str
    before: str
    gaps: str
    reasons: Mapping[str, str]


WORDS = {
    "en": Words(
        title="{name}: the week from {first} to {last}",
        conversations="Conversations",
        alone="Answered by the assistant alone",
        handoffs="Handed over to a colleague",
        failures="Failures",
        half="Half of the answers came within",
        most="Nine of ten answers came within",
        cost="Cost of the AI",
        second="s",
        now="This week",
        before="Week before",
        gaps="What customers asked and nothing answers yet",
        reasons={
            "customer_request": "the customer asked",
            "unknown": "not known",
            "complaint": "complaint",
            "order": "order",
            "policy": "rule",
            "other": "other",
        },
    ),
    "es": Words(
        title="{name}: la semana del {first} al {last}",
        conversations="Conversaciones",
        alone="Respondidas solo por el asistente",
        handoffs="Pasadas a un compañero",
        failures="Fallos",
        half="La mitad de las respuestas llegó en",
        most="Nueve de cada diez respuestas llegaron en",
        cost="Coste de la IA",
        second="s",
        now="Esta semana",
        before="Semana anterior",
        gaps="Lo que preguntaron los clientes y aún no tiene respuesta",
        reasons={
            "customer_request": "lo pidió el cliente",
            "unknown": "no se sabe",
            "complaint": "queja",
            "order": "pedido",
            "policy": "norma",
            "other": "otro",
        },
    ),
    "pt": Words(
        title="{name}: a semana de {first} a {last}",
        conversations="Conversas",
        alone="Respondidas só pelo assistente",
        handoffs="Passadas a um colega",
        failures="Falhas",
        half="Metade das respostas chegou em",
        most="Nove em cada dez respostas chegaram em",
        cost="Custo da IA",
        second="s",
        now="Esta semana",
        before="Semana anterior",
        gaps="O que os clientes perguntaram e ainda não tem resposta",
        reasons={
            "customer_request": "o cliente pediu",
            "unknown": "não se sabe",
            "complaint": "reclamação",
            "order": "pedido",
            "policy": "regra",
            "other": "outro",
        },
    ),
    "ru": Words(
        title="{name}: неделя с {first} по {last}",
        conversations="Разговоры",
        alone="Ответил только помощник",
        handoffs="Передано сотруднику",
        failures="Сбои",
        half="Половина ответов пришла за",
        most="Девять из десяти ответов пришли за",
        cost="Стоимость ИИ",
        second="с",
        now="Эта неделя",
        before="Неделей раньше",
        gaps="О чём спрашивали клиенты, а ответа пока нет",
        reasons={
            "customer_request": "попросил клиент",
            "unknown": "нет сведений",
            "complaint": "жалоба",
            "order": "заказ",
            "policy": "правило",
            "other": "другое",
        },
    ),
    "tr": Words(
        title="{name}: {first} - {last} haftası",
        conversations="Konuşmalar",
        alone="Yalnızca asistanın yanıtladıkları",
        handoffs="Bir çalışana aktarılanlar",
        failures="Hatalar",
        half="Yanıtların yarısının geldiği süre",
        most="On yanıttan dokuzunun geldiği süre",
        cost="Yapay zekâ maliyeti",
        second="sn",
        now="Bu hafta",
        before="Önceki hafta",
        gaps="Müşterilerin sorduğu, henüz yanıtı olmayanlar",
        reasons={
            "customer_request": "müşteri istedi",
            "unknown": "bilinmiyor",
            "complaint": "şikâyet",
            "order": "sipariş",
            "policy": "kural",
            "other": "diğer",
        },
    ),
    "id": Words(
        title="{name}: minggu {first} sampai {last}",
        conversations="Percakapan",
        alone="Dijawab asisten saja",
        handoffs="Diteruskan ke rekan",
        failures="Kegagalan",
        half="Setengah jawaban tiba dalam",
        most="Sembilan dari sepuluh jawaban tiba dalam",
        cost="Biaya AI",
        second="dtk",
        now="Minggu ini",
        before="Minggu sebelumnya",
        gaps="Yang ditanyakan pelanggan dan belum ada jawabannya",
        reasons={
            "customer_request": "pelanggan meminta",
            "unknown": "tidak diketahui",
            "complaint": "keluhan",
            "order": "pesanan",
            "policy": "aturan",
            "other": "lainnya",
        },
    ),
}
