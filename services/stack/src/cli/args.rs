use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use touchstone_config::Loader;

use crate::Service;

/// Where a stack listens that was not told otherwise.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:8000";

/// A reference RAG stack: documents in, cited and verified answers out. Without a command it
/// starts every service in this process.
#[derive(Clone, Debug, Parser)]
#[command(name = "touchstone", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Configuration file (TOML, a table per section) [default: touchstone.toml if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Sets one key, e.g. --set retrieval.candidates=200
    #[arg(long = "set", global = true, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
    /// Data directory
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    pub json: bool,
    #[command(flatten)]
    pub up: UpArgs,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Start every service in this process
    Up(UpArgs),
    /// Start some services; the others are reached by URL
    Serve(ServeArgs),
    /// Walk the golden path: log in, upload, ask in two languages, show where each quote stands
    Demo(Target),
    /// Upload files and folders
    Ingest(IngestArgs),
    /// Ask a question
    Ask(AskArgs),
    /// Search without generating an answer
    Search(SearchArgs),
    /// Measure retrieval and answers on a question collection
    Eval(EvalArgs),
    /// Put a deployment under load, and judge the measurement before the result
    Load(Box<touchstone_load::cli::LoadArgs>),
    /// Grade a load tester by endpoints whose answers are known
    Conformance(touchstone_load::cli::ConformanceArgs),
    /// Simulate a server of a language model, with OpenAI's API
    LlmSim(touchstone_load::cli::LlmSimArgs),
    /// Build the index anew from the stored documents
    ///
    /// With a stack running, the caller's tenant is queued again. Without one, the whole index of
    /// the data directory is dropped and built anew: what a change of the dense model needs.
    Reindex(Target),
    /// Bring the tables of all services in PostgreSQL up to date
    ///
    /// Services do so by themselves at their start, unless `stack.migrate` is false.
    Migrate(MigrateArgs),
    /// Measure every statement on PostgreSQL: time, rows, indexes, tables read from end to end
    ///
    /// Works on tables of its own, which it fills and drops, unless --present is given. Ends with
    /// code 1 when a statement misses its rule.
    Explain(ExplainArgs),
    /// List, install and load models
    Models(ModelsArgs),
    /// Tell whether services take requests: one line, exit code 0 or 1
    Health(HealthArgs),
    /// Make the secrets of a deployment
    Secrets(SecretsArgs),
    /// Run a Telegram data centre of our own on this machine, for tests of Telegram clients
    TgSim(TgSimArgs),
    /// Show the configuration
    Config(ConfigArgs),
    /// Print a completion script
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// Ports of the services; 0 picks a free one.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct UpArgs {
    /// Address to bind
    #[arg(long)]
    pub host: Option<String>,
    /// Port of the API and the console; 0 picks a free one, as for the others
    #[arg(long, value_name = "PORT")]
    pub gateway_port: Option<u16>,
    #[arg(long, value_name = "PORT")]
    pub auth_port: Option<u16>,
    #[arg(long, value_name = "PORT")]
    pub document_port: Option<u16>,
    #[arg(long, value_name = "PORT")]
    pub embedding_port: Option<u16>,
    #[arg(long, value_name = "PORT")]
    pub retrieval_port: Option<u16>,
    #[arg(long, value_name = "PORT")]
    pub generation_port: Option<u16>,
    #[arg(long, value_name = "PORT")]
    pub model_port: Option<u16>,
    #[arg(long, value_name = "PORT")]
    pub vector_port: Option<u16>,
    #[arg(long, value_name = "PORT")]
    pub telegram_port: Option<u16>,
    #[arg(long, value_name = "PORT")]
    pub analytics_port: Option<u16>,
    /// Seed of the simulated parts: the same seed, the same answers
    #[arg(long)]
    pub seed: Option<u64>,
    /// Refuse to start on an older schema in PostgreSQL instead of bringing it up to date
    #[arg(long)]
    pub no_migrate: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct MigrateArgs {
    /// Only tell what is missing; ends with code 1 when something is
    #[arg(long)]
    pub check: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Rows of the largest tables
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1000..=10_000_000))]
    pub rows: u32,
    /// Work on the services' own tables, in transactions that are rolled back
    #[arg(long, conflicts_with = "rows")]
    pub present: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ServeArgs {
    /// Which services
    #[arg(required = true, value_name = "SERVICE")]
    pub services: Vec<Service>,
    #[command(flatten)]
    pub up: UpArgs,
    #[arg(long, value_name = "URL")]
    pub auth_url: Option<String>,
    #[arg(long, value_name = "URL")]
    pub document_url: Option<String>,
    #[arg(long, value_name = "URL")]
    pub embedding_url: Option<String>,
    #[arg(long, value_name = "URL")]
    pub retrieval_url: Option<String>,
    #[arg(long, value_name = "URL")]
    pub generation_url: Option<String>,
    #[arg(long, value_name = "URL")]
    pub model_url: Option<String>,
    #[arg(long, value_name = "URL")]
    pub vector_url: Option<String>,
    #[arg(long, value_name = "URL")]
    pub telegram_url: Option<String>,
    #[arg(long, value_name = "URL")]
    pub analytics_url: Option<String>,
}

