//! What happens to the processes, to their servers and to a line between two of them.

use std::time::Duration;

use touchstone_stack::Service;
use touchstone_test_services::Exclusive;
use touchstone_testing::faults::{Fault as Line, TcpProxy};

use crate::support::Deployment;
use crate::support::servers::Own;

/// How long a consumer is frozen: longer than its session with the broker, so that its partitions
/// go to somebody else while it believes to have them.
const ZOMBIE: Duration = Duration::from_secs(8);

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL for a service, and a new process.
    Killed(Service),
    /// SIGSTOP for a service past the session of its consumer, then SIGCONT.
    Zombie(Service),
    /// SIGKILL for a server, and a start with its data after so many milliseconds.
    Dead(Server, u64),
    /// SIGSTOP and SIGCONT for a server.
    Frozen(Server, u64),
    /// Redis loses what it has, and dies.
    Wiped,
    /// Nothing passes between gateway and document, and no connection ends.
    CutOff,
}

/// A server that a test owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    Postgres,
    Kafka,
    Qdrant,
}

/// Every service and every server dies, some freeze, a line is cut; the most telling first.
const ALL: [Fault; 18] = [
    Fault::Killed(Service::Document),
    Fault::Dead(Server::Kafka, 1500),
    Fault::Killed(Service::Vector),
    Fault::Dead(Server::Postgres, 500),
    Fault::Frozen(Server::Kafka, 3000),
    Fault::Wiped,
    Fault::CutOff,
    Fault::Killed(Service::Embedding),
    Fault::Frozen(Server::Postgres, 1500),
    Fault::Killed(Service::Gateway),
    Fault::Dead(Server::Qdrant, 500),
    Fault::Zombie(Service::Document),
    Fault::Killed(Service::Auth),
    Fault::Killed(Service::Model),
    Fault::Killed(Service::Retrieval),
    Fault::Killed(Service::Generation),
    Fault::Killed(Service::Analytics),
    Fault::Frozen(Server::Qdrant, 3000),
];

/// The faults that these servers can suffer.
pub fn known(own: &Own) -> Vec<Fault> {
    let there = |fault: &Fault| match fault {
        Fault::Dead(server, _) | Fault::Frozen(server, _) => own.server(*server).is_some(),
        _ => true,
    };
    ALL.into_iter().filter(there).collect()
}

impl Own {
    fn server(&self, server: Server) -> Option<&Exclusive> {
        match server {
            Server::Postgres => Some(&self.postgres),
            Server::Kafka => Some(&self.kafka),
            Server::Qdrant => self.qdrant.as_ref(),
        }
    }
}

impl Fault {
    /// Brings it about and ends it; returns when what was hit is there again.
    pub async fn strike(self, system: &mut Deployment, own: &Own, line: &TcpProxy) {
        let pause = |millis| tokio::time::sleep(Duration::from_millis(millis));
        match self {
            Self::Killed(service) => {
                system.kill(service).await;
                system.respawn(service).await;
            }
            Self::Zombie(service) => {
                system.freeze(service).await;
                tokio::time::sleep(ZOMBIE).await;
                system.thaw(service).await;
            }
            Self::Dead(server, away) => {
                let server = own.server(server).unwrap();
                server.kill().await;
                pause(away).await;
                server.restart().await;
            }
            Self::Frozen(server, away) => {
                let server = own.server(server).unwrap();
                server.freeze().await;
                pause(away).await;
                server.thaw().await;
            }
            Self::Wiped => {
                own.redis.wipe().await;
                own.redis.kill().await;
                pause(1000).await;
                own.redis.restart().await;
            }
            Self::CutOff => {
                line.set(Line::Blackhole).await;
                pause(2000).await;
                line.set(Line::None).await;
            }
        }
    }
}
