//! What is compiled into the binary: no way past the login that a configuration or a header opens.

use std::process::Command;

use crate::support::deployment::BINARY;

/// Credentials and switches that such ways were made of, in whatever case; no service knows them. The
/// tests know the first one, and send it.
const WAYS: [&str; 8] = [
    "test-load-",
    "eyJhbGciOi",
    "x-test-user",
    "x-debug-user",
    "disable_auth",
    "skip_auth",
    "auth_bypass",
    "allow_anonymous_admin",
];
/// It looks at the right bytes only if it finds what is there.
const THERE: &str = "auth.invalid_credential";

#[test]
fn no_way_past_the_login_is_compiled_in() {
    let mut search = Command::new("grep");
    search.args(["-aoiF", "-e", THERE]);
    for way in WAYS {
        search.args(["-e", way]);
    }
    let output = match search.arg(BINARY).output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("SKIPPED: nothing to search the binary with: {error}");
            return;
        }
    };
    let mut found: Vec<_> = std::str::from_utf8(&output.stdout)
        .unwrap()
        .lines()
        .collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found, [THERE]);
}
