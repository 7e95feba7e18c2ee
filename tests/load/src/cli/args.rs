use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::workers::Workers;

/// Puts a deployment under load and says whether the measurement can be trusted.
///
/// Exit codes: 0 all objectives hold, 1 one is missed or something regressed, 2 a mistake in the command
/// or the scenario, 3 INVALID: the generator could not measure, 4 the target is not there or went away,
/// 5 the report could not be written.
#[derive(Clone, Debug, Args)]
pub struct LoadArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: LoadCommand,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum LoadCommand {
    /// Run a scenario
    Run {
        /// Its name (see `list`), or a TOML file
        scenario: String,
        /// How.
        #[command(flatten)]
        run: RunArgs,
    },
    /// Run the smallest scenario, after a deployment
    Smoke(RunArgs),
    /// List the scenarios, and what some of them wait for
    List,
    /// List the steps that scenarios can use
    Steps,
    /// Wait for a coordinator (`run … --workers ADDRESS,…`) and make load for it
    Worker(WorkerArgs),
    /// Show reports again; two are compared, the first with the second
    Report(ReportArgs),
}

/// How a scenario is run.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// What to aim at
    #[arg(
        long,
        env = "TOUCHSTONE_URL",
        default_value = "http://127.0.0.1:8000",
        value_name = "URL"
    )]
    pub target: String,
    /// Users of every phase with users
    #[arg(long)]
    pub users: Option<u64>,
    /// Peak rate, a second, of every phase with a rate
    #[arg(long)]
    pub rate: Option<f64>,
    /// How long every phase lasts, e.g. 30s
    #[arg(long, value_name = "TIME")]
    pub duration: Option<humantime::Duration>,
    /// Multiplies the time of every phase
    #[arg(long, conflicts_with = "duration")]
    pub scale: Option<f64>,
    /// Seed of schedule and content: the same seed, the same load
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Processes that make the load: a number of them on this machine, or addresses of workers (`load worker`)
    #[arg(long, value_name = "N|ADDRESS,…")]
    pub workers: Option<Workers>,
    /// What they want to be known.
    #[command(flatten)]
    pub worker_key: WorkerKey,
    /// Threads of load, of each worker where there are any [default: half of the cores for a target on this machine, else all but one]
    #[arg(long)]
    pub shards: Option<u64>,
    /// Speak HTTP/2
    #[arg(long)]
    pub http2: bool,
    /// Metrics (Prometheus) of a service to look at during the run, e.g. retrieval=http://127.0.0.1:8005; for a
    /// stack of this machine its services are looked at anyhow
    #[arg(long, value_name = "NAME=URL")]
    pub metrics: Vec<String>,
    /// Certificates (PEM) to believe besides the public ones
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// API key of whoever runs the target: gives the users the plan `load` for the run
    #[arg(
        long,
        env = "TOUCHSTONE_OPERATOR_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    pub operator_key: Option<String>,
    /// One API key for all users, instead of an account each
    #[arg(
        long,
        env = "TOUCHSTONE_LOAD_API_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    pub api_key: Option<String>,
    /// The target's FAULT_ADMIN_KEY, for scenarios that ask for faults
    #[arg(
        long,
        env = "FAULT_ADMIN_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    pub fault_key: Option<String>,
    /// Where users and baselines are kept
    #[arg(long, default_value = ".touchstone-load", value_name = "DIR")]
    pub state: PathBuf,
    /// Where reports are written: JSON, HTML, JUnit, Prometheus, HdrHistogram log, k6's summary
    #[arg(long, default_value = "load-reports", value_name = "DIR")]
    pub reports: PathBuf,
    /// Address of the live page
    #[arg(long, default_value = "127.0.0.1:8089", value_name = "ADDRESS")]
    pub live: SocketAddr,
    /// No live page
    #[arg(long, conflicts_with = "live")]
    pub no_live: bool,
    /// Add the run to the baseline of this name
    #[arg(long, value_name = "NAME")]
    pub save_baseline: Option<String>,
    /// Compare the run with the baseline of this name
    #[arg(long, value_name = "NAME")]
    pub compare: Option<String>,
}

