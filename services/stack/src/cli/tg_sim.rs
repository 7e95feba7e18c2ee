use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use touchstone_lifecycle::{Lifecycle, Listener};
use touchstone_telegram_simulator::{Scenario, Simulator};
use touchstone_types::SystemClock;

use super::args::{Cli, TgSimArgs};
use super::out::Out;
use super::up::StopSignal;

/// How long clients may take to notice that the data centre goes.
const GRACE: Duration = Duration::from_secs(2);

/// Runs a Telegram data centre with its control API until told to stop.
pub(crate) async fn run(args: &TgSimArgs, cli: &Cli, out: Out) -> anyhow::Result<ExitCode> {
    let scenario = match &args.scenario {
        Some(path) => Scenario::read(path)?,
        None => Scenario {
            seed: cli.up.seed.unwrap_or(Scenario::default().seed),
            ..Scenario::default()
        },
    };
    let mut signal = StopSignal::listen()?;
    let life = Lifecycle::new();
    let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let clock = Arc::new(SystemClock);
    let simulator = Simulator::start(loopback(args.port), scenario, clock, &life).await?;
    let listener = Listener::bind("control", loopback(args.control_port)).await?;
    let control = format!("http://{}", listener.address());
    life.serve(listener, simulator.control());
    let (address, session) = (simulator.address(), simulator.session());
    if out.is_json() {
        out.value(&serde_json::json!({
            "address": address.to_string(),
            "session": session,
            "control": control,
        }))?;
    } else {
        out.note(format!(
            "a Telegram data centre listens on {address}; what happens in it: {control}"
        ));
        out.line(format!("SESSION={session}"));
        out.line(format!("CONTROL={control}"));
    }
    signal.received().await;
    life.shutdown(GRACE).await;
    Ok(ExitCode::SUCCESS)
}
