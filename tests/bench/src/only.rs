//! Which parts of a benchmark are measured.

/// All of them, or those that are named.
#[derive(Clone, Debug, clap::Args)]
pub struct Only {
    /// Only these parts; one that there is not tells which there are
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<String>,
}

impl Only {
    /// Refuses what is none of the parts: it would measure nothing, and say nothing of it.
    pub fn check(&self, parts: &[&str]) -> anyhow::Result<()> {
        for named in &self.only {
            let is_known = parts.contains(&named.as_str());
            let known = parts.join(", ");
            anyhow::ensure!(
                is_known,
                "there is no `{named}` to measure; there are {known}"
            );
        }
        Ok(())
    }

    /// Whether this part is measured.
    pub fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|named| named == part)
    }
}
