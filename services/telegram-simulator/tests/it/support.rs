#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::sync::Arc;

use base64::Engine;
use grammers_client::Client;
use grammers_client::client::ClientConfiguration;
use grammers_mtsender::SenderPool;
use grammers_session::SessionData;
use grammers_session::storages::MemorySession;
use grammers_session::types::DcOption;
use touchstone_lifecycle::Lifecycle;
use touchstone_telegram_simulator::{Scenario, Simulator};
use touchstone_types::SystemClock;

/// A data centre, and a client that is logged in there.
pub struct Scene {
    pub simulator: Simulator,
    pub client: Client,
    pub updates: tokio::sync::mpsc::Receiver<grammers_session::updates::UpdatesLike>,
}

pub async fn scene(scenario: Scenario) -> Scene {
    let life = Lifecycle::new();
    let address = "127.0.0.1:0".parse().unwrap();
    let clock = Arc::new(SystemClock);
    let simulator = Simulator::start(address, scenario, clock, &life)
        .await
        .unwrap();
    let session = Arc::new(MemorySession::from(session_data(simulator.session())));
    let pool = SenderPool::new(session, 1);
    let client = Client::with_configuration(pool.handle, ClientConfiguration::default());
    life.spawn("client", pool.runner.run());
    Scene {
        simulator,
        client,
        updates: pool.updates,
    }
}

/// A Telethon session as grammers wants it.
pub fn session_data(text: &str) -> SessionData {
    let bytes = base64::engine::general_purpose::URL_SAFE
        .decode(text.strip_prefix('1').unwrap())
        .unwrap();
    let ip: [u8; 4] = bytes[1..5].try_into().unwrap();
    let port = u16::from_be_bytes([bytes[5], bytes[6]]);
    let dc = i32::from(bytes[0]);
    let mut data = SessionData {
        home_dc: dc,
        ..SessionData::default()
    };
    let option = DcOption {
        id: dc,
        ipv4: std::net::SocketAddrV4::new(ip.into(), port),
        ipv6: std::net::SocketAddrV6::new(std::net::Ipv6Addr::LOCALHOST, port, 0, 0),
        auth_key: Some(bytes[7..].try_into().unwrap()),
    };
    data.dc_options.insert(dc, option);
    data
}
