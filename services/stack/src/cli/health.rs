//! `touchstone health`: whether services take requests. Containers and probes run it, so it says one
//! line and its exit code is the answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;

use touchstone_api::Readiness;

use super::args::{Cli, HealthArgs};
use super::out::Out;
use crate::{Service, StackConfig};

pub(crate) async fn run(args: &HealthArgs, cli: &Cli, out: Out) -> anyhow::Result<ExitCode> {
    let http = reqwest::Client::builder()
        .timeout(args.timeout.into())
        // What is asked is near; a proxy of the environment is for what is far.
        .no_proxy()
        // A certificate speaks of the gateway's public name, not of the address that is asked here;
        // nothing secret is sent.
        .tls_danger_accept_invalid_certs(args.url.is_none())
        .build()?;
    let path = if args.live { "live" } else { "ready" };
    let mut answers = Vec::new();
    for (name, base) in targets(args, cli)? {
        let state = ask(&http, &format!("{base}/{path}")).await;
        answers.push((name, state));
    }
    let well = answers.iter().all(|(_, state)| state.is_ok());
    if out.is_json() {
        let states: serde_json::Map<String, serde_json::Value> = answers
            .iter()
            .map(|(name, state)| (name.clone(), word(state, args.live).into()))
            .collect();
        out.value(&serde_json::json!({ "ok": well, "services": states }))?;
    } else {
        let states: Vec<_> = answers
            .iter()
            .map(|(name, state)| format!("{name}: {}", word(state, args.live)))
            .collect();
        out.line(states.join("; "));
    }
    Ok(if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Name and base URL of everything that is asked.
fn targets(args: &HealthArgs, cli: &Cli) -> anyhow::Result<Vec<(String, String)>> {
    if let Some(url) = &args.url {
        let base = url.trim_end_matches('/').to_owned();
        return Ok(vec![(base.clone(), base)]);
    }
    let loader = cli.loader(&cli.up)?;
    let stack: StackConfig = loader.section()?;
    let services = match args.services.as_slice() {
        [] => &[Service::Gateway],
        services => services,
    };
    let mut targets = Vec::new();
    for service in services {
        let port = stack.ports.get(service.name()).copied().unwrap_or_default();
        let address = SocketAddr::new(reachable(stack.host), port);
        let encrypted = *service == Service::Gateway && {
            let gateway: touchstone_api_gateway::Config = loader.section()?;
            !gateway.edge.certificate_file.as_os_str().is_empty()
        };
        let scheme = if encrypted { "https" } else { "http" };
        targets.push((service.to_string(), format!("{scheme}://{address}")));
    }
    Ok(targets)
}

/// Where what is bound to `host` can be reached from this machine.
fn reachable(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    }
}

/// `Ok` when the service says so, else why not.
async fn ask(http: &reqwest::Client, url: &str) -> Result<(), String> {
    let response = http.get(url).send().await.map_err(|error| {
        let reason = std::iter::successors(Some(&error as &dyn std::error::Error), |error| {
            error.source()
        })
        .last()
        .map(ToString::to_string);
        format!("does not answer ({})", reason.unwrap_or_default())
    })?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    match response.json::<Readiness>().await {
        Ok(readiness) if !readiness.waiting_for.is_empty() => {
            Err(format!("waits for {}", readiness.waiting_for.join(", ")))
        }
        Ok(_) => Err("is stopping".into()),
        Err(_) => Err(format!("answers {status}")),
    }
}

fn word(state: &Result<(), String>, live: bool) -> &str {
    match state {
        Ok(()) if live => "live",
        Ok(()) => "ready",
        Err(why) => why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_bound_everywhere_is_asked_on_loopback() {
        assert_eq!(reachable([0, 0, 0, 0].into()), Ipv4Addr::LOCALHOST);
        assert_eq!(reachable(Ipv6Addr::UNSPECIFIED.into()), Ipv6Addr::LOCALHOST);
        let bound: IpAddr = [10, 0, 0, 7].into();
        assert_eq!(reachable(bound), bound);
    }
}
