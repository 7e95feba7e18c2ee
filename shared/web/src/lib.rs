//! What every service's HTTP surface shares.
