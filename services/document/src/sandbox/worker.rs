use std::io::{Read, Write};
use std::process::ExitCode;
use std::thread;

use super::wire::Reply;
use crate::formats::{self, ExtractError, Extracted, Format, Limits};

/// The hidden subcommand that turns the program into a worker.
pub const SUBCOMMAND: &str = "parse-worker";

/// Exit code for a command line that the worker does not understand.
pub(super) const EXIT_USAGE: u8 = 64;
/// Exit code for an answer that could not be written.
const EXIT_OUTPUT: u8 = 74;

/// Stack of the parsing thread; deeper recursion ends the child.
const STACK_BYTES: usize = 32 * 1024 * 1024;
/// Standard input, output and error stay open; nothing else can be opened.
#[cfg(unix)]
const OPEN_FILES: u64 = 3;

struct Arguments {
    format: Format,
    input_bytes: u64,
    memory_bytes: u64,
    cpu_seconds: u64,
    limits: Limits,
}

/// The whole life of a child: limits itself, reads one file, answers, ends.
///
/// `args` are those behind [`SUBCOMMAND`]. Call it first thing in `main`, in a process of its own:
/// the limits cannot be taken back. Answers with code 0 whatever is in the file; another code or a
/// signal means that the parser did not survive.
pub fn worker_main(
    input: impl Read,
    mut output: impl Write,
    args: impl IntoIterator<Item = String>,
) -> ExitCode {
    let Some(arguments) = parse(args) else {
        return ExitCode::from(EXIT_USAGE);
    };
    let reply = match restrict(&arguments) {
        Ok(()) => Reply::new(serve(input, &arguments)),
        Err(_) => return ExitCode::from(EXIT_USAGE),
    };
    let written = reply.encode().is_ok_and(|bytes| {
        output
            .write_all(&bytes)
            .and_then(|()| output.flush())
            .is_ok()
    });
    if written {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_OUTPUT)
    }
}

fn parse(args: impl IntoIterator<Item = String>) -> Option<Arguments> {
    let mut args = args.into_iter();
    let mut format = None;
    let mut arguments = Arguments {
        format: Format::Pdf,
        input_bytes: 0,
        memory_bytes: 0,
        cpu_seconds: 0,
        limits: Limits::default(),
    };
    while let Some(name) = args.next() {
        let value = args.next()?;
        match &*name {
            "--format" => format = Some(value.parse().ok()?),
            "--input-bytes" => arguments.input_bytes = value.parse().ok()?,
            "--output-bytes" => arguments.limits.max_output_bytes = value.parse().ok()?,
            "--memory-bytes" => arguments.memory_bytes = value.parse().ok()?,
            "--cpu-seconds" => arguments.cpu_seconds = value.parse().ok()?,
            _ => return None,
        }
    }
    arguments.format = format?;
    let complete =
        arguments.input_bytes > 0 && arguments.memory_bytes > 0 && arguments.cpu_seconds > 0;
    complete.then_some(arguments)
}

#[cfg(unix)]
fn restrict(arguments: &Arguments) -> std::io::Result<()> {
    use rlimit::{Resource, setrlimit};

    let cpu = arguments.cpu_seconds;
    // The soft limit tells itself from a kill by others; the hard one follows if it is ignored.
    setrlimit(Resource::CPU, cpu, cpu.saturating_add(2))?;
    setrlimit(Resource::CORE, 0, 0)?;
    setrlimit(Resource::FSIZE, 0, 0)?;
    setrlimit(Resource::NOFILE, OPEN_FILES, OPEN_FILES)?;
    // Not every system supports this one; the others and the wall clock still hold.
    let memory = setrlimit(Resource::AS, arguments.memory_bytes, arguments.memory_bytes);
    if cfg!(target_os = "linux") {
        memory
    } else {
        Ok(())
    }
}

#[cfg(not(unix))]
fn restrict(_: &Arguments) -> std::io::Result<()> {
    Ok(())
}

/// Reads the file and takes its text out, on a thread with a stack of known size.
fn serve(input: impl Read, arguments: &Arguments) -> Result<Extracted, ExtractError> {
    let mut bytes = Vec::new();
    input
        .take(arguments.input_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(ExtractError::Unavailable)?;
    if bytes.len() as u64 != arguments.input_bytes {
        return Err(ExtractError::Damaged("it did not arrive whole".to_owned()));
    }
    let (format, limits) = (arguments.format, arguments.limits);
    let parser = thread::Builder::new()
        .name("parser".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || formats::extract(format, &bytes, limits))
        .map_err(|_| ExtractError::TooLarge("it needs more memory than allowed".to_owned()))?;
    parser.join().unwrap_or_else(|_| {
        Err(ExtractError::Damaged(format!(
            "the {format} parser gave it up"
        )))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &str) -> Option<Arguments> {
        parse(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn an_incomplete_command_line_is_refused() {
        let whole =
            "--format html --input-bytes 5 --output-bytes 9 --memory-bytes 7 --cpu-seconds 1";
        let parsed = arguments(whole).unwrap();
        assert_eq!(
            (parsed.format, parsed.limits.max_output_bytes),
            (Format::Html, 9)
        );
        for broken in [
            "",
            "--format",
            "--format exe",
            "--format pdf",
            "--format pdf --input-bytes 5 --memory-bytes 7",
            "--format pdf --input-bytes five",
            "--shell sh",
        ] {
            assert!(arguments(broken).is_none(), "{broken}");
        }
    }

    #[test]
    fn serves_exactly_the_announced_bytes() {
        let mut whole =
            arguments("--format html --input-bytes 12 --memory-bytes 7 --cpu-seconds 1").unwrap();
        assert_eq!(serve(&b"<p>hello</p>"[..], &whole).unwrap().text, "hello");
        whole.input_bytes = 5;
        assert!(matches!(
            serve(&b"<p>hello</p>"[..], &whole),
            Err(ExtractError::Damaged(_))
        ));
    }
}
