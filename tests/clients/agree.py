"""Three load testers must agree: this engine, k6 and Locust, on answers that are known and on the stack.

Each tool asks the same probes; what it tells is held against the closed form and against what the probe
itself counted. Then each lets the same eight users browse the stack. Rates are low and the bounds on times
wide above and narrow below: a slow machine makes answers later, never earlier, and loses none.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECONDS, USERS = 20, 8
# The probes, and what is demanded of each: error share, then bounds in milliseconds by quantile.
PROBES = {
    "steady": (0.0, {"p50 in ms": (19.5, 400.0), "p99 in ms": (19.5, 5000.0)}),
    "bimodal": (0.0, {"p50 in ms": (4.5, 150.0), "p99 in ms": (195.0, 5000.0)}),
    "errors": (0.1, {}),
    "bucket": (0.25, {}),
}
SCALE, RATE, PROBE_USERS = "0.5", "20", "5"
# Requests by which the count may differ from rate times time, below and above. This engine's arrivals are a
# schedule; k6 may be an iteration off at its ends; Locust's time runs while it still starts.
COUNTS = {"own": (0, 0), "k6": (2, 2), "locust": (180, 5)}
# Requests that a tool may have sent and not told: those under way when it ended.
UNTOLD = {"own": 0, "k6": 2, "locust": 5}
# Share by which two tools' rates may differ on the stack: pauses are drawn (290 of them give 3 % and a bit), and a
# machine that is slow for one tool adds to each of its pauses.
RATES = 0.35

problems = []


def demand(holds, what):
    print(("  ok   " if holds else "  FAIL ") + what)
    if not holds:
        problems.append(what)


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, **options)
    return done.returncode, done.stdout, done.stderr


def conformance(binary, name, tool):
    command = [binary, "--json", "conformance", "--scale", SCALE, "--rate", RATE]
    for probe in PROBES:
        command += ["--probe", probe]
    if tool:
        command += ["--tool", tool]
    _, out, err = run(command)
    graded = json.loads(out)
    print(f"{name}: score {graded['score']:.0f} of 100")
    for mistake in graded["mistakes"]:
        demand(False, f"{name}: {mistake}")
    told = {(line["probe"], line["quantity"]): line for line in graded["lines"]}
    for probe, (share, bounds) in PROBES.items():
        line = told.get((probe, "requests"))
        if line:
            requests, expected = line["told"], line["expected"]
            below, above = COUNTS[name]
            near = expected - below <= requests <= expected + above
            demand(near, f"{name} {probe}: {requests:.0f} requests, {expected:.0f} expected")
            missing = graded["seen"][probe] - requests
            demand(0 <= missing <= UNTOLD[name], f"{name} {probe}: the probe saw {missing:.0f} more than were told")
        found = told[(probe, "error share")]["told"]
        demand(abs(found - share) < 0.02, f"{name} {probe}: {found:.4f} failed, {share} expected")
        for quantity, (least, most) in bounds.items():
            found = told[(probe, quantity)]["told"]
            demand(least <= found <= most, f"{name} {probe}: {quantity} is {found:.2f}, from {least} to {most} expected")


def browse_own(binary, gateway, folder):
    code, out, err = run(
        [binary, "--json", "load", "run", str(HERE / "browse.toml"), "--target", gateway, "--no-live"]
        + ["--operator-key", os.environ["OPERATOR_KEY"], "--state", folder, "--reports", folder]
    )
    if code not in (0, 3):  # INVALID says that the machine was busy; what was counted is right all the same.
        raise SystemExit(f"own engine ended with {code}: {err[-2000:]}")
    report = json.loads(out.splitlines()[0])
    spread = report["total"]["ms"]["service"]
    return report["total"]["requests"], SECONDS, report["total"]["errors"], spread["p50"], spread["p95"]


def browse_k6(k6, gateway, folder):
    summary = Path(folder) / "k6.json"
    code, out, err = run(
        [k6, "run", "--quiet", "--no-thresholds", "-e", f"TOUCHSTONE_URL={gateway}", "-e", f"USERS={USERS}"]
        + ["-e", f"DURATION={SECONDS}s", "--summary-export", str(summary), str(HERE.parent / "k6" / "browse.js")]
    )
    if code != 0:
        raise SystemExit(f"k6 ended with {code}: {err[-2000:]}")
    metrics = json.loads(summary.read_text())["metrics"]
    times = metrics["http_req_duration"]
    return metrics["iterations"]["count"], SECONDS, metrics["checks"]["fails"], times["med"], times["p(95)"]


def smoke_k6(k6, gateway, folder):
    summary = Path(folder) / "smoke.json"
    script = str(HERE.parent / "k6" / "smoke.js")
    command = [k6, "run", "--quiet", "--no-thresholds", "-e", f"TOUCHSTONE_URL={gateway}"]
    code, out, err = run(command + ["--summary-export", str(summary), script])
    checks = json.loads(summary.read_text())["metrics"]["checks"] if code == 0 else err[-500:]
    right = code == 0 and (checks["passes"], checks["fails"]) == (50, 0)
    demand(right, f"k6 smoke: {checks}")


def browse_locust(locust, gateway, folder):
    code, out, err = run(
        [locust, "-f", str(HERE.parent / "locust" / "locustfile.py"), "--headless", "--json", "--host", gateway]
        + ["-u", str(USERS), "-r", str(USERS), "-t", f"{SECONDS}s", "--stop-timeout", "5"]
    )
    if code != 0:
        raise SystemExit(f"Locust ended with {code}: {err[-2000:]}")
    own = [row for row in json.loads(out) if row["name"].startswith(("documents.", "stats"))]
    times = sorted(float(t) for row in own for t, n in row["response_times"].items() for _ in range(n))
    count, errors = (sum(row[key] for row in own) for key in ("num_requests", "num_failures"))
    # Its time runs while it starts: the rate is that of the time in which it asked.
    seconds = max(row["last_request_timestamp"] for row in own) - min(row["start_time"] for row in own)
    return count, seconds, errors, times[len(times) // 2], times[len(times) * 95 // 100]


def main(binary, gateway, venv):
    k6 = os.environ.get("TOUCHSTONE_K6") or shutil.which("k6")
    locust = shutil.which("locust", path=f"{venv}/bin")
    scripts = {"k6": HERE.parent / "k6" / "probe.js", "locust": HERE.parent / "locust" / "probe.py"}
    tools = {"own": None}
    if k6:
        options = "-e URL={url} -e RATE={rate} -e SECONDS={seconds} --summary-export {report}"
        tools["k6"] = f"{k6} run --quiet {options} {scripts['k6']}"
    else:
        print("SKIPPED: no k6 on the path nor in TOUCHSTONE_K6: its scripts were not run", file=sys.stderr)
    if locust:
        options = f"-u {PROBE_USERS} -r {PROBE_USERS} -t {{seconds}}s --stop-timeout 5 --host {{url}}"
        environment = f"RATE={{rate}} USERS={PROBE_USERS}"
        tools["locust"] = f"{environment} {locust} -f {scripts['locust']} --headless --json {options}"
    else:
        print(f"SKIPPED: no Locust in {venv}: its scripts were not run", file=sys.stderr)
    for name, tool in tools.items():
        conformance(binary, name, tool)
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        told = {"own": browse_own(binary, gateway, folder)}
        if k6:
            told["k6"] = browse_k6(k6, gateway, folder)
            smoke_k6(k6, gateway, folder)
        if locust:
            told["locust"] = browse_locust(locust, gateway, folder)
    for name, (count, seconds, errors, p50, p95) in told.items():
        rates[name] = count / seconds
        demand(errors == 0, f"{name} on the stack: {count} requests, {errors} errors, p50 {p50:.1f} ms, p95 {p95:.1f} ms")
        # A user pauses for 550 ms on average: nobody can be faster than without any wait.
        most = USERS / 0.55 * (1 + RATES)
        demand(rates[name] <= most, f"{name} on the stack: {rates[name]:.1f}/s, at most {most:.1f}")
    for name, rate in rates.items():
        apart = abs(rate / rates["own"] - 1)
        demand(apart <= RATES, f"{name} and this engine: rates are {apart:.1%} apart, {RATES:.0%} at most")
    if problems:
        raise SystemExit(f"{len(problems)} of what was demanded does not hold")


main(*sys.argv[1:])
