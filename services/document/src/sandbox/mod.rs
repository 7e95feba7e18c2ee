//! Text extraction where a hostile file can do no harm.
//!
//! PDF, DOCX and HTML are read by a child process: the same program, started as
//! `parse-worker --format pdf …`. The child limits itself before it reads a byte: address space,
//! CPU seconds, no files to write, no core dump, and no file descriptors beyond its three pipes,
//! hence no files to open and no network. It has an empty environment, reads the file from its
//! standard input and answers on its standard output. The parent bounds the answer, the wall clock
//! and the number of children. A child that panics, overflows its stack, runs out of memory or
//! hangs costs that one document and nothing else.
//!
//! The stack's `main` hands the hidden subcommand over before it starts a runtime:
//! ```no_run
//! # fn main() -> std::process::ExitCode {
//! let mut args = std::env::args().skip(1);
//! if args.next().as_deref() == Some(touchstone_document::sandbox::SUBCOMMAND) {
//!     return touchstone_document::sandbox::worker_main(std::io::stdin(), std::io::stdout(), args);
//! }
//! # std::process::ExitCode::SUCCESS
//! # }
//! ```
//! A test binary has no such `main`; there, [`Settings::program`] names the package's helper binary
//! (`env!("CARGO_BIN_EXE_document-parse-worker")` in this package's integration tests) or the built
//! `touchstone`.

mod wire;
mod worker;

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

use crate::formats::{self, ExtractError, Extracted, Format, Limits};

pub use self::worker::{SUBCOMMAND, worker_main};

/// How much of the child's last words is looked at.
const STDERR_TAIL: usize = 4096;

/// The sandbox's limits.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program that understands `parse-worker`; this very program when absent.
    pub program: Option<PathBuf>,
    /// Children at the same time; more files wait.
    pub concurrency: usize,
    /// Wall-clock time per file.
    pub timeout: Duration,
    /// CPU time per file, whole seconds.
    pub cpu_seconds: u64,
    /// Address space of a child, in bytes.
    pub memory_bytes: u64,
    /// Size of the text.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            program: None,
            concurrency: 2,
            timeout: Duration::from_mins(1),
            cpu_seconds: 30,
            memory_bytes: 1024 * 1024 * 1024,
            limits: Limits::default(),
        }
    }
}

/// Takes the text out of files; cheap to clone.
#[derive(Clone, Debug)]
pub struct Extractor {
    settings: Arc<Settings>,
    permits: Arc<Semaphore>,
}

impl Extractor {
    /// An extractor with these limits.
    pub fn new(settings: Settings) -> Self {
        let permits = Arc::new(Semaphore::new(settings.concurrency.max(1)));
        Self {
            settings: Arc::new(settings),
            permits,
        }
    }

    /// Takes the text out of a file: in a child process if the format asks for it, else on a
    /// blocking thread.
    ///
    /// # Errors
    /// [`ExtractError`]; only [`ExtractError::is_transient`] ones are worth another attempt.
    ///
    /// # Cancellation
    /// Dropping the future kills the child.
    pub async fn extract(&self, format: Format, bytes: Bytes) -> Result<Extracted, ExtractError> {
        let _permit =
            self.permits.acquire().await.map_err(|_| {
                ExtractError::Unavailable(io::Error::other("the sandbox is closed"))
            })?;
        if format.is_sandboxed() {
            return self.run_child(format, &bytes).await;
        }
        let limits = self.settings.limits;
        tokio::task::spawn_blocking(move || formats::extract(format, &bytes, limits))
            .await
            .map_err(|_| ExtractError::Crashed("the reader panicked".to_owned()))?
    }

    async fn run_child(&self, format: Format, bytes: &[u8]) -> Result<Extracted, ExtractError> {
        let mut child = self
            .spawn(format, bytes.len())
            .map_err(ExtractError::Unavailable)?;
        let conversation = converse(&mut child, bytes, self.settings.limits);
        let Ok(outcome) = tokio::time::timeout(self.settings.timeout, conversation).await else {
            // Waits for the end, so that no zombie holds the child's memory.
            child.kill().await.map_err(ExtractError::Unavailable)?;
            return Err(ExtractError::TimedOut);
        };
        let outcome = outcome.map_err(ExtractError::Unavailable)?;
        judge(outcome)
    }