/// What a coordinator and its workers know.
#[derive(Clone, Debug, Args)]
pub struct WorkerKey {
    /// What the coordinator and workers at other addresses both know; there must be one unless all of them
    /// are on this machine
    #[arg(
        long,
        env = "TOUCHSTONE_WORKER_KEY",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true,
        value_name = "KEY"
    )]
    pub worker_key: String,
}

/// How a worker waits.
#[derive(Clone, Debug, Args)]
pub struct WorkerArgs {
    /// Address to listen on; other machines reach it only when that is not 127.0.0.1
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// What coordinators have to know.
    #[command(flatten)]
    pub key: WorkerKey,
    /// End after one run
    #[arg(long)]
    pub once: bool,
}

/// Which reports.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// JSON files of runs
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Write every form of them again, into this folder
    #[arg(long, value_name = "DIR")]
    pub render: Option<PathBuf>,
}

/// Grades a load tester by endpoints whose answers are known
///
/// Without a tool, this engine is graded. The report of a tool may be k6's summary, the JSON of oha or
/// vegeta, Locust's JSON or table, what wrk, h2load, ab and hey print, or this engine's JSON.
#[derive(Clone, Debug, Args)]
pub struct ConformanceArgs {
    /// Command to run for each probe, with {url}, {rate}, {seconds}, {requests} and {report} in it
    #[arg(long, value_name = "COMMAND")]
    pub tool: Option<String>,
    /// Only these probes
    #[arg(long, value_name = "NAME")]
    pub probe: Vec<String>,
    /// Shortens or lengthens every probe
    #[arg(long, default_value_t = 1.0)]
    pub scale: f64,
    /// Requests a second of every probe, instead of its own rate
    #[arg(long)]
    pub rate: Option<f64>,
    /// Score that is asked for
    #[arg(long, default_value_t = 0.0, value_name = "SCORE")]
    pub at_least: f64,
}

/// Simulates a server of a language model, with OpenAI's API: it queues, slows down and fails as loaded ones do
///
/// Prints what it will do under load before it serves; with --check it puts itself under that load and
/// prints both.
#[derive(Clone, Debug, Args)]
pub struct LlmSimArgs {
    /// Which kind of server
    #[arg(long, default_value = "8b-h100")]
    pub profile: String,
    /// Answers that are written at the same time
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub slots: u32,
    /// Answers that may wait
    #[arg(long, default_value_t = 256)]
    pub queue: u32,
    /// How much longer delays are when every slot is taken: 0.5 is by a half
    #[arg(long, default_value_t = 0.5)]
    pub load_factor: f64,
    /// Median tokens of an answer
    #[arg(long, default_value_t = 60.0)]
    pub tokens: f64,
    /// Seed of everything that is drawn
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Port, on 127.0.0.1
    #[arg(long, default_value_t = 8100)]
    pub port: u16,
    /// Share of answers that are 429
    #[arg(long, default_value_t = 0.0)]
    pub rate_limited: f64,
    /// Share of answers that are 500
    #[arg(long, default_value_t = 0.0)]
    pub server_error: f64,
    /// Share of streams that break
    #[arg(long, default_value_t = 0.0)]
    pub cut: f64,
    /// Share of streams with a chunk that is no JSON
    #[arg(long, default_value_t = 0.0)]
    pub malformed: f64,
    /// Share of answers that cite a passage that was not given
    #[arg(long, default_value_t = 0.0)]
    pub fabricated: f64,
    /// Measure at 30, 50, 70 and 85 % of what it can do, for this long each, and end
    #[arg(long, value_name = "TIME")]
    pub check: Option<humantime::Duration>,
}
