//! What services tell of themselves while they are under load: how long their stages took, and how full
//! their pools and queues were.

mod scrape;
mod watch;

pub use scrape::Scrape;
pub use watch::Watch;

use serde::{Deserialize, Serialize};

/// Metrics of a service in Prometheus' text form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name of the service.
    pub name: String,
    /// URL; the path is `/metrics` unless it has one.
    pub url: String,
    /// Whether it is a mistake when nothing is there.
    pub is_wanted: bool,
}

impl Endpoint {
    /// Reads `NAME=URL`, or a URL, which is its own name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, url) = match text.split_once("=http") {
            Some((name, rest)) => (name, format!("http{rest}")),
            None => (text.trim_start_matches("http://"), text.to_owned()),
        };
        if name.is_empty() || !url.starts_with("http") {
            return Err(format!("`{text}` is not NAME=URL"));
        }
        Ok(Self {
            name: name.to_owned(),
            url,
            is_wanted: true,
        })
    }
}

/// A service, as it was during the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceUse {
    /// Its name.
    pub name: String,
    /// Its stages, the one with the most time first.
    pub stages: Vec<Stage>,
    /// Its pools, queues and the like.
    pub levels: Vec<Level>,
}

/// A stage of a service: a histogram of seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Its metric and labels.
    pub name: String,
    /// How often it was done during the run.
    pub count: u64,
    /// How long that took altogether.
    pub seconds: f64,
}

impl Stage {
    /// How long it took on average, in milliseconds.
    pub fn mean_ms(&self) -> f64 {
        self.seconds / self.count.max(1) as f64 * 1e3
    }

    /// Its name, as far as it says more than that it is of this service and a time.
    pub fn short(&self, service: &str) -> String {
        let prefix = format!("{service}_");
        let own = self.name.strip_prefix(&prefix).unwrap_or(&self.name);
        let (name, labels) = own.split_once(' ').unwrap_or((own, ""));
        let name = name.trim_end_matches("_seconds");
        let name = name.trim_end_matches("_duration").replace('_', " ");
        format!("{name} {labels}").trim_end().to_owned()
    }

    /// Whether it is the whole of a request, within which the others are.
    pub fn is_whole(&self) -> bool {
        self.name.contains("request_duration")
    }
}

/// A gauge of a pool, a queue or slots.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Its metric and labels.
    pub name: String,
    /// On average.
    pub mean: f64,
    /// At most, as far as it was looked at.
    pub most: f64,
}

/// The stage that took the most time of all services, and its share of what all stages took.
pub fn bottleneck(services: &[ServiceUse]) -> Option<(&str, &Stage, f64)> {
    let parts = || {
        let each = services.iter();
        each.flat_map(|service| service.stages.iter().map(move |stage| (service, stage)))
            .filter(|(_, stage)| !stage.is_whole())
    };
    let all: f64 = parts().map(|(_, stage)| stage.seconds).sum();
    let (service, most) = parts().max_by(|a, b| a.1.seconds.total_cmp(&b.1.seconds))?;
    (all > 0.0).then(|| (service.name.as_str(), most, most.seconds / all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_have_names_or_are_their_own() {
        let read = |text| Endpoint::parse(text).map(|own| (own.name, own.url));
        let told = |name: &str, url: &str| Ok((name.to_owned(), url.to_owned()));
        assert_eq!(
            read("vector=http://h:8007"),
            told("vector", "http://h:8007")
        );
        assert_eq!(read("http://h:1/m"), told("h:1/m", "http://h:1/m"));
        assert!(read("vector").is_err() && read("=http://h").is_err());
    }

    #[test]
    fn the_bottleneck_is_a_stage_and_no_whole_request() {
        let stage = |name: &str, seconds| Stage {
            name: name.into(),
            count: 10,
            seconds,
        };
        let services = [
            ServiceUse {
                name: "a".into(),
                stages: vec![stage("request_duration", 9.0), stage("parse", 1.0)],
                levels: Vec::new(),
            },
            ServiceUse {
                name: "b".into(),
                stages: vec![stage("rank", 3.0)],
                levels: Vec::new(),
            },
        ];
        let (service, stage, share) = bottleneck(&services).unwrap();
        assert_eq!((service, stage.name.as_str()), ("b", "rank"));
        assert!((share - 0.75).abs() < 1e-9 && (stage.mean_ms() - 300.0).abs() < 1e-9);
        assert_eq!(bottleneck(&[]), None);
        let named = |name, service| {
            Stage {
                name: String::from(name),
                ..Stage::default()
            }
            .short(service)
        };
        assert_eq!(
            named("retrieval_stage_duration_seconds stage=bm25", "retrieval"),
            "stage stage=bm25"
        );
        assert_eq!(named("model_compute_seconds", "retrieval"), "model compute");
    }
}
