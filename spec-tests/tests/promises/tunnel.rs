//! What a tunnel's TCP connection is like, and how long a client may take to begin (hbone.md H1.4, H14.2).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use culvert_core::fault::{Fault, Stage};
use culvert_core::limit::Limits;
use culvert_core::telemetry::Event;
use culvert_spec_tests::testbed::{Certificates, PATIENCE, Server, converse, echo, take};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use socket2::SockRef;

use crate::pair::Pair;

/// This process's end of every TCP connection with one of the addresses at either end.
fn sockets_with(address: SocketAddr) -> Vec<OwnedFd> {
    let names = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
    let numbers: Vec<RawFd> =
        names.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok())).collect();
    let mut found: Vec<OwnedFd> = Vec::new();
    for number in numbers {
        // The number of the directory that was read is free again, and may be a copy's by now.
        if found.iter().any(|copy| copy.as_raw_fd() == number) {
            continue;
        }
        // SAFETY: the descriptor is looked at only; where it was closed meanwhile, duplicating it fails.
        let Ok(copy) = unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned() else { continue };
        let socket = SockRef::from(&copy);
        let ends = [socket.local_addr(), socket.peer_addr()];
        let [Ok(local), Ok(peer)] = ends.map(|end| end.map(|end| end.as_socket())) else { continue };
        if local == Some(address) || peer == Some(address) {
            found.push(copy);
        }
    }
    found
}

#[test]
fn tunnels_send_small_segments_at_once_on_both_sides() {
    let pair = Pair::new();
    let _server = Server::start(pair.server.port(7000), echo);
    let (_server_node, _client_node) = (pair.server_node().start(), pair.client_node().start());
    let mut stream = converse(pair.entry(7000));
    stream.write_all(b"x").unwrap();
    assert_eq!(take(&stream, 1).unwrap(), b"x");
    let ends = sockets_with(pair.server.hbone());
    assert_eq!(ends.len(), 2, "both nodes are in this process");
    for end in &ends {
        assert!(SockRef::from(end).tcp_nodelay().unwrap());
    }
}

/// Takes any certificate: the server's has no DNS name, and who it is does not matter here.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A tunnel as a client opens it, after the handshake.
fn handshake(address: SocketAddr, certificates: &Certificates) -> StreamOwned<ClientConnection, TcpStream> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = CertificateDer::from_pem_file(certificates.dir.join("client.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(certificates.dir.join("client.key")).unwrap();
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_client_auth_cert(vec![chain], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let session = ClientConnection::new(Arc::new(config), ServerName::from(address.ip())).unwrap();
    let mut stream = StreamOwned::new(session, TcpStream::connect(address).unwrap());
    stream.sock.set_read_timeout(Some(PATIENCE)).unwrap();
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    stream
}

#[test]
fn a_client_has_a_limit_for_its_handshake_and_one_for_its_preface() {
    let pair = Pair::new();
    let short = Duration::from_millis(300);
    let cases = [
        (Limits { tls_handshake: short, ..Limits::default() }, Stage::TlsHandshake),
        (Limits { http2_preface: short, ..Limits::default() }, Stage::Http2Preface),
    ];
    for (limits, stage) in cases {
        let node = pair.server_node().limits(limits).start();
        let begun = Instant::now();
        let ended = if stage == Stage::TlsHandshake {
            let mut stream = TcpStream::connect(pair.server.hbone()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.read(&mut [0])
        } else {
            let mut stream = handshake(pair.server.hbone(), &pair.certificates);
            // The server's own preface may come before the end.
            std::io::copy(&mut stream, &mut std::io::sink()).map(|_| 0)
        };
        let is_silence = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        assert!(!ended.as_ref().is_err_and(is_silence), "{stage}: {ended:?}");
        assert!(begun.elapsed() >= short, "{stage}: {:?}", begun.elapsed());
        let wanted = |event: &Event| matches!(event, Event::TunnelClosed { fault: Fault::Timeout(at), .. } if *at == stage);
        node.events.wait_for(1, wanted);
    }
}