    fn spawn(&self, format: Format, input_bytes: usize) -> io::Result<Child> {
        let program = match &self.settings.program {
            Some(program) => program.clone(),
            None => own_program()?,
        };
        Command::new(program)
            .arg(SUBCOMMAND)
            .args(self.arguments(format, input_bytes))
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }

    fn arguments(&self, format: Format, input_bytes: usize) -> Vec<String> {
        let settings = &self.settings;
        let pairs = [
            ("--format", format.to_string()),
            ("--input-bytes", input_bytes.to_string()),
            (
                "--output-bytes",
                settings.limits.max_output_bytes.to_string(),
            ),
            ("--memory-bytes", settings.memory_bytes.to_string()),
            ("--cpu-seconds", settings.cpu_seconds.to_string()),
        ];
        pairs
            .into_iter()
            .flat_map(|(name, value)| [name.to_owned(), value])
            .collect()
    }
}

/// The running program, also after its file was replaced by a newer one.
fn own_program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        Ok(PathBuf::from("/proc/self/exe"))
    } else {
        std::env::current_exe()
    }
}

/// What came back from a child.
struct Outcome {
    status: Option<ExitStatus>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Feeds the child and listens to both of its voices at once, so that no pipe fills up.
async fn converse(child: &mut Child, input: &[u8], limits: Limits) -> io::Result<Outcome> {
    let (Some(mut stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(io::Error::other("the child has no pipes"));
    };
    let cap = wire::largest_reply(limits) as u64;
    let feed = async move {
        // A child that refuses early closes the pipe; its answer says why.
        let _ = stdin.write_all(input).await;
        let _ = stdin.shutdown().await;
    };
    let listen = async move {
        let mut reply = Vec::new();
        stdout
            .take(cap + 1)
            .read_to_end(&mut reply)
            .await
            .map(|_| reply)
    };
    let ((), reply, stderr) = tokio::join!(feed, listen, tail(stderr));
    let stdout = reply?;
    if stdout.len() as u64 > cap {
        child.kill().await?;
        return Ok(Outcome {
            status: None,
            stdout,
            stderr: Vec::new(),
        });
    }
    Ok(Outcome {
        status: Some(child.wait().await?),
        stdout,
        stderr: stderr?,
    })
}

/// Reads to the end and keeps the last bytes.
async fn tail(mut stream: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let mut buffer = [0_u8; 1024];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(kept),
            read => {
                kept.extend_from_slice(buffer.get(..read).unwrap_or_default());
                let excess = kept.len().saturating_sub(STDERR_TAIL);
                kept.drain(..excess);
            }
        }
    }
}

fn judge(outcome: Outcome) -> Result<Extracted, ExtractError> {
    let Some(status) = outcome.status else {
        return Err(ExtractError::TooLarge(
            "its text is beyond the limit".to_owned(),
        ));
    };
    if status.success()
        && let Some(reply) = wire::parse(&outcome.stdout)
    {
        return reply.into_result();
    }
    let last_words = String::from_utf8_lossy(&outcome.stderr);
    // Only the place is logged: a panic's message may quote the document.
    tracing::debug!(%status, place = panic_place(&last_words), "the parser's process failed");
    Err(classify(status, &last_words))
}

fn classify(status: ExitStatus, last_words: &str) -> ExtractError {
    const SIGXCPU: i32 = 24;
    if status.code() == Some(i32::from(worker::EXIT_USAGE))
        || last_words.contains("unrecognized option")
    {
        return ExtractError::Unavailable(io::Error::other(
            "the program does not understand `parse-worker`",
        ));
    }
    let signal = signal(status);
    if signal == Some(SIGXCPU) {
        return ExtractError::TooSlow;
    }
    if last_words.contains("memory allocation of") {
        return ExtractError::TooLarge("it needs more memory than allowed".to_owned());
    }
    ExtractError::Crashed(match (signal, status.code()) {
        _ if last_words.contains("overflowed its stack") => "stack overflow".to_owned(),
        (Some(signal), _) => format!("signal {signal}"),
        (None, Some(0)) => "no answer".to_owned(),
        (None, code) => format!("exit code {}", code.unwrap_or(-1)),
    })
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal(_: ExitStatus) -> Option<i32> {
    None
}

fn panic_place(last_words: &str) -> Option<&str> {
    let (_, rest) = last_words.split_once("panicked at ")?;
    rest.lines().next()
}
