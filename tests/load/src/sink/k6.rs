//! The shape of k6's summary, for tools that read that.

use serde_json::{Map, Value, json};

use crate::measure::Measure;
use crate::report::{Report, Row, Spread};

/// As k6 exports it with `--summary-export`.
pub fn k6_summary(report: &Report) -> Value {
    let total = &report.total;
    let seconds = report.seconds.max(1e-6);
    let mut metrics = Map::new();
    metrics.insert("http_reqs".into(), counter(total.requests as f64, seconds));
    metrics.insert("iterations".into(), counter(total.requests as f64, seconds));
    metrics.insert(
        "dropped_iterations".into(),
        counter(report.generator.dropped as f64, seconds),
    );
    metrics.insert("data_received".into(), counter(total.bytes as f64, seconds));
    // k6 measures from the actual begin; the wanted one has no place in its form, so it gets its own.
    metrics.insert(
        "http_req_duration".into(),
        trend(total.spread(Measure::Service)),
    );
    metrics.insert(
        "http_req_duration_intended".into(),
        trend(total.spread(Measure::Total)),
    );
    metrics.insert(
        "http_req_waiting".into(),
        trend(total.spread(Measure::FirstByte)),
    );
    metrics.insert(
        "http_req_connecting".into(),
        trend(total.spread(Measure::Connect)),
    );
    metrics.insert(
        "http_req_blocked".into(),
        trend(total.spread(Measure::Wait)),
    );
    metrics.insert("http_req_failed".into(), rate(total.errors, total.requests));
    metrics.insert("checks".into(), rate(total.good, total.requests));
    let most = report
        .series
        .iter()
        .map(|second| second.active)
        .max()
        .unwrap_or_default();
    metrics.insert(
        "vus_max".into(),
        json!({"value": most, "min": most, "max": most}),
    );
    for row in &report.rows {
        let name = format!(
            "http_req_duration{{name:{},scenario:{}}}",
            row.endpoint, row.phase
        );
        metrics.insert(name, trend(row.spread(Measure::Service)));
    }
    let thresholds = report.objectives.iter().map(|judged| {
        (
            judged.objective.clone(),
            json!({"ok": judged.holds, "measured": judged.measured}),
        )
    });
    json!({
        "metrics": metrics,
        "root_group": {"name": "", "path": "", "groups": {}, "checks": checks(&report.rows)},
        "thresholds": thresholds.collect::<Map<_, _>>(),
    })
}

fn checks(rows: &[Row]) -> Value {
    let each = rows.iter().map(|row| {
        let name = format!("{} in {}", row.endpoint, row.phase);
        (
            name.clone(),
            json!({"name": name, "passes": row.good, "fails": row.errors + row.shed}),
        )
    });
    Value::Object(each.collect())
}

fn counter(count: f64, seconds: f64) -> Value {
    json!({"count": count, "rate": count / seconds})
}

fn rate(part: u64, whole: u64) -> Value {
    json!({
        "value": crate::measure::share(part, whole),
        "passes": part,
        "fails": whole.saturating_sub(part),
    })
}

fn trend(spread: Spread) -> Value {
    json!({
        "avg": spread.mean, "min": spread.min, "med": spread.p50, "max": spread.max,
        "p(90)": spread.p90, "p(95)": spread.p95, "p(99)": spread.p99, "count": spread.count,
    })
}
