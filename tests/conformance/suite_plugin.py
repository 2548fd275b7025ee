"""What pytest loads beside `openeo-test-suite`, in an environment that has that suite and nothing of ours.

The suite logs in by OpenID Connect alone, joins a base URL and a path now with a slash and now without, and looks
for the document and its payloads in a checkout of its repository; here they lie in the working directory.
"""

import os
import re
from pathlib import Path

import openeo_test_suite.lib.compliance_util as suite
import requests

_base_url, _request = suite.get_base_url, requests.Session.request


def _with_one_slash(session, method, url, **options):
    return _request(session, method, re.sub(r"(?<!:)//+", "/", url), **options)


suite.get_access_token = lambda config: os.environ["OPENEO_CONFORMANCE_TOKEN"]
suite.get_base_url = lambda request: _base_url(request).rstrip("/") + "/"
suite.get_spec_path = lambda: Path.cwd() / "openapi.json"
suite.get_examples_path = lambda: Path.cwd() / "payloads"
requests.Session.request = _with_one_slash
