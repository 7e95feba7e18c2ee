//! A thousand users on real servers, by the load suite's own scenario and verdict.

use std::path::Path;
use std::process::Stdio;

use anyhow::Context;
use reqwest::Method;
use serde_json::Value;
use tokio::process::Command;
use touchstone_stack::Service;

use super::deployment::{Deployment, Servers};
use crate::table::{Goal, Table};

const SCENARIO: &str = "host-network-1000";
/// What 60 s of it are asked to be.
const REQUESTS: f64 = 1_167_530.0;

/// Runs the scenario as an operator would, who gives its users their plan; the report goes into the
/// folder `reports`.
pub async fn run(
    binary: &Path,
    servers: &Servers,
    reports: &Path,
    table: &mut Table,
) -> anyhow::Result<()> {
    let mut deployment = Deployment::start(binary, servers).await?;
    let me = deployment
        .user
        .send(Method::GET, "/auth/me", None)
        .await
        .context("who the operator is")?;
    let tenant = me["tenant_id"].as_str().context("no tenant")?;
    deployment.set("OPERATOR_TENANTS", tenant.to_owned());
    deployment.kill(Service::Gateway).await?;
    deployment.start_again(Service::Gateway).await?;

    let state = tempfile::tempdir()?;
    let ran = Command::new(binary)
        .args(["--json", "load", "run", SCENARIO, "--no-live"])
        .args(["--target", deployment.user.gateway()])
        .arg("--reports")
        .arg(std::path::absolute(reports)?)
        .arg("--state")
        .arg(state.path())
        .env("TOUCHSTONE_OPERATOR_KEY", deployment.user.credential())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await?;
    let report: Value = serde_json::from_slice(&ran.stdout)
        .with_context(|| format!("no report; the load suite ended with {}", ran.status))?;
    let number = |pointer: &str| {
        let value = report.pointer(pointer).and_then(Value::as_f64);
        value.with_context(|| format!("no {pointer} in the report"))
    };
    let place = match servers.qdrant {
        Some(_) => "PostgreSQL, Redis, Kafka, Qdrant",
        None => "PostgreSQL, Redis, Kafka, own index",
    };
    let what = |of: &str| format!("1000 users for 60 s, {of} ({place})");
    let (requests, errors) = (number("/total/requests")?, number("/total/errors")?);
    table.measured(&what("requests"), Goal::AtLeast(REQUESTS), requests, "", 0);
    table.measured(&what("errors"), Goal::AtMost(0.0), errors, "", 0);
    let p95 = number("/total/ms/total/p95")?;
    table.measured(&what("p95"), Goal::AtMost(200.0), p95, " ms", 1);
    let processes = report["processes"].as_array().context("no processes")?;
    let own = processes
        .iter()
        .filter(|process| process["name"].as_str().is_some_and(is_own))
        .filter_map(|process| process["memory"].as_f64());
    let memory = own.sum::<f64>() / 1e6;
    table.measured(
        &what("memory of all services"),
        Goal::AtMost(300.0),
        memory,
        " MB",
        0,
    );
    let reasons = &report["verdict"]["reasons"];
    if reasons.as_array().is_none_or(|reasons| !reasons.is_empty()) {
        table.told(&what("verdict"), &format!("INVALID: {reasons}"));
    }
    Ok(())
}

/// Whether a process of the report is a service.
fn is_own(name: &str) -> bool {
    name.starts_with("touchstone serve")
}
