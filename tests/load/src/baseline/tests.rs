use super::calibration::{Imagined, Recording, told, told_of_recordings};
use super::*;

fn pairs(few: u64, many: u64) -> u64 {
    if touchstone_config::variable("TOUCHSTONE_FULL").is_some() {
        many
    } else {
        few
    }
}

const fn imagined(seconds: usize, rate: usize) -> Imagined {
    Imagined { seconds, rate }
}

#[test]
fn runs_that_do_not_differ_are_seldom_told_to() {
    let pairs = pairs(40, 400);
    let alarms = told(pairs, imagined(60, 80), 1.0, false);
    assert!(alarms * 20 <= pairs, "{alarms} false alarms of {pairs}");
}

#[test]
fn a_tenth_more_is_found_in_three_minutes() {
    let pairs = pairs(10, 100);
    let found = told(pairs, imagined(180, 400), 1.1, true);
    assert!(found * 10 >= pairs * 9, "found {found} of {pairs}");
}

#[test]
fn pairs_drawn_from_recordings_differ_where_the_recordings_do() {
    let second = |slower: f64, at: u64| {
        let mut random = crate::arrivals::Random::new(at, 3);
        let mut durations = crate::measure::Durations::default();
        for _ in 0..80 {
            let millis = random.log_normal(20.0, 0.4) * slower;
            durations.record(std::time::Duration::from_secs_f64(millis / 1e3));
        }
        durations.sparse()
    };
    let recording = |slower: f64, from: u64| {
        let runs: Vec<Vec<_>> = (0..8)
            .map(|run| {
                (0..61)
                    .map(|at| second(slower, from + run * 100 + at))
                    .collect()
            })
            .collect();
        Recording::new(runs.iter().map(Vec::as_slice))
    };
    let (own, alike, slower) = (
        recording(1.0, 0),
        recording(1.0, 5_000),
        recording(1.5, 5_000),
    );
    // What is left of 61 seconds after two stretches of thirty belongs to none.
    assert_eq!(own.seconds(), 480);
    let told = |after, only_p99| told_of_recordings(10, 120, (&own, after), only_p99).unwrap();
    assert_eq!(told(Some(&slower), true), 10);
    assert!(told(None, false) <= 1 && told(Some(&alike), false) <= 1);
    // Both sides of a pair of one recording need seconds of their own.
    assert_eq!(told_of_recordings(1, 300, (&own, None), false), None);
    assert!(told_of_recordings(1, 300, (&own, Some(&alike)), false).is_some());
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
