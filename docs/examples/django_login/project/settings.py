import os
from pathlib import Path

from django.core.management.utils import get_random_secret_key

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = os.environ.get("SECRET_KEY") or get_random_secret_key()
DEBUG = False
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1").split(",")
ROOT_URLCONF = "project.urls"
INSTALLED_APPS = ["logins"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": BASE_DIR / "db.sqlite3",
        # A transaction that writes locks the database at its start, and waits for other writers.
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
        # In a file, because one test calls the webhook on another thread, with another connection.
        "TEST": {"NAME": BASE_DIR / "test.sqlite3"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

MCN_BASE_URL = os.environ.get("MCN_BASE_URL", "https://api.mcn.ru/v2/rest")
MCN_ACCOUNT = os.environ.get("MCN_ACCOUNT", "")
MCN_TOKEN = os.environ.get("MCN_TOKEN", "")
