"""Notes, tags and manual scores of a rollout, the review queue, and their export."""

from django.urls import path

from . import exports, notes, queue

urlpatterns = [
    path("rollouts/<int:pk>/notes/", notes.notes, name="rollout-notes"),
    path("rollouts/review/", queue.review, name="review"),
    path("api/reviews/", exports.reviews_json, name="api-reviews"),
]
