//! The contracts of every cache and every quota store, on every backend that is built in; and what
//! the shared quota store does when its server fails.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod exact;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod quotas;
#[cfg(test)]
mod support;

#[cfg(test)]
mod memory {
    mod cache {
        crate::contract::suite!(Some(touchstone_cache::open("memory://?max=1MiB").unwrap()));
    }
    mod quota {
        crate::quotas::suite!(crate::support::memory());
    }
}

#[cfg(test)]
mod redis {
    mod cache {
        crate::contract::suite!(crate::support::redis_cache().await);
    }
    mod quota {
        crate::quotas::suite!(crate::support::redis().await);
    }
}
