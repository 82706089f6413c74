import requests
from django.conf import settings


def flash_call(phone, code):
    """Ring the phone from a number that ends in the code. Return the call's uuid, or raise RequestException."""
    answer = requests.post(
        f"{settings.MCN_BASE_URL}/account/{settings.MCN_ACCOUNT}/flash_call",
        params={"login_did": phone, "code": code},
        headers={"Authorization": f"Bearer {settings.MCN_TOKEN}"},
        timeout=10,
    )
    answer.raise_for_status()
    return answer.json()["object"]["verification_call_uuid"]
