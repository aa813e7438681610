"""The rules, as data: which texts may be personal data or secrets.

Here: one table of rules with their examples, written from the token formats that the providers publish. Not here: what
decides on a match (`privacy.validators`, by name) and what is let through (`privacy.allow`).

A pattern is read by two engines, so it keeps to what both mean alike: ASCII bytes, `(?m)`, `(?i)`, explicit blanks in
place of `\\s`, bounded repeats, no look-around, no back-references. Its first group that took part is the value that is
reported and replaced; without a group it is the whole match.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """How one kind of value is recognised.

    `keywords`: one of these words has to stand within 64 bytes before or 32 bytes after the match, whatever its case.
    `validator`, `locator`: names in `privacy.validators`. `confidence`: from 0 to 1, how often a finding is right.
    `anchor`: a cheaper pattern that every match contains, for the prefilter; the pattern itself where it is None.
    `keep`: a pattern of the beginning of the value that stays when it is replaced. `examples` and `counter_examples`:
    templates of `privacy.examples`; in each example the rule finds one value, in each counter-example none.
    """

    id: str
    kind: str
    pattern: str
    examples: tuple[str, ...]
    counter_examples: tuple[str, ...]
    validator: str | None = None
    locator: str | None = None
    keywords: tuple[str, ...] = ()
    confidence: float = 0.9
    keep: str = ""
    anchor: str | None = None


# What may follow a token of letters, digits, `_` and `-`. Consumed by the match, but not part of the value.
_END = r"(?:[^\w-]|$)"
_START = r"(?:^|[^\w-])"


def _token(
    rule_id: str,
    prefix: str,
    body: str,
    example: str,
    *counter_examples: str,
    kind: str = "api_key",
    validator: str = "token",
    keywords: tuple[str, ...] = (),
    confidence: float = 0.95,
) -> Rule:
    """A token that is known by its prefix: `prefix` stays when it is replaced."""
    short = example.partition("<")[0] + "<hex:3>"
    return Rule(
        id=rule_id,
        kind=kind,
        pattern=rf"(?m){_START}({prefix}{body}){_END}",
        examples=(example, f'key = "{example}"', f"a {example}\n"),
        counter_examples=(short, *counter_examples),
        validator=validator,
        keywords=keywords,
        confidence=confidence,
        keep=prefix,
    )


# --- secrets in a provider's format ---------------------------------------------------------------

_TOKENS = (
    _token(
        "aws-access-key-id",
        "(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])",
        "[A-Z0-9]{16}",
        "AKIA<b32:16>",
        "akia<low36:16>",
        "AKIAIOSFODNN7EXAMPLE",
        validator="fixed_token",
    ),
    _token("aws-bedrock-key", "ABSK", "[A-Za-z0-9+/]{109,140}={0,2}", "ABSK<b64:130>="),
    _token(
        "aws-bedrock-session", "bedrock-api-key-", "[A-Za-z0-9+/]{100,}={0,2}", "bedrock-api-key-<b64:200>"
    ),
    _token("aws-appsync-key", "da2-", "[a-z0-9]{26}", "da2-<low36:26>"),
    _token(
        "aws-mws-key",
        r"amzn\.mws\.",
        "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "amzn.mws.<hex:8>-<hex:4>-<hex:4>-<hex:4>-<hex:12>",
    ),
    _token("gcp-api-key", "AIza", r"[\w-]{35}", "AIza<alnum:35>", "AIza<alnum:41>"),
    _token("gcp-oauth-client-secret", "GOCSPX-", r"[\w-]{28}", "GOCSPX-<alnum:28>"),
    _token("gcp-oauth-access-token", r"ya29\.", r"[\w-]{20,}", "ya29.<alnum:80>", kind="token"),
    _token("gcp-oauth-refresh-token", "1//0", r"[\w-]{30,200}", "1//0<alnum:60>", kind="token"),
    _token("github-token", "gh[pousr]_", "[A-Za-z0-9]{36,255}", "ghp_<alnum:36>", "foo_<alnum:36>"),
    _token(
        "github-fine-grained-token",
        "github_pat_",
        "[A-Za-z0-9]{22}_[A-Za-z0-9]{59}",
        "github_pat_<alnum:22>_<alnum:59>",
    ),
    _token(
        "gitlab-token",
        "(?:glpat|gldt|glrt|glft|glcbt|glffct|glsoat|glwt)-",
        r"[\w-]{20,64}(?:\.[\w.]{2,20})?",
        "glpat-<alnum:20>",
        "glpat-XXXXXXXXXXX-XXXXXXXX",
    ),
    _token("gitlab-agent-token", "glagent-", r"[\w-]{50}", "glagent-<alnum:50>"),
    _token("gitlab-incoming-mail-token", "glimt-", r"[\w-]{25}", "glimt-<alnum:25>"),
    _token("gitlab-oauth-secret", "gloas-", r"[\w-]{64}", "gloas-<alnum:64>"),
    _token("gitlab-trigger-token", "glptt-", r"[\w-]{40}", "glptt-<hex:40>"),
    _token("gitlab-runner-registration-token", "GR1348941", r"[\w-]{20,50}", "GR1348941<alnum:20>"),
    _token(
        "slack-token",
        "xox[abposr]-",
        r"(?:\d{6,14}-){1,3}[A-Za-z0-9]{16,64}",
        "xoxb-<digits:12>-<digits:12>-<alnum:24>",
        "xoxb-abcdef-abcdef",
    ),
    _token("slack-refresh-token", r"xoxe(?:\.xox[bp])?-", r"\d-[A-Za-z0-9]{100,250}", "xoxe-1-<alnum:146>"),
    _token(
        "slack-app-token",
        "xapp-",
        r"\d-[A-Z0-9]{8,14}-\d{8,16}-[a-z0-9]{32,80}",
        "xapp-1-A<UP36:10>-<digits:13>-<hex:64>",
    ),
    _token("slack-legacy-session", "xox[ds]-", r"[\w%-]{40,300}", "xoxd-<alnum:60>"),
    _token("openai-key", "sk-(?:proj|svcacct|admin|None)-", r"[\w-]{40,250}", "sk-proj-<alnum:60>"),
    _token(
        "openai-legacy-key",
        "sk-",
        "(?:[A-Za-z0-9]{48}|[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20})",
        "sk-<alnum:48>",
    ),
    _token("openrouter-key", "sk-or-v1-", "[0-9a-f]{64}", "sk-or-v1-<hex:64>"),
    _token("deepseek-style-key", "sk-", "[0-9a-f]{32}", "sk-<hex:32>", confidence=0.8),
    _token(
        "anthropic-key",
        r"sk-ant-(?:api|admin|sid|oat|ort)\d\d-",
        r"[\w-]{80,140}",
        "sk-ant-api03-<alnum:93>AA",
    ),
    _token("huggingface-token", "hf_", "[A-Za-z]{34}", "hf_<letters:34>"),
    _token("huggingface-organisation-token", "api_org_", "[A-Za-z]{34}", "api_org_<letters:34>"),
    _token("stripe-key", "[rs]k_(?:live|test|prod)_", "[A-Za-z0-9]{16,250}", "sk_" + "live_<alnum:24>"),
    _token("stripe-webhook-secret", "whsec_", "[A-Za-z0-9+/]{32,64}={0,2}", "whsec_<alnum:32>"),
    _token("twilio-key", "SK", "[0-9a-f]{32}", "SK<hex:32>"),
    _token("sendgrid-key", r"SG\.", r"[\w-]{22}\.[\w-]{43}", "SG.<alnum:22>.<alnum:43>"),
    _token("npm-token", "npm_", "[A-Za-z0-9]{36}", "npm_<alnum:36>"),
    _token(
        "pypi-token",
        "pypi-AgE(?:IcHlwaS5vcmc|NdGVzdC5weXBpLm9yZw)",
        r"[\w-]{70,}",
        "pypi-AgEIcHlwaS5vcmc<alnum:150>",
    ),
    _token("digitalocean-token", "do[opr]_v1_", "[0-9a-f]{64}", "dop_v1_<hex:64>"),
    _token(
        "telegram-bot-token", r"\d{8,10}:AA", r"[\w-]{33}", "<digits:10>:AA<alnum:33>", "foo:AA<alnum:33>"
    ),
    _token(
        "discord-bot-token",
        "[MNO]",
        r"[A-Za-z\d]{23,25}\.[\w-]{6}\.[\w-]{27,38}",
        "M<alnum:23>.<alnum:6>.<alnum:27>",
        "P<alnum:23>.<alnum:6>.<alnum:27>",
    ),
    _token("age-key", "AGE-SECRET-KEY-1", "[A-Z0-9]{58}", "AGE-SECRET-KEY-1<UP36:58>", kind="private_key"),
    _token("adobe-client-secret", "p8e-", "[A-Za-z0-9-]{32}", "p8e-<alnum:32>"),
    _token("adafruit-key", "aio_", "[A-Za-z0-9]{28}", "aio_<alnum:28>"),
    _token(
        "authress-key",
        "(?:sc|ext|scauth|authress)_",
        r"[a-z0-9]{5,30}\.[a-z0-9]{4,6}\.acc[_-][a-z0-9-]{10,32}\.[a-z0-9+/_=-]{30,120}",
        "sc_<low36:12>.<low36:4>.acc_<low36:14>.<low36:44>",
    ),
    _token("beamer-token", "b_", "[a-z0-9=_-]{44}", "b_<low36:44>"),
    _token("clickhouse-key", "4b1d", "[A-Za-z0-9]{38}", "4b1d<alnum:38>"),
    _token("cloudflare-origin-key", r"v1\.0-", "[a-f0-9]{24}-[a-f0-9]{146}", "v1.0-<hex:24>-<hex:146>"),
    _token("contentful-token", "CFPAT-", r"[\w-]{43}", "CFPAT-<alnum:43>"),
    _token("crates-io-token", "cio", "[A-Za-z0-9]{32}", "cio<alnum:32>"),
    _token("defined-token", "dnkey-", r"[a-z0-9=_-]{26}-[a-z0-9=_-]{52}", "dnkey-<low36:26>-<low36:52>"),
    _token("endor-token", r"endr\+", "[A-Za-z0-9-]{16}", "endr+<alnum:16>"),
    _token(
        "hubspot-token",
        "pat-(?:na|eu|ap)[12]-",
        "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "pat-na1-<hex:8>-<hex:4>-<hex:4>-<hex:4>-<hex:12>",
    ),
    _token(
        "launchdarkly-key",
        "(?:sdk|mob|api)-",
        "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "sdk-<hex:8>-<hex:4>-<hex:4>-<hex:4>-<hex:12>",
    ),
    _token("lob-key", "(?:live|test)_(?:pub_)?", "[a-f0-9]{31,35}", "live_<hex:35>"),
    _token("mailgun-private-key", "(?:pubkey|private)-", "[0-9a-f]{32}", "pubkey-<hex:32>"),
    _token(
        "plaid-token",
        "access-(?:sandbox|development|production)-",
        "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "access-sandbox-<hex:8>-<hex:4>-<hex:4>-<hex:4>-<hex:12>",
    ),
    _token("scalingo-token", "tk-us-", r"[\w-]{48}", "tk-us-<alnum:48>"),
    _token("settlemint-token", "sm_(?:aat|pat|sat)_", "[A-Za-z0-9]{16}", "sm_pat_<alnum:16>"),
    _token("zuplo-key", "zpka_", "[A-Za-z0-9]{32}_[0-9a-f]{8}", "zpka_<alnum:32>_<hex:8>"),
    _token("airtable-token", "pat[A-Za-z0-9]{14}" + r"\.", "[0-9a-f]{64}", "pat<alnum:14>.<hex:64>"),
    _token("alibaba-key-id", "LTAI", "[A-Za-z0-9]{16,24}", "LTAI<alnum:20>"),
    _token(
        "artifactory-key",
        "AKC",
        "[A-Za-z0-9]{10,80}",
        "AKCp<alnum:69>",
        validator="fixed_token",
        confidence=0.8,
    ),
    _token("artifactory-reference-token", "cmVmdGtu", "[A-Za-z0-9]{56}", "cmVmdGtu<alnum:56>"),
    _token(
        "artifactory-encrypted-password",
        r"AP\d",
        "[A-Za-z0-9]{8,80}",
        "AP6<alnum:30>",
        validator="written_token",
        kind="password",
        confidence=0.6,
    ),
    _token("asana-token", r"\d/", r"\d{16}:[0-9a-f]{32}", "1/<digits:16>:<hex:32>"),
    _token(
        "atlassian-token",
        "(?:ATATT3|ATCTT3|ATBB)",
        r"[\w-]{28,240}(?:=[0-9A-F]{8})?",
        "ATATT3<alnum:180>=<HEX:8>",
    ),
    _token("brevo-key", "xkeysib-", "[0-9a-f]{64}-[A-Za-z0-9]{16}", "xkeysib-<hex:64>-<alnum:16>"),
    _token("buildkite-token", "bk[a-z]{2,3}_", "[A-Za-z0-9]{40}", "bkua_<hex:40>"),
    _token("circleci-token", "CCIP[AR]T_", "[A-Za-z0-9]{22}_[0-9a-f]{40}", "CCIPAT_<alnum:22>_<hex:40>"),
    _token("clojars-token", "CLOJARS_", "[a-z0-9]{60}", "CLOJARS_<low36:60>"),
    _token("databricks-token", "dapi", r"[0-9a-f]{32}(?:-\d)?", "dapi<hex:32>-2"),
    _token("dependency-track-key", "odt_", r"[A-Za-z0-9]{32,36}", "odt_<alnum:32>"),
    _token("docker-token", "dckr_[op]at_", r"[\w-]{27,32}", "dckr_pat_<alnum:27>"),
    _token(
        "doppler-token",
        r"dp\.(?:ct|st|sa|scim|pt|audit)\.(?:[a-z0-9_-]{2,35}\.)?",
        "[A-Za-z0-9]{40,44}",
        "dp.pt.<alnum:43>",
        "dp.st.dev.<alnum:12>",
    ),
    _token("dropbox-token", r"sl\.", r"[\w-]{130,200}", "sl.<alnum:138>"),
    _token("duffel-token", "duffel_(?:test|live)_", r"[\w-]{43}", "duffel_live_<alnum:43>"),
    _token(
        "dynatrace-token", r"dt0[a-z]\d\d\.", r"[A-Z0-9]{8,24}\.[A-Z0-9]{64}", "dt0c01.<UP36:24>.<UP36:64>"
    ),
    _token("easypost-token", "EZ[AT]K", "[A-Za-z0-9]{54}", "EZAK<alnum:54>"),
    _token("facebook-page-token", "EAA[A-Za-z]", "[A-Za-z0-9]{60,300}", "EAACE<alnum:100>", kind="token"),
    _token("facebook-app-token", r"\d{13,17}\|", r"[\w-]{24,32}", "<digits:15>|<alnum:27>", kind="token"),
    _token("figma-token", "fig[dou]_?[a-z]?_", r"[\w-]{36,60}", "figd_<alnum:40>"),
    _token("firebase-messaging-key", "AAAA", r"[\w-]{7}:[\w-]{140}", "AAAA<alnum:7>:<alnum:140>"),
    _token(
        "flutterwave-key", "FLW(?:SECK|PUBK)(?:_TEST|_LIVE)?-", "[0-9a-h]{32}-X", "FLWSECK_TEST-<hex:32>-X"
    ),
    _token("flyio-token", "(?:fo1_|fm[12]r?_|fm2_)", r"[\w+/=-]{43,500}", "fo1_<alnum:43>"),
    _token("frameio-token", "fio-u-", r"[\w-]{64}", "fio-u-<alnum:64>"),
    _token(
        "truenas-key",
        r"\d{1,3}-",
        "[A-Za-z0-9]{64}",
        '"auth.login_with_api_key", "params":["8-<alnum:64>"]',
        keywords=("api_key", "truenas", "apikey"),
    ),
    _token(
        "gocardless-token",
        "(?:live|sandbox)_",
        r"[\w-]{40}",
        "gocardless live_<alnum:40>",
        keywords=("gocardless",),
    ),
    _token("grafana-key", "eyJrIjoi", "[A-Za-z0-9]{60,400}={0,3}", "eyJrIjoi<alnum:80>="),
    _token("grafana-cloud-token", "glc_", "[A-Za-z0-9+/]{32,400}={0,3}", "glc_<alnum:100>="),
    _token(
        "grafana-service-account-token", "glsa_", "[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}", "glsa_<alnum:32>_<hex:8>"
    ),
    _token("groq-key", "gsk_", "[A-Za-z0-9]{52}", "gsk_<alnum:52>"),
    _token(
        "harness-token",
        "[ps]at" + r"\.",
        r"[\w-]{22}\.[0-9a-f]{24}\.[A-Za-z0-9]{20}",
        "pat.<alnum:22>.<hex:24>.<alnum:20>",
    ),
    _token("heroku-key", "HRKU-", r"[\w-]{36,64}", "HRKU-AA<alnum:58>"),
    _token("infracost-token", "ico-", "[A-Za-z0-9]{32}", "ico-<alnum:32>"),
    _token("intra42-secret", "s-s4t2(?:ud|af)-", "[0-9a-f]{64}", "s-s4t2ud-<hex:64>"),
    _token("jina-key", "jina_", "[A-Za-z0-9_-]{50,70}", "jina_<alnum:60>"),
    _token("langsmith-key", "lsv2_(?:pt|sk)_", "[0-9a-f]{32}_[0-9a-f]{10}", "lsv2_pt_<hex:32>_<hex:10>"),
    _token("linear-key", "lin_(?:api|oauth)_", "[A-Za-z0-9]{32,64}", "lin_api_<alnum:40>"),
    _token("mailchimp-key", "", r"[0-9a-f]{32}-us\d{1,2}", "<hex:32>-us12", "<hex:30>-us12"),
    _token("mailgun-key", "key-", "[0-9a-f]{32}", "key-<hex:32>"),
    _token(
        "mapbox-token", r"[psut]k\.eyJ1", r"[A-Za-z0-9]{30,90}\.[\w-]{18,30}", "sk.eyJ1<alnum:60>.<alnum:22>"
    ),
    _token("maxmind-key", "", r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk", "<alnum:6>_<alnum:29>_mmk"),
    _token("netlify-token", "nfp_", "[A-Za-z0-9]{36}", "nfp_<alnum:36>"),
    _token("newrelic-key", "NR(?:AK|AA|AL|II|IQ|JS|RA|SP)-", r"[\w-]{19,42}", "NRAK-<UP36:27>"),
    _token("notion-token", "ntn_", r"\d{11}[A-Za-z0-9]{35}", "ntn_<digits:11><alnum:35>", "ntn_<digits:46>"),
    _token("notion-legacy-token", "secret_", "[A-Za-z0-9]{43}", "secret_<alnum:43>"),
    _token("nuget-key", "oy2", "[a-z0-9]{43}", "oy2<low36:43>"),
    _token("nvidia-key", "nvapi-", r"[\w-]{60,70}", "nvapi-<alnum:64>"),
    _token("octopus-key", "API-", "[A-Z0-9]{25,27}", "API-<UP36:26>", validator="random_token"),
    _token(
        "onepassword-account-key",
        "A3-",
        "[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}",
        "A3-<UP36:6>-<UP36:11>-<UP36:5>-<UP36:5>-<UP36:5>",
    ),
    _token("onepassword-service-token", "ops_eyJ", "[A-Za-z0-9+/]{150,}={0,3}", "ops_eyJ<alnum:300>"),
    _token("openshift-token", "sha256~", r"[\w-]{43}", "sha256~<alnum:43>", kind="token"),
    _token("perplexity-key", "pplx-", "[A-Za-z0-9]{48}", "pplx-<alnum:48>"),
    _token("planetscale-secret", "pscale_(?:tkn|pw|oauth)_", r"[\w=.-]{32,64}", "pscale_tkn_<alnum:43>"),
    _token("postman-key", "PMAK-", "[0-9a-f]{24}-[0-9a-f]{34}", "PMAK-<hex:24>-<hex:34>"),
    _token("posthog-key", "ph[cx]_", "[A-Za-z0-9]{43}", "phx_<alnum:43>"),
    _token("prefect-key", "pnu_", "[A-Za-z0-9]{36}", "pnu_<alnum:36>"),
    _token("pulumi-token", "pul-", "[0-9a-f]{40}", "pul-<hex:40>"),
    _token("readme-key", "rdme_", "[a-z0-9]{70}", "rdme_<low36:70>"),
    _token("replicate-token", "r8_", "[A-Za-z0-9]{37}", "r8_<alnum:37>"),
    _token("rubygems-key", "rubygems_", "[0-9a-f]{48}", "rubygems_<hex:48>"),
    _token(
        "salesforce-token",
        "00D[A-Za-z0-9]{12,15}!",
        r"[A-Za-z0-9_.]{80,130}",
        "00D<alnum:12>!<alnum:96>",
        kind="token",
    ),
    _token("sentry-token", "sntry[su]_", "[A-Za-z0-9+/=_]{60,400}", "sntryu_<hex:64>"),
    _token("shippo-token", "shippo_(?:live|test)_", "[0-9a-fA-F]{40}", "shippo_live_<hex:40>"),
    _token("shopify-token", "shp(?:at|ca|pa|ss|ua)_", "[0-9a-fA-F]{32}", "shpat_<hex:32>"),
    _token("sonar-token", "sq[upa]_", "[0-9a-f]{40}", "squ_<hex:40>"),
    _token(
        "sourcegraph-token",
        "sg[pd]_",
        "(?:(?:[0-9a-fA-F]{16}|local)_)?[0-9a-fA-F]{40}",
        "sgp_<hex:16>_<hex:40>",
    ),
    _token("square-secret", "sq0(?:csp|atp|idp)-", r"[\w-]{22,43}", "sq0csp-<alnum:43>"),
    _token("square-sandbox-secret", "sandbox-sq0[a-z]{3}-", r"[\w-]{22,50}", "sandbox-sq0atb-<alnum:22>"),
    _token("square-access-token", "EAAA[El]", r"[\w-]{59}", "EAAAE<alnum:59>", kind="token"),
    _token("stackhawk-key", r"hawk\.", r"[\w-]{20}\.[\w-]{20}", "hawk.<alnum:20>.<alnum:20>"),
    _token("supabase-key", "sb(?:p|_secret)_", r"[\w-]{31,50}", "sbp_<hex:40>"),
    _token("tailscale-key", "tskey-[a-z]{3,9}-", r"[A-Za-z0-9-]{20,64}", "tskey-auth-k<alnum:16>-<alnum:32>"),
    _token(
        "tavily-key", "tvly-(?:dev-|prod-)?", "[A-Za-z0-9]{32}", "tvly-<alnum:32>", validator="fixed_token"
    ),
    _token("tencent-key-id", "AKID", "[A-Za-z0-9]{32}", "AKID<alnum:32>"),
    _token(
        "terraform-token", r"[A-Za-z0-9]{14}\.atlasv1\.", r"[\w-]{60,70}", "<alnum:14>.atlasv1.<alnum:67>"
    ),
    _token("typeform-token", "tfp_", r"[\w-]{40,64}", "tfp_<alnum:44>"),
    _token("vault-token", r"hv[sbr]\.", r"[\w-]{24,250}", "hvs.<alnum:90>", kind="token"),
    _token("voyage-key", "pa-", r"[\w-]{43}", "pa-<alnum:43>"),
    _token("wandb-key", "wandb_v1_", r"[\w-]{40,100}", "wandb_v1_<alnum:77>"),
    _token("xai-key", "xai-", "[A-Za-z0-9]{80}", "xai-<alnum:80>"),
    _token(
        "yandex-token",
        r"(?:t1\.[A-Z0-9a-z_-]{4,200}={0,2}\.|y0_|AQVN)",
        r"[\w-]{33,100}={0,2}",
        "AQVN<alnum:36>",
    ),
)

_PROVIDER_RULES = (
    Rule(
        id="aws-secret-access-key",
        kind="api_key",
        pattern=r"(?im)(?:aws|amazon|secret)[\w.-]{0,24}(?:key|secret)[\w-]{0,8}[\"']{0,2}[ \t]{0,4}(?::|=>|="
        r"|,)[ \t]{0,4}"
        r"[\"']?([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)",
        validator="fixed_token",
        examples=(
            "aws_secret_access_key = <b64:40>",
            '"SecretAccessKey": "<b64:40>"',
            "AWS_SECRET_KEY=<b64:40>",
        ),
        counter_examples=("aws_secret_access_key = <b64:42>", "aws_secret_access_key: ${AWS_SECRET}"),
        confidence=0.95,
    ),
    Rule(
        id="aws-session-token",
        kind="token",
        pattern=r"(?im)aws_?session_?token[\"']{0,2}[ \t]{0,4}[:=][ \t]{0,4}[\"']?([A-Za-z0-9/+=._-]{100,})",
        validator="token",
        examples=("AWS_SESSION_TOKEN=<b64:300>=", 'aws_session_token: "<b64:200>"'),
        counter_examples=("AWS_SESSION_TOKEN=$TOKEN",),
        confidence=0.95,
    ),
    Rule(
        id="azure-storage-key",
        kind="api_key",
        pattern=r"(?im)(?:AccountKey|SharedAccessKey|SharedSecret|\bSecret|PrimaryKey|SecondaryKey"
        r"|accessKey)=([A-Za-z0-9/+]{42,86}={0,2})",
        validator="token",
        examples=(
            "AccountName=store1;AccountKey=<b64:86>==;",
            "SharedAccessKeyName=Root;SharedAccessKey=<b64:43>=",
        ),
        counter_examples=("AccountKey=X;", "SharedAccessKey=[Shared Access key goes here];"),
        confidence=0.95,
    ),
    Rule(
        id="azure-client-secret",
        kind="password",
        pattern=r"(?m)(?:^|[^\w~.-])([\w~.-]{3}\dQ~[\w~.-]{31,34})(?:[^\w~.-]|$)",
        validator="token",
        examples=("client_secret: abc8Q~<alnum:34>",),
        counter_examples=("speel~VARA_101~mh17-het",),
        confidence=0.9,
    ),
    Rule(
        id="azure-devops-token",
        kind="token",
        pattern=r"(?m)(?:^|[^\w-])([A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4})(?:[^\w-]|$)",
        validator="token",
        examples=("<alnum:76>AZDO<alnum:4>",),
        counter_examples=("<alnum:70>AZDO<alnum:4>",),
    ),
    Rule(
        id="azure-devops-legacy-token",
        kind="token",
        pattern=r"(?im)(?:pat|token|azure|devops|vsts|ado)[\w.-]{0,16}[\"']?[ \t]{0,4}[:=][ "
        r"\t]{0,4}[\"']?([a-z0-9]{52})(?:[^\w-]|$)",
        validator="random_token",
        examples=('ado_pat = "<low32:52>"',),
        counter_examples=('token = "' + "a" * 52 + '"',),
        confidence=0.8,
    ),
    Rule(
        id="azure-resource-key",
        kind="api_key",
        pattern=r"(?m)(?:^|[^\w])([A-Za-z0-9]{52}JQQJ9[9D][A-Za-z0-9]{26,30})(?:[^\w]|$)",
        validator="token",
        examples=("<alnum:52>JQQJ99<alnum:26>",),
        counter_examples=("<alnum:30>JQQJ99<alnum:26>",),
    ),
    Rule(
        id="azure-sas-signature",
        kind="token",
        pattern=r"(?i)[?&;](?:sv|se|sp|sr|st|ss|srt|spr|skn)=[^ \"'<>\n]{1,400}&sig=([A-Za-z0-9%+/=]{40,120})",
        validator="token",
        examples=("https://a.blob.core.windows.net/c?sv=2020-08-04&se=2030&sr=c&sp=r&sig=<alnum:43>%3D",),
        counter_examples=("https://a.example.com/?sv=1&sig=abc",),
    ),
    Rule(
        id="slack-webhook",
        kind="webhook",
        pattern=r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Z][A-Za-z0-9]{6,14}/[A-Za-z0-9]{6,20}/[A"
        r"-Za-z0-9/]{18,80})",
        validator="fixed_token",
        examples=("https://hooks.slack.com/services/T<UP36:8>/B<UP36:8>/<alnum:24>",),
        counter_examples=(
            "https://hooks.slack.com/services/",
            "https://hooks.slack.com/services/T00000000/B00000000/" + "X" * 24,
        ),
    ),
    Rule(
        id="teams-webhook",
        kind="webhook",
        pattern=r"(?i)(?:outlook\.office\.com/webhook|[a-z0-9-]{1,40}\.webhook\.office\.com/webhookb2)/"
        r"([0-9a-f-]{36}(?:@|%40|%2540)[0-9a-f-]{36}/IncomingWebhook/[0-9a-f]{32}/[0-9a-f-]{36})",
        examples=(
            "https://outlook.office.com/webhook/<hex:8>-<hex:4>-<hex:4>-<hex:4>-<hex:12>@<hex:8>-<hex:4>-<hex:4>-"
            "<hex:4>-<hex:12>/IncomingWebhook/<hex:32>/<hex:8>-<hex:4>-<hex:4>-<hex:4>-<hex:12>",
        ),
        counter_examples=("https://outlook.office.com/webhook/<hex:8>",),
        validator="fixed_token",
    ),
    Rule(
        id="discord-webhook",
        kind="webhook",
        pattern=r"discord(?:app)?\.com/api/(?:v\d{1,2}/)?webhooks/(\d{17,20}/[\w-]{60,80})",
        validator="fixed_token",
        examples=("https://discord.com/api/webhooks/1<digits:17>/<alnum:68>",),
        counter_examples=("https://discord.com/api/webhooks/123/token",),
    ),
    Rule(
        id="thingsboard-token",
        kind="token",
        pattern=r"(?i)thingsboard[\w.:-]{0,60}/api/v1/([a-z0-9]{20})/",
        validator="token",
        examples=("coap://coap.thingsboard.cloud/api/v1/<alnum:20>/telemetry",),
        counter_examples=("https://thingsboard.cloud/api/v1/$ACCESS_TOKEN/telemetry",),
    ),
    Rule(
        id="telegram-url-token",
        kind="token",
        pattern=r"api\.telegram\.org/bot(\d{6,10}:[\w-]{30,45})",
        validator="token",
        examples=("https://api.telegram.org/bot<digits:9>:BB<alnum:33>/getMe",),
        counter_examples=("https://api.telegram.org/bot<token>/getMe",),
    ),
    Rule(
        id="npm-registry-token",
        kind="token",
        pattern=r"//[\w.-]{3,80}(?:/[\w./-]{0,60})?:_(?:authToken|auth"
        r"|password)[ \t]{0,2}=[ \t]{0,2}[\"']?([\w+/=.-]{16,200})",
        validator="uncommon",
        examples=("//registry.npmjs.org/:_authToken=<hex:8>-<hex:4>-<hex:4>-<hex:4>-<hex:12>",),
        counter_examples=("//registry.npmjs.org/:_authToken=${NPM_TOKEN}",),
    ),
    Rule(
        id="kubernetes-service-account-token",
        kind="token",
        pattern=r"(?m)(?:^|[^\w.-])(eyJ[\w-]{10,}\.eyJ[\w-]{20,}\.[\w-]{20,})",
        validator="service_account_token",
        keep="eyJ",
        examples=(
            'token: <json:{"alg":"RS256","kid":""}>.<json:{"iss":"kubernetes/serviceaccount",'
            '"kubernetes.io/serviceaccount/namespace":"default"}>.<alnum:342>',
        ),
        counter_examples=('<json:{"alg":"HS256"}>.<json:{"sub":"1234567890"}>.<alnum:43>',),
        confidence=0.98,
    ),
    Rule(
        id="jwt",
        kind="token",
        pattern=r"(?m)(?:^|[^\w.-])((?:eyJ|ewo)[\w-]{10,}={0,2}\.(?:eyJ[\w-]{5,}={0,2}|[\w-]{5,})\.[\w-]{5,})",
        validator="jwt",
        keep="eyJ|ewo",
        examples=('<json:{"alg":"HS256","typ":"JWT"}>.<json:{"sub":"1234567890","name":"Jo"}>.<alnum:43>',),
        counter_examples=(
            "eyJBB.eyJCC.eyJDDDD",
            "eyJhbGciOiJI!.eyJzdWIiOiIx.abc",
            "eyJ<alnum:30>.eyJ<alnum:30>.<alnum:30>",
        ),
        confidence=0.95,
    ),
    Rule(
        id="kubernetes-bootstrap-token",
        kind="token",
        pattern=r"(?i)(?:bootstrap|token|kubeadm)[\w -]{0,24}[\"']?[ \t]{0,2}[:= ][ "
        r"\t]{0,2}[\"']?([a-z0-9]{6}\.[a-z0-9]{16})(?:[^\w.]|$)",
        validator="mixed_token",
        examples=("kubeadm join --token 3a4b5c.<low36:16>", 'BOOTSTRAP_TOKEN: "9z8y7x.<low36:16>"'),
        counter_examples=("--token-file settings.kubernetesvalues",),
    ),
    Rule(
        id="private-key",
        kind="private_key",
        pattern=r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----",
        locator="private_key_body",
        examples=(
            "-----BEGIN RSA PRIVATE KEY-----\n<b64:64>\n<b64:64>\n<b64:30>==\n-----END RSA PRIVATE KEY-----\n",
            '"-----BEGIN PRIVATE KEY-----\\n<b64:64>\\n<b64:60>\\n-----END PRIVATE KEY-----\\n"',
            "-----BEGIN OPENSSH PRIVATE KEY-----\n<b64:70>\n<b64:70>\n-----END OPENSSH PRIVATE KEY-----",
            "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n<b64:64>\n=<b64:4>\n-----END PGP PRIVATE KEY BLOCK-----",
        ),
        counter_examples=(
            "-----BEGIN PRIVATE KEY-----\nanything\n-----END PRIVATE KEY-----",
            "-----BEGIN PUBLIC KEY-----\n<b64:64>\n-----END PUBLIC KEY-----",
            "-----BEGIN CERTIFICATE-----\n<b64:64>\n-----END CERTIFICATE-----",
        ),
        confidence=0.99,
    ),
    Rule(
        id="putty-private-key",
        kind="private_key",
        pattern=r"(?m)^Private-Lines: \d{1,3}\r?\n((?:[A-Za-z0-9+/=]+\r?\n)+)",
        validator="token",
        examples=("Private-Lines: 2\n<b64:64>\n<b64:40>\n",),
        counter_examples=("Private-Lines: 0\n\n",),
    ),
    Rule(
        id="kubernetes-secret",
        kind="secret",
        pattern=r"(?m)^[ \t]{0,12}(kind):[ \t]{0,4}[\"']?Secret[\"']?[ \t]{0,8}(?:#.{0,80})?\r?$",
        locator="secret_manifest_values",
        examples=(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n  pin: <base64:hunter2!>\n",
            "kind: Secret\nstringData:\n  pin: 'correct horse'\n",
        ),
        counter_examples=(
            "kind: SecretStore\ndata:\n  key: <base64:hunter2!>\n",
            "kind: Secret\ndata:\n  key: {{ .Values.key | b64enc }}\n",
            "kind: ConfigMap\ndata:\n  key: value\n---\nkind: Secret\nmetadata:\n  name: x\n",
        ),
        confidence=0.95,
    ),
)

# --- secrets by their place -----------------------------------------------------------------------

_PASSWORD_NAME = r"(?:pass(?:word|wd|phrase|code)?|pwd|passwort|senha)"  # noqa: S105
_SECRET_NAME = (
    r"(?:secret|token|credentials?|api[_.-]?key|auth|bearer|cookie|pat|salt|signature|"  # noqa: S105
    r"(?:access|secret|auth|private|encryption|encrypt|signing|sign|account|storage|master|admin|client|consumer|"
    r"license|licence|service|shared|session|security|developer|app|application|webhook|deploy|hmac|jwt|crypto"
    r"|cipher|"
    r"aes|rsa|ssh|db|database|root|user|server|production|prod|personal|integration|ingest|write|api|account|org"
    r"|team|"
    r"bot)[_.-]?key)"
)
_SUFFIX = r"[\w-]{0,16}"
_IS = (
    r"[\"'`\]\\]{0,4}[ \t]{0,16}(?::=|=>|===?|[=:,]|\|\||\?\?)[ \t]{0,16}[\[({]?[ \t]{0,2}"
    r"(?:b|r|u|f|new String\(|@)?"
)
# In double quotes, single quotes, backticks, and in the escaped quotes of JSON within a string.
_QUOTED = (
    r"""(?:"((?:[^"\\\r\n]|\\[^\r\n]){4,200})"|'((?:[^'\\\r\n]|\\[^\r\n]){4,200})'|`([^`\r\n]{4,200})`"""
    r"""|\\{1,3}"([^"\\\r\n]{4,200})\\{1,3}")"""
)
_LINE = r"(?m)^[ \t]{0,40}(?:[-#;*/]{1,3}[ \t]{0,4})?(?:export[ \t]+|set[ \t]+|ENV[ \t]+|ARG[ \t]+|-e[ \t]+|\$env:)?"

