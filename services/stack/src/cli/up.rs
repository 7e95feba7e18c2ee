use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use touchstone_telemetry::init_logs;

use super::args::{Cli, DEFAULT_URL, ServeArgs, UpArgs};
use super::out::Out;
use crate::demo::{Credentials, QUESTIONS};
use crate::{Plan, Service, Settings, Stack};

/// Data directory of commands that are not told another one.
const DEFAULT_DATA_DIR: &str = "data";

/// Starts everything and runs until told to stop.
pub(crate) async fn up(cli: &Cli, args: &UpArgs, out: Out) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&cli.loader(args)?)?;
    init_logs(settings.stack.log.format, &settings.stack.log.filter);
    let mut signal = StopSignal::listen()?;
    let starting = Box::pin(start(settings, Plan::everything(), &mut signal, out));
    let Some(stack) = starting.await? else {
        return Ok(ExitCode::SUCCESS);
    };
    let credentials = stack.seed().await?;
    banner(&stack, credentials.as_ref(), out)?;
    signal.received().await;
    stop(stack, out).await;
    Ok(ExitCode::SUCCESS)
}

/// Starts some services and runs until told to stop.
pub(crate) async fn serve(cli: &Cli, args: &ServeArgs, out: Out) -> anyhow::Result<ExitCode> {
    let mut loader = cli.loader(&args.up)?;
    for (service, url) in args.urls() {
        if let Some(url) = url {
            loader = loader.set(format!("stack.urls.{service}"), url);
        }
    }
    let settings = Settings::load(&loader)?;
    init_logs(settings.stack.log.format, &settings.stack.log.filter);
    let mut signal = StopSignal::listen()?;
    let plan = Plan::only(args.services.iter().copied());
    let starting = Box::pin(start(settings, plan, &mut signal, out));
    let Some(stack) = starting.await? else {
        return Ok(ExitCode::SUCCESS);
    };
    if out.is_json() {
        let urls: BTreeMap<String, String> = Service::ALL
            .into_iter()
            .filter_map(|service| Some((service.to_string(), stack.url(service)?)))
            .collect();
        out.value(&serde_json::json!({ "urls": urls }))?;
    } else {
        for service in Service::ALL {
            if let Some(url) = stack.url(service) {
                out.note(format!("{service} listens on {url}"));
            }
        }
    }
    signal.received().await;
    stop(stack, out).await;
    Ok(ExitCode::SUCCESS)
}

/// Starts, unless told to stop before everything is ready: a service may wait for its server for long.
async fn start(
    settings: Settings,
    plan: Plan,
    signal: &mut StopSignal,
    out: Out,
) -> anyhow::Result<Option<Stack>> {
    let stack = tokio::select! {
        stack = Box::pin(Stack::launch(settings, plan)) => stack?,
        () = signal.received() => {
            out.note("stopped before the start was complete");
            return Ok(None);
        }
    };
    let ready = tokio::select! {
        () = stack.life().ready() => true,
        () = signal.received() => false,
    };
    if ready {
        return Ok(Some(stack));
    }
    stop(stack, out).await;
    Ok(None)
}

async fn stop(stack: Stack, out: Out) {
    out.note("stopping");
    let report = stack.stop().await;
    if report.is_clean() {
        out.note("stopped");
    } else {
        out.note(format!(
            "stopped; had to drop: {}",
            report.dropped.join(", ")
        ));
    }
}

/// Ctrl-C and SIGTERM, listened to from the beginning: the first process of a container gets neither
/// unless it asks.
pub(super) struct StopSignal {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl StopSignal {
    #[cfg(unix)]
    pub(super) fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    #[cfg(not(unix))]
    pub(super) const fn listen() -> std::io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(unix)]
    pub(super) async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    pub(super) async fn received(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}

/// What a command has to be told to find this stack and its key.
fn target(gateway: &str, data_dir: &Path) -> String {
    let mut target = String::new();
    if gateway != DEFAULT_URL {
        target.push_str(" --url ");
        target.push_str(gateway);
    }
    if data_dir != Path::new(DEFAULT_DATA_DIR) {
        target.push_str(" --data-dir '");
        target.push_str(&data_dir.display().to_string());
        target.push('\'');
    }
    target
}

/// Which Telegram the stack talks to, and who may.
fn telegram(stack: &Stack, out: Out) {
    let Some(address) = stack.address(Service::Telegram) else {
        return;
    };
    let config = &stack.settings().telegram;
    let data_centre = if config.session.is_empty() {
        "the simulated data centre (no SESSION is set)"
    } else {
        "Telegram"
    };
    let guests = if stack.welcomes_guests() {
        "; calls on this machine need no credential"
    } else {
        ""
    };
    out.line(format!(
        "  telegram  http://{address} talks to {data_centre}{guests}"
    ));
}

fn banner(stack: &Stack, credentials: Option<&Credentials>, out: Out) -> anyhow::Result<()> {
    let address = |service: Service| stack.url(service).unwrap_or_default();
    let gateway = address(Service::Gateway);
    if out.is_json() {
        let urls: serde_json::Map<String, serde_json::Value> = Service::ALL
            .iter()
            .map(|&service| (service.to_string(), address(service).into()))
            .collect();
        let demo = credentials.map(|demo| {
            serde_json::json!({ "email": demo.email, "password": demo.password, "api_key": demo.api_key })
        });
        return out.value(&serde_json::json!({ "urls": urls, "demo": demo }));
    }
    out.line(format!(
        "\n{} {} is ready",
        out.bold("Touchstone"),
        env!("CARGO_PKG_VERSION")
    ));
    out.line(format!("  console   {gateway}/"));
    out.line(format!(
        "  API       {gateway}/api/v1    documentation {gateway}/docs"
    ));
    let others = Service::ALL
        .iter()
        .filter(|&&service| service != Service::Gateway);
    let others: Vec<_> = others
        .filter_map(|&service| Some(format!("{service} {}", stack.address(service)?.port())))
        .collect();
    out.line(format!("  services  {}", others.join(", ")));
    if let Some(admin) = stack.admin_address() {
        out.line(format!(
            "  operators http://{admin}/metrics, /admin/decisions"
        ));
    }
    out.line(format!(
        "  data      {}",
        stack.settings().stack.data_dir.display()
    ));
    telegram(stack, out);
    match credentials {
        Some(demo) => {
            out.line(format!(
                "\n  demo login, shown once: {} / {}",
                out.bold(&demo.email),
                out.bold(&demo.password)
            ));
            let key = &demo.api_key;
            let question = QUESTIONS[0];
            out.line("\nAsk it something:\n");
            out.line(format!(
                "curl -s {gateway}/api/v1/ask -H 'X-API-Key: {key}' -H 'Content-Type: application/json' \
                 -d '{{\"question\":\"{question}\"}}'"
            ));
            let program = std::env::args().next().unwrap_or_default();
            let target = target(&gateway, &stack.settings().stack.data_dir);
            out.line(format!(
                "\nor:\n\n{program} ask \"{question}\" --stream{target}"
            ));
        }
        None => {
            out.line("\n  data found from an earlier start; the demo login is the one shown then");
        }
    }
    out.line("\nCtrl-C stops it.\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_names_what_differs_from_the_defaults() {
        assert_eq!(target("http://127.0.0.1:8000", Path::new("data")), "");
        assert_eq!(
            target("http://127.0.0.1:9000", Path::new("/tmp/a b")),
            " --url http://127.0.0.1:9000 --data-dir '/tmp/a b'"
        );
    }
}
