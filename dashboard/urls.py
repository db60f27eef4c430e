"""The pages."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from .views import (
    behaviour,
    compare,
    compare_rollouts,
    experiments,
    figures,
    health,
    launch,
    rollouts,
    sharing,
    texts,
    traces,
)

urlpatterns = [
    path("", experiments.experiment_list, name="experiments"),
    path("launch/", launch.launch_form, name="launch"),
    path("launch/spec/", launch.launch_spec, name="launch-spec"),
    path("experiments/<slug:slug>/", experiments.experiment, name="experiment"),
    path("experiments/<slug:slug>/live/", experiments.experiment_live, name="experiment-live"),
    path("experiments/<slug:slug>/cancel/", experiments.experiment_cancel, name="experiment-cancel"),
    path("experiments/<slug:slug>/behaviour/", behaviour.behaviour_page, name="behaviour"),
    path("experiments/<slug:slug>/behaviour/data.csv", behaviour.behaviour_csv, name="behaviour-csv"),
    path("api/experiments/<slug:slug>/behaviour/", behaviour.behaviour_json, name="behaviour-json"),
    path("experiments/<slug:slug>/rollouts/", rollouts.rollout_list, name="experiment-rollouts"),
    path("experiments/<slug:slug>/figures/<slug:name>/", figures.figure, name="figure"),
    path("experiments/<slug:slug>/figures/<slug:name>/live/", figures.figure_live, name="figure-live"),
    path("experiments/<slug:slug>/figures/<slug:name>/data.csv", figures.figure_csv, name="figure-csv"),
    path("api/experiments/<slug:slug>/figures/<slug:name>/", figures.figure_json, name="figure-json"),
    path("compare/", compare.compare, name="compare"),
    path("compare/prompts/", compare.prompts, name="compare-prompts"),
    path("compare/matrix.csv", compare.matrix_csv, name="compare-matrix-csv"),
    path("compare/measures.csv", compare.measures_csv, name="compare-measures-csv"),
    path("compare/rollouts/", compare_rollouts.pair, name="compare-rollouts"),
    path("api/compare/", compare.compare_json, name="compare-json"),
    path("rollouts/", rollouts.rollout_list, name="rollouts"),
    path("rollouts/<int:pk>/", traces.rollout, name="rollout"),
    path("rollouts/<int:pk>/live/", traces.rollout_live, name="rollout-live"),
    path("rollouts/<int:pk>/calls/<int:trajectory>/", traces.call, name="call"),
    path("rollouts/<int:pk>/executions/<int:execution>/batches/<int:number>/", traces.batch, name="batch"),
    path("rollouts/<int:pk>/turns/<int:turn>/prompt/", texts.prompt, name="prompt"),
    path("rollouts/<int:pk>/text/<slug:owner>/<int:key>/<slug:part>/", texts.text, name="text"),
    path("share/", sharing.share, name="share"),
    path("shared/", sharing.shared_links, name="shared-links"),
    path("shared/<int:pk>/revoke/", sharing.revoke, name="shared-link-revoke"),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("healthz", health.healthz, name="healthz"),
]
