from datetime import timedelta

from django.db import models
from django.db.models import F
from django.utils import timezone
from django.utils.crypto import constant_time_compare

CODE_LIVES = timedelta(minutes=5)
ATTEMPTS = 3


class Login(models.Model):
    """Somebody who wants to log in, and the call whose number ends in the code."""

    verification_call_uuid = models.CharField(max_length=32, unique=True)
    phone = models.CharField(max_length=15)
    code = models.CharField(max_length=4)
    attempts_left = models.PositiveSmallIntegerField(default=ATTEMPTS)
    asked_at = models.DateTimeField(default=timezone.now)

    def __str__(self):
        return self.verification_call_uuid

    @property
    def state(self):
        record = CallRecord.objects.filter(verification_call_uuid=self.verification_call_uuid).first()
        return "ringing" if record is None else record.final_status or "UNAVAILABLE"

    def accepts(self, code):
        """Return whether the code is right. Each call is an attempt, and a right code is accepted only once."""
        fresh = Login.objects.filter(pk=self.pk, attempts_left__gt=0, asked_at__gt=timezone.now() - CODE_LIVES)
        if not constant_time_compare(code, self.code):
            fresh.update(attempts_left=F("attempts_left") - 1)
            return False
        return fresh.update(attempts_left=0) == 1  # one statement: of two requests at once one succeeds


class CallRecord(models.Model):
    """How a call ended. It may exist before its Login, because the webhook can overtake the answer to our request."""

    verification_call_uuid = models.CharField(max_length=32, unique=True)
    q931_status = models.PositiveSmallIntegerField()
    final_status = models.CharField(max_length=32, blank=True)
    received_at = models.DateTimeField(auto_now_add=True)

    def __str__(self):
        return f"{self.verification_call_uuid}: {self.final_status or self.q931_status}"
