use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use hyper_util::rt::TokioIo;
use tower::ServiceExt;

use crate::TransportError;

/// Bytes that wait between the two ends of a connection in this process.
const WAITING_BYTES: usize = 16 * 1024;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
type Spawn = dyn Fn(&'static str, Task) + Send + Sync;

/// Lets a service in this process consent to another protocol, e.g. a WebSocket: an extension of
/// requests. An upgrade needs a connection; this starts the two tasks that are the ends of one in
/// memory. A service elsewhere has its connection already.
#[derive(Clone)]
pub struct Upgrades(Arc<Spawn>);

impl Upgrades {
    /// `spawn` starts a task with a name.
    pub fn new(spawn: impl Fn(&'static str, Task) + Send + Sync + 'static) -> Self {
        Self(Arc::new(spawn))
    }

    pub(crate) async fn call(
        self,
        router: Router,
        request: Request<Body>,
    ) -> Result<Response<Body>, TransportError> {
        let (near, far) = tokio::io::duplex(WAITING_BYTES);
        let serve = hyper::service::service_fn(move |request: Request<_>| {
            router.clone().oneshot(request.map(Body::new))
        });
        let server = hyper::server::conn::http1::Builder::new();
        let served = server
            .serve_connection(TokioIo::new(far), serve)
            .with_upgrades();
        (self.0)(
            "upgrade.service",
            Box::pin(async move {
                // Whoever waits for the answer is told of the failure.
                let _ = served.await;
            }),
        );
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(near)).await;
        let (mut sender, connection) = handshake.map_err(TransportError::Upgrade)?;
        (self.0)(
            "upgrade.client",
            Box::pin(async move {
                let _ = connection.with_upgrades().await;
            }),
        );
        let response = sender.send_request(request).await;
        Ok(response.map_err(TransportError::Upgrade)?.map(Body::new))
    }
}

impl fmt::Debug for Upgrades {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrades").finish_non_exhaustive()
    }
}
