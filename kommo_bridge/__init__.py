"""A bridge between Kommo's Salesbot and an AI assistant.

A customer writes; the Salesbot of the business reaches our widget and sends a widget request.
Six steps bring the reply back, and the reading order of the code is the path of the message:

1. `web` takes the POST and asks `kommo.tokens` who speaks, with the secret `integrations` holds.
2. `kommo.widget_request` turns body and verified claims into a WidgetRequest, or refuses it.
3. `job_queue` enqueues it as plain JSON without any secret; a repeat is no second job.
4. `jobs` loads the integration anew and asks `assistant` for a reply.
5. `kommo.continuation` shapes the reply within Kommo's limits.
6. `delivery` has `kommo.client` post it to the return URL, once and at Kommo's pace. If the AI
   failed for good the Salesbot is still continued, with a failure status, and the failed job
   stays visible.

`answers` remembers how far each answer has come, so that no step is lost and none happens twice.
"""

__version__ = "1.0.0"
