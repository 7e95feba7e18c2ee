//! What is struck, and how: each service and each server, killed, frozen or slowed down.

use std::time::{Duration, Instant};

use touchstone_stack::Service;
use touchstone_test_services::Exclusive;

use super::deployment::{Deployment, Servers};

/// What is slow works so long, and stands still so long, over and over.
const WORKS: Duration = Duration::from_millis(20);
const STANDS: Duration = Duration::from_millis(180);

/// What is struck.
#[derive(Clone, Copy)]
pub enum Target<'a> {
    Service(Service),
    Server(&'a Exclusive),
}

/// How.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// SIGKILL, and a start after a while.
    Stopped,
    /// SIGSTOP, and SIGCONT after a while.
    Frozen,
    /// A tenth of the time to work.
    Slow,
}

impl How {
    /// What is said of its target.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Frozen => "frozen",
            Self::Slow => "slow",
        }
    }
}

impl<'a> Target<'a> {
    /// Every service, callees before callers.
    pub fn services() -> Vec<Self> {
        Service::ALL.into_iter().map(Self::Service).collect()
    }

    /// Every server.
    pub fn servers(servers: &'a Servers) -> Vec<Self> {
        let always = [&servers.postgres, &servers.redis, &servers.kafka];
        let all = always.into_iter().chain(&servers.qdrant);
        all.map(Self::Server).collect()
    }

    /// Its name, as `--failures-of` takes it.
    pub fn name(&self) -> String {
        match self {
            Self::Service(service) => service.to_string(),
            Self::Server(server) => server.kind().to_string().to_lowercase(),
        }
    }

    /// Brings it about, and ends it when it has lasted for `away`.
    pub async fn strike(
        &self,
        how: How,
        away: Duration,
        deployment: &mut Deployment,
    ) -> anyhow::Result<()> {
        match how {
            How::Stopped => {
                self.kill(deployment).await?;
                tokio::time::sleep(away).await;
                self.start(deployment).await?;
            }
            How::Frozen => {
                self.pause(deployment).await?;
                tokio::time::sleep(away).await;
                self.go_on(deployment).await?;
            }
            How::Slow => {
                let began = Instant::now();
                while began.elapsed() < away {
                    self.pause(deployment).await?;
                    tokio::time::sleep(STANDS).await;
                    self.go_on(deployment).await?;
                    tokio::time::sleep(WORKS).await;
                }
            }
        }
        Ok(())
    }

    async fn kill(&self, deployment: &mut Deployment) -> anyhow::Result<()> {
        match self {
            Self::Service(service) => deployment.kill(*service).await?,
            Self::Server(server) => server.kill().await,
        }
        Ok(())
    }

    /// A service is not waited for, a server is: it stands for one that others keep.
    async fn start(&self, deployment: &mut Deployment) -> anyhow::Result<()> {
        match self {
            Self::Service(service) => deployment.spawn(*service)?,
            Self::Server(server) => server.restart().await,
        }
        Ok(())
    }

    async fn pause(&self, deployment: &Deployment) -> anyhow::Result<()> {
        match self {
            Self::Service(service) => deployment.signal(*service, "-STOP").await?,
            Self::Server(server) => server.freeze().await,
        }
        Ok(())
    }

    async fn go_on(&self, deployment: &Deployment) -> anyhow::Result<()> {
        match self {
            Self::Service(service) => deployment.signal(*service, "-CONT").await?,
            Self::Server(server) => server.thaw().await,
        }
        Ok(())
    }
}
