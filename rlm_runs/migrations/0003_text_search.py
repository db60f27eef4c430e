"""The indexes of full-text search, over the expressions in rlm_runs/analysis/search.py."""

from django.db import migrations

_WORDS = (
    "to_tsvector('simple', translate(replace(replace(replace(regexp_replace("
    "left({column}, 100000), '\x1b\\[[0-9;]*m', ' ', 'g')"
    r", '\n', ' '), '\r', ' '), '\t', ' ')"
    ", '!\"#$%&''()*+,-./:;<=>?@[\\]^_`{{|}}~\x1a\x1b', '" + " " * 34 + "'))"
)


class Migration(migrations.Migration):

    dependencies = [("rlm_runs", "0002_comparing")]

    operations = [
        migrations.RunSQL(
            f"CREATE INDEX text_words ON rlm_runs_text USING gin (({_WORDS.format(column='body')}))",
            "DROP INDEX text_words",
        ),
        migrations.RunSQL(
            f"CREATE INDEX rollout_error_words ON rlm_runs_rollout USING gin (({_WORDS.format(column='error')}))"
            " WHERE error <> ''",
            "DROP INDEX rollout_error_words",
        ),
        migrations.RunSQL(
            "CREATE INDEX trajectory_opening_texts ON rlm_runs_trajectory USING gin"
            """ ((jsonb_path_query_array(opening, '$[*] ? (@.role != "system").text')))""",
            "DROP INDEX trajectory_opening_texts",
        ),
    ]
