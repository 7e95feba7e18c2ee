//! What each statement of a store costs, measured by the server on filled tables.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::{Explained, Options, Rule, Statement, connect, migrate};
use crate::Error;

/// Reading a table of fewer rows from end to end is no fault.
const BIG: f64 = 1000.0;
/// So many rows may be read and thrown away for nothing.
const WASTE: f64 = 10_000.0;

/// On which tables statements are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tables {
    /// In a schema that is made for this, filled with so many rows, and dropped.
    Scratch(u32),
    /// In the service's own, inside transactions that are rolled back.
    Present,
}

/// What the statements of a store cost.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The service.
    pub service: String,
    /// Rows by table.
    pub tables: BTreeMap<String, u64>,
    /// The statements.
    pub statements: Vec<Cost>,
}

impl Report {
    /// Statements that miss their rule.
    pub fn misses(&self) -> impl Iterator<Item = &Cost> {
        self.statements.iter().filter(|cost| cost.advice.is_some())
    }
}

/// What a statement costs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Cost {
    /// Its name.
    pub name: String,
    /// Milliseconds on the server.
    pub milliseconds: f64,
    /// Rows that it gave.
    pub rows: f64,
    /// Pages that it touched, of 8 KiB.
    pub pages: u64,
    /// Indexes that it used.
    pub indexes: BTreeSet<String>,
    /// Tables that it read from end to end.
    pub sequential: BTreeSet<String>,
    /// Why it may do that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to do, when it misses its rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// Tries every statement of a store.
///
/// # Errors
/// When the server is away or a table cannot be made or filled. A statement that the server refuses
/// is a miss, and no error.
pub async fn explain(uri: &str, store: &Explained, tables: Tables) -> Result<Report, Error> {
    let options = Options::default();
    match tables {
        Tables::Present => {
            let mut connection = open(uri, store.service, &options).await?;
            let report = all(&mut connection, store.service, store).await;
            let _ = connection.close().await;
            report
        }
        Tables::Scratch(rows) => {
            let schema = format!("explain_{}_{:.8}", store.service, crate::holder().simple());
            let made = async {
                migrate::bring_up_to_date(uri, &schema, store.migrator, &options).await?;
                let mut connection = open(uri, &schema, &options).await?;
                for fill in store.fill {
                    sqlx::query(*fill)
                        .bind(i64::from(rows))
                        .execute(&mut connection)
                        .await?;
                }
                connection.execute("ANALYZE").await?;
                let report = all(&mut connection, &schema, store).await;
                let _ = connection.close().await;
                report
            }
            .await;
            let mut connection = open(uri, &schema, &options).await?;
            let drop = format!("DROP SCHEMA IF EXISTS \"{schema}\" CASCADE");
            connection.execute(AssertSqlSafe(drop)).await?;
            let _ = connection.close().await;
            made
        }
    }
}

async fn open(uri: &str, schema: &str, options: &Options) -> Result<PgConnection, Error> {
    let connect = connect::options(uri, schema, options)?;
    let mut connection = connect::connect(&connect).await?;
    connection.execute("SET statement_timeout = 0").await?;
    connection
        .execute("SET idle_in_transaction_session_timeout = 0")
        .await?;
    Ok(connection)
}

async fn all(
    connection: &mut PgConnection,
    schema: &str,
    store: &Explained,
) -> Result<Report, Error> {
    let sizes: Vec<(String, f32)> = sqlx::query_as(
        "SELECT relname::text, reltuples FROM pg_class \
         WHERE relnamespace = to_regnamespace($1) AND relkind = 'r' ORDER BY relname",
    )
    .bind(schema)
    .fetch_all(&mut *connection)
    .await?;
    let sizes: BTreeMap<String, f64> = sizes
        .into_iter()
        .map(|(table, rows)| (table, f64::from(rows.max(0.0))))
        .collect();
    let mut costs = Vec::new();
    for statement in store.statements.iter().copied().flatten() {
        costs.push(cost(connection, statement, &sizes).await?);
    }
    Ok(Report {
        service: store.service.to_owned(),
        tables: sizes
            .into_iter()
            .map(|(table, rows)| (table, rows as u64))
            .collect(),
        statements: costs,
    })
}

/// What a statement costs. Near the size at which it no longer matters, the planner reads a table whole
/// or takes an index as the statistics happen to fall: an index that it would take if it had to is
/// there.
async fn cost(
    connection: &mut PgConnection,
    statement: &Statement,
    sizes: &BTreeMap<String, f64>,
) -> Result<Cost, Error> {
    let first = look(connection, statement, sizes, "BEGIN").await?;
    if first.advice.is_none() {
        return Ok(first);
    }
    let begin = "BEGIN; SET LOCAL enable_seqscan = off";
    let second = look(connection, statement, sizes, begin).await?;
    Ok(match second.advice {
        Some(_) => first,
        None => Cost {
            reason: Some("the planner prefers it at this size; an index is there".to_owned()),
            advice: None,
            ..first
        },
    })
}

async fn look(
    connection: &mut PgConnection,
    statement: &Statement,
    sizes: &BTreeMap<String, f64>,
    begin: &'static str,
) -> Result<Cost, Error> {
    connection.execute(begin).await?;
    let plan = try_one(connection, statement).await;
    connection.execute("ROLLBACK").await?;
    connection.execute("DEALLOCATE ALL").await?;
    match plan {
        Ok(plan) => Ok(judge(statement, &plan, sizes)),
        Err(error) if error.is_broken_connection() => Err(error),
        Err(error) => Ok(Cost {
            name: statement.name.to_owned(),
            advice: Some(format!(
                "the server refuses it: {}",
                touchstone_error::chain(&error)
            )),
            ..Cost::default()
        }),
    }
}

