"""The checks of `manage.py doctor`, one module per part of an installation. Each finding says what to do."""
