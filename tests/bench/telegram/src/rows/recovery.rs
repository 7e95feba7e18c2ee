//! Logged in again, and a call answered, after each kind of fault.

use std::time::{Duration, Instant};

use touchstone_lifecycle::Lifecycle;
use touchstone_telegram_simulator::{Armed, Fault};

use super::{joined, world};
use crate::served::{Client, Options, PATIENCE, data_centre};
use crate::table::{Goal, Table};

/// The method at which the fault strikes.
const METHOD: &str = "messages.getHistory";

pub(super) async fn run(table: &mut Table) -> anyhow::Result<()> {
    for (name, fault) in faults() {
        let seconds = Box::pin(after(fault)).await?;
        let what = format!("authorized again after: {name}");
        table.measured(&what, Goal::AtMost(3.0), seconds, " s", 2);
    }
    Ok(())
}

fn faults() -> Vec<(&'static str, Fault)> {
    let error = |code, message: &str| Fault::Error {
        code,
        message: message.into(),
    };
    vec![
        ("connection reset", Fault::Reset),
        ("connection half open", Fault::HalfOpen),
        ("transport 404", Fault::Transport { status: 404 }),
        ("transport 429", Fault::Transport { status: 429 }),
        ("wrong session (the library panics)", Fault::WrongSession),
        ("another salt", Fault::SaltRotation),
        ("clock one hour ahead", Fault::ClockSkew { seconds: 3_600 }),
        (
            "clock one hour behind",
            Fault::ClockSkew { seconds: -3_600 },
        ),
        ("an answer after 2 s", Fault::Delay { ms: 2_000 }),
        ("FLOOD_WAIT_1", Fault::Flood { seconds: 1 }),
        ("500 on a call", error(500, "RPC_CALL_FAIL")),
        ("406 AUTH_KEY_DUPLICATED, once", Fault::DuplicateKey),
        ("401 SESSION_REVOKED, once", error(401, "SESSION_REVOKED")),
    ]
}

/// Seconds from a call that meets the fault to the next answer.
async fn after(fault: Fault) -> anyhow::Result<f64> {
    let centre = Lifecycle::new();
    let scenario = world(5, vec![joined("durov".into(), 100)]);
    let simulator = data_centre(scenario, &centre).await?;
    let folder = tempfile::tempdir()?;
    let options = Options {
        session: simulator.session().to_owned(),
        folder: folder.path().to_owned(),
        rate: 1_000.0,
        poll: 3_600_000,
        bus: false,
    };
    let served = Box::pin(options.start()).await?;
    let client = Client::new(format!("http://{}", served.address))?;
    client.authorized().await?;
    let id = client.join("durov").await?;
    let name = fault.name();
    simulator.arm(Armed {
        fault,
        method: Some(METHOD.into()),
        skip: 0,
        times: 1,
    });
    let path = format!("/channels/{id}/messages?limit=1");
    let started = Instant::now();
    loop {
        let (status, answer) = client.get(&path).await?;
        let health = client.get("/health").await?.1;
        if status == 200 && health["details"]["telegram_authorized"] == true {
            break;
        }
        anyhow::ensure!(started.elapsed() < PATIENCE, "{name}: {status} {answer}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let seconds = started.elapsed().as_secs_f64();
    anyhow::ensure!(
        simulator.fired().contains_key(&name),
        "{name} did not strike"
    );
    served.life.shutdown(Duration::from_secs(5)).await;
    centre.shutdown(Duration::from_secs(1)).await;
    Ok(seconds)
}
