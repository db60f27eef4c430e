"""Tables that say once what their columns are; page, CSV and API all read that.

`columns`: what a column is, and a table; `cells`: how values show; `rollouts` and `experiments`: the two tables;
`asked`: what an address asks of one; `exports`: rows as CSV and JSON; `earlier`: addresses kept from before.
"""
