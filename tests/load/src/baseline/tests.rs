use super::calibration::{Imagined, told};
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
