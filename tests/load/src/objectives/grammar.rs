//! Objectives as text: `p95 < 200ms for search in peak`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::measure::Measure;

/// What has to hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Objective {
    /// What is looked at.
    pub subject: Subject,
    /// How it is compared.
    pub relation: Relation,
    /// With what.
    pub limit: Limit,
    /// Of one kind of request only.
    pub endpoint: Option<String>,
    /// In one phase only.
    pub phase: Option<String>,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Subject {
    /// A percentile, 0 to 100, of a duration.
    Percentile(Measure, f64),
    /// The mean of a duration.
    Mean(Measure),
    /// The longest.
    Max(Measure),
    /// Requests that ended.
    Requests,
    /// Those that ended as they should.
    Good,
    /// Those that failed.
    Errors,
    /// Those that were refused in good form.
    Sheds,
    /// Arrivals that were not sent.
    Dropped,
    /// Share of the requests that ended as they should or were refused in good form.
    Success,
    /// Good answers a second.
    Rate,
    /// The same for each core of this machine.
    RatePerCore,
}

/// How it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `=`
    Equal,
    /// `>=`
    AtLeast,
    /// `>`
    Above,
}

/// With what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// A duration.
    Time(Duration),
    /// Percent of the requests.
    Percent(f64),
    /// A number.
    Count(f64),
    /// A number each second.
    PerSecond(f64),
}

/// A text that is no objective.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no objective: {reason}")]
pub struct ObjectiveError {
    text: String,
    reason: String,
}

const RELATIONS: [(&str, Relation); 5] = [
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("<", Relation::Below),
    (">", Relation::Above),
    ("=", Relation::Equal),
];

const COUNTS: [(&str, Subject); 7] = [
    ("requests", Subject::Requests),
    ("good", Subject::Good),
    ("errors", Subject::Errors),
    ("sheds", Subject::Sheds),
    ("dropped", Subject::Dropped),
    ("success", Subject::Success),
    ("rate", Subject::Rate),
];

const KNOWN: &str = "p50 to p99.999, mean, max (of `total`, or of service, wait, connect, \
    first_byte, first_event, gap written before it), requests, good, errors, sheds, dropped, success, rate";

impl Relation {
    /// Whether it holds.
    pub fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Below => value < limit,
            Self::AtMost => value <= limit,
            Self::Equal => (value - limit).abs() <= f64::EPSILON * limit.abs(),
            Self::AtLeast => value >= limit,
            Self::Above => value > limit,
        }
    }
}

impl FromStr for Objective {
    type Err = ObjectiveError;

    fn from_str(text: &str) -> Result<Self, ObjectiveError> {
        parse(text).map_err(|reason| ObjectiveError {
            text: text.to_owned(),
            reason,
        })
    }
}

fn parse(text: &str) -> Result<Objective, String> {
    let (at, sign, relation) = RELATIONS
        .iter()
        .filter_map(|(sign, relation)| Some((text.find(sign)?, *sign, *relation)))
        .min_by_key(|(at, sign, _)| (*at, std::cmp::Reverse(sign.len())))
        .ok_or("there is none of < <= = >= > in it")?;
    let subject = subject(&text[..at])?;
    let mut words = text[at + sign.len()..].split_whitespace();
    let value = words
        .next()
        .ok_or("there is nothing behind the comparison")?;
    let (mut endpoint, mut phase, mut subject) = (None, None, subject);
    let mut pending: Option<(&str, Vec<&str>)> = None;
    let mut close = |pending: Option<(&str, Vec<&str>)>| -> Result<(), String> {
        let Some((word, name)) = pending else {
            return Ok(());
        };
        if name.is_empty() {
            return Err(format!("nothing stands behind `{word}`"));
        }
        let place = if word == "for" {
            &mut endpoint
        } else {
            &mut phase
        };
        match place.replace(name.join(" ")) {
            Some(_) => Err(format!("`{word}` stands there twice")),
            None => Ok(()),
        }
    };
    for word in words {
        match word {
            "for" | "in" => close(pending.replace((word, Vec::new())))?,
            "per" | "core" if pending.is_none() => {
                if subject == Subject::Rate {
                    subject = Subject::RatePerCore;
                } else if subject != Subject::RatePerCore {
                    return Err("`per core` belongs to `rate`".into());
                }
            }
            _ => match &mut pending {
                Some((_, name)) => name.push(word),
                None => {
                    return Err(format!(
                        "`{word}` was not expected; `for` and `in` may follow"
                    ));
                }
            },
        }
    }
    close(pending)?;
    Ok(Objective {
        limit: limit(subject, value)?,
        subject,
        relation,
        endpoint,
        phase,
    })
}

