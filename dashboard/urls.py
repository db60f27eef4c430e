"""The pages."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from . import health
from .api import views
from .behaviour import views
from .compare import views
from .experiments import views
from .figures import views
from .launch import views
from .replay import pair, texts, views
from .rollouts import saved_views, views
from .sharing import views

urlpatterns = [
    path("", views.experiment_list, name="experiments"),
    path("experiments.csv", views.experiments_csv, name="experiments-csv"),
    path("launch/", views.launch_form, name="launch"),
    path("launch/spec/", views.launch_spec, name="launch-spec"),
    path("experiments/<slug:slug>/", views.experiment, name="experiment"),
    path("experiments/<slug:slug>/live/", views.experiment_live, name="experiment-live"),
    path("experiments/<slug:slug>/cancel/", views.experiment_cancel, name="experiment-cancel"),
    path("experiments/<slug:slug>/behaviour/", views.behaviour_page, name="behaviour"),
    path("experiments/<slug:slug>/behaviour/data.csv", views.behaviour_csv, name="behaviour-csv"),
    path("api/experiments/<slug:slug>/behaviour/", views.behaviour_json, name="behaviour-json"),
    path("experiments/<slug:slug>/rollouts/", views.rollout_list, name="experiment-rollouts"),
    path("experiments/<slug:slug>/rollouts.csv", views.rollouts_csv, name="experiment-rollouts-csv"),
    path("experiments/<slug:slug>/figures/<slug:name>/", views.figure, name="figure"),
    path("experiments/<slug:slug>/figures/<slug:name>/live/", views.figure_live, name="figure-live"),
    path("experiments/<slug:slug>/figures/<slug:name>/data.csv", views.figure_csv, name="figure-csv"),
    path("api/experiments/<slug:slug>/figures/<slug:name>/", views.figure_json, name="figure-json"),
    path("compare/", views.compare, name="compare"),
    path("compare/prompts/", views.prompts, name="compare-prompts"),
    path("compare/matrix.csv", views.matrix_csv, name="compare-matrix-csv"),
    path("compare/measures.csv", views.measures_csv, name="compare-measures-csv"),
    path("compare/rollouts/", pair.pair, name="compare-rollouts"),
    path("api/compare/", views.compare_json, name="compare-json"),
    path("api/compare/rollouts/", pair.pair_json, name="compare-rollouts-json"),
    path("rollouts/", views.rollout_list, name="rollouts"),
    path("rollouts.csv", views.rollouts_csv, name="rollouts-csv"),
    path("views/save/", saved_views.save_view, name="view-save"),
    path("views/<int:pk>/delete/", saved_views.delete_view, name="view-delete"),
    path("api/filters/complete", saved_views.completions, name="filter-completions"),
    path("api/experiments/", views.experiments_json, name="api-experiments"),
    path("api/experiments/<slug:slug>/", views.experiment, name="api-experiment"),
    path("api/experiments/<slug:slug>/rollouts/", views.rollouts_json, name="api-experiment-rollouts"),
    path("api/rollouts/", views.rollouts_json, name="api-rollouts"),
    path("api/rollouts/<int:pk>/", views.rollout, name="api-rollout"),
    path("rollouts/<int:pk>/", views.rollout, name="rollout"),
    path("rollouts/<int:pk>/live/", views.rollout_live, name="rollout-live"),
    path("rollouts/<int:pk>/calls/<int:trajectory>/", views.call, name="call"),
    path("rollouts/<int:pk>/executions/<int:execution>/batches/<int:number>/", views.batch, name="batch"),
    path("rollouts/<int:pk>/turns/<int:turn>/prompt/", texts.prompt, name="prompt"),
    path("rollouts/<int:pk>/text/<slug:owner>/<int:key>/<slug:part>/", texts.text, name="text"),
    path("share/", views.share, name="share"),
    path("shared/", views.shared_links, name="shared-links"),
    path("shared/<int:pk>/revoke/", views.revoke, name="shared-link-revoke"),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("healthz", health.healthz, name="healthz"),
]
