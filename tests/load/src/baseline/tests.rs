use std::time::Duration;

use super::*;
use crate::arrivals::Random;
use crate::measure::{Durations, Sparse};

/// Seconds of an imagined service: log-normal durations around a level that wanders from second to second.
fn seconds(random: &mut Random, count: usize, rate: usize, slower: f64) -> Vec<Sparse> {
    let mut level = 0.0_f64;
    (0..count)
        .map(|_| {
            level = 0.7 * level + 0.04 * random.normal();
            let mut durations = Durations::default();
            for _ in 0..rate {
                let millis = random.log_normal(20.0, 0.6) * level.exp() * slower;
                durations.record(Duration::from_secs_f64(millis / 1e3));
            }
            durations.sparse()
        })
        .collect()
}

fn side(random: &mut Random, count: usize, rate: usize, slower: f64) -> Side {
    let seconds = seconds(random, count, rate, slower);
    Side::new(seconds.iter())
}

/// Of pairs of runs, how many are told to differ in a quantile (or only in p99 when asked so).
fn told(pairs: u64, length: usize, rate: usize, slower: f64, only_p99: bool) -> u64 {
    let bootstrap = Bootstrap {
        draws: 200,
        ..Bootstrap::default()
    };
    (0..pairs)
        .filter(|&pair| {
            let mut random = Random::new(pair, 9);
            let before = side(&mut random, length, rate, 1.0);
            let after = side(&mut random, length, rate, slower);
            let ratios = bootstrap.ratios(&before, &after, &[0.5, 0.95, 0.99]);
            let looked_at = if only_p99 { &ratios[3..] } else { &ratios[1..] };
            looked_at.iter().any(|ratio| {
                (ratio.low > 1.0 || ratio.high < 1.0)
                    && (ratio.after / ratio.before - 1.0).abs() >= 0.02
            })
        })
        .count() as u64
}

fn pairs(few: u64, many: u64) -> u64 {
    if touchstone_config::variable("TOUCHSTONE_FULL").is_some() {
        many
    } else {
        few
    }
}

#[test]
fn runs_that_do_not_differ_are_seldom_told_to() {
    let pairs = pairs(40, 400);
    let alarms = told(pairs, 60, 80, 1.0, false);
    assert!(alarms * 20 <= pairs, "{alarms} false alarms of {pairs}");
}

#[test]
fn a_tenth_more_is_found_in_three_minutes() {
    let pairs = pairs(10, 100);
    let found = told(pairs, 180, 400, 1.1, true);
    assert!(found * 10 >= pairs * 9, "found {found} of {pairs}");
}

#[test]
fn names_that_are_paths_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["", "../x", "a/b", ".hidden"] {
        assert!(load(folder.path(), name).is_err(), "{name}");
        assert_eq!(
            load(folder.path(), name).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }
    assert_eq!(
        load(folder.path(), "main").unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
}
