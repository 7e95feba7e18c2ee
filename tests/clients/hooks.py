"""A repeated `Idempotency-Key` gives the first answer, so what it names may be deleted by then.

Schemathesis draws the same key again and takes each 202 for something new: every valid key becomes
one of its own. The services' tests cover repeated keys.
"""

import re
import uuid

import schemathesis

VALID = re.compile(r"[!-~]{1,255}")


@schemathesis.hook
def before_call(context, case, **kwargs):
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and VALID.fullmatch(key):
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
