//! The sandbox's worker for tests: test binaries have no `main` that could be one.
//!
//! Started under another name, through a symbolic link, it misbehaves as that name says, so that
//! the parent's reaction can be tested.

use std::io::{Read, Write};
use std::process::ExitCode;

use touchstone_document::sandbox::{SUBCOMMAND, worker_main};

fn main() -> ExitCode {
    let mut args = std::env::args();
    let program = args.next().unwrap_or_default();
    match program.rsplit('/').next().unwrap_or_default() {
        "aborts" => std::process::abort(),
        "hangs" => loop {
            std::thread::park();
        },
        "overflows" => ExitCode::from(u8::try_from(recurse(1) & 1).unwrap_or(0)),
        "hogs" => {
            let limit = 64 * 1024 * 1024;
            if rlimit::setrlimit(rlimit::Resource::AS, limit, limit).is_err() {
                return ExitCode::FAILURE;
            }
            let hog = vec![1_u8; 1024 * 1024 * 1024];
            ExitCode::from(hog.iter().fold(0, |sum, byte| sum ^ byte))
        }
        "spins" => {
            if rlimit::setrlimit(rlimit::Resource::CPU, 1, 2).is_err() {
                return ExitCode::FAILURE;
            }
            let mut spins = 0_u64;
            loop {
                spins = std::hint::black_box(spins.wrapping_add(1));
            }
        }
        "babbles" => {
            let mut output = std::io::stdout().lock();
            while output.write_all(&[b'x'; 4096]).is_ok() {}
            ExitCode::SUCCESS
        }
        "leaves" => ExitCode::SUCCESS,
        "tells" => {
            // Answers nothing, and fails in a way that shows what it was given.
            let mut input = Vec::new();
            let read = std::io::stdin().read_to_end(&mut input).unwrap_or(0);
            let clean = std::env::vars_os().next().is_none();
            ExitCode::from(if clean && read == 3 { 7 } else { 8 })
        }
        _ if args.next().as_deref() == Some(SUBCOMMAND) => {
            worker_main(std::io::stdin(), std::io::stdout(), args)
        }
        _ => ExitCode::from(64),
    }
}

/// Recursion that the compiler cannot turn into a loop.
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 512]);
    if std::hint::black_box(depth) == 0 {
        0
    } else {
        recurse(depth + 1) ^ frame[511]
    }
}
