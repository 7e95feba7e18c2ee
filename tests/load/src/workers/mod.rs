//! Load from several processes, on this machine or on others, added up as if it were one.
//!
//! A coordinator logs users in, hands every worker the plan and its share of the shards, measures how far
//! their clocks are from its own, and tells all the same moment to begin. Workers send the histograms of
//! every second as shards of one process do, so that nothing is lost by adding them up. A worker that is
//! lost ends the run, which is INVALID: its share of the load was not made.
//!
//! Both prove that they know the same key; what they say then is not encrypted, credentials of the users
//! under load included. Workers on other machines belong into a network of one's own.

mod coordinate;
mod member;
mod serve;
mod wire;

pub use coordinate::{Distributed, WorkersError, run};
pub use serve::{ServeError, serve};

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where the load comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workers {
    /// As many processes of this machine, started for the run.
    Local(u64),
    /// Workers that wait at these addresses.
    Remote(Vec<String>),
}

/// Most processes that are started.
const MOST: u64 = 256;

impl FromStr for Workers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(count) = text.parse::<u64>() {
            return if (1..=MOST).contains(&count) {
                Ok(Self::Local(count))
            } else {
                Err(format!("there can be 1 to {MOST} workers"))
            };
        }
        let addresses: Vec<String> = text.split(',').map(|own| own.trim().to_owned()).collect();
        let plausible = |address: &String| {
            let parts = address.rsplit_once(':');
            parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        match addresses.iter().find(|address| !plausible(address)) {
            Some(wrong) => Err(format!(
                "`{wrong}` is neither a number nor an address like host:8090"
            )),
            None => Ok(Self::Remote(addresses)),
        }
    }
}

/// A worker, as the report tells of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerUse {
    /// Where it was.
    pub address: String,
    /// Threads of load.
    pub shards: u64,
    /// Requests that it made.
    #[serde(default)]
    pub requests: u64,
    /// How far its clock was before the coordinator's, in milliseconds; the moment of the begin was set
    /// right by it.
    pub clock_ms: f64,
    /// How far that may be wrong.
    pub clock_error_ms: f64,
    /// Cores that it used.
    pub cores: f64,
    /// Peak of its memory in bytes.
    pub memory: u64,
    /// Whether it was lost during the run.
    pub lost: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_a_number_or_addresses() {
        assert_eq!("3".parse(), Ok(Workers::Local(3)));
        let two = vec!["10.0.0.1:8090".to_owned(), "host:1".to_owned()];
        assert_eq!("10.0.0.1:8090, host:1".parse(), Ok(Workers::Remote(two)));
        for wrong in [
            "0",
            "1000",
            "host",
            "host:",
            ":80",
            "host:99999",
            "",
            "a:1,,b:2",
        ] {
            assert!(wrong.parse::<Workers>().is_err(), "{wrong}");
        }
    }
}