async fn try_one(connection: &mut PgConnection, statement: &Statement) -> Result<Value, Error> {
    let mut values = Vec::with_capacity(statement.samples.len());
    for sample in statement.samples {
        let question = format!("SELECT quote_nullable(({sample})::text)");
        values.push(
            sqlx::query_scalar::<_, String>(AssertSqlSafe(question))
                .persistent(false)
                .fetch_one(&mut *connection)
                .await?,
        );
    }
    let prepare = format!("PREPARE tried AS {}", statement.sql);
    connection
        .execute(sqlx::raw_sql(AssertSqlSafe(prepare)))
        .await?;
    let values = if values.is_empty() {
        String::new()
    } else {
        format!("({})", values.join(", "))
    };
    let ask = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE tried{values}");
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(ask))
        .persistent(false)
        .fetch_one(connection)
        .await?;
    Ok(plan)
}

/// What was found in a plan.
#[derive(Default)]
struct Found {
    indexes: BTreeSet<String>,
    sequential: BTreeSet<String>,
    /// Tables that are too big to be read from end to end, with what was looked for.
    big: Vec<(String, String)>,
    thrown_away: f64,
}

fn judge(statement: &Statement, plan: &Value, sizes: &BTreeMap<String, f64>) -> Cost {
    let top = &plan[0];
    let root = &top["Plan"];
    let mut found = Found::default();
    walk(root, sizes, &mut found);
    let number = |value: &Value| value.as_f64().unwrap_or_default();
    let rows = number(&root["Actual Rows"]);
    let (reason, advice) = match statement.rule {
        Rule::Whole(reason) => (Some(reason.to_owned()), None),
        Rule::Indexed => (None, advice(&found, rows)),
    };
    let pages = number(&root["Shared Hit Blocks"]) + number(&root["Shared Read Blocks"]);
    Cost {
        name: statement.name.to_owned(),
        milliseconds: number(&top["Execution Time"]),
        rows,
        pages: pages as u64,
        indexes: found.indexes,
        sequential: found.sequential,
        reason,
        advice,
    }
}

fn advice(found: &Found, rows: f64) -> Option<String> {
    if let Some((table, filter)) = found.big.first() {
        return Some(format!(
            "reads all of `{table}`; an index on what it looks for would do: {filter}"
        ));
    }
    (found.thrown_away > WASTE + rows).then(|| {
        format!(
            "reads {} rows that it throws away; an index on all that it looks for would do",
            found.thrown_away
        )
    })
}

fn walk(node: &Value, sizes: &BTreeMap<String, f64>, found: &mut Found) {
    let text = |key: &str| node[key].as_str().unwrap_or_default().to_owned();
    let loops = node["Actual Loops"].as_f64().unwrap_or_default();
    for removed in ["Rows Removed by Filter", "Rows Removed by Index Recheck"] {
        found.thrown_away += node[removed].as_f64().unwrap_or_default() * loops;
    }
    if !text("Index Name").is_empty() {
        found.indexes.insert(text("Index Name"));
    }
    // A node that was never run read nothing, and one that was stopped early read a part.
    if text("Node Type") == "Seq Scan" && loops > 0.0 {
        let table = text("Relation Name");
        let number = |key: &str| node[key].as_f64().unwrap_or_default();
        let read = (number("Actual Rows") + number("Rows Removed by Filter")) * loops;
        if read > BIG && sizes.get(&table).is_some_and(|rows| *rows > BIG) {
            found.big.push((table.clone(), text("Filter")));
        }
        found.sequential.insert(table);
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        walk(child, sizes, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes() -> BTreeMap<String, f64> {
        [("users".to_owned(), 5000.0), ("few".to_owned(), 3.0)].into()
    }

    fn statement(rule: Rule) -> Statement {
        Statement {
            name: "S",
            sql: "",
            samples: &[],
            rule,
        }
    }

    fn scan(table: &str, loops: u32, removed: u32) -> Value {
        serde_json::json!([{ "Execution Time": 1.5, "Plan": {
            "Node Type": "Limit", "Actual Rows": 2, "Actual Loops": 1, "Plans": [{
                "Node Type": "Seq Scan", "Relation Name": table, "Filter": "(a = 1)",
                "Actual Loops": loops, "Actual Rows": 2, "Rows Removed by Filter": removed
            }] } }])
    }

    #[test]
    fn reading_a_big_table_from_end_to_end_is_a_miss_unless_it_is_meant() {
        let missed = judge(&statement(Rule::Indexed), &scan("users", 1, 4998), &sizes());
        assert!(missed.advice.unwrap().contains("(a = 1)"));
        assert!((missed.milliseconds - 1.5).abs() < f64::EPSILON);
        for (rule, table, loops, removed) in [
            (Rule::Whole("counts"), "users", 1, 4998),
            (Rule::Indexed, "few", 1, 4998),
            (Rule::Indexed, "users", 0, 4998),
            // A limit stopped it.
            (Rule::Indexed, "users", 1, 10),
        ] {
            let cost = judge(&statement(rule), &scan(table, loops, removed), &sizes());
            assert_eq!(cost.advice, None, "{table} {loops} {removed}");
        }
    }

    #[test]
    fn an_index_that_does_not_narrow_is_a_miss() {
        let plan = serde_json::json!([{ "Plan": {
            "Node Type": "Index Scan", "Index Name": "i", "Actual Rows": 1, "Actual Loops": 3,
            "Rows Removed by Filter": 4000
        } }]);
        let cost = judge(&statement(Rule::Indexed), &plan, &sizes());
        assert!(cost.advice.unwrap().contains("12000 rows"));
        assert_eq!(cost.indexes.into_iter().collect::<Vec<_>>(), ["i"]);
    }
}
