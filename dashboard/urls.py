"""The pages."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from .views import api, experiments, filtering, health, launch, rollouts, texts, traces

urlpatterns = [
    path("", experiments.experiment_list, name="experiments"),
    path("experiments.csv", experiments.experiments_csv, name="experiments-csv"),
    path("launch/", launch.launch_form, name="launch"),
    path("launch/spec/", launch.launch_spec, name="launch-spec"),
    path("experiments/<slug:slug>/", experiments.experiment, name="experiment"),
    path("experiments/<slug:slug>/live/", experiments.experiment_live, name="experiment-live"),
    path("experiments/<slug:slug>/cancel/", experiments.experiment_cancel, name="experiment-cancel"),
    path("experiments/<slug:slug>/rollouts/", rollouts.rollout_list, name="experiment-rollouts"),
    path("experiments/<slug:slug>/rollouts.csv", rollouts.rollouts_csv, name="experiment-rollouts-csv"),
    path("rollouts/", rollouts.rollout_list, name="rollouts"),
    path("rollouts.csv", rollouts.rollouts_csv, name="rollouts-csv"),
    path("views/save/", filtering.save_view, name="view-save"),
    path("views/<int:pk>/delete/", filtering.delete_view, name="view-delete"),
    path("api/filters/complete", filtering.completions, name="filter-completions"),
    path("api/experiments/", experiments.experiments_json, name="api-experiments"),
    path("api/experiments/<slug:slug>/", api.experiment, name="api-experiment"),
    path("api/experiments/<slug:slug>/rollouts/", rollouts.rollouts_json, name="api-experiment-rollouts"),
    path("api/rollouts/", rollouts.rollouts_json, name="api-rollouts"),
    path("api/rollouts/<int:pk>/", api.rollout, name="api-rollout"),
    path("rollouts/<int:pk>/", traces.rollout, name="rollout"),
    path("rollouts/<int:pk>/live/", traces.rollout_live, name="rollout-live"),
    path("rollouts/<int:pk>/calls/<int:trajectory>/", traces.call, name="call"),
    path("rollouts/<int:pk>/executions/<int:execution>/batches/<int:number>/", traces.batch, name="batch"),
    path("rollouts/<int:pk>/turns/<int:turn>/prompt/", texts.prompt, name="prompt"),
    path("rollouts/<int:pk>/text/<slug:owner>/<int:key>/<slug:part>/", texts.text, name="text"),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("healthz", health.healthz, name="healthz"),
]
