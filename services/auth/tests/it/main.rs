//! Auth through its real router.

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod api_keys;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod forgery;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod log;
#[cfg(test)]
mod model;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod throttling;
