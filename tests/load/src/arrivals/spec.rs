//! Open load as a scenario writes it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Profile, Segment};

/// Open load: requests begin when they are due, whatever became of the ones before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Arrivals {
    /// The same rate all the time.
    Constant {
        /// A second.
        rate: f64,
        /// For how long.
        #[serde(with = "humantime_serde")]
        duration: Duration,
        /// Squared variation of the gaps: 0 evenly spaced, 1 Poisson, above 1 bursty.
        #[serde(default)]
        burstiness: f64,
    },
    /// From one rate to another, evenly.
    Ramp {
        /// A second, at the begin.
        from: f64,
        /// At the end.
        to: f64,
        /// For how long.
        #[serde(with = "humantime_serde")]
        duration: Duration,
        /// As above.
        #[serde(default)]
        burstiness: f64,
    },
    /// Several rates, each for as long.
    Step {
        /// A second.
        rates: Vec<f64>,
        /// How long each.
        #[serde(with = "humantime_serde")]
        each: Duration,
        /// As above.
        #[serde(default)]
        burstiness: f64,
    },
    /// A base rate with a burst in its middle.
    Burst {
        /// A second, before and after.
        rate: f64,
        /// Times as much during the burst.
        factor: f64,
        /// How long the base rate stands, before and after each.
        #[serde(with = "humantime_serde")]
        around: Duration,
        /// How long the burst is.
        #[serde(with = "humantime_serde")]
        burst: Duration,
        /// As above.
        #[serde(default)]
        burstiness: f64,
    },
    /// A file with the columns `seconds` and `rate`; between the points the rate moves evenly.
    Csv {
        /// The file, from where the scenario is.
        file: PathBuf,
        /// As above.
        #[serde(default)]
        burstiness: f64,
    },
}

