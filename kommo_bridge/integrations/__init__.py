"""Which Kommo accounts may use the bridge, and how their customers are answered."""
