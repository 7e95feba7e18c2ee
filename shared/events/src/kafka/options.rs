use std::time::Duration;

use rdkafka::ClientConfig;

use crate::Error;

/// How a [`KafkaBus`](crate::KafkaBus) works.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// `host:port,…`.
    pub brokers: String,
    /// Begins the names of topics and groups, for several stacks on one cluster.
    pub prefix: String,
    /// After which an event that was not confirmed counts as not sent, though it may be.
    pub delivery_timeout: Duration,
    /// After which a silent member loses its partitions.
    pub session_timeout: Duration,
    /// Events of a group that wait in this process at most.
    pub capacity: usize,
}

impl KafkaOptions {
    /// Reads `kafka://host:port,…` or `kafka://host:port,…?prefix=name.`.
    ///
    /// # Errors
    /// [`Error::Uri`] when there is no broker or an option that is not known.
    pub fn parse(uri: &str) -> Result<Self, Error> {
        let wrong = || Error::Uri("kafka://…".to_owned());
        let rest = uri.strip_prefix("kafka://").ok_or_else(wrong)?;
        let (brokers, query) = rest.split_once('?').unwrap_or((rest, ""));
        let brokers = brokers.trim_end_matches('/');
        let good = |broker: &str| {
            let (host, port) = broker.rsplit_once(':').unwrap_or_default();
            !host.is_empty() && !host.contains(['/', '@']) && port.parse::<u16>().is_ok()
        };
        if !brokers.split(',').all(good) {
            return Err(wrong());
        }
        let prefix = match query.split_once('=') {
            Some(("prefix", prefix)) => prefix,
            None if query.is_empty() => "",
            _ => return Err(wrong()),
        };
        Ok(Self {
            brokers: brokers.to_owned(),
            prefix: prefix.to_owned(),
            delivery_timeout: Duration::from_secs(10),
            session_timeout: Duration::from_secs(6),
            capacity: 1024,
        })
    }

    /// What every client of the cluster is told.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "touchstone")
            .set("socket.keepalive.enable", "true")
            .set("socket.timeout.ms", "6000")
            .set("socket.connection.setup.timeout.ms", "5000")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "1000")
            // What stays after a broker came back under another address.
            .set("metadata.max.age.ms", "30000")
            .set("topic.metadata.refresh.interval.ms", "10000");
        config
    }

    pub(crate) fn producer(&self) -> ClientConfig {
        let timeout = self.delivery_timeout.as_millis().to_string();
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "2")
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", timeout);
        config
    }

    pub(crate) fn consumer(&self, group: &str) -> ClientConfig {
        let session = self.session_timeout.as_millis();
        let mut config = self.client();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // A group begins with its first subscription: what is there already is older, and an
            // event too many is no harm.
            .set("auto.offset.reset", "earliest")
            .set("session.timeout.ms", session.to_string())
            .set("heartbeat.interval.ms", (session / 3).to_string())
            .set("fetch.wait.max.ms", "100")
            .set("fetch.error.backoff.ms", "100")
            .set("queued.max.messages.kbytes", "16384")
            .set("statistics.interval.ms", "1000");
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_and_prefix_are_read() {
        let options = KafkaOptions::parse("kafka://a:9092,b:9093?prefix=x.").unwrap();
        assert_eq!(
            (&*options.brokers, &*options.prefix),
            ("a:9092,b:9093", "x.")
        );
        assert_eq!(KafkaOptions::parse("kafka://a:1/").unwrap().brokers, "a:1");
    }

    #[test]
    fn what_names_no_broker_is_refused_without_being_repeated() {
        for uri in [
            "kafka://",
            "kafka://a",
            "kafka://a:port",
            "kafka://user:secret@a:1/x",
            "kafka://a:1?other=1",
            "redis://a:1",
        ] {
            let error = KafkaOptions::parse(uri).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
