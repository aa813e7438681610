"""What worker processes have before they begin: the server that they fork from imports this once.

Here: the compiled rules of the scanner, a second of work that forked processes share. Nothing else imports this.
"""

from __future__ import annotations

from automend_assets.datasets.iac.redaction import shared_scanner

shared_scanner()
