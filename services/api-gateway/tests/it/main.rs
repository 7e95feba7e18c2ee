//! The gateway in front of fake services, in process and over HTTP.

#[cfg(test)]
mod support;

#[cfg(test)]
mod admin;
#[cfg(test)]
mod cache;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod credentials;
#[cfg(test)]
mod decisions;
#[cfg(test)]
mod degraded;
#[cfg(test)]
mod elsewhere;
#[cfg(test)]
mod forgeries;
#[cfg(test)]
mod forwarding;
#[cfg(test)]
mod hedging;
#[cfg(test)]
mod instances;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod leaving;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod overload;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod panics;
#[cfg(test)]
mod quotas;
#[cfg(test)]
mod slow;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod upgrades;
#[cfg(test)]
mod upstreams;
#[cfg(test)]
mod websockets;
