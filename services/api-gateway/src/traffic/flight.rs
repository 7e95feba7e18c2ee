//! One call for many who ask the same at the same time.

use std::collections::HashMap;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{Shared, WeakShared};

type Call<V> = Pin<Box<dyn Future<Output = V> + Send>>;

/// Calls that are under way. A call is driven by whoever waits for it: when the one who began it
/// leaves, the others go on with it, and when all have left, it is dropped.
pub(crate) struct Flights<K, V: Clone>(Arc<Mutex<Board<K, V>>>);

/// Calls by what is asked, each with a number of its own.
struct Board<K, V: Clone> {
    next: u64,
    calls: HashMap<K, (u64, WeakShared<Call<V>>)>,
}

/// How a request came by its call.
pub(crate) enum Joined<V: Clone, F> {
    /// The call, and whether this request began it.
    Call(Shared<Call<V>>, bool),
    /// What made a call needless.
    Needless(F),
}

impl<K, V: Clone> Clone for Flights<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V: Clone> Default for Flights<K, V> {
    fn default() -> Self {
        let board = Board {
            next: 0,
            calls: HashMap::new(),
        };
        Self(Arc::new(Mutex::new(board)))
    }
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The call for `key` that is under way; else whatever `known` finds meanwhile; else a new
    /// call. A call must have stored its result before it ends: then no two of them overlap.
    pub fn join<F, C>(
        &self,
        key: &K,
        known: impl FnOnce() -> Option<F>,
        call: impl FnOnce() -> C,
    ) -> Joined<V, F>
    where
        C: Future<Output = V> + Send + 'static,
    {
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = board.calls.get(key).and_then(|(_, call)| call.upgrade()) {
            return Joined::Call(running, false);
        }
        if let Some(known) = known() {
            return Joined::Needless(known);
        }
        let number = board.next;
        board.next += 1;
        let landing = Landing {
            flights: self.clone(),
            key: key.clone(),
            number,
        };
        let call = call();
        let call: Call<V> = Box::pin(async move {
            let _landing = landing;
            call.await
        });
        let call = call.shared();
        if let Some(weak) = call.downgrade() {
            board.calls.insert(key.clone(), (number, weak));
        }
        Joined::Call(call, true)
    }
}

/// Takes a call off the board when it ends or is dropped.
struct Landing<K: Eq + Hash, V: Clone> {
    flights: Flights<K, V>,
    key: K,
    number: u64,
}

impl<K: Eq + Hash, V: Clone> Drop for Landing<K, V> {
    fn drop(&mut self) {
        let mut board = self
            .flights
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // A later call may have taken the place of one that was dropped by all who waited.
        if board
            .calls
            .get(&self.key)
            .is_some_and(|(number, _)| *number == self.number)
        {
            board.calls.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::{Semaphore, oneshot};

    use super::*;

    fn call<V: Clone>(joined: Joined<V, ()>) -> (Shared<Call<V>>, bool) {
        match joined {
            Joined::Call(call, led) => (call, led),
            Joined::Needless(()) => panic!("nothing was known"),
        }
    }

    #[tokio::test]
    async fn a_thousand_at_once_make_one_call() {
        let (flights, calls, gate) = (
            Flights::<u8, u32>::default(),
            Arc::new(AtomicUsize::new(0)),
            Arc::new(Semaphore::new(0)),
        );
        let waiting: Vec<_> = (0..1000)
            .map(|_| {
                let (calls, gate) = (Arc::clone(&calls), Arc::clone(&gate));
                let work = async move {
                    calls.fetch_add(1, Ordering::AcqRel);
                    gate.acquire().await.unwrap().forget();
                    7
                };
                call(flights.join(&1, || None, || work)).0
            })
            .collect();
        gate.add_permits(1);
        let all = futures_util::future::join_all(waiting).await;
        assert_eq!((calls.load(Ordering::Acquire), all), (1, vec![7; 1000]));
        assert!(flights.0.lock().unwrap().calls.is_empty());
    }

    #[tokio::test]
    async fn whoever_began_may_leave_and_the_rest_are_answered() {
        let flights = Flights::<u8, u32>::default();
        let (answer, asked) = oneshot::channel();
        let (mut first, led) =
            call(flights.join(&1, || None, || async move { asked.await.unwrap() }));
        let (second, joined) = call(flights.join(&1, || None, || async { 0 }));
        assert!(led && !joined);
        // The first one drives the call a little, then leaves.
        assert!(futures_util::poll!(&mut first).is_pending());
        drop(first);
        answer.send(7).unwrap();
        assert_eq!(second.await, 7);
    }

    #[tokio::test]
    async fn a_call_that_nobody_waits_for_is_dropped_and_makes_room() {
        let flights = Flights::<u8, u32>::default();
        let (alive, gone) = oneshot::channel::<()>();
        let (mut first, _) = call(flights.join(
            &1,
            || None,
            || async move {
                let _alive = alive;
                std::future::pending().await
            },
        ));
        assert!(futures_util::poll!(&mut first).is_pending());
        drop(first);
        gone.await.unwrap_err();
        let (second, led) = call(flights.join(&1, || None, || async { 7 }));
        assert!(led);
        assert_eq!(second.await, 7);
    }

    #[test]
    fn what_is_known_meanwhile_makes_a_call_needless() {
        let flights = Flights::<u8, u32>::default();
        let joined = flights.join(&1, || Some("known"), || async { 7 });
        assert!(matches!(joined, Joined::Needless("known")));
    }
}
