import json
import secrets

import requests
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from logins.forms import CdrForm, LoginForm
from logins.models import CallRecord, Login
from logins.operator import flash_call


@require_POST
def log_in(request):
    form = LoginForm(request.POST)
    if not form.is_valid():
        return JsonResponse({"errors": form.errors}, status=400)
    phone, code = form.cleaned_data["phone"], f"{secrets.randbelow(10_000):04d}"
    try:
        call = flash_call(phone, code)
    except requests.RequestException:
        return JsonResponse({"error": "we cannot call you now"}, status=503)
    Login.objects.create(verification_call_uuid=call, phone=phone, code=code)
    return JsonResponse({"call": call}, status=202)


@require_GET
def look(request, call):
    login = get_object_or_404(Login, verification_call_uuid=call)
    return JsonResponse({"state": login.state})


@require_POST
def check_code(request, call):
    login = Login.objects.filter(verification_call_uuid=call).first()
    return JsonResponse({"ok": login is not None and login.accepts(request.POST.get("code", ""))})


@csrf_exempt
@require_POST
def webhook(request):
    try:
        cdr = json.loads(request.body)
    except (ValueError, RecursionError):  # anybody can post anything here
        cdr = None
    form = CdrForm(cdr if isinstance(cdr, dict) else {})
    if not form.is_valid():
        return JsonResponse({"errors": form.errors}, status=400)
    # The operator repeats a record that was not acknowledged in time. Keep the first, and answer a repeat the same way.
    CallRecord.objects.get_or_create(
        verification_call_uuid=form.cleaned_data.pop("verification_call_uuid"), defaults=form.cleaned_data
    )
    return HttpResponse(status=204)
