"""The validators and locators by the names that rules use."""

from __future__ import annotations

from automend_assets.privacy import credentials, locators, personal, tokens
from automend_assets.privacy.place import Locator, Validator

VALIDATORS: dict[str, Validator] = {
    function.__name__: function
    for function in (
        personal.email,
        personal.obfuscated_email,
        personal.ipv4,
        personal.ipv6,
        personal.international_phone,
        personal.local_phone,
        personal.worded_phone,
        personal.trunk_phone,
        personal.card,
        personal.ssn,
        personal.iban,
        personal.mac,
        tokens.token,
        tokens.mixed_token,
        tokens.fixed_token,
        tokens.written_token,
        tokens.random_token,
        tokens.jwt,
        tokens.service_account_token,
        credentials.uncommon,
        credentials.basic_credentials,
        credentials.url_password,
        credentials.command_password,
        credentials.assigned_password,
        credentials.assigned_secret,
        credentials.bare_password,
        credentials.inline_password,
        credentials.bare_secret,
        credentials.connection_password,
        credentials.named_value,
        credentials.xml_password,
        credentials.provider_key,
    )
}
"""Each decides whether a place holds what its rule is about."""

LOCATORS: dict[str, Locator] = {
    function.__name__: function for function in (locators.private_key_body, locators.secret_manifest_values)
}
"""Each finds the values that belong to a match."""
