from django.urls import path

from notes import views

urlpatterns = [
    path("", views.index),
    path("healthz", views.health),
    path("notes", views.add),
    path("uploads", views.upload),
    path("uploads/<str:name>", views.download),
]
