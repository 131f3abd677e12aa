"""The limit of the acknowledgement: Flask, the token check and one bare LPUSH; nothing else.

What it leaves out is what the bridge is for: no store, no repeats, no rate limit, no checks of the
body, no job, no record, no log, no figures. It runs under the bridge's own gunicorn settings.
"""

import os
from urllib.parse import parse_qsl

import jwt
from flask import Flask, Response, jsonify, request
from redis import Redis

app = Flask(__name__)
redis = Redis.from_url(os.environ["REDIS_URL"])
secret = os.environ["LIMIT_SECRET"]


@app.post("/api/kommo/kommo/widget-request")
def widget_request() -> Response:
    """Check and push."""
    body = request.get_data()
    fields = dict(parse_qsl(body.decode()))
    jwt.decode(fields["token"], secret, algorithms=["HS512"], options={"verify_aud": False})
    redis.lpush("limit", body)
    return jsonify(status="ok")
