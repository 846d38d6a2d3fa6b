//! A channel to a control plane that is really there: over TLS, and in clear.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use culvert_channel::{
    ChannelConfig, ClientCertificate, ConnectError, Connector, MAX_MESSAGE_BYTES, RequestError, Roots,
};
use culvert_proto::certificate::istio_certificate_service_client::IstioCertificateServiceClient;
use culvert_proto::certificate::istio_certificate_service_server::{
    IstioCertificateService, IstioCertificateServiceServer,
};
use culvert_proto::certificate::{IstioCertificateRequest, IstioCertificateResponse};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::{Code, Request, Response, Status};

const NAME: &str = "istiod.istio-system.svc";

/// Answers with the headers that it was sent, or with as many bytes as the request asks for.
struct Echo;

#[tonic::async_trait]
impl IstioCertificateService for Echo {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let text =
            |name: &str| request.metadata().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let cert_chain = match request.get_ref().validity_duration {
            0 => vec![text("authorization"), text("clusterid"), text("x-team")],
            bytes => vec!["x".repeat(usize::try_from(bytes).unwrap())],
        };
        Ok(Response::new(IstioCertificateResponse { cert_chain }))
    }
}

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca() -> Ca {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for `NAME` and its key, in PEM.
fn leaf(ca: &Ca) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([NAME.to_owned()]).unwrap().signed_by(&key, ca).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn acceptor(ca: &Ca, asks_for_certificate: bool) -> TlsAcceptor {
    let builder = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if asks_for_certificate {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca.der().clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build().unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let (chain, key) = leaf(ca);
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>().unwrap();
    let mut config =
        builder.with_single_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(tls: Option<TlsAcceptor>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let tls = tls.clone();
            tokio::spawn(async move {
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let service = TowerToHyperService::new(IstioCertificateServiceServer::new(Echo));
                match tls {
                    Some(tls) => {
                        let Ok(session) = tls.accept(socket).await else { return };
                        drop(server.serve_connection(TokioIo::new(session), service).await);
                    }
                    None => drop(server.serve_connection(TokioIo::new(socket), service).await),
                }
            });
        }
    });
    address
}

fn config(address: SocketAddr, ca: &Ca) -> ChannelConfig {
    let mut config = ChannelConfig::new(format!("https://{address}"));
    config.alternative_hostname = Some(NAME.into());
    config.roots = Roots::Pem(ca.pem());
    config
}

fn connector(config: ChannelConfig) -> Connector {
    Connector::new(config, provider()).unwrap()
}

async fn ask(connector: &Connector, bytes: i64) -> Result<Vec<String>, Status> {
    let channel = connector.shared().await.unwrap();
    let mut client = IstioCertificateServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let request = IstioCertificateRequest { validity_duration: bytes, ..Default::default() };
    client.create_certificate(request).await.map(|answer| answer.into_inner().cert_chain)
}

