"""Answers as a fault has them."""

from __future__ import annotations

from dataclasses import replace

from pytest_mcn_mock.model.faults import Fault, FaultKind
from pytest_mcn_mock.web.http import Closing, Response, ResponseFault


def apply_fault(response: Response, fault: Fault) -> Response:
    """The answer, altered by a fault that strikes; see ``draw_fault``."""
    wait_s = fault.delay_s + fault.jitter_s
    match fault.kind:
        case FaultKind.STATUS:
            html = b"<html><body><h1>The operator has a fault</h1></body></html>"
            return replace(response, status=fault.status, body=html, headers={"Content-Type": "text/html"})
        case FaultKind.DELAY:
            return replace(response, fault=ResponseFault(delay_s=wait_s))
        case FaultKind.DRIP:
            return replace(response, fault=ResponseFault(drip_s=wait_s))
        case FaultKind.RESET:
            return replace(response, fault=ResponseFault(closing=Closing.RESET))
        case FaultKind.CUT_OFF:
            return replace(response, fault=ResponseFault(closing=Closing.CUT_OFF))
        case FaultKind.MALFORMED:
            return replace(response, body=response.body.replace(b'"', b"'"))
        case _:
            return response
