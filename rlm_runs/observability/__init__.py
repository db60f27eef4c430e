"""The operator's view of a running installation: logs, metrics, health and the checks of `manage.py doctor`."""
