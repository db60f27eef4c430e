"""One rollout, its sections, sub-LLM calls and texts, and two rollouts side by side."""

from django.urls import path

from . import inspector, multiples, now, sections, side_by_side, standalone, texts, views

urlpatterns = [
    path("compare/rollouts/", side_by_side.pair, name="compare-rollouts"),
    path("compare/rollouts/multiples/", multiples.multiples, name="rollout-multiples"),
    path("api/compare/rollouts/", side_by_side.pair_json, name="compare-rollouts-json"),
    path("rollouts/<int:pk>/", views.rollout, name="rollout"),
    path("rollouts/<int:pk>/live/", views.rollout_live, name="rollout-live"),
    path("rollouts/<int:pk>/timeline/", sections.timeline, name="rollout-timeline"),
    path("rollouts/<int:pk>/flame/", sections.flame, name="rollout-flame"),
    path("rollouts/<int:pk>/context/", sections.context_page, name="rollout-context"),
    path("rollouts/<int:pk>/answer/", sections.answer, name="rollout-answer"),
    path("rollouts/<int:pk>/variables/", sections.variables_page, name="rollout-variables"),
    path("rollouts/<int:pk>/input/", sections.input_page, name="rollout-input"),
    path("rollouts/<int:pk>/diagnosis/", sections.diagnosis_page, name="rollout-diagnosis"),
    path("rollouts/<int:pk>/spans/", sections.spans_json, name="rollout-spans"),
    path("rollouts/<int:pk>/search/", inspector.search, name="rollout-search"),
    path("rollouts/<int:pk>/inspector/<int:at>/", inspector.inspector, name="rollout-inspector"),
    path("rollouts/<int:pk>/standalone/", standalone.standalone, name="rollout-standalone"),
    path("rollouts/<int:pk>/now/", now.rollout_now, name="rollout-now"),
    path("rollouts/<int:pk>/calls/<int:trajectory>/", views.call, name="call"),
    path("rollouts/<int:pk>/executions/<int:execution>/batches/<int:number>/", views.batch, name="batch"),
    path("rollouts/<int:pk>/turns/<int:turn>/prompt/", texts.prompt, name="prompt"),
    path("rollouts/<int:pk>/text/<slug:owner>/<int:key>/<slug:part>/", texts.text, name="text"),
]
