use std::collections::BTreeMap;

use tokio::sync::watch;

/// Every gate by service and name; `Some` while it is closed, with the reason if one is known.
pub(crate) type Gates = BTreeMap<(Option<&'static str>, String), Option<Closed>>;

/// Why a gate is closed; empty at the beginning.
pub(crate) type Closed = String;

/// A condition of readiness.
#[derive(Clone, Debug)]
pub struct Gate {
    gates: watch::Sender<Gates>,
    key: (Option<&'static str>, String),
}

impl Gate {
    pub(crate) fn new(
        gates: watch::Sender<Gates>,
        service: Option<&'static str>,
        name: String,
    ) -> Self {
        let gate = Self {
            gates,
            key: (service, name),
        };
        gate.set(Some(String::new()));
        gate
    }

    /// The condition holds.
    pub fn open(&self) {
        self.set(None);
    }

    /// The condition does not hold any more.
    pub fn close(&self, why: impl Into<String>) {
        self.set(Some(why.into()));
    }

    fn set(&self, closed: Option<Closed>) {
        self.gates.send_modify(|gates| {
            gates.insert(self.key.clone(), closed);
        });
    }
}

/// The closed gates that `scope` sees; the root sees all, with their service's name.
pub(crate) fn waiting_for(gates: &Gates, scope: Option<&'static str>) -> Vec<String> {
    gates
        .iter()
        .filter(|((service, _), _)| scope.is_none() || *service == scope)
        .filter_map(|((service, name), closed)| {
            let why = closed.as_ref()?;
            let name = match (scope, service) {
                (None, Some(service)) => format!("{service}.{name}"),
                _ => name.clone(),
            };
            Some(if why.is_empty() {
                name
            } else {
                format!("{name}: {why}")
            })
        })
        .collect()
}
