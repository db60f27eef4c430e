"""One rollout, its sub-LLM calls and texts, and two rollouts side by side."""

from django.urls import path

from . import now, side_by_side, texts, views

urlpatterns = [
    path("compare/rollouts/", side_by_side.pair, name="compare-rollouts"),
    path("api/compare/rollouts/", side_by_side.pair_json, name="compare-rollouts-json"),
    path("rollouts/<int:pk>/", views.rollout, name="rollout"),
    path("rollouts/<int:pk>/live/", views.rollout_live, name="rollout-live"),
    path("rollouts/<int:pk>/now/", now.rollout_now, name="rollout-now"),
    path("rollouts/<int:pk>/calls/<int:trajectory>/", views.call, name="call"),
    path("rollouts/<int:pk>/executions/<int:execution>/batches/<int:number>/", views.batch, name="batch"),
    path("rollouts/<int:pk>/turns/<int:turn>/prompt/", texts.prompt, name="prompt"),
    path("rollouts/<int:pk>/text/<slug:owner>/<int:key>/<slug:part>/", texts.text, name="text"),
]
