//! Requests on a connection, with what says who we are.

use crate::config::Endpoint;
use crate::fault::RequestError;
use http::header::{AUTHORIZATION, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use std::fmt;
use std::fs;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::body::Body;
use tower_service::Service;

/// One connection to a control plane: what a generated client of tonic runs on. Clones share the connection.
#[derive(Clone)]
pub struct Channel {
    sender: SendRequest<Body>,
    endpoint: Arc<Endpoint>,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("authority", &self.endpoint.authority)
            .field("open", &self.is_open())
            .finish_non_exhaustive()
    }
}

impl Channel {
    pub(crate) fn new(sender: SendRequest<Body>, endpoint: Arc<Endpoint>) -> Channel {
        Channel { sender, endpoint }
    }

    /// Whether the connection takes further requests.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    fn address(&self, mut request: Request<Body>) -> Result<Request<Body>, RequestError> {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(self.endpoint.scheme.clone());
        parts.authority = Some(self.endpoint.authority.clone());
        parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
        // All three parts are there, so that they make a URI; if not, an empty one is refused further down.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        for (name, value) in &self.endpoint.headers {
            request.headers_mut().append(name, value.clone());
        }
        if let Some(path) = &self.endpoint.token {
            request.headers_mut().insert(AUTHORIZATION, bearer(path)?);
        }
        Ok(request)
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = RequestError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, RequestError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RequestError>> {
        self.sender.poll_ready(cx).map_err(RequestError::Http2)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.address(request) {
            Ok(request) => {
                let answer = self.sender.send_request(request);
                Box::pin(async move { Ok(answer.await?) })
            }
            Err(error) => Box::pin(async move { Err(error) }),
        }
    }
}

fn bearer(path: &Path) -> Result<HeaderValue, RequestError> {
    let text =
        fs::read_to_string(path).map_err(|source| RequestError::Token { path: path.into(), source })?;
    let unusable = || RequestError::TokenText { path: path.into() };
    let token = text.trim();
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(unusable());
    }
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| unusable())?;
    value.set_sensitive(true);
    Ok(value)
}
