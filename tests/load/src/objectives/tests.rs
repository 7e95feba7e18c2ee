use proptest::prelude::*;

use super::*;
use crate::measure::Measure;

fn subjects() -> impl Strategy<Value = Subject> {
    let measure = proptest::sample::select(Measure::ALL.to_vec());
    prop_oneof![
        (measure.clone(), 1_u32..=100_000).prop_map(|(measure, thousandths)| {
            Subject::Percentile(measure, f64::from(thousandths) / 1000.0)
        }),
        measure.clone().prop_map(Subject::Mean),
        measure.prop_map(Subject::Max),
        proptest::sample::select(vec![
            Subject::Requests,
            Subject::Good,
            Subject::Errors,
            Subject::Sheds,
            Subject::Dropped,
            Subject::Success,
            Subject::Rate,
            Subject::RatePerCore,
        ]),
    ]
}

fn objectives() -> impl Strategy<Value = Objective> {
    let relation = proptest::sample::select(vec![
        Relation::Below,
        Relation::AtMost,
        Relation::Equal,
        Relation::AtLeast,
        Relation::Above,
    ]);
    let name = proptest::option::of(
        "[a-eg-hj-z/{}][a-z0-9/._{}-]{0,12}( [A-Z/][a-z/]{0,5})?"
            .prop_filter("a word of the grammar", |name| {
                !name.split(' ').any(|word| ["for", "in"].contains(&word))
            }),
    );
    (
        subjects(),
        relation,
        0_u32..10_000_000,
        any::<bool>(),
        name.clone(),
        name,
    )
        .prop_map(|(subject, relation, number, in_percent, endpoint, phase)| {
            let number_of = f64::from(number) / 100.0;
            let limit = match subject {
                Subject::Percentile(..) | Subject::Mean(_) | Subject::Max(_) => {
                    Limit::Time(std::time::Duration::from_micros(u64::from(number)))
                }
                Subject::Rate | Subject::RatePerCore => Limit::PerSecond(number_of),
                Subject::Success => Limit::Percent(number_of),
                Subject::Errors | Subject::Sheds | Subject::Dropped if in_percent => {
                    Limit::Percent(number_of)
                }
                _ => Limit::Count(number_of),
            };
            Objective {
                subject,
                relation,
                limit,
                endpoint,
                phase,
            }
        })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(objective in objectives()) {
        let text = objective.to_string();
        prop_assert_eq!(text.parse::<Objective>(), Ok(objective), "{}", text);
    }

    #[test]
    fn no_text_breaks_the_parser(text in ".{0,60}") {
        if let Ok(objective) = text.parse::<Objective>() {
            prop_assert_eq!(objective.to_string().parse::<Objective>(), Ok(objective));
        }
    }

    #[test]
    fn no_text_of_its_own_words_breaks_the_parser(
        words in proptest::collection::vec(proptest::sample::select(vec![
            "p95", "p0", "p100.1", "mean", "gap", "<", "<=", "=", ">", "200ms", "1%", "7", "1e9", "inf",
            "for", "in", "per", "core", "rate", "errors", "success", "a", "b",
        ]), 0..8),
    ) {
        if let Ok(objective) = words.join(" ").parse::<Objective>() {
            prop_assert_eq!(objective.to_string().parse::<Objective>(), Ok(objective));
        }
    }
}

#[test]
fn the_forms_of_the_scenarios_are_understood() {
    for text in [
        "p95 < 100ms",
        "p99<2s for GET /x",
        "errors = 0",
        "errors < 1%",
        "success >= 99% in 500/50",
        "requests >= 1,167,530",
        "rate > 50/s per core",
        "first_event p95 < 1.5s for ask.stream in slow",
        "service max <= 50ms",
    ] {
        let objective = text.parse::<Objective>();
        assert!(objective.is_ok(), "{text}: {objective:?}");
    }
    let objective: Objective = "p99<2s for GET /x in a b".parse().unwrap();
    assert_eq!(objective.endpoint.as_deref(), Some("GET /x"));
    assert_eq!(objective.phase.as_deref(), Some("a b"));
}

#[test]
fn typos_are_told_with_what_is_known() {
    let told = |text: &str| text.parse::<Objective>().unwrap_err().to_string();
    assert!(told("p9x < 100ms").contains("`p9x` is not known; there are p50"));
    assert!(told("p95 < 100").contains("is no duration like 200ms"));
    assert!(told("p95 100ms").contains("none of <"));
    assert!(told("p95 < 100ms fro search").contains("`fro` was not expected"));
    assert!(told("success > 99").contains("percentage like 99%"));
    assert!(told("p95 < 100ms for").contains("nothing stands behind `for`"));
    assert!(told("lag p95 < 1ms").contains("`lag` is not known"));
    assert!(told("p101 < 1ms").contains("no percentile 101"));
    assert!(told("errors < 1% per core").contains("belongs to `rate`"));
}
