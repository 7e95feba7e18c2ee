//! The `touchstone` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    touchstone_stack::cli::main()
}
