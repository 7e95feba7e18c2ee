use std::io::{IsTerminal, Write};

use serde::Serialize;
use touchstone_api::Problem;

/// Where commands write: results to standard output, everything else to standard error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Out {
    json: bool,
    color: bool,
}

#[expect(
    clippy::unused_self,
    reason = "everything that commands write goes through this value"
)]
impl Out {
    pub fn new(json: bool) -> Self {
        let color =
            std::io::stdout().is_terminal() && touchstone_config::variable("NO_COLOR").is_none();
        Self { json, color }
    }

    /// Whether a program reads.
    pub const fn is_json(self) -> bool {
        self.json
    }

    /// A line of the result. A reader that has gone is no error of ours.
    pub fn line(self, text: impl AsRef<str>) {
        let _ = writeln!(std::io::stdout(), "{}", text.as_ref());
    }

    /// A piece of a line, at once.
    pub fn piece(self, text: &str) {
        let mut stdout = std::io::stdout();
        let _ = stdout.write_all(text.as_bytes());
        let _ = stdout.flush();
    }

    /// A result for a program.
    pub fn value(self, value: &impl Serialize) -> anyhow::Result<()> {
        self.line(serde_json::to_string(value)?);
        Ok(())
    }

    /// A remark that is not the result.
    pub fn note(self, text: impl AsRef<str>) {
        let _ = writeln!(std::io::stderr(), "{}", text.as_ref());
    }

    /// A mistake, with the stack's problem if it comes from there.
    pub fn error(self, text: &str, problem: Option<&Problem>) {
        let text = if self.json {
            serde_json::json!({ "error": text, "problem": problem }).to_string()
        } else {
            format!("error: {text}")
        };
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    pub fn bold(self, text: &str) -> String {
        self.styled("1", text)
    }

    pub fn dim(self, text: &str) -> String {
        self.styled("2", text)
    }

    pub fn green(self, text: &str) -> String {
        self.styled("32", text)
    }

    fn styled(self, code: &str, text: &str) -> String {
        if self.color {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}
