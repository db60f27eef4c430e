"""The checks of `manage.py doctor`: a module per part of an installation. Each finding says what to do."""
