//! What was measured of one kind of request.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Durations, ErrorClass, Errors, Outcome, Sparse};

/// A duration that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// From the moment at which the schedule wanted it to begin, to the end of the answer.
    Total,
    /// From the moment at which it began.
    Service,
    /// From the wanted begin to the actual one.
    Wait,
    /// Until the connection stood, where one was made.
    Connect,
    /// From the actual begin to the head of the answer.
    FirstByte,
    /// From the actual begin to the first event of a stream.
    FirstEvent,
    /// Between two events of a stream.
    Gap,
}

impl Measure {
    /// All of them, in the order of their number.
    pub const ALL: [Self; 7] = [
        Self::Total,
        Self::Service,
        Self::Wait,
        Self::Connect,
        Self::FirstByte,
        Self::FirstEvent,
        Self::Gap,
    ];

    /// The name in reports and objectives.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Service => "service",
            Self::Wait => "wait",
            Self::Connect => "connect",
            Self::FirstByte => "first_byte",
            Self::FirstEvent => "first_event",
            Self::Gap => "gap",
        }
    }
}

/// One request, as it went.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Phase of the run.
    pub phase: u16,
    /// Kind of request.
    pub endpoint: u16,
    /// When the schedule wanted it to begin.
    pub intended: Instant,
    /// When it began.
    pub began: Instant,
    /// How long the connection took, where one was made.
    pub connect: Option<Duration>,
    /// From its begin to the head of the answer.
    pub first_byte: Option<Duration>,
    /// When it ended.
    pub ended: Instant,
    /// How.
    pub outcome: Outcome,
    /// Bytes of the body.
    pub bytes: u64,
    /// When each event of a stream came.
    pub events: Vec<Instant>,
}

/// Counts and durations of one kind of request.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// Requests that ended as they should.
    pub good: u64,
    /// Refused in good form.
    pub shed: u64,
    /// Errors.
    pub errors: Errors,
    /// Bytes of bodies.
    pub bytes: u64,
    /// Events of streams.
    pub events: u64,
    durations: [Option<Box<Durations>>; Measure::ALL.len()],
}

impl Cell {
    /// Takes up a sample. Durations are those of requests that were answered: an error that comes at
    /// once must not make a service look fast. Sheds have durations of their own kind and count
    /// under [`Cell::shed`] only.
    pub fn record(&mut self, sample: &Sample) {
        self.bytes += sample.bytes;
        match sample.outcome {
            Outcome::Good => self.good += 1,
            Outcome::Shed => self.shed += 1,
            Outcome::Failed(class) => self.errors.add(class),
        }
        if let Some(connect) = sample.connect {
            self.duration(Measure::Connect).record(connect);
        }
        self.duration(Measure::Wait)
            .record(sample.began.saturating_duration_since(sample.intended));
        if matches!(
            sample.outcome,
            Outcome::Shed | Outcome::Failed(ErrorClass::Connect | ErrorClass::Own)
        ) {
            return;
        }
        self.duration(Measure::Total)
            .record(sample.ended.saturating_duration_since(sample.intended));
        self.duration(Measure::Service)
            .record(sample.ended.saturating_duration_since(sample.began));
        if let Some(first_byte) = sample.first_byte {
            self.duration(Measure::FirstByte).record(first_byte);
        }
        self.events += sample.events.len() as u64;
        if let Some(first) = sample.events.first() {
            self.duration(Measure::FirstEvent)
                .record(first.saturating_duration_since(sample.began));
        }
        for two in sample.events.windows(2) {
            self.duration(Measure::Gap)
                .record(two[1].saturating_duration_since(two[0]));
        }
    }

    fn duration(&mut self, measure: Measure) -> &mut Durations {
        self.durations[measure as usize].get_or_insert_default()
    }

    /// Durations of one kind, if any were measured.
    pub fn durations(&self, measure: Measure) -> Option<&Durations> {
        self.durations[measure as usize].as_deref()
    }

    /// Requests in all.
    pub fn requests(&self) -> u64 {
        self.good + self.shed + self.errors.total()
    }

    /// Share of the requests that failed; 0 when there were none.
    pub fn error_share(&self) -> f64 {
        share(self.errors.total(), self.requests())
    }

    /// Those of another.
    pub fn merge(&mut self, other: &Self) {
        self.count(
            other.good,
            other.shed,
            &other.errors,
            other.bytes,
            other.events,
        );
        for measure in Measure::ALL {
            if let Some(durations) = other.durations(measure) {
                self.duration(measure).merge(durations);
            }
        }
    }

    fn count(&mut self, good: u64, shed: u64, errors: &Errors, bytes: u64, events: u64) {
        self.good += good;
        self.shed += shed;
        self.errors.merge(errors);
        self.bytes += bytes;
        self.events += events;
    }

    /// What was measured since the last call, and forgets it. Memory is kept for what comes.
    pub fn take(&mut self) -> Option<CellPart> {
        if self.requests() == 0 {
            return None;
        }
        let mut durations = Vec::new();
        for measure in Measure::ALL {
            if let Some(own) = self.durations[measure as usize].as_deref_mut()
                && own.count() > 0
            {
                durations.push((measure, own.sparse()));
                own.clear();
            }
        }
        let part = CellPart {
            good: std::mem::take(&mut self.good),
            shed: std::mem::take(&mut self.shed),
            errors: std::mem::take(&mut self.errors),
            bytes: std::mem::take(&mut self.bytes),
            events: std::mem::take(&mut self.events),
            durations,
        };
        Some(part)
    }

    /// Takes up what a shard sent.
    pub fn absorb(&mut self, part: &CellPart) {
        self.count(part.good, part.shed, &part.errors, part.bytes, part.events);
        for (measure, sparse) in &part.durations {
            self.duration(*measure).merge_sparse(sparse);
        }
    }
}

/// A [`Cell`] on its way to whoever adds them up.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CellPart {
    good: u64,
    shed: u64,
    errors: Errors,
    bytes: u64,
    events: u64,
    durations: Vec<(Measure, Sparse)>,
}

impl CellPart {
    /// Requests in all.
    pub fn requests(&self) -> u64 {
        self.good + self.shed + self.errors.total()
    }
}

/// `part / whole`, and 0 of nothing.
pub fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waited_before_it_began_counts_from_the_wanted_begin() {
        let wanted = Instant::now();
        let began = wanted + Duration::from_millis(400);
        let event = |millis| began + Duration::from_millis(millis);
        let sample = Sample {
            phase: 0,
            endpoint: 0,
            intended: wanted,
            began,
            connect: None,
            first_byte: Some(Duration::from_millis(10)),
            ended: began + Duration::from_millis(100),
            outcome: Outcome::Good,
            bytes: 1,
            events: vec![event(20), event(60)],
        };
        let mut cell = Cell::default();
        cell.record(&sample);
        let told = Measure::ALL.map(|measure| {
            let durations = cell.durations(measure);
            durations.map_or(0.0, |durations| durations.max().as_secs_f64() * 1e3)
        });
        let wanted = [500.0, 100.0, 400.0, 0.0, 10.0, 20.0, 40.0];
        for (told, wanted) in told.iter().zip(wanted) {
            assert!(
                (told - wanted).abs() <= wanted / 1000.0,
                "{told} for {wanted}"
            );
        }
        // What failed to connect at once does not make a target look fast.
        let refused = Sample {
            outcome: Outcome::Failed(ErrorClass::Connect),
            ..sample
        };
        cell.record(&refused);
        let total = cell.durations(Measure::Total).map(Durations::count);
        assert_eq!((cell.requests(), total), (2, Some(1)));
    }
}
