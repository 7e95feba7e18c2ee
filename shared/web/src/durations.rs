//! How long requests take, by route, method and status.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use touchstone_telemetry::Scope;

/// Labels of the histogram; the route is its pattern and the method a known one, so the set is
/// bounded.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    route: String,
    method: &'static str,
    status: u16,
}

/// The histograms. Labels are texts that the registry wants to own, so that each set of them is
/// looked up there once and its histogram found by reference afterwards.
#[derive(Clone, Debug)]
pub(crate) struct RequestDurations {
    family: Family<Labels, Histogram, fn() -> Histogram>,
    known: Arc<RwLock<HashMap<String, Known>>>,
}

/// Histograms of one route: a handful, for which a list is faster than a map.
type Known = Vec<(&'static str, StatusCode, Histogram)>;

impl RequestDurations {
    pub fn new(scope: &Scope) -> Self {
        let family = scope.latency_by(
            "request_duration_seconds",
            "Time to the head of the response",
        );
        Self {
            family,
            known: Arc::default(),
        }
    }

    pub fn observe(&self, route: &str, method: &Method, status: StatusCode, elapsed: Duration) {
        let (seconds, method) = (elapsed.as_secs_f64(), method_name(method));
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(histogram) = find(&known, route, method, status) {
            return histogram.observe(seconds);
        }
        drop(known);
        let labels = Labels {
            route: route.to_owned(),
            method,
            status: status.as_u16(),
        };
        let histogram = self.family.get_or_create(&labels).clone();
        histogram.observe(seconds);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if find(&known, route, method, status).is_none() {
            let known = known.entry(labels.route).or_default();
            known.push((method, status, histogram));
        }
    }
}

/// The name of a method in metrics and records. Those beyond the usual ones come from outside and are
/// not repeated: there may be as many as a client likes.
pub fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn find<'a>(
    known: &'a HashMap<String, Known>,
    route: &str,
    method: &str,
    status: StatusCode,
) -> Option<&'a Histogram> {
    let of_route = known.get(route)?;
    let found = of_route
        .iter()
        .find(|(own, code, _)| *own == method && *code == status);
    found.map(|(_, _, histogram)| histogram)
}

#[cfg(test)]
mod tests {
    use touchstone_telemetry::Metrics;

    use super::*;

    #[test]
    fn each_route_method_and_status_has_its_own_count() {
        let scope = Metrics::new().scope("sample");
        let durations = RequestDurations::new(&scope);
        let second = Duration::from_secs(1);
        for (method, status, times) in [
            (Method::GET, 200, 3),
            (Method::GET, 404, 2),
            (Method::POST, 200, 1),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            for _ in 0..times {
                durations.observe("/x", &method, status, second);
            }
        }
        durations.observe("/y", &Method::GET, StatusCode::OK, second);
        let text = scope.encode();
        for (labels, count) in [
            ("route=\"/x\",method=\"GET\",status=\"200\"", 3),
            ("route=\"/x\",method=\"GET\",status=\"404\"", 2),
            ("route=\"/x\",method=\"POST\",status=\"200\"", 1),
            ("route=\"/y\",method=\"GET\",status=\"200\"", 1),
        ] {
            let line = format!("seconds_count{{{labels}}} {count}");
            assert!(text.contains(&line), "{line} is not in {text}");
        }
    }

    #[test]
    fn methods_that_clients_invent_share_one_count() {
        let scope = Metrics::new().scope("sample");
        let durations = RequestDurations::new(&scope);
        for number in 0..100 {
            let method = Method::from_bytes(format!("INVENTED{number}").as_bytes()).unwrap();
            durations.observe("unmatched", &method, StatusCode::NOT_FOUND, Duration::ZERO);
        }
        let text = scope.encode();
        assert!(!text.contains("INVENTED"), "{text}");
        let line = "seconds_count{route=\"unmatched\",method=\"other\",status=\"404\"} 100";
        assert!(text.contains(line), "{text}");
        let known = durations.known.read().unwrap();
        assert_eq!(known["unmatched"].len(), 1);
    }
}
