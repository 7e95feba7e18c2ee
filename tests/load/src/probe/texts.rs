//! Reports of tools that only print text for people: wrk, h2load, ab and hey.

use std::collections::BTreeMap;

use super::told::Told;

/// Finds out which one printed it.
pub(super) fn read(text: &str) -> Option<Told> {
    if text.contains("Thread Stats") {
        wrk(text)
    } else if text.contains("time for request:") {
        h2load(text)
    } else if text.contains("Complete requests:") {
        ab(text)
    } else if text.contains("Status code distribution:") || text.contains("Latency distribution:") {
        Some(hey(text))
    } else {
        None
    }
}

/// The number that stands before `what`, or behind it.
fn number(word: &str) -> Option<f64> {
    let plain = word.trim_matches(|c: char| !c.is_ascii_digit() && c != '.');
    plain.parse().ok()
}

/// The number in front of a word, on whichever line.
fn before(text: &str, what: &str) -> Option<f64> {
    let at = text.find(what)?;
    number(text[..at].split_whitespace().next_back()?)
}

/// The number behind a label, on whichever line.
fn behind(text: &str, label: &str) -> Option<f64> {
    let at = text.find(label)? + label.len();
    number(text[at..].split_whitespace().next()?)
}

/// Milliseconds of a time with its unit.
fn millis(text: &str) -> Option<f64> {
    let units = [("us", 1e-3), ("ms", 1.0), ("s", 1e3), ("m", 60e3)];
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (value, unit) = text.split_at(end);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    Some(value.parse::<f64>().ok()? * factor)
}

/// Lines of a percentage and a time.
fn quantiles(text: &str, time: impl Fn(&[&str]) -> Option<f64>) -> BTreeMap<u32, f64> {
    let lines = text.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let percent: f64 = words.first()?.strip_suffix('%')?.parse().ok()?;
        Some(((percent * 10.0).round() as u32, time(&words[1..])?))
    });
    lines.collect()
}

/// Answers that are no success, and connections that failed. Requests that failed are not among its
/// requests.
fn wrk(text: &str) -> Option<Told> {
    let answered = before(text, " requests in ")?;
    let refused = behind(text, "Non-2xx or 3xx responses: ").unwrap_or(0.0);
    let broken: f64 = ["connect ", "read ", "write ", "timeout "]
        .iter()
        .filter_map(|kind| behind(text.split_once("Socket errors: ")?.1, kind))
        .sum();
    let requests = answered + broken;
    Some(Told {
        requests: Some(requests),
        error_share: (requests > 0.0).then(|| (refused + broken) / requests),
        quantiles: quantiles(text, |words| millis(words.first()?)),
    })
}

fn h2load(text: &str) -> Option<Told> {
    let requests = before(text, " total, ")?;
    let succeeded = before(text, " succeeded, ")?;
    Some(Told {
        requests: Some(requests),
        error_share: (requests > 0.0).then(|| 1.0 - succeeded / requests),
        quantiles: BTreeMap::new(),
    })
}

/// What fails it counts twice when the answer has both another length and another status.
fn ab(text: &str) -> Option<Told> {
    let requests = behind(text, "Complete requests:")?;
    let refused = behind(text, "Non-2xx responses:").unwrap_or(0.0);
    let failed = behind(text, "Failed requests:").unwrap_or(0.0);
    Some(Told {
        requests: Some(requests),
        error_share: (requests > 0.0).then(|| refused.max(failed) / requests),
        quantiles: quantiles(text, |words| number(words.first()?)),
    })
}

fn hey(text: &str) -> Told {
    let count = |line: &str| {
        let (_, rest) = line.trim().strip_prefix('[')?.split_once(']')?;
        number(rest.split_whitespace().next()?)
    };
    let (mut good, mut answered, mut broken) = (0.0, 0.0, 0.0);
    let mut part = "";
    for line in text.lines() {
        if line.ends_with("distribution:") {
            part = line.trim();
        } else if part.starts_with("Status") {
            let found = count(line).unwrap_or(0.0);
            answered += found;
            good += if line.trim().starts_with("[2") {
                found
            } else {
                0.0
            };
        } else if part.starts_with("Error") {
            let inner = line
                .trim()
                .strip_prefix('[')
                .and_then(|rest| rest.split_once(']'));
            broken += inner.and_then(|(count, _)| number(count)).unwrap_or(0.0);
        }
    }
    let requests = answered + broken;
    Told {
        requests: Some(requests),
        error_share: (requests > 0.0).then(|| 1.0 - good / requests),
        // `50% in 0.0204 secs`; newer ones write `50%% in`.
        quantiles: quantiles(&text.replace("%%", "%"), |words| {
            Some(number(words.get(1)?)? * 1e3)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::expect::Quantity;

    fn told(text: &str) -> (Option<f64>, Option<f64>, Option<f64>) {
        let told = read(text).unwrap();
        let p99 = told.value(Quantity::Quantile(0.99));
        (told.requests, told.error_share, p99)
    }

    #[test]
    fn what_is_printed_for_people_is_read() {
        let wrk = "Running 2s test @ http://127.0.0.1:1/x\n  Thread Stats   Avg      Stdev\n\
             Latency Distribution\n     50%    7.98ms\n     90%  900.00us\n     99%    1.20s\n\
             540 requests in 2.03s, 45.04KB read\n\
             Socket errors: connect 0, read 58, write 0, timeout 2\n  Non-2xx or 3xx responses: 60\n";
        assert_eq!(told(wrk), (Some(600.0), Some(0.2), Some(1200.0)));
        assert_eq!(read(wrk).unwrap().value(Quantity::Quantile(0.9)), Some(0.9));
        let h2load = "requests: 200 total, 92 started, 83 done, 150 succeeded, 117 failed, 117 errored\n\
             time for request:     1.28ms     47.47ms\n";
        assert_eq!(told(h2load), (Some(200.0), Some(0.25), None));
        let ab = "Complete requests:      100\nFailed requests:        10\n   (Connect: 0, Receive: 0)\n\
             Non-2xx responses:      25\n  50%     21\n  99%     230\n 100%    400 (longest request)\n";
        assert_eq!(told(ab), (Some(100.0), Some(0.25), Some(230.0)));
        let hey = "Latency distribution:\n  50%% in 0.0204 secs\n  99%% in 0.2000 secs\n\n\
             Details (average, fastest, slowest):\n  DNS+dialup:\t0.0001 secs\n\n\
             Status code distribution:\n  [200]\t90 responses\n  [500]\t5 responses\n\n\
             Error distribution:\n  [5]\tGet \"http://x\": EOF\n";
        assert_eq!(told(hey), (Some(100.0), Some(1.0 - 0.9), Some(200.0)));
        assert_eq!(read("nothing of the kind"), None);
    }
}
