"""Data: ``load_*`` shipped, ``fetch_*`` published, ``make_*`` generated."""
