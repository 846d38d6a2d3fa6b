//! The service itself: who may ask for whom, and what a request must be.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use culvert_core::identity::SpiffeId;
use culvert_proto::certificate::istio_certificate_service_server::{
    IstioCertificateService, IstioCertificateServiceServer,
};
use culvert_proto::certificate::{IstioCertificateRequest, IstioCertificateResponse};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rcgen::{CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, KeyPair, SanType};
use rcgen::{PublicKeyData, SubjectPublicKeyInfo};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tonic::{Request, Response, Status};

use super::issue::answer;
use super::{Behaviour, NAME, State};

#[derive(Clone)]
struct Service(Arc<Mutex<State>>);

#[tonic::async_trait]
impl IstioCertificateService for Service {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let behaviour = self.0.lock().unwrap().behaviour;
        match behaviour {
            Behaviour::Hang => std::future::pending().await,
            Behaviour::Refuse => return Err(Status::unavailable("not now")),
            Behaviour::Honest | Behaviour::Lie(_) => {}
        }
        let token = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let mut state = self.0.lock().unwrap();
        if token != Some(&format!("Bearer {}", state.token)) {
            return Err(Status::unauthenticated("the token is not believed"));
        }
        let asked = request.get_ref();
        let (id, key) = read(asked).map_err(Status::invalid_argument)?;
        if !state.on_node.contains(&id) {
            return Err(Status::permission_denied(format!("no pod of {id} runs on the node of the caller")));
        }
        state.asked.push(id.clone());
        let life = Duration::from_secs(asked.validity_duration.unsigned_abs()).min(state.longest);
        let lie = match behaviour {
            Behaviour::Lie(lie) => Some(lie),
            Behaviour::Honest | Behaviour::Hang | Behaviour::Refuse => None,
        };
        let cert_chain = answer(&state.root, &id, &key, life, lie);
        Ok(Response::new(IstioCertificateResponse { cert_chain }))
    }
}

/// For whom a certificate is asked, and for which key.
fn read(asked: &IstioCertificateRequest) -> Result<(SpiffeId, SubjectPublicKeyInfo), String> {
    let request = CertificateSigningRequestParams::from_pem(&asked.csr).map_err(|error| error.to_string())?;
    let CertificateSigningRequestParams { params, public_key } = request;
    if params.distinguished_name.iter().count() != 0 {
        return Err("the request has a subject".to_owned());
    }
    let [SanType::URI(name)] = params.subject_alt_names.as_slice() else {
        return Err("the request has other than one URI name".to_owned());
    };
    if !has_critical_name(&asked.csr) {
        return Err("the request's name is not critical".to_owned());
    }
    let fields = asked.metadata.as_ref().map(|metadata| &metadata.fields);
    let meant =
        fields.and_then(|fields| fields.get("ImpersonatedIdentity")).and_then(|value| match &value.kind {
            Some(prost_types::value::Kind::StringValue(text)) => Some(text.as_str()),
            _ => None,
        });
    if meant != Some(name.as_str()) {
        return Err(format!("the request is for {name}, and the caller means {meant:?}"));
    }
    let id =
        name.as_str().parse().map_err(|error: culvert_core::identity::SpiffeIdError| error.to_string())?;
    let key = SubjectPublicKeyInfo::from_der(&public_key.subject_public_key_info());
    Ok((id, key.map_err(|error| error.to_string())?))
}

/// Whether the alternative name of a request is critical: its identifier is followed by TRUE.
fn has_critical_name(csr: &str) -> bool {
    use rustls::pki_types::CertificateSigningRequestDer;
    use rustls::pki_types::pem::PemObject;
    let der = CertificateSigningRequestDer::from_pem_slice(csr.as_bytes()).unwrap();
    der.windows(8).any(|window| window == [0x06, 0x03, 0x55, 0x1d, 0x11, 0x01, 0x01, 0xff])
}

/// Runs the service until it is told to stop.
pub(super) fn run(
    address: SocketAddr,
    tls: &CertifiedIssuer<'static, KeyPair>,
    state: Arc<Mutex<State>>,
    stopped: oneshot::Receiver<()>,
) -> (SocketAddr, JoinHandle<()>) {
    let acceptor = acceptor(tls);
    let listener = std::net::TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            tokio::select! {
                () = serve(TcpListener::from_std(listener).unwrap(), acceptor, Service(state)) => {}
                _ = stopped => {}
            }
        });
    });
    (address, thread)
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, service: Service) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let (acceptor, service) = (acceptor.clone(), service.clone());
        tokio::spawn(async move {
            let Ok(session) = acceptor.accept(socket).await else { return };
            let service = TowerToHyperService::new(IstioCertificateServiceServer::new(service));
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            drop(server.serve_connection(TokioIo::new(session), service).await);
        });
    }
}

fn acceptor(tls: &CertifiedIssuer<'static, KeyPair>) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new([NAME.to_owned()]).unwrap().signed_by(&key, tls).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = builder.with_single_cert(vec![leaf.der().clone()], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}
