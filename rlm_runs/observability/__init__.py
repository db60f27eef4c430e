"""What an operator sees of a running installation: logs, metrics, health and the checks of `manage.py doctor`."""
