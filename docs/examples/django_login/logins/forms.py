from django import forms


class LoginForm(forms.Form):
    phone = forms.RegexField(r"^[0-9]{7,15}\Z")


class CdrForm(forms.Form):
    """The record that the operator posts. If nobody was reached, ``final_status`` is missing."""

    verification_call_uuid = forms.RegexField(r"^[0-9a-f]{12}_[0-9]{1,15}\Z")
    q931_status = forms.IntegerField(min_value=1, max_value=127)
    final_status = forms.RegexField(r"^[A-Z ]{1,32}\Z", required=False)
