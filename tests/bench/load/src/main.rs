#![doc = include_str!("../README.md")]

mod child;
mod known;
// One form for all benchmarks.
#[path = "../../src/only.rs"]
mod only;
mod recorded;
mod rows;
mod server;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use only::Only;
use tokio_util::sync::CancellationToken;
use touchstone_load::runner::{self, Options};
use touchstone_load::scenario::{Overrides, Prepared, Scenario};
use touchstone_load::steps::Registry;

/// Rows of the README.
const ROWS: [&str; 8] = ["1", "2", "3", "4", "5", "6", "7", "8"];

/// The allocator of the `touchstone` binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the load suite against its goals, and other load testers against known answers.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    args: Args,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// The server that does nothing
    Serve,
    /// Records live runs for `--recorded`, a minute and a bit each
    Record {
        /// How many of each kind
        #[arg(long, default_value_t = 12)]
        runs: u32,
        /// Where to
        file: PathBuf,
    },
    /// A generator: a load (as scenarios write it) on a path of a server
    Generate {
        /// The server
        url: String,
        /// The path
        path: String,
        /// The load
        load: String,
    },
}

/// What is measured, and how long.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// By the numbers of the README.
    #[command(flatten)]
    only: Only,
    /// Short: to see that it runs, not to tell
    #[arg(long)]
    quick: bool,
    /// k6's program
    #[arg(long, value_name = "PROGRAM")]
    k6: Option<String>,
    /// Locust's program
    #[arg(long, value_name = "PROGRAM")]
    locust: Option<String>,
    /// Live runs that `record` wrote: the verdict on pairs that are drawn from them
    #[arg(long, value_name = "FILE")]
    recorded: Option<PathBuf>,
    /// Folder with the scripts of k6 and Locust
    #[arg(long, default_value = "tests", value_name = "DIR")]
    scripts: String,
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match &cli.role {
            Some(Role::Serve) => server::serve().await?,
            Some(Role::Record { runs, file }) => recorded::record(*runs, file).await?,
            Some(Role::Generate { url, path, load }) => generate(url, path, load).await?,
            None => {
                cli.args.only.check(&ROWS)?;
                return Box::pin(rows::all(&cli.args)).await;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn generate(url: &str, path: &str, load: &str) -> anyhow::Result<()> {
    let is_stream = path.starts_with("/stream");
    let text = format!(
        r#"
        name = "bench"
        about = "Of the benchmark."
        in_flight = 20000
        timeout = "60s"
        [[phases]]
        name = "all"
        load = {load}
        [[classes]]
        name = "asker"
        steps = [{{ step = "ask" }}]
        [requests.ask]
        path = "{path}"
        stream = {is_stream}
        "#
    );
    let scenario = Scenario::parse("bench", &text)?;
    let prepared = Prepared::new(
        scenario,
        &Overrides::default(),
        Registry::default(),
        Path::new("."),
    )?;
    let options = Options::plain(url);
    let stop = CancellationToken::new();
    let report = Box::pin(runner::run(prepared, &options, stop, |_| {}, |_| {})).await?;
    say(&serde_json::to_string(&report)?);
    Ok(())
}

/// A line of the result. A reader that has gone is no error of ours.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
