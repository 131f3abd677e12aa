"""A bridge between Kommo's Salesbot and an AI assistant.

A customer writes; the Salesbot of the business reaches our widget and sends a widget request.
Six steps bring the reply back, and the rooms are best read in the order of these steps:

1. `web` takes the POST, and `kommo.tokens` verifies who sent it with the secret in `integrations`.
2. `kommo.widget_request` turns body and verified claims into a WidgetRequest, or refuses it.
3. `queue.enqueue` queues it as plain JSON without any secret; a repeat makes no second job.
4. `jobs` loads the integration again, and `answers` plans the next step of the conversation.
5. `ai` writes the reply, and `kommo.continuation` fits it into Kommo's limits.
6. `answers.sender` posts it to the return URL at Kommo's pace. If the AI failed for good, the
   Salesbot is still continued, with a failure status, and the failed job stays visible.

Redis keeps how far each request has come, so no step is lost and none happens twice.
"""

__version__ = "1.0.0"