_PLACE_RULES = (
    Rule(
        id="url-credentials",
        kind="password",
        pattern=r"(?i)[a-z][a-z0-9+.-]{1,24}://[^ \t\r\n:@/\"'<>`]{0,80}:([^ \t\r\n@\"'<>`/]{2,200}(?:@[^ "
        r"\t\r\n@\"'<>`/.:]{1,40})?)@[\w.\[$%{-]",
        validator="url_password",
        examples=(
            "postgresql://app:hunter22@db.internal.io/app",
            "mongodb+srv://u:D1fficultP%40ss@cluster0.mongodb.net/",
            "https://user:s3cr3tpw@host.io",
            "redis://:p4ssw0rd@10.0.0.1:6379/0",
            "amqp://guest:rabbitpw@mq:5672/",
        ),
        counter_examples=(
            "https://url:8000/;@something",
            "postgres://${USER}:${PASS}@host/db",
            "https://example.com:8080/@user",
            "https://user:{{ pw }}@host/",
            "ssh://git@github.com:22/a/b.git",
        ),
        confidence=0.9,
    ),
    Rule(
        id="authorization-header",
        kind="token",
        pattern=r"(?i)authorization[\"']?\]?[ \t]{0,4}[:=,][ \t]{0,4}[\"'`]?(?:(?:bearer|token|api-?token"
        r"|api-?key|apikey|key|"
        r"digest|negotiate|splunk|genie-?key)[ \t]+)?[\"'`]?([A-Za-z0-9._~+/-]{8,}={0,2})",
        validator="uncommon",
        examples=(
            'curl -H "Authorization: Bearer <alnum:32>"',
            "'Authorization': 'Token <hex:40>'",
            "Authorization: <hex:8>-<hex:4>-<hex:4>-<hex:4>-<hex:12>",
        ),
        counter_examples=(
            'Authorization: "Bearer " + token',
            "Authorization: Bearer <token>",
            "Authorization: Bearer XXXXXXXXXXXX",
            "Authorization: Bearer ${TOKEN}",
        ),
        confidence=0.9,
    ),
    Rule(
        id="basic-header",
        kind="password",
        pattern=r"(?i)\bbasic[ \t]{1,4}([A-Za-z0-9+/]{8,400}={0,2})(?:[^A-Za-z0-9+/=]|$)",
        validator="basic_credentials",
        examples=("Authorization: Basic <base64:Aladdin:open sesame>",),
        counter_examples=("basic authentication scheme", "Basic ${CREDENTIALS}", "basic understanding"),
        confidence=0.9,
    ),
    Rule(
        id="bearer-token",
        kind="token",
        pattern=r"(?i)\bbearer[ \t]{1,4}([A-Za-z0-9._~+/-]{16,}={0,2})",
        anchor=r"(?i)\bbearer[ \t]{1,4}[A-Za-z0-9._~+/-]{16}",
        validator="random_token",
        examples=("headers = {'x': 'Bearer <alnum:40>'}",),
        counter_examples=("bearer authentication", "Bearer {token}"),
        confidence=0.85,
    ),
    Rule(
        id="key-header",
        kind="api_key",
        pattern=r"(?i)(?:[\"'`]|^|[ \t])(?:x-[a-z0-9-]{0,32}(?:key|token|secret|auth|authorization)|api-?(?:key"
        r"|token)|"
        r"private-token|token|circle-token|access-token|auth-token)[\"'`]?[ \t]{0,2}:[ "
        r"\t]{0,4}[\"'`]?([\w+/=.~-]{8,})",
        validator="uncommon",
        examples=(
            'curl -H "X-Api-Key: <alnum:32>"',
            "-H 'PRIVATE-TOKEN: <alnum:20>'",
            'curl --header "Api-Token: <HEX:12>"',
        ),
        counter_examples=('-H "X-Api-Key: $API_KEY"', "X-Auth-Token: <token>", "token: string"),
        confidence=0.8,
    ),
    Rule(
        id="query-secret",
        kind="token",
        pattern=r"(?i)[?&](?:[\w-]{0,20}(?:token|api_?key|apikey|secret|password|passwd|access_?key|auth|sig"
        r"|signature)|key)="
        r"([\w+/.~%-]{8,}={0,2})",
        validator="uncommon",
        examples=("https://api.service.io/v1?api_key=<alnum:32>", "https://x.io/?a=1&token=<hex:32>"),
        counter_examples=("https://x.io/?token=YOUR_TOKEN_HERE", "?api_key=${KEY}", "?token=undefined"),
        confidence=0.8,
    ),
    Rule(
        id="curl-user",
        kind="password",
        pattern=r"(?i)(?:curl|wget|http|-k|-x|-s|\\\r?\n)[^\r\n]{0,400}?[ \t\n](?:-u|--user"
        r"|--proxy-user)(?:[ \t=]{1,3}|)"
        r"(?:\"[^\":\r\n$]{1,80}:([^\"\r\n]{3,120})\"|'[^':\r\n$]{1,80}:([^'\r\n]{3,120})'|"
        r"[^ \t\"':\r\n$]{1,80}:[\"']?([^ \t\"'\r\n]{3,120}))",
        validator="command_password",
        examples=(
            'curl -s --user "olga:rT7pL2@wK5n" https://api.service.io',
            "curl -u olga:mXhBwsjKQzrt https://x.io",
        ),
        counter_examples=(
            "curl -u 'test:test'",
            'curl -u "${USER}:${PASS}"',
            "curl -u username:token",
            'curl -u ":" x',
        ),
        confidence=0.85,
    ),
    Rule(
        id="command-line-password",
        kind="password",
        pattern=r"(?i)[ \t\"',](?:--?(?:[\w-]{0,20}-)?(?:password|passwd|passphrase|pwd))(?:[ \t]{1,3}|="
        r"|[\"'],[ \t]{0,3})[\"']?"
        r"([^ \t\r\n\"'`,;)|\\]{4,120})",
        # hyperscan 0.9.1 misses the bounded repeat before the name in some texts.
        anchor=r"(?i)-(?:password|passwd|passphrase|pwd)[ \t=\"']",
        validator="command_password",
        examples=("mysql --password=Sup3rS3cret db", "Connect-VIServer -User admin -Password Cluster1!"),
        counter_examples=("mysql --password=$PW", "login --password <password>", "--password-stdin"),
        confidence=0.7,
    ),
    Rule(
        id="psexec-password",
        kind="password",
        pattern=r"(?i)psexec[^\r\n]{0,120}?[ \t]-u[ \t]+[^ \t\r\n]{1,80}[ \t]+-p[ \t]+([^ \t\r\n\"']{3,80})",
        validator="command_password",
        examples=(r"psexec \\192.168.3.77 -u Administrator -p tulip77x cmd",),
        counter_examples=(r"psexec \\host -u Administrator -p %PW% cmd",),
        confidence=0.8,
    ),
    Rule(
        id="sshpass-password",
        kind="password",
        pattern=r"(?i)sshpass[ \t]+-p[ \t]*[\"']?([^ \t\r\n\"']{3,80})",
        validator="command_password",
        examples=("sshpass -p 'r00tpw99' ssh root@host",),
        counter_examples=('sshpass -p "$PW" ssh root@host',),
        confidence=0.85,
    ),
    Rule(
        id="netrc-password",
        kind="password",
        pattern=r"(?i)machine[ \t]+[\w.-]{3,80}[ \t\r\n]{1,8}login[ \t]+[^ \t\r\n]{1,80}[ \t\r\n]{1,8}password[ "
        r"\t]+([^ \t\r\n]{3,120})",
        validator="command_password",
        examples=(
            "machine git.service.io login olga password 77lanterns77",
            "machine a.io\n  login u\n  password pass123\n",
        ),
        counter_examples=("machine git.service.io login olga password $PW",),
        confidence=0.9,
    ),
    Rule(
        id="credential-call",
        kind="password",
        pattern=r"(?i)(?:NetworkCredential|DirectoryEntry|UsernamePasswordCredentials?|PasswordAuthentication"
        r"|HTTPBasicAuth|"
        r"HTTPDigestAuth|BasicAuth|set_?basic_?auth|basic_?auth|login|authenticate|setCredentials"
        r"|DriverManager\.getConnection)"
        r"[ \t]{0,2}\([ \t\r\n]{0,40}(?:@?[\"'][^\"'\r\n]{1,120}[\"'],[ \t\r\n]{0,40}){1,2}@?[\"']"
        r"([^\"'\r\n]{4,80})[\"'][ \t\r\n]{0,8}\)",
        validator="command_password",
        examples=('new NetworkCredential("ci", "kR4<alnum:10>");', 'HTTPBasicAuth("user", "s3cretpw")'),
        counter_examples=('new NetworkCredential("ci", "<password>");', "login('username', 'password')"),
        confidence=0.8,
    ),
    Rule(
        id="sql-password",
        kind="password",
        pattern=r"(?:IDENTIFIED[ \t]+BY|(?:WITH|with)[ \t]+(?:ENCRYPTED[ \t]+|encrypted[ \t]+)?(?:PASSWORD"
        r"|password)|SET[ \t]+PASSWORD[^\r\n]{0,60}=)[ \t]*(?:PASSWORD\()?[\"']([^\"'\r\n]{3,80})[\"']",
        validator="command_password",
        examples=(
            "CREATE USER 'a'@'%' IDENTIFIED BY 'S3cure!pw';",
            "CREATE ROLE x WITH LOGIN PASSWORD 'a'; ALTER ROLE y WITH PASSWORD 'S3curepw'",
        ),
        counter_examples=("IDENTIFIED BY '${PW}'",),
        confidence=0.8,
    ),
    Rule(
        id="connection-string-password",
        kind="password",
        pattern=r"(?i)[;\"'][ \t]{0,2}(?:password|pwd)[ \t]{0,2}=[ \t]{0,2}([^;\"'\r\n ]{3,120})[;\"']",
        validator="connection_password",
        examples=('"Server=db,1433;User ID=sa;Password=#gets0m3;Trusted=False"',),
        counter_examples=('"Server=db;Password={0};"', '"Server=db;Password=******;"'),
        confidence=0.8,
    ),
    Rule(
        id="xml-password",
        kind="password",
        pattern=r"(?i)<(?:[\w.:-]{0,40}(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key"
        r"|secret[_-]?key|private[_-]?key))>([^<>\r\n]{4,200})</",
        validator="xml_password",
        examples=("<password>Tr0ub4dor&amp;3</password>", "<apiKey><alnum:32></apiKey>"),
        counter_examples=(
            "<password>${db.password}</password>",
            "<password>changeme</password>",
            "<PublicKeyToken>b77a5c56</PublicKeyToken>",
        ),
        confidence=0.8,
    ),
    Rule(
        id="named-value-password",
        kind="password",
        pattern=r"(?i)(?:key|name|property|id|parameter)[\"']?[ \t]{0,2}[=:][ \t]{0,2}[\"']?[\w.:-]{0,60}(?:"
        + _PASSWORD_NAME
        + r"|secret|token|"
        r"credentials?|(?:api|access|secret|encryption|private|signing)[_-]?key)(?:_?\d{1,2})?[\"']?(?:[ \t,;]{1,8}"
        r"|[ \t]{0,4},?\r?\n[ \t]{0,60}(?:- )?)"
        r"[\"']?value[\"']?[ \t]{0,2}[=:][ \t]{0,2}(?:\"([^\"\r\n]{4,200})\"|'([^'\r\n]{4,200})'"
        r"|([^ \t\r\n\"'<>{}\[\]$&*!|>%@#-][^ \t\r\n\"'<>]{3,200}))",
        validator="named_value",
        examples=(
            "- name: DB_PASSWORD\n  value: hunter22\n",
            '- name: API_TOKEN\n  value: "<alnum:32>"\n',
            '<add key="MailerPassword" value="Cumulonimbu5!"/>',
            '{"name": "DB_PASSWORD", "value": "hunter22"}',
            # Generated ones, letter pairs of which stand in words too.
            "- name: DB_PASSWORD\n  value: q5M#<alnum:4>3uLE\n",
            "- name: DB_SECRET\n  value: q5M#<alnum:4>3uLE\n",
            "- name: ENCRYPTION_KEY\n  value: q!R8K8z<alnum:4>3\n",
            "- name: DB_PASSWORD\n  value: '#R8K8z<alnum:4>3'\n",
            "- name: DB_PASSWORD\n  value: zRbtr6<alnum:4>%\n",
        ),
        counter_examples=(
            "- name: DB_PASSWORD\n  valueFrom:\n    secretKeyRef:\n      name: db\n",
            "- name: DB_PASSWORD\n  value: $(OTHER)\n",
            '<input name="password" value="Password"/>',
            "- name: DB_PASSWORD_FILE\n  value: /run/secrets/db\n",
            "- name: DB_PASSWORD\n  value: %DB_PASSWORD%\n",
            "- name: DB_PASSWORD\n  value: '#loginPassword2'\n",
            "- name: MIN_PASSWORD\n  value: 100%\n",
            "- name: DB_SECRET\n  value: my-app/Db-Secret:v2\n",
        ),
        confidence=0.85,
    ),
    Rule(
        id="password-assignment",
        kind="password",
        pattern=r"(?i)" + _PASSWORD_NAME + _SUFFIX + _IS + _QUOTED,
        validator="assigned_password",
        examples=(
            'password = "hunter22"',
            "'db_password': 'xK9#mP2$'",
            'my_password: "dande$lion"',
            'if password == "crew27":',
            "PASS = 'q1w2e3r4'",
            ':password       => "7oan5521",',
            "$pwd = 'open5esame';",
            'password: "zRbtr6nRk8q%"',
            'adminPassword: "#R8K8z<alnum:4>3"',
        ),
        counter_examples=(
            'password = "123"',
            'password = "${DB_PASSWORD}"',
            'password_field = "user-password"',
            'passwordLabel: "Password:"',
            "password = os.environ['DB_PASSWORD']",
            "type = 'password'",
            'this.addPassword = "#add-password";',
            'password: "%DB_PASSWORD%"',
            'password = "#loginPassword2"',
            'password = "<your password>"',
            '$password=""',
        ),
        confidence=0.8,
    ),
    Rule(
        id="secret-assignment",
        kind="token",
        pattern=r"(?i)" + _SECRET_NAME + _SUFFIX + _IS + r"(?:Bearer |Token |Basic )?"
        r"(?:\"(?:Bearer |Token |Basic )?([^ \t\r\n\"]{10,500})\"|'(?:Bearer |Token "
        r"|Basic )?([^ \t\r\n']{10,500})'|`([^ \t\r\n`]{10,500})`|\\{1,3}\"([^ \t\r\n\"\\]{10,500})\\{1,3}\")",
        validator="assigned_secret",
        examples=(
            'api_key = "<alnum:32>"',
            "'clientSecret' : '<alnum:24>'",
            "token: '<hex:40>'",
            "SECRET_KEY = '<alnum:50>'",
            'env("JIRA_TOKEN", "<alnum:40>")',
        ),
        counter_examples=(
            'public_key = "<b64:43>="',
            'key_id = "<hex:32>"',
            'token = "some-long-token-name"',
            'api_key = "YOUR_API_KEY_GOES_HERE"',
            'primaryKey = "<hex:16>"',
            'secret_name = "prod-db-2021-a1b2c3"',
            'token = "xxxxxxxxxxxxxxxxxxxx"',
        ),
        confidence=0.85,
    ),
    Rule(
        id="bare-password",
        kind="password",
        pattern=_LINE + r"[\w.-]{0,60}(?i:" + _PASSWORD_NAME + r")[\w-]{0,16}[\"']?[ \t]{0,16}[=:][ \t]{0,16}"
        r"([^ \t\r\n\"'`$<>{}\[\]&*!|%@#(][^ \t\r\n\"'`<>{}()\[\],;]{4,120})[ \t]{0,16}(?:[#;][^\r\n]{0,200})?\r?$",
        anchor=r"(?i)"
        + _PASSWORD_NAME
        + r"[\w-]{0,16}[\"']?[ \t]{0,16}[=:][ \t]{0,16}[^ \t\r\n\"'`$<>{}\[\]&*!|%@#(]",
        validator="bare_password",
        examples=(
            "DB_PASSWORD=hunter22\n",
            "[client]\npassword = s3same!pw\n",
            "  rootPassword: qwe98rty\n",
            "export PGPASSWORD=p0stgres\n",
            "spring.datasource.password=p0stgres\n",
            "password: zRbtr6<alnum:4>%\n",
        ),
        counter_examples=(
            "import os\npassword = get_password\n",
            "passwordSecretRef: my-secret\n",
            "password: ${PW}\n",
            "password: string\n",
            "DB_PASSWORD=\n",
            "password: {{ .Values.pw }}\n",
            "password_file: /etc/pw/db1\n",
        ),
        confidence=0.7,
    ),
    Rule(
        id="inline-password",
        kind="password",
        pattern=r"(?i)"
        + _PASSWORD_NAME
        + r"[\w-]{0,16}=([^ \t\r\n\"'`$<>{}\[\]&*!|%@#(=][^ \t\r\n\"'`<>{}()\[\],;&]{4,120})"
        r"(?:[ \t\"'`\\&]|$)",
        validator="inline_password",
        examples=(
            "docker run -e MYSQL_ROOT_PASSWORD=hunter22 mysql",
            "helm install --set auth.rootPassword=s3same!pw x",
            "java -Dssl.keyStorePassword=q1w2e3r4 -jar x.jar",
        ),
        counter_examples=(
            "docker run -e MYSQL_ROOT_PASSWORD=$PW mysql",
            "run(password=password1, user=user1)",
            "import x\nrun(user=1, password=pw_2_use )",
            "--set auth.existingPasswordSecret=my-secret-1 x",
        ),
        confidence=0.6,
    ),
    Rule(
        id="dockerfile-password",
        kind="password",
        pattern=r"(?im)^[ \t]{0,8}(?:ENV|setenv)[ \t]{1,8}[\w.-]{0,60}"
        + _PASSWORD_NAME
        + r"\w{0,16}[ \t]{1,8}"
        r"([^ \t\r\n\"'`$<>{}\[\]&*!|%@#(=][^ \t\r\n\"'`<>{}()\[\],;]{4,120})[ \t]{0,8}\r?$",
        validator="bare_password",
        examples=("FROM mysql\nENV MYSQL_PASSWORD hunter22\n",),
        counter_examples=("ENV MYSQL_PASSWORD ${PW}\n", "ENV PASSWORD_FILE secrets/pw1\n"),
        confidence=0.7,
    ),
    Rule(
        id="password-setter",
        kind="password",
        pattern=r"(?i)(?:set|with|\.)_?\w{0,24}"
        + _PASSWORD_NAME
        + r"\([ \t]{0,4}"
        + _QUOTED
        + r"[ \t]{0,4}\)",
        anchor=r"(?i)" + _PASSWORD_NAME + r"\([ \t]{0,4}[\"'`\\]",
        validator="assigned_password",
        examples=('config.setPassword("hunter22");', "builder.password('s3same!pw')"),
        counter_examples=('form.getPassword("password")', "x.password('')", 'isPassword("hunter22")'),
        confidence=0.7,
    ),
    Rule(
        id="secret-setter",
        kind="token",
        pattern=r"(?i)(?:set|with|\.)_?\w{0,24}"
        + _SECRET_NAME
        + r"\([ \t]{0,4}[\"'`]([^ \t\r\n\"'`]{10,500})[\"'`][ \t]{0,4}\)",
        anchor=r"(?i)" + _SECRET_NAME + r"\([ \t]{0,4}[\"'`][^ \t\r\n\"'`]{10}",
        validator="assigned_secret",
        examples=('client.setApiKey("<alnum:32>");', "builder.withToken('<hex:40>')"),
        counter_examples=('client.setApiKey("your-api-key-here");', "x.getToken('access_token')"),
        confidence=0.8,
    ),
    Rule(
        id="dockerfile-secret",
        kind="token",
        pattern=r"(?im)^[ \t]{0,8}(?:ENV|setenv)[ \t]{1,8}\w{0,60}"
        + _SECRET_NAME
        + r"\w{0,16}[ \t]{1,8}([\w+/.~-]{12,}={0,2})[ \t]{0,8}\r?$",
        anchor=r"(?i)(?:ENV|setenv)[ \t]{1,8}\w{3,80}[ \t]{1,8}[\w+/.~-]{12}",
        validator="bare_secret",
        examples=("ENV API_TOKEN <hex:40>\n",),
        counter_examples=("ENV API_TOKEN $TOKEN\n", "ENV JAVA_HOME /usr/lib/jvm/java-1.8-openjdk\n"),
        confidence=0.75,
    ),
    Rule(
        id="bare-secret",
        kind="token",
        pattern=r"(?im)"
        + _SECRET_NAME
        + r"[\w-]{0,16}[\"']?[ \t]{0,16}[=:][ \t]{0,16}([\w+/.~-]{12,}={0,2})(?:[^\w+/.~=(\[-]|$)",
        validator="bare_secret",
        examples=(
            "API_KEY=<alnum:32>\n",
            "auth_token: <hex:40>\n",
            "-e LICENSE_KEY=<hex:40>",
            "client.secret = <alnum:36>",
        ),
        counter_examples=(
            "public_key: <b64:43>=\n",
            "API_KEY=$KEY\n",
            "tokenSecretName: my-app-token-1234\n",
            "import x\ntoken = a1b2c3d4e5f6g7h8\n",
            "GITHUB_API_KEY=\nDYNATRACE_API_KEY=",
        ),
        confidence=0.75,
    ),
    Rule(
        id="provider-key",
        kind="api_key",
        pattern=r"(?im)(?:(?:sourcegraph|mailgun|mailchimp|datadog|new_?relic|heroku|facebook|fb|twitter"
        r"|linkedin|jenkins|"
        r"okta|meraki|dropbox|github|gitlab|bitbucket|fastly|algolia|cloudflare|shopify|stripe|twilio|sendgrid"
        r"|rollbar|"
        r"sentry|snyk|sonar|zendesk|codecov|travis|jfrog|pagerduty|opsgenie|grafana|mapbox|nasa|sauce|postmark"
        r"|figma|wandb|"
        r"openai|cohere|mistral|pinecone|rapid_?api|weather|maps|google|yandex|flickr|lastfm|spotify"
        r"|unsplash)[\w.-]{0,12}"
        r"(?:key|api)|sourcegraph|datadog|mailgun|okta|meraki|fastly|algolia)[\"']?[ \t]{0,8}(?::|=>|=|:="
        r"|\|\|)[ \t]{0,20}"
        r"[\"']?([A-Za-z0-9][\w-]{14,120})[\"']?(?:[^\w.(\[/-]|$)",
        validator="provider_key",
        examples=(
            "sourcegraph: <hex:40>",
            "HEROKU_API_KEY: <hex:8>-<hex:4>-<hex:4>-<hex:4>-<hex:12>",
            "facebook.key = '<hex:32>'",
        ),
        counter_examples=(
            "github_sha = '<hex:40>'",
            "GITHUB_RUN_ID = build-2021-01-01-main",
            "maps = load_maps_from_disk_v2",
        ),
        confidence=0.7,
    ),
    Rule(
        id="unseal-key",
        kind="api_key",
        pattern=r"(?i)(?:unseal key|initial root token|recovery key)[ \t]{0,2}\d{0,2}[ \t]{0,2}:[ "
        r"\t]{0,4}([A-Za-z0-9+/=._-]{16,100})",
        validator="token",
        examples=("Unseal Key 2: <b64:44>",),
        counter_examples=("Unseal Key 2: <key>",),
    ),
    Rule(
        id="vault-legacy-token",
        kind="token",
        pattern=r"(?i)vault[\w. -]{0,40}[\"']?[ \t]{0,4}[:=][ \t]{0,4}[\"']?([sbr]\.[A-Za-z0-9]{24,100})(?:[^\w.]|$)",
        validator="random_token",
        keep=r"[sbr]\.",
        examples=('VAULT_CLIENT_TOKEN="s.<alnum:24>"',),
        counter_examples=('VAULT_TOKEN="s.' + "x" * 24 + '"',),
    ),
    Rule(
        id="password-hash",
        kind="password_hash",
        pattern=r"(\$(?:2[abxy]\$\d\d\$[./A-Za-z0-9]{53}|(?:1|apr1)\$[./A-Za-z0-9]{1,8}\$[./A-Za-z0-9]{22}|"
        r"5\$(?:rounds=\d{1,9}\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{43}"
        r"|6\$(?:rounds=\d{1,9}\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{86}|"
        r"[89]\$[./A-Za-z0-9]{14}\$[./A-Za-z0-9]{43}|argon2(?:id|i|d)\$v=\d{1,3}\$m=\d{1,9},t=\d{1,9},p=\d{1,9}"
        r"\$[A-Za-z0-9+/]{8,90}\$[A-Za-z0-9+/]{16,172}|"
        r"krb5(?:asrep|tgs)\$\d{1,2}\$[^ \t\r\n\"']{60,}))",
        validator="fixed_token",
        examples=(
            "root:$6$<alnum:8>$<alnum:86>:18000:0:99999",
            "$2a$05$<alnum:53>",
            "$1$<alnum:8>$<alnum:22>",
        ),
        counter_examples=("$1$abc", "price is $5$ or $6$"),
        confidence=0.9,
    ),
    Rule(
        id="stated-password",
        kind="password",
        pattern=r"(?i)\b(?:password|passphrase|passcode)[ \t]+(?:is|was"
        r"|to)[ \t]*:?[ \t]*(?:\"([^\"\r\n ]{4,80})\"|'([^'\r\n ]{4,80})'|`([^`\r\n ]{4,80})`)",
        validator="command_password",
        examples=("The default Password is 'marmalade'",),
        counter_examples=("The password is 'required'", "password is '${PW}'"),
        confidence=0.6,
    ),
    Rule(
        id="announced-password",
        kind="password",
        pattern=r"(?i)password[^\r\n]{0,80}:[ \t]*\r?\n(?:[ \t]*\r?\n){0,3}[ \t]*([0-9a-f]{32})(?:[^\w]|$)",
        validator="token",
        examples=("Use the following password to proceed:\n\n<hex:32>\n",),
        counter_examples=("password:\n\nmd5sum\n",),
        confidence=0.8,
    ),
    Rule(
        id="wireguard-key",
        kind="private_key",
        pattern=r"(?m)^[ \t]*(?:PrivateKey|PresharedKey)[ \t]*=[ \t]*([A-Za-z0-9+/]{43}=)",
        validator="token",
        examples=("PrivateKey = <b64:43>=",),
        counter_examples=("PublicKey = <b64:43>=",),
    ),
)