#[tokio::test]
async fn a_control_plane_is_told_who_asks_by_a_token_that_may_be_rotated() {
    let (ca, files) = (ca(), TempDir::new().unwrap());
    let address = serve(Some(acceptor(&ca, false))).await;
    let token = files.path().join("token");
    let mut config = config(address, &ca);
    config.token = Some(token.clone());
    config.cluster_id = Some("east".into());
    config.headers = vec![("x-team".into(), "blue".into())];
    let connector = connector(config);
    fs::write(&token, "one\n").unwrap();
    assert_eq!(ask(&connector, 0).await.unwrap(), ["Bearer one", "east", "blue"]);
    fs::write(&token, "two").unwrap();
    assert_eq!(ask(&connector, 0).await.unwrap(), ["Bearer two", "east", "blue"]);
    fs::write(&token, "t w o").unwrap();
    let refused = ask(&connector, 0).await.unwrap_err();
    assert!(matches!(RequestError::of(&refused), Some(RequestError::TokenText { .. })), "{refused:?}");
    fs::remove_file(&token).unwrap();
    let refused = ask(&connector, 0).await.unwrap_err();
    assert!(matches!(RequestError::of(&refused), Some(RequestError::Token { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_control_plane_that_nobody_trusted_vouches_for_is_not_believed() {
    let ca = ca();
    let address = serve(Some(acceptor(&ca, false))).await;
    let mut other_roots = config(address, &ca);
    other_roots.roots = Roots::Pem(self::ca().pem());
    let mut other_name = config(address, &ca);
    other_name.alternative_hostname = None;
    for config in [other_roots, other_name] {
        let error = connector(config).connect().await.unwrap_err();
        assert!(matches!(error, ConnectError::Tls(_)), "{error:?}");
    }
}

#[tokio::test]
async fn roots_are_read_again_when_their_file_changes() {
    let (ca, other, files) = (ca(), ca(), TempDir::new().unwrap());
    let address = serve(Some(acceptor(&ca, false))).await;
    let roots = files.path().join("roots.pem");
    let mut config = config(address, &ca);
    config.roots = Roots::File(roots.clone());
    let connector = connector(config);
    assert!(matches!(connector.connect().await, Err(ConnectError::UnreadableRoots { .. })));
    fs::write(&roots, "").unwrap();
    assert!(matches!(connector.connect().await, Err(ConnectError::NoRoots(_))));
    fs::write(&roots, ca.pem()).unwrap();
    ask(&connector, 0).await.unwrap();
    // The connection in use was vouched for by roots that are not trusted any more.
    fs::write(&roots, other.pem()).unwrap();
    assert!(matches!(connector.shared().await, Err(ConnectError::Tls(_))));
}

#[tokio::test]
async fn a_control_plane_that_asks_for_a_certificate_gets_one() {
    let (ca, files) = (ca(), TempDir::new().unwrap());
    let address = serve(Some(acceptor(&ca, true))).await;
    let own = ClientCertificate { chain: files.path().join("chain.pem"), key: files.path().join("key.pem") };
    let (chain, key) = leaf(&ca);
    fs::write(&own.chain, chain).unwrap();
    fs::write(&own.key, key).unwrap();
    let mut config = config(address, &ca);
    config.client_certificate = Some(own.clone());
    let connector = connector(config);
    ask(&connector, 0).await.unwrap();
    fs::write(&own.key, "").unwrap();
    assert!(matches!(connector.connect().await, Err(ConnectError::ClientCertificate { .. })));
}

#[tokio::test]
async fn a_connection_is_shared_until_it_ends_and_carries_long_messages() {
    let address = serve(None).await;
    let connector = connector(ChannelConfig::new(format!("http://{address}")));
    let first = connector.shared().await.unwrap();
    let answer = ask(&connector, 16 << 20).await.unwrap();
    assert_eq!(answer[0].len(), 16 << 20);
    assert!(first.is_open());
}

#[tokio::test]
async fn a_connection_that_ended_is_made_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connector = connector(ChannelConfig::new(format!("http://{}", listener.local_addr().unwrap())));
    let (first, accepted) = tokio::join!(connector.shared(), listener.accept());
    let mut first = first.unwrap();
    drop(accepted);
    // The call ends when the connection does, and with it the connection is known to be over.
    let mut client = IstioCertificateServiceClient::new(first.clone());
    let refused = client.create_certificate(IstioCertificateRequest::default()).await.unwrap_err();
    assert!(matches!(RequestError::of(&refused), Some(RequestError::Http2(_))), "{refused:?}");
    assert_ne!(refused.code(), Code::Ok);
    while std::future::poll_fn(|cx| tower_service::Service::poll_ready(&mut first, cx)).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let (second, _accepted) = tokio::join!(connector.shared(), listener.accept());
    assert!(second.unwrap().is_open());
}

#[tokio::test]
async fn nobody_there_is_told_with_the_place() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = connector(ChannelConfig::new(format!("http://{address}"))).connect().await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot connect to {address}: ")), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = ChannelConfig::new(format!("https://{}", listener.local_addr().unwrap()));
    config.roots = Roots::Pem(ca().pem());
    let error = connector(config).connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout(_)), "{error:?}");
}
