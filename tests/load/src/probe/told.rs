//! What a tool reports, in whichever form.

use std::collections::BTreeMap;

use serde_json::Value;

use super::expect::{Expected, Quantity};
use crate::report::Report;

/// A tool's report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// Requests.
    pub requests: Option<f64>,
    /// Share that failed.
    pub error_share: Option<f64>,
    /// Milliseconds by thousandths of the quantile.
    pub quantiles: BTreeMap<u32, f64>,
}

impl Told {
    /// What it says of a quantity.
    pub fn value(&self, quantity: Quantity) -> Option<f64> {
        match quantity {
            Quantity::Requests => self.requests,
            Quantity::ErrorShare => self.error_share,
            Quantity::Quantile(q) => self.quantiles.get(&((q * 1000.0).round() as u32)).copied(),
        }
    }

    /// Whether it says what is expected.
    pub fn is_right(&self, expected: &Expected) -> bool {
        let value = self.value(expected.quantity);
        value.is_some_and(|value| (value - expected.value).abs() <= expected.tolerance)
    }

    /// Of a report of this engine.
    pub fn of(report: &Report) -> Self {
        let all = report.total.histogram.dense();
        let quantile = |thousandths: u32| {
            let value = all.quantile(f64::from(thousandths) / 1000.0);
            (thousandths, value.as_secs_f64() * 1e3)
        };
        Self {
            requests: Some(report.total.requests as f64),
            error_share: Some(crate::measure::share(
                report.total.errors,
                report.total.requests,
            )),
            quantiles: [250, 500, 750, 900, 950, 990].map(quantile).into(),
        }
    }

    /// Finds out the form: this engine's report, k6's summary, the JSON of oha and vegeta, Locust's JSON
    /// or table, what wrk, h2load, ab and hey print.
    pub fn read(text: &str) -> Option<Self> {
        if text.trim_start().starts_with("Type,") || text.contains("\nType,Name") {
            return locust(text);
        }
        if text.trim_start().starts_with('[') {
            return locust_json(text);
        }
        if let Some(told) = super::texts::read(text) {
            return Some(told);
        }
        let begin = text.find('{')?;
        let mut values = serde_json::Deserializer::from_str(&text[begin..]).into_iter::<Value>();
        let json = values.next()?.ok()?;
        if json.get("metrics").is_some() {
            Some(k6(&json))
        } else if json.get("latencyPercentiles").is_some() {
            Some(oha(&json))
        } else if json.get("latencies").is_some() {
            Some(vegeta(&json))
        } else {
            serde_json::from_value(json)
                .ok()
                .map(|report: Report| Self::of(&report))
        }
    }
}

fn k6(json: &Value) -> Told {
    let metrics = &json["metrics"];
    // k6 has two forms: values beside the name (`--summary-export`), or below `values` (handleSummary).
    let metric = |name: &str, key: &str| {
        let metric = &metrics[name];
        metric.get("values").unwrap_or(metric).get(key)?.as_f64()
    };
    let duration = |key: &str| metric("http_req_duration", key);
    let quantiles = [(500, "med"), (900, "p(90)"), (950, "p(95)"), (990, "p(99)")];
    let found = quantiles
        .iter()
        .filter_map(|(at, key)| Some((*at, duration(key)?)));
    Told {
        requests: metric("http_reqs", "count"),
        error_share: metric("http_req_failed", "rate")
            .or_else(|| metric("http_req_failed", "value")),
        quantiles: found.collect(),
    }
}

fn oha(json: &Value) -> Told {
    let percentiles = &json["latencyPercentiles"];
    let quantiles = [
        (250, "p25"),
        (500, "p50"),
        (750, "p75"),
        (900, "p90"),
        (950, "p95"),
        (990, "p99"),
    ];
    let found = quantiles
        .iter()
        .filter_map(|(at, key)| Some((*at, percentiles[key].as_f64()? * 1e3)));
    let sum = |part: &str, right: &dyn Fn(&str) -> bool| -> f64 {
        let all = json[part].as_object();
        let counts = all.into_iter().flatten().filter(|(key, _)| right(key));
        counts.filter_map(|(_, count)| count.as_f64()).sum()
    };
    let answered = sum("statusCodeDistribution", &|_| true);
    let good = sum("statusCodeDistribution", &|status| status.starts_with('2'));
    let broken = sum("errorDistribution", &|what| !what.contains("deadline"));
    let requests = answered + broken;
    Told {
        requests: Some(requests),
        error_share: (requests > 0.0).then(|| 1.0 - good / requests),
        quantiles: found.collect(),
    }
}