/// Which stack a command talks to, and as whom.
#[derive(Clone, Debug, Args)]
pub(crate) struct Target {
    /// Gateway of the stack
    #[arg(long, env = "TOUCHSTONE_URL", default_value = DEFAULT_URL)]
    pub url: String,
    /// API key [default: the demo user's, from the data directory]
    #[arg(long, env = "TOUCHSTONE_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
    /// Log in as this user; the password comes from TOUCHSTONE_PASSWORD or is asked for
    #[arg(long)]
    pub email: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct IngestArgs {
    /// Files and folders
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Uploads at the same time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub parallel: u16,
    /// Return as soon as everything is accepted
    #[arg(long)]
    pub no_wait: bool,
    #[command(flatten)]
    pub target: Target,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct AskArgs {
    /// The question
    pub question: String,
    /// Show the answer as it is written
    #[arg(long)]
    pub stream: bool,
    /// Provider by name
    #[arg(long)]
    pub provider: Option<String>,
    /// Passages to retrieve
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=20))]
    pub limit: Option<u16>,
    #[command(flatten)]
    pub target: Target,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SearchArgs {
    /// What to search for
    pub query: String,
    /// Hits
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub limit: u16,
    /// Show every stage with its candidates, drops and milliseconds
    #[arg(long)]
    pub explain: bool,
    /// auto, lexical, dense or hybrid
    #[arg(long, default_value = "auto", value_parser = ["auto", "lexical", "dense", "hybrid"])]
    pub mode: String,
    #[command(flatten)]
    pub target: Target,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct EvalArgs {
    /// A SQuAD or XQuAD-R file, or a BEIR folder
    #[arg(long, required = true, value_name = "PATH")]
    pub dataset: Vec<PathBuf>,
    /// Use at most this many questions of each dataset
    #[arg(long)]
    pub questions: Option<usize>,
    /// Also ask every question and check the first cited sentence
    #[arg(long)]
    pub answers: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ModelsArgs {
    #[command(subcommand)]
    pub command: ModelsCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// Show the models of a running stack
    List(Target),
    /// Install a model into the models directory from a directory, a file:// or an http(s):// URL
    Pull {
        /// Where it is
        source: String,
        /// Name to install it under [default: the last part of the source]
        #[arg(long)]
        id: Option<String>,
    },
    /// Load a model in a running stack
    Load {
        /// Which
        id: String,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct HealthArgs {
    /// Services of this machine, on their configured ports [default: gateway]
    #[arg(value_name = "SERVICE")]
    pub services: Vec<Service>,
    /// Ask this base URL instead, e.g. http://auth:8001
    #[arg(long, value_name = "URL", conflicts_with = "services")]
    pub url: Option<String>,
    /// Ask only whether the process answers, not whether it takes requests
    #[arg(long)]
    pub live: bool,
    /// Longest wait for an answer
    #[arg(long, default_value = "3s", value_name = "TIME")]
    pub timeout: humantime::Duration,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SecretsArgs {
    #[command(subcommand)]
    pub command: SecretsCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Make every secret that has no value yet
    ///
    /// What is there is never changed.
    Init(SecretsInitArgs),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SecretsInitArgs {
    /// Environment file to add them to; made from `.env.example` if it is not there
    #[arg(long, default_value = ".env", value_name = "FILE")]
    pub file: PathBuf,
    /// Write a file per secret into this directory instead
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    pub directory: Option<PathBuf>,
    /// Print new ones as a Kubernetes object instead, for `kubectl create -f -`
    #[arg(long, conflicts_with_all = ["file", "directory"])]
    pub kubernetes: bool,
    /// Namespace of that object
    #[arg(long, default_value = "rag-system", requires = "kubernetes")]
    pub namespace: String,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct TgSimArgs {
    /// What the world holds and what goes wrong (TOML) [default: `durov` and a few dozen others]
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// Port of the data centre on loopback; 0 picks a free one
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Port of the control API on loopback; 0 picks a free one
    #[arg(long, default_value_t = 0)]
    pub control_port: u16,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub command: ConfigCommand,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the configuration in force, secrets redacted
    Print,
    /// Print every key with its default and its meaning
    Defaults,
}

/// A mistake on the command line that its parser does not see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(String);

impl Usage {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl Cli {
    /// The layers of the configuration: file, environment, command line.
    pub fn loader(&self, up: &UpArgs) -> anyhow::Result<Loader> {
        let mut loader = Loader::new().environment(touchstone_config::process_environment());
        let default = PathBuf::from("touchstone.toml");
        if let Some(file) = &self.config {
            loader = loader.file(file)?;
        } else if default.exists() {
            loader = loader.file(&default)?;
        }
        let ports = [
            ("host", up.host.clone()),
            ("seed", up.seed.map(|seed| seed.to_string())),
            ("migrate", up.no_migrate.then(|| "false".to_owned())),
            (
                "ports.gateway",
                up.gateway_port.map(|port| port.to_string()),
            ),
            ("ports.auth", up.auth_port.map(|port| port.to_string())),
            (
                "ports.document",
                up.document_port.map(|port| port.to_string()),
            ),
            (
                "ports.embedding",
                up.embedding_port.map(|port| port.to_string()),
            ),
            (
                "ports.retrieval",
                up.retrieval_port.map(|port| port.to_string()),
            ),
            (
                "ports.generation",
                up.generation_port.map(|port| port.to_string()),
            ),
            ("ports.model", up.model_port.map(|port| port.to_string())),
            ("ports.vector", up.vector_port.map(|port| port.to_string())),
            (
                "ports.telegram",
                up.telegram_port.map(|port| port.to_string()),
            ),
            (
                "ports.analytics",
                up.analytics_port.map(|port| port.to_string()),
            ),
        ];
        for (key, value) in ports {
            if let Some(value) = value {
                loader = loader.set(format!("stack.{key}"), value);
            }
        }
        if let Some(directory) = &self.data_dir {
            loader = loader.set("stack.data_dir", directory.display().to_string());
        }
        for pair in &self.set {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(Usage(format!("--set {pair}: write SECTION.KEY=VALUE")).into());
            };
            loader = loader.set(key, value);
        }
        Ok(loader)
    }
}

impl ServeArgs {
    /// The URLs by service.
    pub fn urls(&self) -> [(&'static str, Option<&String>); 9] {
        [
            ("auth", self.auth_url.as_ref()),
            ("document", self.document_url.as_ref()),
            ("embedding", self.embedding_url.as_ref()),
            ("retrieval", self.retrieval_url.as_ref()),
            ("generation", self.generation_url.as_ref()),
            ("model", self.model_url.as_ref()),
            ("vector", self.vector_url.as_ref()),
            ("telegram", self.telegram_url.as_ref()),
            ("analytics", self.analytics_url.as_ref()),
        ]
    }
}