/// A load that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// A number is out of its range.
    #[error("`{key}` is {value}; it must be {rule}")]
    Number {
        /// Which.
        key: &'static str,
        /// What it is.
        value: f64,
        /// What it must be.
        rule: &'static str,
    },
    /// A duration of nothing.
    #[error("`{0}` must be longer than 0 s")]
    Empty(&'static str),
    /// The file cannot be used.
    #[error("cannot use the arrivals in `{}`: {reason}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Highest rate that is taken for meant.
const HIGHEST_RATE: f64 = 10_000_000.0;

impl Arrivals {
    /// Its burstiness.
    pub const fn burstiness(&self) -> f64 {
        match self {
            Self::Constant { burstiness, .. }
            | Self::Ramp { burstiness, .. }
            | Self::Step { burstiness, .. }
            | Self::Burst { burstiness, .. }
            | Self::Csv { burstiness, .. } => *burstiness,
        }
    }

    /// The rate over time. Files are found from `folder`.
    pub fn profile(&self, folder: &Path) -> Result<Profile, SpecError> {
        number("burstiness", self.burstiness(), 100.0)?;
        let segments = match self {
            Self::Constant { rate, duration, .. } => {
                vec![level("rate", *rate, "duration", *duration)?]
            }
            Self::Ramp {
                from, to, duration, ..
            } => {
                number("from", *from, HIGHEST_RATE)?;
                let end = level("to", *to, "duration", *duration)?;
                vec![Segment { from: *from, ..end }]
            }
            Self::Step { rates, each, .. } => rates
                .iter()
                .map(|rate| level("rates", *rate, "each", *each))
                .collect::<Result<_, _>>()?,
            Self::Burst {
                rate,
                factor,
                around,
                burst,
                ..
            } => {
                number("factor", *factor, 1e6)?;
                let base = level("rate", *rate, "around", *around)?;
                let peak = level("rate", rate * factor, "burst", *burst)?;
                vec![base, peak, base]
            }
            Self::Csv { file, .. } => points(&folder.join(file))?,
        };
        let profile = Profile::new(segments);
        if profile.arrivals() < 1.0 {
            return Err(SpecError::Number {
                key: "rate",
                value: profile.peak(),
                rule: "high enough for one arrival",
            });
        }
        Ok(profile)
    }
}

fn number(key: &'static str, value: f64, most: f64) -> Result<(), SpecError> {
    if (0.0..=most).contains(&value) {
        return Ok(());
    }
    let rule = "a number from 0 up to what one machine can mean";
    Err(SpecError::Number { key, value, rule })
}

fn level(
    key: &'static str,
    rate: f64,
    time: &'static str,
    lasting: Duration,
) -> Result<Segment, SpecError> {
    number(key, rate, HIGHEST_RATE)?;
    if lasting.is_zero() {
        return Err(SpecError::Empty(time));
    }
    Ok(Segment {
        lasting: lasting.as_secs_f64(),
        from: rate,
        to: rate,
    })
}

fn points(file: &Path) -> Result<Vec<Segment>, SpecError> {
    let wrong = |reason: String| SpecError::File {
        file: file.to_owned(),
        reason,
    };
    let mut reader = csv::Reader::from_path(file).map_err(|error| wrong(error.to_string()))?;
    let rows: Vec<(f64, f64)> = reader
        .deserialize()
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(error.to_string()))?;
    if rows.len() < 2 {
        return Err(wrong("it needs two points at least".into()));
    }
    let mut segments = Vec::new();
    for two in rows.windows(2) {
        let ((begin, from), (end, to)) = (two[0], two[1]);
        // Written so that a value that is no number is refused, too.
        if !(begin >= 0.0 && end >= begin) {
            return Err(wrong(format!("the seconds go back at {end}")));
        }
        number("rate", from, HIGHEST_RATE)?;
        number("rate", to, HIGHEST_RATE)?;
        segments.push(Segment {
            lasting: end - begin,
            from,
            to,
        });
    }
    Ok(segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(text: &str) -> Result<Profile, SpecError> {
        toml::from_str::<Arrivals>(text)
            .unwrap()
            .profile(Path::new("."))
    }

    #[test]
    fn each_form_has_the_arrivals_that_it_says() {
        let count = |text| profile(text).unwrap().arrivals().round() as u64;
        assert_eq!(count("kind='constant'\nrate=200\nduration='60s'"), 12_000);
        assert_eq!(count("kind='ramp'\nfrom=0\nto=100\nduration='10s'"), 500);
        assert_eq!(count("kind='step'\nrates=[10,20,30]\neach='10s'"), 600);
        assert_eq!(
            count("kind='burst'\nrate=10\nfactor=10\naround='10s'\nburst='3s'"),
            500
        );
    }

    #[test]
    fn a_file_of_points_is_read_and_mistakes_in_it_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("day.csv");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let arrivals = Arrivals::Csv {
                file: "day.csv".into(),
                burstiness: 0.0,
            };
            arrivals.profile(folder.path())
        };
        let profile = read("seconds,rate\n0,0\n10,100\n20,100\n").unwrap();
        assert_eq!(profile.arrivals().round() as u64, 1500);
        assert!(
            read("seconds,rate\n0,5\n")
                .unwrap_err()
                .to_string()
                .contains("two points")
        );
        assert!(
            read("seconds,rate\n9,5\n3,5\n")
                .unwrap_err()
                .to_string()
                .contains("go back")
        );
        assert!(read("seconds,rate\n0,x\n3,5\n").is_err());
    }

    #[test]
    fn impossible_rates_are_refused() {
        assert!(profile("kind='constant'\nrate=-1\nduration='1s'").is_err());
        assert!(profile("kind='constant'\nrate=nan\nduration='1s'").is_err());
        assert!(profile("kind='constant'\nrate=1e12\nduration='1s'").is_err());
        assert!(profile("kind='constant'\nrate=5\nduration='0s'").is_err());
        assert!(profile("kind='constant'\nrate=0\nduration='10s'").is_err());
    }
}
