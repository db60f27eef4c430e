"""Links for readers without an account: `/s/<token>/` and the path of a page, which then shows nothing else.

`links`: which link a page makes; `scope`: what a link shows, and nothing that is not listed there; `middleware`:
how a request with a link reaches the same views as any other.
"""
