//! Starts a data centre with its control API and prints where they are, for other programs:
//! `cargo run -p touchstone-telegram-simulator --example data_centre [SCENARIO.toml]`.
#![expect(clippy::print_stdout, reason = "what other programs read")]

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use touchstone_lifecycle::{Lifecycle, Listener};
use touchstone_telegram_simulator::{Scenario, Simulator};
use touchstone_types::SystemClock;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let scenario = match std::env::args_os().nth(1) {
        Some(path) => Scenario::read(&PathBuf::from(path))?,
        None => Scenario::default(),
    };
    let life = Lifecycle::new();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let simulator = Simulator::start(any, scenario, Arc::new(SystemClock), &life).await?;
    let listener = Listener::bind("control", any).await?;
    let control = listener.address();
    life.serve(listener, simulator.control());
    println!("SESSION={}", simulator.session());
    println!("CONTROL=http://{control}");
    tokio::signal::ctrl_c().await?;
    Ok(())
}