fn subject(text: &str) -> Result<Subject, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (measure, word) = match words.as_slice() {
        [word] => (None, *word),
        [measure, word] => {
            let known = Measure::ALL
                .into_iter()
                .find(|known| known.name() == *measure);
            (Some(known.ok_or_else(|| unknown(measure))?), *word)
        }
        _ => return Err(unknown(text.trim())),
    };
    if let Some((_, count)) = COUNTS.iter().find(|(name, _)| *name == word) {
        return match measure {
            None => Ok(*count),
            Some(measure) => Err(format!("`{word}` is no duration of `{}`", measure.name())),
        };
    }
    let measure = measure.unwrap_or(Measure::Total);
    match word {
        "mean" => return Ok(Subject::Mean(measure)),
        "max" => return Ok(Subject::Max(measure)),
        _ => {}
    }
    let percentile = word.strip_prefix('p').and_then(plain_number);
    match percentile {
        Some(value) if value > 0.0 && value <= 100.0 => Ok(Subject::Percentile(measure, value)),
        Some(value) => Err(format!("there is no percentile {value}")),
        None => Err(unknown(word)),
    }
}

fn unknown(word: &str) -> String {
    format!("`{word}` is not known; there are {KNOWN}")
}

/// Digits and a point: neither signs nor exponents, infinities or what is no number.
fn plain_number(text: &str) -> Option<f64> {
    let plain = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    text.parse()
        .ok()
        .filter(|_| plain && !text.starts_with('.'))
}

fn limit(subject: Subject, text: &str) -> Result<Limit, String> {
    let bare = text.replace([',', '_'], "");
    let number = |text: &str| plain_number(text).ok_or_else(|| format!("`{text}` is no number"));
    match subject {
        Subject::Percentile(..) | Subject::Mean(_) | Subject::Max(_) => {
            // Written alone, a number could be anything.
            let units = [
                ("us", 1e-6),
                ("µs", 1e-6),
                ("ms", 1e-3),
                ("s", 1.0),
                ("min", 60.0),
            ];
            let found = units.iter().find_map(|(unit, seconds)| {
                Some(plain_number(bare.strip_suffix(unit)?)? * seconds)
            });
            found
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .map(Limit::Time)
                .ok_or_else(|| format!("`{text}` is no duration like 200ms or 1.5s"))
        }
        Subject::Rate | Subject::RatePerCore => {
            let rate = bare.strip_suffix("/s").unwrap_or(&bare);
            number(rate).map(Limit::PerSecond)
        }
        Subject::Success => {
            let percent = bare
                .strip_suffix('%')
                .ok_or("`success` needs a percentage like 99%")?;
            number(percent).map(Limit::Percent)
        }
        Subject::Errors | Subject::Sheds | Subject::Dropped => match bare.strip_suffix('%') {
            Some(percent) => number(percent).map(Limit::Percent),
            None => number(&bare).map(Limit::Count),
        },
        Subject::Requests | Subject::Good => number(&bare).map(Limit::Count),
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |measure: Measure| match measure {
            Measure::Total => String::new(),
            other => format!("{} ", other.name()),
        };
        match self.subject {
            Subject::Percentile(measure, value) => write!(f, "{}p{value}", of(measure))?,
            Subject::Mean(measure) => write!(f, "{}mean", of(measure))?,
            Subject::Max(measure) => write!(f, "{}max", of(measure))?,
            Subject::RatePerCore => f.write_str("rate")?,
            other => {
                let known = COUNTS.iter().find(|(_, subject)| *subject == other);
                f.write_str(known.map_or("", |(name, _)| name))?;
            }
        }
        let sign = RELATIONS
            .iter()
            .find(|(_, relation)| *relation == self.relation);
        write!(f, " {} ", sign.map_or("", |(sign, _)| sign))?;
        match self.limit {
            Limit::Time(time) => {
                let micros = time.as_nanos() as f64 / 1e3;
                if micros >= 1e6 {
                    write!(f, "{}s", micros / 1e6)?;
                } else if micros >= 1e3 {
                    write!(f, "{}ms", micros / 1e3)?;
                } else {
                    write!(f, "{micros}us")?;
                }
            }
            Limit::Percent(percent) => write!(f, "{percent}%")?,
            Limit::Count(count) => write!(f, "{count}")?,
            Limit::PerSecond(rate) => write!(f, "{rate}/s")?,
        }
        if self.subject == Subject::RatePerCore {
            f.write_str(" per core")?;
        }
        if let Some(endpoint) = &self.endpoint {
            write!(f, " for {endpoint}")?;
        }
        if let Some(phase) = &self.phase {
            write!(f, " in {phase}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Objective {
    type Error = ObjectiveError;

    fn try_from(text: String) -> Result<Self, ObjectiveError> {
        text.parse()
    }
}

impl From<Objective> for String {
    fn from(objective: Objective) -> Self {
        objective.to_string()
    }
}
