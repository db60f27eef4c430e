"""Tables whose columns are declared once, for page, CSV and API.

`columns` declares columns and tables; `cells` formats values; `rollouts` is the table of rollouts; `query` parses
the URL's choices; `exports` writes rows as CSV and JSON; `reviews` adds columns of reviews.
"""
