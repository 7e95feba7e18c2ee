//! Records what happens without slowing down what happens.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;
use touchstone_api::analytics::Record;
use touchstone_telemetry::Scope;

/// Takes records; cheap to clone.
///
/// Never waits and never fails: when the records of this process are not fetched fast enough,
/// the newest are dropped and counted.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Option<Open>);

#[derive(Clone, Debug)]
struct Open {
    sender: mpsc::Sender<Record>,
    dropped: Counter,
}

/// The other end: where the records come out.
#[derive(Debug)]
pub struct Recording {
    receiver: mpsc::Receiver<Record>,
    /// Fetched, but not handed out yet.
    pending: Vec<Record>,
}

impl Recorder {
    /// A recorder with room for so many records that nobody has fetched yet, and its other end.
    pub fn new(room: usize) -> (Self, Recording) {
        let (sender, receiver) = mpsc::channel(room.max(1));
        let dropped = Counter::default();
        let recording = Recording {
            receiver,
            pending: Vec::new(),
        };
        (Self(Some(Open { sender, dropped })), recording)
    }

    /// Shows what was dropped among a service's metrics, as `records_dropped_total`.
    pub fn show(&self, scope: &Scope) {
        if let Some(open) = &self.0 {
            let help = "Records for statistics that were dropped for want of room";
            scope.register("records_dropped", help, open.dropped.clone());
        }
    }

    /// One that takes nothing.
    pub const fn off() -> Self {
        Self(None)
    }

    /// Whether records go anywhere; if not, they need not be made.
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Takes a record, or drops it.
    pub fn record(&self, record: Record) {
        if let Some(open) = &self.0
            && open.sender.try_send(record).is_err()
        {
            open.dropped.inc();
        }
    }

    /// Records that were dropped.
    pub fn dropped(&self) -> u64 {
        self.0.as_ref().map_or(0, |open| open.dropped.get())
    }
}

impl Recording {
    /// Waits for a record, then for more until there are `most` or `pause` is over; empty when
    /// every recorder is gone.
    ///
    /// # Cancellation
    /// Cancel-safe: what was fetched comes with the next call.
    pub async fn next(&mut self, most: usize, pause: Duration) -> Vec<Record> {
        if self.pending.is_empty() {
            let Some(record) = self.receiver.recv().await else {
                return Vec::new();
            };
            self.pending.push(record);
        }
        let end = tokio::time::sleep(pause);
        tokio::pin!(end);
        while self.pending.len() < most {
            let room = most - self.pending.len();
            tokio::select! {
                biased;
                () = &mut end => break,
                more = self.receiver.recv_many(&mut self.pending, room) => if more == 0 { break },
            }
        }
        std::mem::take(&mut self.pending)
    }

    /// What is there now.
    pub fn rest(&mut self) -> Vec<Record> {
        while let Ok(record) = self.receiver.try_recv() {
            self.pending.push(record);
        }
        std::mem::take(&mut self.pending)
    }
}

#[cfg(test)]
mod tests {
    use touchstone_api::analytics::RequestRecord;

    use super::*;

    fn record(status: u16) -> Record {
        Record::Request(RequestRecord {
            at: chrono_now(),
            tenant_id: None,
            service: "auth".to_owned(),
            route: "/auth".to_owned(),
            method: "POST".to_owned(),
            status,
            duration_us: 1,
            channel: None,
        })
    }

    fn chrono_now() -> chrono::DateTime<chrono::Utc> {
        use touchstone_types::Clock;
        touchstone_types::FrozenClock::default().now()
    }

    #[tokio::test(start_paused = true)]
    async fn records_come_in_batches_and_in_order() {
        let (recorder, mut recording) = Recorder::new(10);
        for status in 0..5 {
            recorder.record(record(status));
        }
        let pause = Duration::from_secs(1);
        assert_eq!(recording.next(3, pause).await, [0, 1, 2].map(record));
        assert_eq!(recording.next(3, pause).await, [3, 4].map(record));
        recorder.record(record(6));
        assert_eq!(recording.rest(), [record(6)]);
        drop(recorder);
        assert!(recording.next(3, pause).await.is_empty());
    }

    #[tokio::test]
    async fn a_full_recorder_drops_and_counts_exactly() {
        let (recorder, mut recording) = Recorder::new(4);
        for status in 0..10 {
            recorder.record(record(status));
        }
        assert_eq!(recorder.dropped(), 6);
        assert_eq!(recording.rest().len(), 4);
        drop(recording);
        recorder.record(record(1));
        assert_eq!(recorder.dropped(), 7, "nobody listens any more");
        let off = Recorder::off();
        off.record(record(1));
        assert_eq!((off.dropped(), off.is_on()), (0, false));
    }
}