/// Times are in nanoseconds; what succeeded is a share.
fn vegeta(json: &Value) -> Told {
    let quantiles = [(500, "50th"), (900, "90th"), (950, "95th"), (990, "99th")];
    let found = quantiles
        .iter()
        .filter_map(|(at, key)| Some((*at, json["latencies"][key].as_f64()? / 1e6)));
    Told {
        requests: json["requests"].as_f64(),
        error_share: json["success"].as_f64().map(|share| 1.0 - share),
        quantiles: found.collect(),
    }
}

/// Locust's times are counts by millisecond, or by ten of them above 100.
fn locust_json(text: &str) -> Option<Told> {
    let entries: Vec<Value> = serde_json::from_str(text).ok()?;
    let sum = |key: &str| -> f64 { entries.iter().filter_map(|own| own[key].as_f64()).sum() };
    let mut times: BTreeMap<u64, u64> = BTreeMap::new();
    let each = entries
        .iter()
        .filter_map(|own| own["response_times"].as_object());
    for (time, count) in each.flatten() {
        *times.entry(time.parse().ok()?).or_default() += count.as_u64()?;
    }
    let all: u64 = times.values().sum();
    let quantile = |thousandths: u32| {
        let wanted = f64::from(thousandths) / 1000.0 * all as f64;
        let mut so_far = 0;
        let found = times.iter().find(|(_, count)| {
            so_far += **count;
            so_far as f64 >= wanted
        });
        Some((thousandths, *found?.0 as f64))
    };
    let requests = sum("num_requests");
    Some(Told {
        requests: Some(requests),
        error_share: (requests > 0.0).then(|| sum("num_failures") / requests),
        quantiles: [500, 750, 900, 950, 990]
            .into_iter()
            .filter_map(quantile)
            .collect(),
    })
}

fn locust(text: &str) -> Option<Told> {
    let begin = text.find("Type,")?;
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(&text.as_bytes()[begin..]);
    let headers = reader.headers().ok()?.clone();
    let all = reader
        .records()
        .filter_map(Result::ok)
        .find(|row| row.get(1) == Some("Aggregated"))?;
    let column = |name: &str| {
        let at = headers.iter().position(|own| own == name)?;
        all.get(at)?.parse::<f64>().ok()
    };
    let requests = column("Request Count")?;
    let quantiles = [
        (500, "50%"),
        (750, "75%"),
        (900, "90%"),
        (950, "95%"),
        (990, "99%"),
    ];
    let found = quantiles
        .iter()
        .filter_map(|(at, name)| Some((*at, column(name)?)));
    Some(Told {
        requests: Some(requests),
        error_share: Some(column("Failure Count")? / requests.max(1.0)),
        quantiles: found.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_other_tools_are_read() {
        let k6 = r#"{"metrics":{"http_reqs":{"count":100,"rate":5},"http_req_failed":{"value":0.25},
            "http_req_duration":{"med":20.5,"p(90)":21,"p(95)":22,"p(99)":23}}}"#;
        let told = Told::read(k6).unwrap();
        assert_eq!((told.requests, told.error_share), (Some(100.0), Some(0.25)));
        assert_eq!(told.value(Quantity::Quantile(0.99)), Some(23.0));
        let oha = r#"progress {"latencyPercentiles":{"p50":0.02,"p99":0.5},
            "statusCodeDistribution":{"200":90,"500":10},"errorDistribution":{}}"#;
        let told = Told::read(&oha["progress ".len()..]).unwrap();
        assert_eq!(told.requests, Some(100.0));
        assert!((told.error_share.unwrap() - 0.1).abs() < 1e-9);
        assert_eq!(told.value(Quantity::Quantile(0.5)), Some(20.0));
        let vegeta = r#"{"latencies":{"50th":20000000,"99th":500000000},"requests":100,"success":0.75,
            "status_codes":{"200":75,"500":25}}"#;
        let told = Told::read(vegeta).unwrap();
        assert_eq!((told.requests, told.error_share), (Some(100.0), Some(0.25)));
        assert_eq!(told.value(Quantity::Quantile(0.99)), Some(500.0));
        let locust =
            "Type,Name,Request Count,Failure Count,50%,99%\nGET,/x,7,1,3,4\n,Aggregated,8,2,5,60\n";
        let told = Told::read(locust).unwrap();
        assert_eq!((told.requests, told.error_share), (Some(8.0), Some(0.25)));
        assert_eq!(told.value(Quantity::Quantile(0.99)), Some(60.0));
        let locust = r#"[{"num_requests":8,"num_failures":1,"response_times":{"5":6,"100":2}},
            {"num_requests":2,"num_failures":1,"response_times":{"7":2}}]"#;
        let told = Told::read(locust).unwrap();
        assert_eq!((told.requests, told.error_share), (Some(10.0), Some(0.2)));
        let at = |q| told.value(Quantity::Quantile(q));
        assert_eq!(
            (at(0.5), at(0.75), at(0.9)),
            (Some(5.0), Some(7.0), Some(100.0))
        );
        assert_eq!(Told::read("no report"), None);
    }
}
