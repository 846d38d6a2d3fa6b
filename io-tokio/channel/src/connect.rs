//! Dialling a control plane.

use crate::config::{ChannelConfig, Endpoint};
use crate::fault::{ConfigError, ConnectError, Stage};
use crate::request::Channel;
use crate::tls::Material;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::crypto::CryptoProvider;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long each stage of connecting may take (node.md row 70).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection without a byte for this long is probed (node.md row 70).
const TCP_KEEPALIVE_IDLE: Duration = Duration::from_secs(300);
/// The time between two probes (node.md row 70).
const TCP_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(75);
/// How many unanswered probes end the connection (node.md row 70).
const TCP_KEEPALIVE_PROBES: u32 = 9;
/// How often a PING asks whether the control plane is there (node.md row 70).
const HTTP2_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// How long it may take to answer one (node.md row 70).
const HTTP2_KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// What may be on its way to us unread: a first answer is megabytes, and is read at once.
const WINDOW_BYTES: u32 = 4 << 20;

/// Makes connections to one control plane.
#[derive(Clone, Debug)]
pub struct Connector {
    endpoint: Arc<Endpoint>,
    provider: Arc<CryptoProvider>,
    shared: Arc<Mutex<Option<Shared>>>,
}

/// The connection in use, and the files of which it was made.
#[derive(Debug)]
struct Shared {
    channel: Channel,
    material: Material,
}

impl Connector {
    /// Checks `config`; nothing is read or dialled yet. All cryptography is `provider`'s.
    ///
    /// # Errors
    /// A configuration that makes no sense.
    pub fn new(config: ChannelConfig, provider: Arc<CryptoProvider>) -> Result<Connector, ConfigError> {
        Ok(Connector { endpoint: Arc::new(Endpoint::new(config)?), provider, shared: Arc::default() })
    }

    /// The URL that is dialled, without what may follow the port.
    pub fn url(&self) -> String {
        format!("{}://{}", self.endpoint.scheme, self.endpoint.authority)
    }

    /// Makes a connection. Call it within a tokio runtime with I/O and time; the connection lives in that runtime until the last
    /// clone of the channel and the last call on it are gone.
    ///
    /// # Errors
    /// Files that cannot be used, or a control plane that cannot be reached, does not answer in time or is not believed.
    pub async fn connect(&self) -> Result<Channel, ConnectError> {
        self.dial(&Material::read(&self.endpoint)?).await
    }

    /// The connection that the last call of this made, or a new one where that has ended, or where the files that it was made
    /// of have other content now. Clones of a connector share it.
    ///
    /// # Errors
    /// As [`connect`](Connector::connect).
    pub async fn shared(&self) -> Result<Channel, ConnectError> {
        let mut shared = self.shared.lock().await;
        let material = Material::read(&self.endpoint)?;
        if let Some(known) = &*shared
            && known.material == material
            && known.channel.is_open()
        {
            return Ok(known.channel.clone());
        }
        *shared = None;
        let channel = self.dial(&material).await?;
        *shared = Some(Shared { channel: channel.clone(), material });
        Ok(channel)
    }

    async fn dial(&self, material: &Material) -> Result<Channel, ConnectError> {
        let endpoint = &self.endpoint;
        let config = match &endpoint.server {
            Some(name) => Some((material.client_config(endpoint, &self.provider)?, name.clone())),
            None => None,
        };
        let socket = in_time(Stage::Tcp, TcpStream::connect((endpoint.host.as_str(), endpoint.port))).await?;
        let unreachable = |source: io::Error| ConnectError::Tcp {
            host: endpoint.host.clone(),
            port: endpoint.port,
            source,
        };
        let socket = socket.map_err(unreachable)?;
        tune(&socket).map_err(unreachable)?;
        match config {
            Some((config, name)) => {
                let connecting = TlsConnector::from(Arc::new(config)).connect(name, socket);
                let session = in_time(Stage::Tls, connecting).await?.map_err(ConnectError::Tls)?;
                self.start(session).await
            }
            None => self.start(socket).await,
        }
    }

    async fn start(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Channel, ConnectError> {
        let starting = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(HTTP2_KEEPALIVE_INTERVAL)
            .keep_alive_timeout(HTTP2_KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .handshake(TokioIo::new(stream));
        let (sender, connection) = in_time(Stage::Http2, starting).await?.map_err(ConnectError::Http2)?;
        // Why it ended is told to each call on it; with no call, nobody needs to know.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Channel::new(sender, self.endpoint.clone()))
    }
}

async fn in_time<T>(stage: Stage, work: impl Future<Output = T>) -> Result<T, ConnectError> {
    timeout(CONNECT_TIMEOUT, work).await.map_err(|_| ConnectError::Timeout(stage))
}

fn tune(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(TCP_KEEPALIVE_IDLE)
        .with_interval(TCP_KEEPALIVE_INTERVAL)
        .with_retries(TCP_KEEPALIVE_PROBES);
    SockRef::from(socket).set_tcp_keepalive(&keepalive)
}
