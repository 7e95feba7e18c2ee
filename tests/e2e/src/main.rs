//! The stack's binary, built for the tests of this package.

use std::process::ExitCode;

fn main() -> ExitCode {
    touchstone_stack::cli::main()
}
