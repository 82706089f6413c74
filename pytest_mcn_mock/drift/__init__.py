"""Drift: how a real server answers, against what the fake says to the same question.

``questions`` says what is asked and ``planning`` what may be, ``asking`` asks it over a socket and ``interview`` one
after the other. ``masking`` takes the secrets out, and what is left is a ``recording``. The rest looks at nothing else:
``fake`` answers the same requests, ``comparison`` finds the differences, ``derivation`` the settings that make the fake
do likewise, ``findings`` puts the two together and ``reports`` tells.
"""
