"""The scaffold `rlm_tips`: an RLM with the environment's tips in its prompt."""

from __future__ import annotations

from pydantic import Field

from ..environments.base import Environment, Example, Settings
from .base import Mark, PublishedMeans
from .rlm import RlmScaffold
from .rlm_settings import RlmSettings


class RlmTipsSettings(RlmSettings):
    """Settings of an RLM with the environment's tips appended to its prompt."""

    tips: str = Field(
        default="",
        description="Which of the environment's tips; by default its first.",
        json_schema_extra={"is_name": True},  # a form accepts several, separated by commas
    )


class RlmTipsScaffold(RlmScaffold):
    """An RLM with the environment's tips for working in the REPL."""

    key = "rlm_tips"
    title = "RLM+tips"
    description = "The same, with the environment's tips in its prompt."
    settings_type = RlmTipsSettings
    mark = Mark("▲", "triangle-up")
    colour = "#009e73"
    takes_tips = True
    aliases = ("rlm+tips",)
    published = PublishedMeans(11.34 + 25.4, 69_169, 6_363, 110_958, 20_760)
    settings: RlmTipsSettings

    def user_prompt(self, environment: Environment[Settings], example: Example) -> str:
        """Returns the example's prompt followed by the tips, in `<env_tips>` tags as in the article."""
        variant = self.settings.tips or next(iter(environment.tips))
        return f"{example.prompt}\n\n<env_tips>\n{environment.tips[variant].strip()}\n</env_tips>"
