//! Prometheus' text form, as far as it is needed here.

use std::collections::BTreeMap;

/// Words in the names of gauges that tell how full something is.
const LEVELS: [&str; 9] = [
    "pool",
    "slots",
    "queue",
    "connections",
    "in_flight",
    "open",
    "busy",
    "waiting",
    "active",
];
/// What histograms of durations end with.
const SECONDS: &str = "_seconds";

/// One look at the metrics of a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scrape {
    /// Histograms of seconds by name and labels: how many, and their sum.
    pub stages: BTreeMap<String, (f64, f64)>,
    /// Gauges by name and labels.
    pub levels: BTreeMap<String, f64>,
}

impl Scrape {
    /// Reads the text; lines that make no sense are passed over.
    pub fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        let mut kinds = BTreeMap::new();
        for line in text.lines() {
            if let Some(declared) = line.strip_prefix("# TYPE ") {
                if let Some((name, kind)) = declared.split_once(' ') {
                    kinds.insert(name, kind.trim());
                }
                continue;
            }
            if line.starts_with('#') {
                continue;
            }
            if let Some((name, labels, value)) = sample(line) {
                scrape.take(&kinds, name, labels, value);
            }
        }
        scrape
    }

    fn take(&mut self, kinds: &BTreeMap<&str, &str>, name: &str, labels: &str, value: f64) {
        let series = |name: &str| {
            let short = name.strip_prefix("touchstone_").unwrap_or(name);
            if labels.is_empty() {
                short.to_owned()
            } else {
                format!("{short} {}", labels.replace('"', ""))
            }
        };
        if kinds.get(name) == Some(&"gauge") {
            // Descriptors of a process are told with its memory.
            let is_own = !name.starts_with("process_");
            if is_own && LEVELS.iter().any(|word| name.contains(word)) {
                self.levels.insert(series(name), value);
            }
            return;
        }
        let part = |ending: &str| {
            let base = name.strip_suffix(ending)?;
            let is_time = base.ends_with(SECONDS) && kinds.get(base) == Some(&"histogram");
            is_time.then(|| series(base))
        };
        if let Some(stage) = part("_count") {
            self.stages.entry(stage).or_default().0 = value;
        } else if let Some(stage) = part("_sum") {
            self.stages.entry(stage).or_default().1 = value;
        }
    }
}

/// Name, labels and value of a line.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    let (series, rest) = match line.split_once('}') {
        Some((series, rest)) => (series, rest),
        None => line.split_once(' ')?,
    };
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((name, labels, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_levels_are_read_and_the_rest_is_not() {
        let text = "# HELP touchstone_x_stage_seconds Stages\n\
            # TYPE touchstone_x_stage_seconds histogram\n\
            touchstone_x_stage_seconds_bucket{le=\"0.1\",stage=\"rank\"} 3\n\
            touchstone_x_stage_seconds_sum{stage=\"rank\"} 1.5\n\
            touchstone_x_stage_seconds_count{stage=\"rank\"} 4\n\
            # TYPE x_texts histogram\nx_texts_sum 4\nx_texts_count 2\n\
            # TYPE x_pool_busy gauge\nx_pool_busy 7 1700000000\n\
            # TYPE x_info gauge\nx_info 1\n\
            # TYPE process_open_fds gauge\nprocess_open_fds 9\n\
            # TYPE x_open_total counter\nx_open_total 9\nnonsense\n";
        let scrape = Scrape::parse(text);
        let stages: Vec<_> = scrape.stages.into_iter().collect();
        assert_eq!(
            stages,
            [("x_stage_seconds stage=rank".to_owned(), (4.0, 1.5))]
        );
        let levels: Vec<_> = scrape.levels.into_iter().collect();
        assert_eq!(levels, [("x_pool_busy".to_owned(), 7.0)]);
    }
}
