"""Shared links for readers without an account: `/s/<token>/` plus the path of a page, which then shows nothing
else.

`links` creates links for pages, `scope` lists what a link shows, and `middleware` routes a request with a link to
the same views as any other.
"""
