"""The HTTP edge: thin Flask blueprints over the parts that `app.create_app` built."""
