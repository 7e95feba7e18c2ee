//! The gateway in front of fake services, in process and over HTTP.

#[cfg(test)]
mod support;

#[cfg(test)]
mod admin;
#[cfg(test)]
mod cache;
#[cfg(test)]
mod credentials;
#[cfg(test)]
mod degraded;
#[cfg(test)]
mod forgeries;
#[cfg(test)]
mod forwarding;
#[cfg(test)]
mod hedging;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod quotas;
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