# --- personal data --------------------------------------------------------------------------------

_PERSONAL_RULES = (
    Rule(
        id="email",
        kind="email",
        pattern=r"(?i)[a-z0-9][a-z0-9._%+-]{0,63}@(?:[a-z0-9-]{1,63}\.){1,6}(?:xn--[a-z0-9-]{2,59}|[a-z]{2,24})\b",
        anchor=r"(?i)[a-z0-9._%+-]@[a-z0-9-]{1,63}\.",
        validator="email",
        examples=(
            "write to jane.doe@web-mail.org today",
            "<a.b+c@sub.domain.co.uk>",
            "mailto:info@firma.de",
            "x@xn--80ak6aa92e.com",
        ),
        counter_examples=(
            "user@example.com",
            "@app.route('/x')",
            "git@github.com:a/b.git",
            "lodash@4.17.21",
            "icon@2x.png",
            "y = x@self.weight",
            "a@b.transpose(1, 2)",
            "me@host.invalid",
            "12345+octo@users.noreply.github.com",
        ),
        confidence=0.95,
    ),
    Rule(
        id="obfuscated-email",
        kind="email",
        pattern=r"(?i)\b([a-z0-9][a-z0-9._%+-]{0,63}[ \t]{0,2}(?:[\[({<][ \t]{0,2}(?:at|@)[ \t]{0,2}[\])}>]"
        r"|[ \t]at[ \t])[ \t]{0,2}[a-z0-9-]{2,63}"
        r"(?:(?:[ \t]{0,2}[\[({<][ \t]{0,2}(?:dot|\.)[ \t]{0,2}[\])}>][ \t]{0,2}|[ \t]dot[ \t])[a-z0-9-]{2,63}){1,4}|"
        r"[a-z0-9][a-z0-9._%+-]{0,63}[ \t]{0,2}[\[({<][ \t]{0,2}at[ \t]{0,2}[\])}>][ "
        r"\t]{0,2}[a-z0-9-]{2,63}(?:\.[a-z0-9-]{2,63}){1,4})\b",
        anchor=r"(?i)(?:[\[({<][ \t]{0,2}(?:at|@)[ \t]{0,2}[\])}>]|[ \t]at[ \t])[ \t]{0,2}[a-z0-9-]{2,63}[ \t]{0,2}"
        r"(?:[\[({<][ \t]{0,2}(?:dot|\.)|[ \t]dot[ \t]|\.)",
        validator="obfuscated_email",
        examples=("jane.doe [at] webmail [dot] org", "jane (at) webmail.org", "jane at webmail dot com"),
        counter_examples=("look at this dot that", "jane [at] example [dot] com"),
        confidence=0.8,
    ),
    Rule(
        id="ipv4",
        kind="ip_address",
        pattern=r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b",
        validator="ipv4",
        examples=("host 86.121.97.248 is down", "http://41.173.96.26:8080/x", "133.133.133.133"),
        counter_examples=(
            "192.168.1.1",
            "127.0.0.1",
            "version: 1.16.0.2",
            "image: app:101.16.200.2",
            "8.8.8.8",
            "203.0.113.9",
            "256.1.1.1",
            "1.2.3.4.5.6.7.8",
            "requests==52.31.40.11",
            "10.96.0.10",
        ),
        confidence=0.9,
    ),
    Rule(
        id="ipv6",
        kind="ip_address",
        pattern=r"(?i)[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){3,8}(?:\.\d{1,3}){0,3}",
        validator="ipv6",
        examples=("addr 2400:c401::5054:ff:fe1b:b031", "6e40:4041:c617:e898:c11:40d2:c669:2eb4"),
        counter_examples=(
            "2001:db8::1",
            "add::foo",
            "12:34:56",
            "aa:bb:cc:dd:ee:ff",
            "fe80::1",
            "std::cout",
            "::1",
        ),
        confidence=0.9,
    ),
    Rule(
        id="card",
        kind="card",
        pattern=r"\b\d(?:[ -]?\d){11,18}\b",
        validator="card",
        examples=(
            "my card 4454794511390933",
            "4012-8888-8888-1881",
            "3714 496353 98431",
            "card number 30569309025904",
        ),
        counter_examples=(
            "4012-8888-8888-1882",
            "0.4454794511390933",
            "id=1748503543012",
            "4242424242424241",
        ),
        confidence=0.85,
    ),
    Rule(
        id="us-ssn",
        kind="ssn",
        pattern=r"\b\d{3}[-. ]?\d{2}[-. ]?\d{4}\b",
        validator="ssn",
        examples=("SSN: 460-89-9847", "853-37-1694", "abc 078 05 1123 abc", "ssn 078051121"),
        counter_examples=(
            "000-12-3456",
            "666-12-3456",
            "900-12-3456",
            "123-00-4567",
            "078-05-1120",
            "078051121",
            "693-09.4444",
        ),
        confidence=0.85,
    ),
    Rule(
        id="iban",
        kind="iban",
        pattern=r"(?m)(?:^|[^A-Za-z0-9])([A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,4})?)"
        r"(?:[^A-Za-z0-9]|$)",
        validator="iban",
        examples=("My IBAN is GB29NWBK60161331926819", "DE89 3704 0044 0532 0130 00", "NL91ABNA0417164300."),
        counter_examples=("GB29NWBK60161331926818", "AB12CDEF3456GHIJ7890"),
        confidence=0.95,
    ),
    Rule(
        id="mac-address",
        kind="mac_address",
        pattern=r"(?i)\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b|\b(?:[0-9a-f]{2}-){5}[0-9a-f]{2}\b"
        r"|\b[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}\b",
        validator="mac",
        examples=("00:1A:2B:3C:4D:5E", "mac 01-b3-4a-67-d9-cf", "Cisco MAC: 0012.3456.789A"),
        counter_examples=(
            "00:00:00:00:00:00",
            "00:00:5e:00:53:01",
            "aa:bb:cc:dd:ee:ff:00:11",
            "2020-01-01-02-03-04",
            "1234.5678.9012",
        ),
        confidence=0.85,
    ),
    Rule(
        id="international-phone",
        kind="phone",
        pattern=r"(?:\+|\b00)\d{1,3}[ .-]{0,2}(?:\(0\)[ .-]?)?(?:\(\d{1,5}\)[ .-]?)?\d[\d ./-]{4,18}\d(?:[ "
        r"]?(?:x|ext\.? ?)\d{1,6})?",
        validator="international_phone",
        examples=(
            "call +44 20 7946 1234",
            "+1-903-140-4508x769",
            "+41 (0)69 979 80 58",
            "+639171234567",
            "001-518-640-0854",
        ),
        counter_examples=(
            "+1 202 555 0143",
            "+1234567890123456",
            "x = 1+2345678",
            "2020-01-01T00:00:00+0000000",
        ),
        confidence=0.85,
    ),
    Rule(
        id="local-phone",
        kind="phone",
        pattern=r"\(\d{2,5}\)[ .-]?\d{2,4}[ .-]?\d{2,4}(?:[ .-]\d{2,4})?(?:[ ]?(?:x|ext\.? ?)\d{1,6})?"
        r"|\b(?:1[-. ])?[2-9]\d\d[-.]\d{3}[-.]\d{4}(?:[ ]?(?:x|ext\.? ?)\d{1,6})?",
        validator="local_phone",
        examples=("(579)888-3058", "541-714-1388", "930.167.3943", "(71) 4233-6306", "345-899-3560x4587"),
        counter_examples=(
            "(202) 555-0143",
            "f(123)456",
            "1234-541-714-1388",
            "2020-01-01",
            "1.541.714.1388.2",
        ),
        confidence=0.8,
    ),
    Rule(
        id="worded-phone",
        kind="phone",
        pattern=r"(?i)(?:phone|mobile|cell|tel|telephone|fax|whatsapp|hotline|call|calling|sms|messages to|desk"
        r"|office|dial|answering at|reach|"
        r"telefon|telefono|handy)[a-z]{0,3}[ \t]{0,4}(?:me|us|him|her|them|no\.?|number|nr\.?|#)?[ \t]{0,4}(?:on"
        r"|at|is)?[ \t]{0,3}"
        r"[:=.]?[ \t]{0,4}\r?\n?[ \t]{0,4}[\"']?(\(?\d[\d ().-]{5,18}\d(?:[ ]?(?:x|ext\.? ?)\d{1,6})?)",
        validator="worded_phone",
        examples=("Phone: 0490 75 40 81", "Phone:\n60-56-85-91", "call me on 9472 7916", "Tel. 030 1234567"),
        counter_examples=("call 1234", "phone: 0000000000", "office 2019-05-05"),
        confidence=0.75,
    ),
    Rule(
        id="phone-before-word",
        kind="phone",
        pattern=r"(?im)(?:^|[^\w.+-])(\(?\d[\d ().-]{5,18}\d(?:[ ]?(?:x"
        r"|ext\.? ?)\d{1,6})?)[ \t]{0,2}[-,(]?[ \t]{0,2}(?:office|mobile|fax|phone|cell|home|work|tel)\b",
        validator="worded_phone",
        examples=("28-64-66-98 office", "655 437 108 mobile", "082 490 1693-Office"),
        counter_examples=("12 office", "2019-05-05 office"),
        confidence=0.7,
    ),
    Rule(
        id="trunk-phone",
        kind="phone",
        pattern=r"\b0[ -]?\d{2,4}[ -]\d{2,4}[ -]?\d{2,4}(?:[ -]\d{2,4})?\b",
        validator="trunk_phone",
        examples=("0917-123-4567", "0232 123 45 67", "020 7946 1234", "0 532 123 45 67"),
        counter_examples=("0000 123 4567", "0123-45-67-2020-01", "00 11 22 33 44"),
        confidence=0.6,
    ),
)

RULES: tuple[Rule, ...] = (*_PROVIDER_RULES, *_TOKENS, *_PLACE_RULES, *_PERSONAL_RULES)
"""All rules. Where findings overlap, the rule that stands first wins."""

SECRET_KINDS = frozenset(
    {"api_key", "token", "password", "private_key", "webhook", "secret", "password_hash"}
)
PERSONAL_KINDS = frozenset({"email", "ip_address", "phone", "card", "ssn", "iban", "mac_address"})
