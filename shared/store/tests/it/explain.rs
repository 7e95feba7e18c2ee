use touchstone_store::postgres::explain::{Cost, Tables, explain};
use touchstone_store::postgres::{Explained, Rule, Statement};

use super::MIGRATOR;

const fn indexed(
    name: &'static str,
    sql: &'static str,
    samples: &'static [&'static str],
) -> Statement {
    Statement {
        name,
        sql,
        samples,
        rule: Rule::Indexed,
    }
}

static NOTES: Explained = Explained {
    service: "notes",
    migrator: &MIGRATOR,
    fill: &["INSERT INTO notes (name, size) SELECT n::text, n FROM generate_series(1, $1) AS n"],
    statements: &[&[
        indexed("ONE", "SELECT name FROM notes WHERE id = $1", &["7"]),
        indexed(
            "MOST",
            "SELECT name FROM notes WHERE id = ANY($1)",
            &["(SELECT array_agg(id) FROM notes WHERE id % 10 <> 0)"],
        ),
        indexed("BY_SIZE", "SELECT name FROM notes WHERE size = $1", &["7"]),
        indexed("WRONG", "SELECT nothing FROM notes", &[]),
    ]],
};

#[tokio::test]
async fn only_what_has_no_index_misses_its_rule() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let report = explain(&url, &NOTES, Tables::Scratch(1500)).await.unwrap();
    let cost = |name: &str| -> &Cost {
        let mut all = report.statements.iter();
        all.find(|cost| cost.name == name).unwrap()
    };
    assert_eq!((&cost("ONE").advice, &cost("ONE").reason), (&None, &None));
    // Nobody takes an index for nearly all rows; it would be there.
    let most = cost("MOST");
    assert!(most.sequential.contains("notes"), "{most:?}");
    assert!(most.advice.is_none() && most.reason.is_some(), "{most:?}");
    let misses: Vec<_> = report.misses().map(|cost| cost.name.as_str()).collect();
    assert_eq!(misses, ["BY_SIZE", "WRONG"]);
}
