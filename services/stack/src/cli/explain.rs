use std::process::ExitCode;

use touchstone_store::postgres::explain::{Cost, Report, Tables, explain};

use super::args::{Cli, ExplainArgs, Usage};
use super::out::Out;
use crate::{Service, Settings, servers};

/// Measures every statement of every store.
pub(crate) async fn run(args: &ExplainArgs, cli: &Cli, out: Out) -> anyhow::Result<ExitCode> {
    let mut settings = Settings::load(&cli.loader(&cli.up)?)?;
    settings.settle();
    settings.may_migrate();
    Box::pin(servers::check(&settings, &Service::ALL)).await?;
    let schemas = settings.schemas(&Service::ALL);
    if schemas.is_empty() {
        return Err(Usage::new("explain needs a PostgreSQL server: set DATABASE_URL").into());
    }
    let tables = if args.present {
        Tables::Present
    } else {
        Tables::Scratch(args.rows)
    };
    let mut reports = Vec::new();
    for schema in &schemas {
        out.note(format!("explaining {}", schema.store.service));
        reports.push(explain(schema.uri.as_str(), schema.store, tables).await?);
    }
    let misses = reports.iter().flat_map(Report::misses).count();
    if out.is_json() {
        out.value(&reports)?;
    } else {
        for report in &reports {
            tell(report, out);
        }
        let statements: usize = reports.iter().map(|report| report.statements.len()).sum();
        out.line(format!(
            "\n{statements} statements, {misses} miss their rule"
        ));
    }
    Ok(if misses > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn tell(report: &Report, out: Out) {
    let big = report.tables.iter().filter(|(_, rows)| **rows > 0);
    let tables: Vec<_> = big.map(|(table, rows)| format!("{table} {rows}")).collect();
    out.line(format!("\n{}", out.bold(&report.service)));
    out.line(out.dim(&format!("rows: {}", tables.join(", "))));
    out.line(format!(
        "{:<24} {:>9} {:>8} {:>8}  {}",
        "statement", "ms", "rows", "pages", "how"
    ));
    for cost in &report.statements {
        out.line(format!(
            "{:<24} {:>9.3} {:>8} {:>8}  {}",
            cost.name,
            cost.milliseconds,
            cost.rows,
            cost.pages,
            how(cost)
        ));
        if let Some(advice) = &cost.advice {
            out.line(format!("  {}: {advice}", out.bold("to do")));
        }
    }
}

fn how(cost: &Cost) -> String {
    let mut ways: Vec<_> = cost.indexes.iter().cloned().collect();
    ways.extend(
        cost.sequential
            .iter()
            .map(|table| format!("all of {table}")),
    );
    if let Some(reason) = &cost.reason {
        ways.push(format!("({reason})"));
    }
    ways.join(", ")
}
