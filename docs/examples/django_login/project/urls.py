from django.urls import path
from logins import views

urlpatterns = [
    path("login", views.log_in),
    path("login/<str:call>", views.look),
    path("login/<str:call>/code", views.check_code),
    path("webhooks/mcn", views.webhook),
]
