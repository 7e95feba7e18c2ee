use std::cell::Cell;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::Layer;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

thread_local! {
    /// Only the thread of the one test is listened to.
    static LISTENING: Cell<bool> = const { Cell::new(false) };
}

/// Everything that is logged on the thread of one test, as loud as it gets.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Listens to this thread from now on. A process can do so once: it is the subscriber of all.
    pub fn listen() -> Self {
        let log = Self::default();
        LISTENING.set(true);
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(log.clone())
            .with_filter(dynamic_filter_fn(|_, _| LISTENING.get()));
        tracing_subscriber::registry().with(layer).init();
        log
    }

    /// What was logged so far.
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
