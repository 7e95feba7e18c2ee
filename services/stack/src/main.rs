//! The `touchstone` binary.

use std::process::ExitCode;

/// Requests make many small things; the system's allocator takes longer for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    touchstone_stack::cli::main()
}
