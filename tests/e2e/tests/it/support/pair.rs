use std::collections::BTreeMap;

use touchstone_stack::Service;

use super::Servers;
use super::deployment::{Deployment, free_ports};

/// Two instances of each service on the same servers, each of which knows both of all others; of
/// `alone` only the first is used.
pub async fn pair(servers: &Servers, alone: &[Service]) -> [Deployment; 2] {
    let ports = [free_ports(), free_ports()];
    let mut environment = servers.environment();
    for service in Service::ALL {
        let url = |ports: &BTreeMap<Service, u16>| format!("http://127.0.0.1:{}", ports[&service]);
        let mut urls = url(&ports[0]);
        if !alone.contains(&service) {
            urls = format!("{urls},{}", url(&ports[1]));
        }
        if service != Service::Gateway {
            let name = format!("{}_SERVICE_URL", service.name().to_uppercase());
            environment.all.push((name, urls));
        }
    }
    let [first, second] = ports;
    // Both at once: who migrates the schemas waits for whoever does so already.
    let (first, second) = tokio::join!(
        Box::pin(Deployment::at(first, environment.clone())),
        Box::pin(Deployment::at(second, environment))
    );
    [first, second]
}

/// Services of which there can be only one instance on these servers.
pub fn alone(servers: &Servers) -> &'static [Service] {
    if servers.has_qdrant() {
        &[]
    } else {
        // Without Qdrant the points are one process's own.
        &[Service::Vector]
    }
}
