//! HTTP/1.1: a connection that is driven by whoever waits for its answer, so that no other task has to
//! be woken.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::connect::Stream;

type Driver = http1::Connection<TokioIo<Box<dyn Stream>>, Full<Bytes>>;

/// A kept connection.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// Gone once the connection has ended.
    driver: Option<Pin<Box<Driver>>>,
}

impl Connection {
    pub async fn open(stream: Box<dyn Stream>) -> hyper::Result<Self> {
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self {
            sender,
            driver: Some(Box::pin(driver)),
        })
    }

    fn drive(&mut self, context: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && driver.as_mut().poll(context).is_ready()
        {
            self.driver = None;
        }
    }

    /// Whether it can take a request now. Sees a connection that the other side has closed meanwhile.
    pub async fn is_usable(&mut self) -> bool {
        std::future::poll_fn(|context| {
            self.drive(context);
            let is_open = self.driver.is_some() && !self.sender.is_closed();
            match self.sender.poll_ready(context) {
                Poll::Ready(ready) => Poll::Ready(is_open && ready.is_ok()),
                Poll::Pending if is_open => Poll::Pending,
                Poll::Pending => Poll::Ready(false),
            }
        })
        .await
    }

    /// Sends a request and returns when the head of its answer is there.
    pub async fn send(
        &mut self,
        request: http::Request<Full<Bytes>>,
    ) -> hyper::Result<http::Response<Incoming>> {
        let answer = self.sender.send_request(request);
        let mut answer = std::pin::pin!(answer);
        std::future::poll_fn(|context| {
            if let Some(driver) = &mut self.driver
                && driver.as_mut().poll(context).is_ready()
            {
                self.driver = None;
            }
            answer.as_mut().poll(context)
        })
        .await
    }

    /// The next frame of a body; `None` at its end.
    pub async fn frame(&mut self, body: &mut Incoming) -> Option<hyper::Result<Frame<Bytes>>> {
        std::future::poll_fn(|context| {
            self.drive(context);
            Pin::new(&mut *body).poll_frame(context)
        })
        .await
    }
}
